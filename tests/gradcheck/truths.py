"""What the right examples of anybody compute, once more in NumPy, and its gradient by differences in long double."""

from functools import partial
from itertools import pairwise

import jax
import numpy as np
import pytest
from scipy import special

HERE = (
    "a dense layer that forgets its bias where it is differentiated",
    "a layer that drops cotangents below 1e-6",
    "log Σ exp that overflows in float32, with a gradient that does not",
    "a Huber loss with a quadratic's gradient, at small residuals",
    "a softmax whose gradient knows the last axis alone",
    "cosine similarities",
    "log1p of tiny numbers",
    "row norms, their oracle by np.linalg.norm",
    "an RMS norm in float32 inside",
    "a log-softmax of wide logits",
    "a masked log-softmax",
    "dropout with a key",
)
"""Examples that are proven and audited in every run, one of most kinds; the others are proven where they are audited,
in the sweep."""


def sampled(examples):
    return [pytest.param(e, id=e.name, marks=[] if e.name in HERE else pytest.mark.sweep) for e in examples]


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def logsumexp(x):
    m = x.max(axis=-1)
    return m + np.log(np.exp(x - m[..., None]).sum(axis=-1))


def log_softmax(x):
    return x - logsumexp(x)[..., None]


def batch_norm(x):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + 1e-5)


def convolved(x, w):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    size = x.shape[1]
    return sum(padded[:, i : i + size, j : j + size] @ w[i, j] for i in range(3) for j in range(3))


def attention(q, k, v):
    return softmax(q @ k.T / np.sqrt(np.longdouble(q.shape[-1]))) @ v


def unit_products(x):
    unit = x / np.sqrt((x**2).sum(axis=-1, keepdims=True))
    return unit @ unit.T


def rotation(w):
    """The exponential of the cross product by w, by its series."""
    x, y, z = w
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / 2 + cross @ cross @ cross / 6 + cross @ cross @ cross @ cross / 24


def sinc(x):
    return np.where(np.abs(x) < 1e-2, 1 - x**2 / 6 + x**4 / 120, np.sin(x) / np.where(x == 0, 1, x))


def erf(x):
    """Abramowitz and Stegun 7.1.6: in as many digits as the numbers have."""
    term = total = x + 0 * x
    for n in range(1, 120):
        term = term * 2 * x**2 / (2 * n + 1)
        total = total + term
    return 2 / np.sqrt(np.arccos(np.longdouble(-1))) * np.exp(-(x**2)) * total


def gelu(x):
    near = np.clip(x, -7, 7)
    return x * (1 + np.where(np.abs(x) < 7, erf(near / np.sqrt(np.longdouble(2))), np.sign(x))) / 2


def huber(r):
    return np.where(np.abs(r) <= 1, r**2 / 2, np.abs(r) - 0.5)


def largest(x):
    return x.max(axis=-1), x.argmax(axis=-1)


def conjugate_gradients(a, b):
    a = a.astype(float)
    return np.linalg.solve(a @ a.T + 3 * np.eye(len(a)), b.astype(float))


def kepler(mean, e):
    now = mean
    for _ in range(20):
        now = now - (now - e * np.sin(now) - mean) / (1 - e * np.cos(now))
    return now


def log_likelihood(x, y, length):
    """By a Cholesky factor, written out."""
    k = np.exp(-((x[:, None] - x[None, :]) ** 2) / (2 * length**2)) + 1e-8 * np.eye(len(x))
    factor, white = np.zeros_like(k), np.zeros_like(y)
    for i in range(len(x)):
        for j in range(i + 1):
            rest = k[i, j] - factor[i, :j] @ factor[j, :j]
            factor[i, j] = np.sqrt(rest) if i == j else rest / factor[j, j]
        white[i] = (y[i] - factor[i, :i] @ white[:i]) / factor[i, i]
    return -(white @ white) / 2 - np.log(np.diag(factor)).sum()


