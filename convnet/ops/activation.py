"""Elementwise activations of any shape, each with its slope derived by hand.

Every rule is written in forward mode, dy = f′(x) · dx, which JAX transposes to dL/dx = f′(x) · g. The slope is itself
made of these ops, so all of them support every transform, to any order.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.checks import check_array, real
from convnet.ops.precision import in_float32


def relu_forward(x: Array) -> Array:
    """`relu` without our gradient; autodiff gives it slope 0 at 0 as well, and NaN stays NaN."""
    x = check_array("x", x)
    return jnp.where(x <= 0, jnp.zeros_like(x), x)


@jax.custom_jvp
def relu(x: Array) -> Array:
    """y = max(x, 0) (Nair & Hinton, ICML 2010).

    Gradient: dL/dx = g where x > 0, else 0. Convention: slope 0 at x = 0.
    """
    x = check_array("x", x)
    return jnp.maximum(x, jnp.zeros_like(x))


@relu.defjvp
def _relu_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return relu(x), jnp.where(x > 0, dx, jnp.zeros_like(dx))


relu.forward = relu_forward


def leaky_relu_forward(x: Array, *, negative_slope: float = 0.01) -> Array:
    """`leaky_relu` without our gradient."""
    x = check_array("x", x)
    return jnp.where(x > 0, x, float(negative_slope) * x)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _leaky_relu(x, negative_slope):
    return leaky_relu_forward(x, negative_slope=negative_slope)


@_leaky_relu.defjvp
def _leaky_relu_jvp(negative_slope, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _leaky_relu(x, negative_slope), jnp.where(x > 0, dx, negative_slope * dx)


def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """y = x where x > 0, else a·x with a = negative_slope (Maas et al., ICML 2013).

    Gradient: dL/dx = g where x > 0, else a·g. Convention: slope a at x = 0, so that a = 0 is relu.
    """
    return _leaky_relu(x, float(negative_slope))


leaky_relu.forward = leaky_relu_forward


def sigmoid_forward(x: Array) -> Array:
    """`sigmoid` without our gradient."""
    x = check_array("x", x)
    return lax.logistic(x)


@jax.custom_jvp
def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e^−x), without overflow for any finite x.

    Gradient: y′ = e^−x / (1 + e^−x)² = y (1 − y), so dL/dx = y (1 − y) g. Written as σ(x)·σ(−x), which keeps its
    relative accuracy where y is close to 1 and 1 − y would cancel.
    """
    return sigmoid_forward(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = sigmoid(x)
    return y, y * sigmoid(-x) * dx


sigmoid.forward = sigmoid_forward


def tanh_forward(x: Array) -> Array:
    """`tanh` without our gradient."""
    x = check_array("x", x)
    return lax.tanh(x)


@jax.custom_jvp
def tanh(x: Array) -> Array:
    """y = tanh x.

    Gradient: y′ = 1 − y², so dL/dx = (1 − y²) g. As tanh x = 2σ(2x) − 1, it is written 4σ(2x)σ(−2x), which keeps its
    relative accuracy where |y| is close to 1 and 1 − y² would cancel.
    """
    return tanh_forward(x)


@tanh.defjvp
def _tanh_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return tanh(x), 4 * sigmoid(2 * x) * sigmoid(-2 * x) * dx


tanh.forward = tanh_forward


_SATURATED = 30.0
"""There 2u of `gelu` is about 1970 and σ(±2u) is exactly 1 or 0 in every dtype; x³ is far from overflow."""

_FAR = 40.0
"""There φ of `gelu` is e^−800/√2π, which is 0 in every dtype, and so is Φ(−40)."""


def _twice_u(x):
    """2u = 2√(2/π) (x + 0.044715 x³)."""
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def _gelu_tanh_forward(x):
    return x * lax.logistic(_twice_u(jnp.clip(x, -_SATURATED, _SATURATED)))


@jax.custom_jvp
def _gelu_tanh(x):
    return _gelu_tanh_forward(x)


@_gelu_tanh.defjvp
def _gelu_tanh_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    c = jnp.clip(x, -_SATURATED, _SATURATED)
    t, rise = _twice_u(c), 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * c * c)
    return _gelu_tanh(x), (sigmoid(t) + c * sigmoid(t) * sigmoid(-t) * rise) * dx


def _normal_cdf_forward(x):
    return 0.5 * lax.erfc(-math.sqrt(0.5) * jnp.clip(x, -_FAR, _FAR))


def _normal_density(x):
    c = jnp.clip(x, -_FAR, _FAR)
    return jnp.exp(-0.5 * c * c) / math.sqrt(2 * math.pi)


@jax.custom_jvp
def _normal_cdf(x):
    """Φ(x) = ½ erfc(−x/√2), which keeps its relative accuracy for x < 0. Φ′ = φ, φ(x) = e^(−x²/2) / √(2π)."""
    return _normal_cdf_forward(x)


