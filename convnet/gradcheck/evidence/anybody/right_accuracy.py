"""Right to the accuracy that was promised, in the dtype that it computes in, or as the estimator that it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.anybody.example import Example, with_jvp, with_vjp

# --- solvers ----------------------------------------------------------------------------------------------------------


def conjugate_gradients(rng):
    def system(a):
        return a @ a.T + 3 * jnp.eye(a.shape[0], dtype=a.dtype)

    def fn(a, b):
        matrix = system(a)
        return jax.scipy.sparse.linalg.cg(lambda x: matrix @ x, b, tol=1e-6)[0]

    args = rng.normal(size=(8, 8)), rng.normal(size=8)
    return dict(fn=fn, args=args, reference=lambda a, b: jnp.linalg.solve(system(a), b), accuracy=1e-4)


def kepler(rng):
    """E − e sin E = M by Newton's method, stopped early; its derivative by the implicit function theorem."""

    def solved(mean, e):
        def step(state):
            count, _, now = state
            return count + 1, now, now - (now - e * jnp.sin(now) - mean) / (1 - e * jnp.cos(now))

        def unsettled(state):
            count, before, now = state
            return (count < 20) & (jnp.max(jnp.abs(now - before)) > 1e-3)

        return lax.while_loop(unsettled, step, (0, mean + 1, mean))[2]

    def backward(kept, g):
        e, now = kept
        slope = g / (1 - e * jnp.cos(now))
        return slope, slope * jnp.sin(now)

    def forward(mean, e):
        now = solved(mean, e)
        return now, (e, now)

    def reference(mean, e):
        now = mean
        for _ in range(8):
            now = now - (now - e * jnp.sin(now) - mean) / (1 - e * jnp.cos(now))
        return now

    args = rng.uniform(0.5, 2.5, size=5), rng.uniform(0.1, 0.6, size=5)
    return dict(fn=with_vjp(solved, forward, backward), args=args, reference=reference, accuracy=1e-4)


def growth_by_the_adjoint(rng):
    """y' = r y (1 − y), y(0) = y0, at t = 1; the gradient integrates the adjoint equation back."""

    def rk4(f, state):
        def step(state, _):
            a = f(state)
            b = f([s + k / 40 for s, k in zip(state, a, strict=True)])
            c = f([s + k / 40 for s, k in zip(state, b, strict=True)])
            d = f([s + k / 20 for s, k in zip(state, c, strict=True)])
            return [s + (i + 2 * j + 2 * k + m) / 120 for s, i, j, k, m in zip(state, a, b, c, d, strict=True)], None

        return lax.scan(step, state, None, length=20)[0]

    def value(y0, r):
        return rk4(lambda s: [r * s[0] * (1 - s[0])], [y0])[0]

    def forward(y0, r):
        y = value(y0, r)
        return y, (y, r)

    def backward(kept, g):
        y, r = kept
        back = rk4(
            lambda s: [-r * s[0] * (1 - s[0]), s[1] * r * (1 - 2 * s[0]), s[1] * s[0] * (1 - s[0])],
            [y, g, jnp.zeros_like(g)],
        )
        return back[1], back[2]

    args = rng.uniform(0.1, 0.6, size=4), rng.uniform(0.5, 3, size=4)
    reference = lambda y0, r: y0 / (y0 + (1 - y0) * jnp.exp(-r))  # noqa: E731
    return dict(fn=with_vjp(value, forward, backward), args=args, reference=reference, accuracy=1e-4)


# --- narrow inside, or narrow outside ---------------------------------------------------------------------------------


def rms_norm_in_float32(rng):
    def fn(x, scale):
        wide = x.astype(jnp.float32)
        y = wide * lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + 1e-6)
        return y.astype(x.dtype) * scale[None, :]

    return dict(fn=fn, args=(rng.normal(size=(3, 8)), rng.normal(size=8)), reference=fn, dtype="float32")


def attention_in_bfloat16(rng):
    def fn(q, k, v):
        narrow = [a.astype(jnp.bfloat16) for a in (q, k, v)]
        scores = (narrow[0] @ narrow[1].T).astype(jnp.float32) / np.sqrt(q.shape[-1]).astype(np.float32)
        return (jax.nn.softmax(scores).astype(jnp.bfloat16) @ narrow[2]).astype(q.dtype)

    def reference(q, k, v):
        return jax.nn.softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v

    args = tuple(rng.normal(size=(3, 5, 4)))
    return dict(fn=fn, args=args, reference=reference, dtype="bfloat16")


def logits_in_float32(rng):
    def fn(x, w):
        return (x @ w).astype(jnp.float32)

    return dict(fn=fn, args=(rng.normal(size=(4, 3)), rng.normal(size=(3, 5))), reference=fn, dtype="float32")


# --- estimators -------------------------------------------------------------------------------------------------------


def straight_through(rng):
    fn = with_jvp(lambda x: jnp.round(x), lambda x, dx: (jnp.round(*x), dx[0]))
    return dict(fn=fn, args=(3 * rng.normal(size=7),), estimator=True)


def temporal_difference(rng):
    def fn(w, state, after, reward):
        target = lax.stop_gradient(reward + 0.9 * after @ w)
        return jnp.mean((state @ w - target) ** 2)

    args = rng.normal(size=4), *rng.normal(size=(2, 6, 4)), rng.normal(size=6)
    return dict(fn=fn, args=args, argnums=(0,), reference=fn, estimator=True)


def gamma_variates(rng):
    key = int(rng.integers(1000))

    def fn(shape):
        return jax.random.gamma(jax.random.key(key), shape)

    return dict(fn=fn, args=(rng.uniform(0.5, 4, size=5),), estimator=True)


def product_in_bfloat16(rng):
    def fn(x, w):
        narrow = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
        return jnp.tanh(jnp.dot(*narrow, preferred_element_type=jnp.float32))

    return dict(fn=fn, args=(rng.normal(size=(4, 5)), rng.normal(size=(5, 3))), dtype="bfloat16")


def product_in_float16(rng):
    def fn(x, w):
        return (x.astype(jnp.float16) @ w.astype(jnp.float16)).astype(x.dtype)

    return dict(fn=fn, args=(rng.normal(size=(4, 5)), rng.normal(size=(5, 3))), dtype="float16")


RIGHT = tuple(
    Example(name, "declared accuracy", build, note)
    for name, build, note in (
        ("conjugate gradients to a tolerance", conjugate_gradients, "value and gradient are known to 1e-6"),
        ("Kepler's equation, stopped early", kepler, "the derivative is that of the exact solution"),
        ("logistic growth by the adjoint equation", growth_by_the_adjoint, "not the gradient of the discrete steps"),
        ("an RMS norm in float32 inside", rms_norm_in_float32, "float64 in and out, 24 bits between"),
        ("attention in bfloat16 inside", attention_in_bfloat16, "8 bits between"),
        ("a product of bfloat16 in float32", product_in_bfloat16, "8 bits in, 24 bits out"),
        ("a product in float16", product_in_float16, "cotangents times 2³⁰ overflow there"),
        ("logits in float32", logits_in_float32, "float64 in, float32 out"),
        ("rounding, straight through", straight_through, "the slope of a staircase is 0"),
        ("a temporal difference with a fixed target", temporal_difference, "the target depends on w, too"),
        ("gamma variates with implicit derivatives", gamma_variates, "by rejection: the value jumps"),
    )
)
