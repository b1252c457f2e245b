"""Wrong: the value that comes with the gradient, and rules that are not linear in g, or not differentiable in it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_jvp, with_vjp

# --- the value --------------------------------------------------------------------------------------------------------


def _affine(x, w, b):
    return x @ w + b[None, :]


def forgotten_bias(rng):
    fn = with_vjp(
        _affine, lambda x, w, b: (x @ w, (x, w)), lambda kept, g: (g @ kept[1].T, kept[0].T @ g, g.sum(axis=0))
    )
    return dict(fn=fn, args=_affine_args(rng), reference=_affine, oracle=lambda x, w, b: x @ w + b)


def _affine_args(rng):
    return rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)


def _divergence(logits, p):
    return jnp.sum(p * (jnp.log(p) - jax.nn.log_softmax(logits)), axis=-1)


def cross_entropy_for_divergence(rng):
    def forward(logits, p):
        return -jnp.sum(p * jax.nn.log_softmax(logits), axis=-1), (logits, p)

    def backward(kept, g):
        logits, p = kept
        return g[:, None] * (jax.nn.softmax(logits) - p), None

    args = rng.normal(size=(4, 5)), rng.dirichlet(np.ones(5), size=4)
    return dict(fn=with_vjp(_divergence, forward, backward), args=args, argnums=(0,), reference=_divergence)


def _log_density(x, mean):
    return -0.5 * (x - mean) ** 2 - 0.5 * np.log(2 * np.pi)


def forgotten_constant(rng):
    def tangent(primals, tangents):
        (x, mean), (dx, dmean) = primals, tangents
        return -0.5 * (x - mean) ** 2, (x - mean) * (dmean - dx)

    args = rng.normal(size=6), rng.normal(size=6)
    return dict(fn=with_jvp(_log_density, tangent), args=args, reference=_log_density, oracle=_log_density)


def _silu(x):
    return x / (1 + jnp.exp(-x))


def rounded_for_memory(rng):
    def forward(x):
        stored = _silu(x).astype(jnp.bfloat16)
        return stored.astype(x.dtype), x

    def backward(x, g):
        s = jax.nn.sigmoid(x)
        return (g * s * (1 + x * (1 - s)),)

    return dict(fn=with_vjp(_silu, forward, backward), args=(rng.normal(size=(3, 4)),), reference=_silu)


def other_value_where_compiled(rng):
    def forward(x, w, b):
        try:
            numbers = [np.asarray(a) for a in (x, w, b)]
        except jax.errors.TracerArrayConversionError:
            return x @ w, (x, w)
        return jnp.asarray(numbers[0] @ numbers[1] + numbers[2]), (x, w)

    fn = with_vjp(_affine, forward, lambda kept, g: (g @ kept[1].T, kept[0].T @ g, g.sum(axis=0)))
    return dict(fn=fn, args=_affine_args(rng), reference=_affine)


def _compiled_value_beside_gradient(f, floats, g):
    return jax.jit(lambda *x: shown.value_beside_gradient(f, x, g))(*floats)


def rounded_in_float32(rng):
    def forward(x, w):
        if x.dtype == jnp.float32:
            return (x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)).astype(x.dtype), (x, w)
        return x @ w, (x, w)

    fn = with_vjp(jnp.matmul, forward, lambda kept, g: (g @ kept[1].T, kept[0].T @ g))
    return dict(fn=fn, args=(rng.normal(size=(4, 3)), rng.normal(size=(3, 5))), reference=jnp.matmul)


# --- the rule as a function of g --------------------------------------------------------------------------------------


def _layer(x, w):
    return jnp.tanh(x @ w)


def _layer_whose_cotangent(change):
    def build(rng):
        def forward(x, w):
            y = _layer(x, w)
            return y, (x, w, y)

        def backward(kept, g):
            x, w, y = kept
            g = change(g) * (1 - y**2)
            return g @ w.T, x.T @ g

        args = 0.5 * rng.normal(size=(4, 3)), rng.normal(size=(3, 5))
        oracle = lambda x, w: np.tanh(x @ w)  # noqa: E731
        return dict(fn=with_vjp(_layer, forward, backward), args=args, reference=_layer, oracle=oracle)

    return build


clipped = _layer_whose_cotangent(lambda g: jnp.clip(g, -10, 10))
dropped = _layer_whose_cotangent(lambda g: jnp.where(jnp.abs(g) < 1e-6, 0, g))
detached = _layer_whose_cotangent(lax.stop_gradient)
clipped_by_norm = _layer_whose_cotangent(lambda g: g * jnp.minimum(1, 100 / jnp.linalg.norm(g)))


def guarded(rng):
    def centred(x):
        return x - x.mean(axis=-1, keepdims=True)

    def backward(_, g):
        """A row of equal cotangents has no spread to divide by."""
        mean = g.mean(axis=-1, keepdims=True)
        spread = jnp.sqrt(jnp.mean((g - mean) ** 2, axis=-1, keepdims=True))
        return (jnp.where(spread > 0, spread * ((g - mean) / jnp.where(spread > 0, spread, 1)), g),)

    fn = with_vjp(centred, lambda x: (centred(x), None), backward)
    return dict(fn=fn, args=(rng.normal(size=(3, 4)),), reference=centred)


def _gradients_of_ones_and_others(f, floats, g):
    """What is expected of ones is 0; beside it stands what is not."""
    return jnp.stack([shown.gradient_of_ones(f, floats, g)[0], shown.gradient(f, floats, g)[0]])


def _smoothed(x):
    """y[i] = x[i] + x[i − 1] / 2."""
    return x + 0.5 * jnp.pad(x[:-1], (1, 0))


def _smoothed_back(g):
    return g + 0.5 * jnp.pad(g[1:], (0, 1))


def wrong_way_back(rng):
    back = with_vjp(_smoothed_back, lambda g: (_smoothed_back(g), None), lambda _, h: (_smoothed_back(h),))
    fn = with_vjp(_smoothed, lambda x: (_smoothed(x), None), lambda _, g: (back(g),))
    return dict(fn=fn, args=(rng.normal(size=7),), reference=_smoothed)


VALUE = (
    Example(
        "a dense layer that forgets its bias where it is differentiated", "value", forgotten_bias,
        "the forward rule of the custom_vjp returns x @ w", shows=shown.shown(shown.value_beside_gradient),
    ),
    Example(
        "a divergence that is a cross-entropy where it is differentiated", "value", cross_entropy_for_divergence,
        "both have the same gradient, not the same value", shows=shown.shown(shown.value_beside_gradient),
    ),
    Example(
        "a log-density without its constant where it has a tangent", "value", forgotten_constant,
        "the primal output of the custom_jvp lacks log √2π", shows=shown.shown(shown.value_beside_tangent),
    ),
    Example(
        "a SiLU that is rounded to bfloat16 where it is differentiated", "value", rounded_for_memory,
        "what is stored for others is also returned", shows=shown.shown(shown.value_beside_gradient),
    ),
    Example(
        "a dense layer that forgets its bias where its gradient is compiled", "value", other_value_where_compiled,
        "the forward rule has a short cut for numbers", shows=shown.shown(_compiled_value_beside_gradient),
    ),
    Example(
        "a product in bfloat16 where it is differentiated in float32", "value", rounded_in_float32,
        "the forward rule multiplies otherwise", shows=shown.shown(shown.value_beside_gradient, dtype="float32"),
    ),
)  # fmt: skip

LINEAR = (
    Example(
        "a layer that clips the cotangent at 10", "linear in g", clipped,
        "a scaled loss is clipped", shows=shown.shown(shown.gradient_of_scaled(1024.0)),
    ),
    Example(
        "a layer that drops cotangents below 1e-6", "linear in g", dropped,
        "a mean over many examples has no others", shows=shown.shown(shown.gradient_of_scaled(2.0**-23)),
    ),
    Example(
        "a layer that clips the norm of the cotangent at 100", "linear in g", clipped_by_norm,
        "a scaled loss is clipped", shows=shown.shown(shown.gradient_of_scaled(1024.0)),
    ),
    Example(
        "a layer that detaches the cotangent", "linear in g", detached,
        "a gradient penalty after it has no gradient", shows=shown.shown(shown.derivative_in_g),
    ),
    Example(
        "a filter whose gradient is differentiated the wrong way", "linear in g", wrong_way_back,
        "the rule of its rule is itself, not its transpose", shows=shown.shown(shown.derivative_in_g),
    ),
    Example(
        "centring that hands equal cotangents on", "linear in g", guarded,
        "a sum of the results has such, and the gradient 0", shows=shown.shown(_gradients_of_ones_and_others),
    ),
)  # fmt: skip

WRONG = (*VALUE, *LINEAR)