def sparse_plus(x):
    return np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4))


def masked_log_softmax(x, mask):
    return log_softmax(np.where(mask, x, -np.inf))


def missing_data(w, x, y):
    seen = ~np.isnan(y)
    return ((x[seen] @ w - y[seen]) ** 2).mean()


def dropout(key, x):
    with jax.enable_x64(True):  # or others are kept
        kept = np.asarray(jax.random.bernoulli(key, 0.7, x.shape))
    return np.where(kept, x / np.longdouble(0.7), 0)


def noisy(params, x):
    with jax.enable_x64(True):
        noise = np.asarray(jax.random.normal(params["key"], x.shape, np.float64))
    return np.tanh(x @ params["w"]) + np.longdouble(0.1) * noise @ params["w"]


def filtered(x, decay):
    carry, found = 0, []
    for value in x:
        carry = decay * carry + value
        found.append(carry)
    return np.array(found)


def smoothed(x):
    padded = np.pad(x, 1)
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def power_iteration(a):
    v = np.ones(len(a), a.dtype)
    for _ in range(5):
        v = a @ v
        v = v / np.sqrt((v**2).sum())
    return v @ a @ v


def interpolated(x, knots, values):
    right = np.searchsorted(knots, x)
    t = (x - knots[right - 1]) / (knots[right] - knots[right - 1])
    return (1 - t) * values[right - 1] + t * values[right]


def row_sums(x, pointers):
    return np.array([x[i:j].sum() for i, j in pairwise(pointers)])


def written(x, values, places):
    x = x.copy()
    x[places] = values
    return x


VALUES = {
    "a dense bias before batch norm": lambda x, w, b: batch_norm(x @ w + b),
    "a convolution's bias before batch norm": lambda x, w, b: np.maximum(batch_norm(convolved(x, w) + b), 0),
    "a key bias of attention": lambda q, k, v, b: attention(q, k + b, v),
    "the sum of a softmax": lambda x: softmax(x).sum(axis=-1),
    "cosine similarities": unit_products,
    "log Σ exp of large logits": logsumexp,
    "log1p of tiny numbers": lambda x: x - x**2 / 2 + x**3 / 3,
    "a small rotation": rotation,
    "a length of huge numbers": lambda x: np.sqrt((x**2).sum()),
    "sin x / x with a 0": sinc,
    "a Huber loss, its oracle by np.abs": huber,
    "row norms, their oracle by np.linalg.norm": lambda x: np.sqrt((x**2).sum(axis=-1)),
    "variances, their oracle by np.var": lambda x: ((x - x.mean(axis=-1, keepdims=True)) ** 2).mean(axis=-1),
    "a moving average, its oracle a loop into a buffer": lambda x: (x[:-2] + x[1:-1] + x[2:]) / 3,
    "a maximum and its place, with an oracle for both": largest,
    "a GELU, its oracle by math.erf": gelu,
    "a leaky ReLU, its oracle by np.maximum": lambda x: np.where(x > 0, x, x / np.longdouble(10)),
    "a convolution, its oracle of real parts": partial(np.convolve, mode="same"),
    "conjugate gradients to a tolerance": conjugate_gradients,
    "Kepler's equation, stopped early": kepler,
    "logistic growth by the adjoint equation": lambda y, r: y / (y + (1 - y) * np.exp(-r)),
    "an RMS norm in float32 inside": lambda x, s: s * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6),
    "attention in bfloat16 inside": attention,
    "logits in float32": lambda x, w: x @ w,
    "a log-softmax of wide logits": log_softmax,
    "log Σ exp of wide logits": logsumexp,
    "a cross-entropy of wide logits": lambda x, labels: -log_softmax(x)[np.arange(len(x)), labels],
    "a softmax of very wide logits": softmax,
    "a saturated SiLU": lambda x: x / (1 + np.exp(-x)),
    "a saturated tanh": np.tanh,
    "a saturated GELU": gelu,
    "a saturated sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "a vector of mixed units": lambda x: np.log1p(x**2).sum() + x[0] * x[1] * x[2],
    "a narrow spectral line": lambda f, c, w: w**2 / ((f - c) ** 2 + w**2),
    "a Gaussian process with a small jitter": log_likelihood,
    "a sparse plus at its seams": sparse_plus,
    "attention under a mask that is added": lambda scores, v, mask: softmax(scores + mask) @ v,
    "a masked log-softmax": masked_log_softmax,
    "a regression with missing targets": missing_data,
    "means of what is there": lambda x: np.nanmean(x, axis=-1),
    "an inverse on the host": lambda a: np.linalg.inv(a.astype(float)),
    "dropout with a key": dropout,
    "dropout with a key of numbers": dropout,
    "noise with a key among parameters": noisy,
    "a filter whose carry is float32": filtered,
    "smoothing with a float32 kernel": smoothed,
    "power iteration from float32": power_iteration,
    "a permutation, taken back by its inverse": lambda x, order: x[order],
    "a cross-entropy of probabilities": lambda logits, p: -(p * log_softmax(logits)).sum(axis=-1),
    "sums over the rows of a sparse matrix": row_sums,
    "interpolation on a grid": interpolated,
    "a loss with a mask in numbers": lambda x, y, mask: (mask * (x - y) ** 2).sum() / x.size,
    "numbers written to distinct places": written,
    "a product of bfloat16 in float32": lambda x, w: np.tanh(x @ w),
    "a product in float16": lambda x, w: x @ w,
}
"""By the name of the example; what is an estimator has no value of which its gradient were that."""


