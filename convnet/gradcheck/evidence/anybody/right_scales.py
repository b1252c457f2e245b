"""Right where functions saturate, where units differ by nine orders, and where −∞ and NaN are meant."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.anybody.example import Example, with_vjp

# --- saturated and mixed scales ---------------------------------------------------------------------------------------


def _log_softmax(x):
    m = x.max(axis=-1, keepdims=True)
    return x - m - jnp.log(jnp.sum(jnp.exp(x - m), axis=-1, keepdims=True))


def wide_log_softmax(rng):
    def backward(x, g):
        return (g - jax.nn.softmax(x) * g.sum(axis=-1, keepdims=True),)

    fn = with_vjp(_log_softmax, lambda x: (_log_softmax(x), x), backward)
    return dict(fn=fn, args=(30 * rng.normal(size=(8, 9)),), reference=_log_softmax)


def wide_logsumexp(rng):
    def reference(x):
        m = x.max(axis=-1, keepdims=True)
        return (m + jnp.log(jnp.sum(jnp.exp(x - m), axis=-1, keepdims=True)))[:, 0]

    fn = with_vjp(reference, lambda x: (reference(x), x), lambda x, g: (g[:, None] * jax.nn.softmax(x),))
    return dict(fn=fn, args=(30 * rng.normal(size=(8, 9)),), reference=reference)


def wide_cross_entropy(rng):
    def reference(logits, labels):
        return -jnp.take_along_axis(_log_softmax(logits), labels[:, None], axis=1)[:, 0]

    def backward(kept, g):
        logits, labels = kept
        return g[:, None] * (jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1], dtype=g.dtype)), None

    fn = with_vjp(reference, lambda logits, labels: (reference(logits, labels), (logits, labels)), backward)
    args = 30 * rng.normal(size=(5, 4)), rng.integers(4, size=5).astype(np.int32)
    return dict(fn=fn, args=args, reference=reference)


def wider_softmax(rng):
    def reference(x):
        e = jnp.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    return dict(fn=jax.nn.softmax, args=(300 * rng.normal(size=(4, 6)),), reference=reference)


def _saturated(fn, reference):
    def build(rng):
        return dict(fn=fn, args=(rng.choice([-1, 1], 8) * rng.uniform(5, 20, size=8),), reference=reference)

    return build


silu = _saturated(jax.nn.silu, lambda x: x / (1 + jnp.exp(-x)))
tanh = _saturated(jnp.tanh, lambda x: (jnp.exp(x) - jnp.exp(-x)) / (jnp.exp(x) + jnp.exp(-x)))
gelu = _saturated(lambda x: jax.nn.gelu(x, approximate=False), lambda x: x * (1 + jax.lax.erf(x / np.sqrt(2))) / 2)
sigmoid = _saturated(jax.nn.sigmoid, lambda x: 1 / (1 + jnp.exp(-x)))


def mixed_units(rng):
    def energy(x):
        """Of a spring, in one vector: position in micrometres, strain, damping."""
        return jnp.sum(jnp.log1p(x**2)) + x[0] * x[1] * x[2]

    return dict(fn=energy, args=(np.array([1e5, 1e-4, 1]) * rng.uniform(0.5, 2, size=3),), reference=energy)


def spectral_line(rng):
    def line(frequency, centre, width):
        return width**2 / ((frequency - centre) ** 2 + width**2)

    width = np.array(1e-7)
    args = 1 + width * rng.normal(size=6), np.array(1.0), width
    return dict(fn=line, args=args, reference=line, oracle=line)


def gaussian_process(rng):
    def covariance(x, length):
        return jnp.exp(-((x[:, None] - x[None, :]) ** 2) / (2 * length**2)) + 1e-8 * jnp.eye(x.size, dtype=x.dtype)

    def by_cholesky(x, y, length):
        factor = jnp.linalg.cholesky(covariance(x, length))
        white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
        return -0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(jnp.diag(factor)))

    def by_solve(x, y, length):
        k = covariance(x, length)
        return -0.5 * y @ jnp.linalg.solve(k, y) - 0.5 * jnp.linalg.slogdet(k)[1]

    x = np.linspace(0, 3, 8)
    args = x, np.sin(x) + 0.1 * rng.normal(size=8), np.array(1.0)
    return dict(fn=by_cholesky, args=args, argnums=(1, 2), reference=by_solve)


def kink_of_the_slope(rng):
    def reference(x):
        return jnp.where(x <= -1, 0, jnp.where(x >= 1, x, (x + 1) ** 2 / 4))

    x = rng.uniform(-0.8, 0.8, size=6)
    x[1], x[4] = -1, 1
    return dict(fn=jax.nn.sparse_plus, args=(x,), reference=reference)


# --- inf and NaN that belong there ------------------------------------------------------------------------------------


def _causal(size: int) -> np.ndarray:
    return np.where(np.tril(np.ones((size, size), bool)), 0, -np.inf)


def additive_mask(rng):
    def attention(scores, v, mask):
        return jax.nn.softmax(scores + mask) @ v

    args = rng.normal(size=(5, 5)), rng.normal(size=(5, 3)), _causal(5)
    return dict(fn=attention, args=args, reference=attention)


def masked_log_softmax(rng):
    def fn(x, mask):
        return jax.nn.log_softmax(jnp.where(mask, x, -jnp.inf))

    def reference(x, mask):
        total = jnp.log(jnp.sum(jnp.where(mask, jnp.exp(x), 0), axis=-1, keepdims=True))
        return jnp.where(mask, x - total, -jnp.inf)

    return dict(fn=fn, args=(rng.normal(size=(4, 4)), np.tril(np.ones((4, 4), bool))), reference=reference)


def missing_data(rng):
    def loss(w, x, y):
        seen = ~jnp.isnan(y)
        r = jnp.where(seen, x @ w - jnp.where(seen, y, 0), 0)
        return jnp.sum(r**2) / jnp.sum(seen)

    y = rng.normal(size=7)
    y[[1, 4]] = np.nan
    return dict(fn=loss, args=(rng.normal(size=3), rng.normal(size=(7, 3)), y), reference=loss)


def mean_of_what_is_there(rng):
    def mean(x):
        seen = ~jnp.isnan(x)
        return jnp.sum(jnp.where(seen, x, 0), axis=-1) / jnp.sum(seen, axis=-1)

    x = rng.normal(size=(3, 5))
    x[0, 1] = x[2, 4] = np.nan
    return dict(fn=mean, args=(x,), reference=lambda x: jnp.nanmean(x, axis=-1))


_SCALES, _INF = "saturated and mixed scales", "inf and NaN that belong there"

RIGHT = tuple(
    Example(name, kind, build, note)
    for kind, name, build, note in (
        (_SCALES, "a log-softmax of wide logits", wide_log_softmax, "most probabilities are below rounding"),
        (_SCALES, "log Σ exp of wide logits", wide_logsumexp, "its Hessian is nearly 0"),
        (_SCALES, "a cross-entropy of wide logits", wide_cross_entropy, "its Hessian is nearly 0"),
        (_SCALES, "a softmax of very wide logits", wider_softmax, "one entry is 1, the others are 1e-100"),
        (_SCALES, "a saturated SiLU", silu, "autodiff of the reference loses the digits of 1 − y"),
        (_SCALES, "a saturated tanh", tanh, "its slope is 1e-8 and less"),
        (_SCALES, "a saturated GELU", gelu, "its tail is below rounding"),
        (_SCALES, "a saturated sigmoid", sigmoid, "its slope is 1e-8 and less"),
        (_SCALES, "a vector of mixed units", mixed_units, "no step suits 1e5 and 1e-4"),
        (_SCALES, "a narrow spectral line", spectral_line, "the smallest step of a difference is twenty widths"),
        (_SCALES, "a Gaussian process with a small jitter", gaussian_process, "its matrix has a condition of 1e9"),
        (_SCALES, "a sparse plus at its seams", kink_of_the_slope, "the slope has a kink, the value has none"),
        (_INF, "attention under a mask that is added", additive_mask, "an argument holds −∞"),
        (_INF, "a masked log-softmax", masked_log_softmax, "the result holds −∞"),
        (_INF, "a regression with missing targets", missing_data, "an argument holds NaN"),
        (_INF, "means of what is there", mean_of_what_is_there, "an argument that is differentiated holds NaN"),
    )
)
