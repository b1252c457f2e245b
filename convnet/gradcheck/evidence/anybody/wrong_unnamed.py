"""Wrong in what an audit leaves out: it must name what that was."""

from __future__ import annotations

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.anybody import shown, wrong_digits
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


def one_exponent(rng):
    def power(x, n):
        return x**n

    def fn(x, n):
        return with_vjp(lambda x: x**n, lambda x: (x**n, x), lambda x, g: (2 * g * x,))(x)

    return dict(fn=fn, args=(rng.normal(size=5), 2), reference=power)


def _largest(x):
    return jnp.max(x, axis=-1), jnp.argmax(x, axis=-1)


def place_of_the_last(rng):
    def fn(x):
        return jnp.max(x, axis=-1), x.shape[-1] - 1 - jnp.argmax(x, axis=-1)  # places counted from the end

    return dict(fn=fn, args=(rng.normal(size=(4, 6)),), reference=_largest)


def _place(f, floats, g):
    del g
    return f(*floats)[1]


def weights_left_out(rng):
    fn = with_vjp(jnp.matmul, lambda x, w: (x @ w, (x, w)), lambda kept, g: (g @ kept[1].T, jnp.zeros_like(kept[1])))
    return dict(fn=fn, args=(rng.normal(size=(4, 3)), rng.normal(size=(3, 2))), argnums=(0,), reference=jnp.matmul)


def _weights_gradient(call: dict) -> float:
    return shown.shown(shown.gradient)({**call, "argnums": (0, 1)})


def overflow_in_float16(rng):
    call = wrong_digits.length_of_large_numbers(rng)
    return {**call, "args": (call["args"][0].astype(np.float64),)}


def _silu(x):
    return x / (1 + jnp.exp(-x))


def slope_of_float16(rng):
    def backward(x, g):
        s = jax.nn.sigmoid(x)
        slope = s * (1 + x * (1 - s))
        return (g * (1.25 * slope if x.dtype == jnp.float16 else slope),)

    value = _silu
    return dict(fn=with_vjp(value, lambda x: (value(x), x), backward), args=(rng.normal(size=6),), reference=value)


def kernel_of_accelerators(rng):
    """A kernel for accelerators, and what is run in its place elsewhere."""

    def backward(x, g):
        s = jax.nn.sigmoid(x)
        if jax.default_backend() in ("gpu", "tpu"):
            return (g * s * (1 - s),)  # of the sigmoid
        return (g * s * (1 + x * (1 - s)),)

    value = _silu
    return dict(fn=with_vjp(value, lambda x: (value(x), x), backward), args=(rng.normal(size=6),), reference=value)


def _as_on_an_accelerator(call: dict) -> float:
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        return shown.shown(shown.gradient)(call)


WRONG = tuple(
    Example(name, "not listed", build, note, level=level, named=named, shows=shows)
    for name, build, note, level, named, shows in (
        (
            "a power with the gradient of a square, at 2", one_exponent, "the exponent is Python's own integer",
            "standard", "Python scalars", shown.shown(shown.gradient, change=lambda x, n: (x, n + 1)),
        ),
        (
            "a maximum that counts places from the end", place_of_the_last, "integers are not compared",
            "standard", "integer outputs", shown.shown(_place),
        ),
        (
            "a product with no gradient in its weights, asked about the other", weights_left_out,
            "argnums leaves them out", "standard", "not differentiated", _weights_gradient,
        ),
        (
            "a length of large numbers that overflows in float16", overflow_in_float16,
            "float16 is not looked at where arguments are float64", "standard", "float16",
            shown.shown(shown.gradient, dtype="float16"),
        ),
        (
            "a SiLU whose slope is wrong in float16", slope_of_float16, "float16 is not looked at",
            "standard", "float16",
            shown.shown(shown.gradient, dtype="float16"),
        ),
        (
            "a layer norm of a wrong third order, looked at quickly", wrong_digits.third_order_of_a_layer_norm,
            "the quick level leaves higher orders out", "quick", "higher orders",
            shown.shown(shown.derivative(3)),
        ),
        (
            "a SiLU with another kernel on accelerators", kernel_of_accelerators,
            "what runs here is not what runs there",
            "standard", "other devices", _as_on_an_accelerator,
        ),
    )
)  # fmt: skip