def gamma_slope(shape, variate):
    """Of the quantile function, at the quantile that the variate is."""
    quantile, h = special.gammainc(shape, variate), 1e-5
    return (special.gammaincinv(shape + h, quantile) - special.gammaincinv(shape - h, quantile)) / (2 * h)


ESTIMATES = {
    "rounding, straight through": lambda g, y, x: [g],
    "a temporal difference with a fixed target": lambda g, y, w, state, after, reward: [
        g * 2 * (state @ w - reward - 0.9 * after @ w) @ state / len(state)
    ],
    "gamma variates with implicit derivatives": lambda g, y, shape: [g * gamma_slope(shape, y)],
}
"""(g, the value, *args) -> the gradients that are meant."""


def gradients(value, args, g, chosen, step):
    """Jᵀg in those leaves of `args`, by differences of four points in long double; of what is not finite 0.

    step: of the entry's own size.
    """
    leaves, tree = jax.tree.flatten(args)
    leaves = [np.asarray(a, np.longdouble) if i in chosen else a for i, a in enumerate(leaves)]

    def loss(i, moved):
        there = floats(value(*jax.tree.unflatten(tree, [*leaves[:i], moved, *leaves[i + 1 :]])))
        return sum(change(a, b, c) for a, b, c in zip(g, there, base, strict=True))

    base, found = floats(value(*jax.tree.unflatten(tree, leaves))), []
    for i in chosen:
        x, slopes = leaves[i], np.zeros(np.shape(leaves[i]))
        for entry in zip(*np.nonzero(np.isfinite(x)), strict=True) if x.ndim else [()]:
            h, moved = step * (np.abs(x[entry]) or 1), x.copy()
            for factor, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                moved[entry] = x[entry] + factor * h
                slopes[entry] += weight * loss(i, moved) / (12 * h)
        found.append(slopes)
    return found


def floats(value):
    arrays = map(np.asarray, value if isinstance(value, tuple) else [value])
    return [array for array in arrays if array.dtype.kind == "f"]


def change(g, there, base):
    """⟨g, there − base⟩ where a value is finite."""
    finite = np.isfinite(base)
    return np.sum(g[finite] * (there[finite] - base[finite]))