@_normal_cdf.defjvp
def _normal_cdf_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _normal_cdf(x), _normal_density(x) * dx


@jax.custom_jvp
def _gelu_erf(x):
    return x * _normal_cdf(x)


@_gelu_erf.defjvp
def _gelu_erf_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    c = jnp.clip(x, -_FAR, _FAR)
    return _gelu_erf(x), (_normal_cdf(x) + c * _normal_density(x)) * dx


def gelu_forward(x: Array, *, approximate: bool = True) -> Array:
    """`gelu` without our gradient."""
    x = check_array("x", x)
    return in_float32(_gelu_tanh_forward if approximate else lambda x: x * _normal_cdf_forward(x), x)


def gelu(x: Array, *, approximate: bool = True) -> Array:
    """y = x Φ(x), Φ the normal distribution function (Hendrycks & Gimpel, arXiv:1606.08415), or its tanh approximation.

    approximate: Φ(x) ≈ ½ (1 + tanh u) with u = √(2/π) (x + 0.044715 x³). As ½ (1 + tanh u) = σ(2u), that is
    y = x σ(2u), which keeps its relative accuracy for x < 0, where 1 + tanh u would cancel.

    Gradient: approximate, dL/dx = (σ(2u) + x σ(2u) σ(−2u) 2u′) g with 2u′ = 2√(2/π) (1 + 3·0.044715 x²);
    exact, dL/dx = (Φ(x) + x φ(x)) g with φ = Φ′ the normal density. Where Φ has saturated to 0 or 1, x is held in the
    powers, so that value, slope and higher derivatives are finite for any finite x. Every transform, any order.
    """
    x = check_array("x", x)
    return in_float32(_gelu_tanh if approximate else _gelu_erf, x)


gelu.forward = gelu_forward


def softplus_forward(x: Array, *, beta: float = 1.0) -> Array:
    """`softplus` without our gradient; autodiff of these choices gives the slope ½ at 0 as well."""
    x = check_array("x", x)
    beta = real("beta", beta, above=0)
    positive = x > 0
    minus_abs = jnp.where(positive, -x, x)
    return jnp.where(positive, x, jnp.zeros_like(x)) + jnp.log1p(jnp.exp(beta * minus_abs)) / beta


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softplus(x, beta):
    return softplus_forward(x, beta=beta)


@_softplus.defjvp
def _softplus_jvp(beta, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _softplus(x, beta), sigmoid(beta * x) * dx


def softplus(x: Array, *, beta: float = 1.0) -> Array:
    """y = log(1 + e^βx) / β (Dugas et al., NIPS 2000), computed as max(x, 0) + log(1 + e^−β|x|) / β: no overflow.

    Gradient: y′ = e^βx / (1 + e^βx) = σ(βx), so dL/dx = σ(βx) g; smooth, ½ at 0.

    Raises ValueError for a beta that is not positive and finite.
    """
    return _softplus(x, real("beta", beta, above=0))


softplus.forward = softplus_forward


def silu_forward(x: Array) -> Array:
    """`silu` without our gradient."""
    x = check_array("x", x)
    return x * lax.logistic(x)


@jax.custom_jvp
def silu(x: Array) -> Array:
    """y = x σ(x) (Elfwing et al., arXiv:1702.03118; "swish").

    Gradient: y′ = σ(x) + x σ(x) σ(−x), so dL/dx = σ(x) (1 + x σ(−x)) g.
    """
    return silu_forward(x)


@silu.defjvp
def _silu_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return silu(x), sigmoid(x) * (1 + x * sigmoid(-x)) * dx


silu.forward = silu_forward


def hard_swish_forward(x: Array) -> Array:
    """`hard_swish` without our gradient; at ±3 autodiff takes the slope of the parabola as well."""
    x = check_array("x", x)
    inside = jnp.abs(x) <= 3
    near = jnp.where(inside, x, jnp.zeros_like(x))  # a square of what is far out would overflow
    return jnp.where(inside, near * ((near + 3) / 6), relu_forward(x))


@jax.custom_jvp
def hard_swish(x: Array) -> Array:
    """y = x · min(max(x + 3, 0), 6) / 6: silu made of straight lines and a parabola (Howard et al., ICCV 2019).

    Gradient: y = x (x + 3) / 6 where |x| ≤ 3, so dL/dx = (x/3 + ½) g there; 0 below and g above. Convention: at ±3 the
    slope of the parabola, −½ and 1½.
    """
    return hard_swish_forward(x)


@hard_swish.defjvp
def _hard_swish_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y, outside = hard_swish(x), jnp.where(x > 3, jnp.ones_like(x), jnp.zeros_like(x))
    return y, jnp.where(jnp.abs(x) <= 3, x / 3 + 0.5, outside) * dx


hard_swish.forward = hard_swish_forward
