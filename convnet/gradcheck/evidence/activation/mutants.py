"""Wrong slopes of activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.case import Case
from convnet.gradcheck.evidence.planting import (
    Control,
    Mutant,
    corrupted_in,
    corrupted_second_order,
    corrupted_when_compiled,
    corrupted_when_eager,
    ruled,
    scaled,
    with_rule,
    with_slope,
    without,
)
from convnet.ops import AUTO, HAND


def at(op: str, name: str, values, *, spread: float = 0.0, **settings) -> Case:
    """At these values, give or take `spread`."""
    values = np.array(values, np.float64)
    return Case(op, name, lambda rng: (values + spread * rng.standard_normal(values.shape),), settings, terms=1)


def both_signs(op: str, **settings) -> Case:
    return at(op, "of both signs", [-2.5, -1.4, -0.6, 0.7, 1.3, 2.6], spread=0.1, **settings)


ZERO = [-1.5, -0.4, 0.0, 0.8, 2.0]


def _slope(op: str, name: str, defect: str, slope: Callable, *cases, source="invented", **fields) -> Mutant:
    def build():
        return with_slope(getattr(HAND, op), slope)

    return Mutant(f"{op}: {name}", op, build, defect, source, cases or (both_signs(op),), **fields)


def logistic(x):
    return jax.nn.sigmoid(x)


def gelu_slope(x, *, cubic: float = 0.044715, power: float = 3.0):
    """½ (1 + t) + ½ x (1 − t²) u′ with u = √(2/π) (x + 0.044715 x³): right."""
    t = jnp.tanh(math.sqrt(2 / math.pi) * (x + cubic * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + power * cubic * x * x)


def exact_gelu_slope(x, *, linear: float = 1.0):
    """Φ + x φ: right."""
    density = jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 0.5 * jax.scipy.special.erfc(-x / math.sqrt(2)) + linear * x * density


def naive_sigmoid_slope(x):
    return jnp.exp(-x) / (1 + jnp.exp(-x)) ** 2


def halves(x, *, beta: float = 1.0):
    """The slopes of both branches of a softplus, neither of which has 0."""
    zero = jnp.zeros_like(x)
    return jnp.where(x > 0, logistic(beta * x), zero) + jnp.where(x < 0, logistic(beta * x), zero)


def saturated(x, *, beta: float = 1.0):
    """1 beyond a threshold of 20, as the value is x to float32."""
    return jnp.where(beta * x > 20, jnp.ones_like(x), logistic(beta * x))


def _deconv_rule(g, x):
    """g where g is positive, whatever x is: the rule of a deconvnet, not of relu."""
    return (jnp.maximum(g, 0),)


MUTANTS = (
    _slope("relu", "leaks", "a slope of 0.01 for negatives", lambda x: jnp.where(x > 0, 1.0, 0.01)),
    _slope("relu", "1 at 0", "slope 1 at 0, where 0 was declared", lambda x: (x >= 0) * 1.0, at("relu", "0", ZERO)),
    _slope("relu", "½ at 0", "that of maximum(x, 0), where 0 was declared",
           lambda x: (x > 0) * 0.5 + (x >= 0) * 0.5, at("relu", "0", ZERO)),
    Mutant("relu: deconvnet", "relu", lambda: with_rule(HAND.relu, _deconv_rule), "the mask is that of g",
           cases=(both_signs("relu"),)),
    Mutant("relu: compiled", "relu", lambda: corrupted_when_compiled("relu", without(-1)),
           "the compiled rule lacks the last entry", cases=(both_signs("relu"),), shows="scan"),
    _slope("leaky_relu", "inverted", "1/a for a", lambda x, negative_slope=0.01: jnp.where(
        x > 0, 1.0, 1 / negative_slope)),
    _slope("leaky_relu", "slope ignored", "0.01 whatever was set", lambda x, negative_slope=0.01: jnp.where(
        x > 0, 1.0, 0.01), both_signs("leaky_relu", negative_slope=0.3)),
    _slope("leaky_relu", "1 at 0", "slope 1 at 0, where a was declared", lambda x, negative_slope=0.01: jnp.where(
        x >= 0, 1.0, negative_slope), at("leaky_relu", "0", ZERO)),
    _slope("sigmoid", "twice", "y (1 − y) with y = σ(σ(x))", lambda x: logistic(logistic(x)) * logistic(
        -logistic(x))),
    _slope("sigmoid", "x for y", "x (1 − x)", lambda x: x * (1 - x)),
    _slope("sigmoid", "NaN far out", "e^−x / (1 + e^−x)² overflows", naive_sigmoid_slope,
           at("sigmoid", "far out", [-800.0, -90.0, 0.3, 800.0])),
    Mutant("sigmoid: second order", "sigmoid", lambda: corrupted_second_order("sigmoid", -1.0),
           "the second derivative has the wrong sign", cases=(both_signs("sigmoid"),), shows="second order"),
    Mutant("sigmoid: eager", "sigmoid", lambda: corrupted_when_eager("sigmoid", scaled(1.001)),
           "the short cut for known values is off by 1e-3", cases=(both_signs("sigmoid"),), shows="eager", size=9e-4),
    _slope("tanh", "no square", "1 − y", lambda x: 1 - jnp.tanh(x)),
    _slope("tanh", "x for y", "1 − x²", lambda x: 1 - x * x),
    Mutant("tanh: bfloat16 only", "tanh", lambda: corrupted_in("bfloat16", "tanh", scaled(1.25)),
           "bfloat16 is off by a quarter", cases=(both_signs("tanh"),), shows="bfloat16", size=0.1),
    _slope("gelu", "exact for tanh", "the slope of x Φ(x) for that of its approximation",
           lambda x, approximate=True: exact_gelu_slope(x), size=1e-4),
    _slope("gelu", "tanh for exact", "the slope of the approximation for that of x Φ(x)",
           lambda x, approximate=True: gelu_slope(x), both_signs("gelu", approximate=False), size=1e-4),
    _slope("gelu", "no density", "Φ without x φ", lambda x, approximate=True: exact_gelu_slope(x, linear=0.0),
           both_signs("gelu", approximate=False)),
    _slope("gelu", "no factor 3", "u′ without the exponent of its cubic term", lambda x, approximate=True: gelu_slope(
        x, power=1.0)),
    _slope("gelu", "digits exchanged", "0.047415 for 0.044715", lambda x, approximate=True: gelu_slope(
        x, cubic=0.047415), size=1e-4),
    _slope("softplus", "0 at 0", "neither branch has 0", halves, at("softplus", "0", ZERO), source="jax-ml/jax 2107"),
    _slope("softplus", "0 at 0, β = 2", "neither branch has 0", halves, at("softplus", "0, β = 2", ZERO, beta=2.0),
           source="jax-ml/jax 2140"),
    _slope("softplus", "β forgotten", "σ(x) for σ(βx)", lambda x, beta=1.0: logistic(x), both_signs(
        "softplus", beta=2.0)),
    _slope("softplus", "β twice", "β σ(βx)", lambda x, beta=1.0: beta * logistic(beta * x), both_signs(
        "softplus", beta=2.0)),
    _slope("softplus", "saturated", "slope 1 beyond 20", saturated, at(
        "softplus", "beyond 20", [20.2, 20.5, -1.0, 0.3]), size=1e-10),
    _slope("silu", "no second term", "σ(x) alone", lambda x: logistic(x)),
    _slope("silu", "σ² for σ", "σ + x σ² (1 − σ)", lambda x: logistic(x) + x * logistic(x) ** 2 * logistic(-x)),
    _slope("hard_swish", "gate alone", "min(max(x + 3, 0), 6) / 6, as if the gate were a constant",
           lambda x: jnp.clip(x + 3, 0, 6) / 6),
    _slope("hard_swish", "kinks at ±6", "the parabola goes on to ±6", lambda x: jnp.where(
        jnp.abs(x) <= 6, x / 3 + 0.5, (x > 0) * 1.0), at("hard_swish", "beyond 3", [-4.0, 0.5, 4.0], spread=0.1)),
    _slope("hard_swish", "straight at ±3", "0 and 1 where the parabola's slope was declared", lambda x: jnp.where(
        jnp.abs(x) < 3, x / 3 + 0.5, (x > 0) * 1.0), at("hard_swish", "±3", [-3.0, 0.4, 3.0])),
)  # fmt: skip


# --- right after all --------------------------------------------------------------------------------------------------


def gelu_by_erf(x, *, approximate=True):
    return 0.5 * x * (1 + lax.erf(x / math.sqrt(2)))


CONTROLS = (
    Control("sigmoid by tanh", "sigmoid", lambda: with_slope(HAND.sigmoid, lambda x: 0.25 * (
        1 - jnp.tanh(0.5 * x)) * (1 + jnp.tanh(0.5 * x))), "σ = ½ (1 + tanh ½x)"),
    Control("tanh by its square", "tanh", lambda: with_slope(HAND.tanh, lambda x: 1 - jnp.tanh(x) ** 2), "1 − t²"),
    Control("gelu by erf", "gelu", lambda: gelu_by_erf, "autodiff of erf", (both_signs(
        "gelu", approximate=False),)),
    Control("gelu by its formula", "gelu", lambda: with_slope(HAND.gelu, lambda x, approximate=True: (
        gelu_slope(x) if approximate else exact_gelu_slope(x))), "as in the textbook",
            (at("gelu", "near 0", [-1.4, -0.6, 0.3, 1.1, 1.6], spread=0.05),)),  # farther out it cancels
    Control("silu by autodiff", "silu", lambda: AUTO.silu, "x σ(x)"),
    Control("relu without forward mode", "relu", ruled("relu", lambda g, x: (jnp.where(x > 0, g, jnp.zeros_like(g)),)),
            "a custom_vjp"),
    Control("relu of negatives", "relu", lambda: HAND.relu, "constant: a gradient of zero is right",
            (at("relu", "negative", [-3.0, -1.0, -0.2], spread=0.01),)),
)  # fmt: skip
