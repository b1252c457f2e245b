"""Activations and dropout: values and slopes against Python's math, tails, kinks, extremes, refusals."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.ops import dropout, gelu, hard_swish, leaky_relu, relu, sigmoid, silu, softplus, tanh
from tests.ops.references import UNIT


def logistic(x):
    """σ(x), with its relative accuracy for negative x, and without overflow."""
    return 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x)


def bell(x):
    """σ(x)(1 − σ(x)) without cancellation."""
    return math.exp(-abs(x)) / (1 + math.exp(-abs(x))) ** 2


def cubic(x):
    """2u, where ½(1 + tanh u) = σ(2u) approximates the normal distribution."""
    return math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)


def normal(x):
    return math.erfc(-x / math.sqrt(2)) / 2


def density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def plain(op):
    """The forward pass without our gradient, with the same settings."""
    return partial(op.func.forward, **op.keywords) if isinstance(op, partial) else op.forward


TABLE = {  # name: (op, value, slope), the latter two from the definitions
    "relu": (relu, lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "leaky_relu": (leaky_relu, lambda x: x if x > 0 else 0.01 * x, lambda x: 1.0 if x > 0 else 0.01),
    "sigmoid": (sigmoid, logistic, bell),
    "tanh": (tanh, math.tanh, lambda x: 4 * bell(2 * x)),
    "gelu": (
        gelu,
        lambda x: x * logistic(cubic(x)),
        lambda x: logistic(cubic(x)) + x * bell(cubic(x)) * math.sqrt(8 / math.pi) * (1 + 0.134145 * x * x),
    ),
    "exact gelu": (partial(gelu, approximate=False), lambda x: x * normal(x), lambda x: normal(x) + x * density(x)),
    "softplus": (softplus, lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))), logistic),
    "silu": (silu, lambda x: x * logistic(x), lambda x: logistic(x) + x * bell(x)),
    "hard_swish": (
        hard_swish,
        lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
        lambda x: x / 3 + 0.5 if abs(x) <= 3 else float(x > 0),
    ),
}
EXACT = {name: definition for name, (_, *definition) in TABLE.items()}
ALL = {name: op for name, (op, *_) in TABLE.items()}
FORWARD = {name: plain(op) for name, op in ALL.items()}


def slopes(f, x):
    """f′ at every element: an elementwise op maps a tangent of ones to its slopes."""
    return _slopes(f)(jnp.asarray(x))


@cache
def _slopes(f):
    return jax.jit(lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1])


LENGTH = 60


def measured(name, x):
    """(value, value without our gradient, slope) at up to LENGTH numbers: one program for each dtype."""
    full = jnp.asarray(np.resize(np.asarray(x), LENGTH))
    return [np.asarray(result)[: len(x)] for result in _measured(name)(full)]


@cache
def _measured(name):
    return jax.jit(lambda x: (ALL[name](x), FORWARD[name](x), slopes(ALL[name], x)))


@cache
def second_slopes(f):
    """f″ by forward over forward, and by reverse over reverse."""
    return jax.jit(lambda x: (slopes(partial(slopes, f), x), jax.vmap(jax.grad(jax.grad(f)))(x)))


def relative_error(actual, function, x, floor=0.0):
    """|actual − function(x)| / max(|function(x)|, floor) in units of round-off; 0/0 is no error."""
    expected = np.array([function(v) for v in np.asarray(x, np.float64).tolist()])
    error = np.abs(np.asarray(actual, np.float64) - expected)
    error[error > 0] /= np.maximum(np.abs(expected), floor)[error > 0]
    return error / UNIT[actual.dtype.name]


def condition(x, value, slope):
    """max(1, |x·f′(x) / f(x)|): how many units a rounding of x by one unit makes of the value."""
    x = np.asarray(x, np.float64).tolist()
    return np.array([max(1.0, abs(v * slope(v) / value(v))) if value(v) else 1.0 for v in x])


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", ALL)
def test_values_and_slopes(name, dtype, rng, x64):
    """XLA's exp and tanh are good to a few units, and each rule may add one per factor. The tails have a test below."""
    x = jnp.asarray(rng.normal(size=(40,)) * 2, dtype)
    value, slope = EXACT[name]
    values, _, found = measured(name, x)
    assert (relative_error(values, value, x) <= 8 * condition(x, value, slope)).all()
    assert (relative_error(found, slope, x, floor=1.0) <= 8).all()


TAILS = {  # name: (how far out a slope is not 0 yet in float64, in float32, how much it amplifies a rounding of x)
    "sigmoid": (700, 80, lambda x: 1),
    "tanh": (350, 40, lambda x: 1),
    "gelu": (20, 9, lambda x: 1 + 3 * abs(cubic(x))),
    "exact gelu": (36, 12, lambda x: 1 + x * x),
    "softplus": (700, 80, lambda x: 1),
    "silu": (700, 80, lambda x: 1),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TAILS)
def test_slopes_keep_their_relative_accuracy_in_the_tails(name, dtype, x64):
    """Slopes fall like e^−|x| or faster: far out they are tiny, but not 0, and cancellation would eat them."""
    *reach, amplification = TAILS[name]
    x = np.geomspace(2, reach[dtype == "float32"], 30)
    x = jnp.asarray(np.concatenate([x, -x]), dtype)
    bound = 64 * np.array([amplification(v) for v in x.tolist()])
    assert (relative_error(measured(name, x)[-1], EXACT[name][1], x) <= bound).all()


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_slope_times_g(name, rng, x64):
    x, g = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(2, 3, 4, 2))
    dx, slope = jax.jit(lambda x, g: (jax.vjp(ALL[name], x)[1](g)[0], slopes(ALL[name], x)))(x, g)
    np.testing.assert_array_max_ulp(np.asarray(dx), np.asarray(slope) * g, 4)


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 1, 3), (2, 3, 1, 2, 2)])
@pytest.mark.parametrize("name", ALL)
def test_any_shape(name, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    assert jax.eval_shape(ALL[name], x) == jax.eval_shape(partial(slopes, ALL[name]), x) == x


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", ALL)
def test_extreme_inputs_give_finite_values_and_slopes(name, dtype, x64):
    largest, smallest = float(jnp.finfo(dtype).max), float(jnp.finfo(dtype).tiny)
    x = jnp.asarray([1e4, -1e4, 100.0, -100.0, largest, -largest, smallest, -smallest, 0.0, -0.0], dtype)
    value, of_forward, slope = (result.astype(np.float64) for result in measured(name, x))
    assert np.isfinite(value).all()
    assert np.isfinite(of_forward).all()
    assert np.isfinite(slope).all()
    overshoot = {"gelu": 0.13, "exact gelu": 0.13, "silu": 0.13, "hard_swish": 0.5}.get(name, 0)  # they dip below 0
    assert ((slope >= -overshoot) & (slope <= 1 + overshoot)).all()
    if dtype == "float32":
        assert np.isfinite(second_slopes(ALL[name])(x)).all()


@pytest.mark.parametrize("name", ALL)
def test_nan_stays_nan(name):
    *both, _ = measured(name, np.float32([1.0, np.nan, -1.0]))
    for values in both:
        np.testing.assert_array_equal(np.isnan(values), [False, True, False])


def test_second_derivatives(rng, x64):
    x = rng.normal(size=10)
    s, t = 1 / (1 + np.exp(-x)), np.tanh(x)
    phi = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    root = np.sqrt(8 / np.pi)  # 2u = root·(x + 0.044715 x³), first and second derivative:
    rise, bend = root * (1 + 0.134145 * x * x), root * 0.26829 * x
    c = 1 / (1 + np.exp(-root * (x + 0.044715 * x**3)))
    expected = {
        "relu": 0 * x,
        "leaky_relu": 0 * x,
        "sigmoid": s * (1 - s) * (1 - 2 * s),
        "tanh": -2 * t * (1 - t * t),
        "gelu": c * (1 - c) * (2 * rise + x * (1 - 2 * c) * rise**2 + x * bend),
        "exact gelu": phi * (2 - x * x),
        "softplus": s * (1 - s),
        "silu": s * (1 - s) * (2 + x * (1 - 2 * s)),
        "hard_swish": (np.abs(x) <= 3) / 3,
    }
    for name, op in ALL.items():
        for second in second_slopes(op)(x):
            np.testing.assert_allclose(second, expected[name], rtol=1e-12, atol=1e-15)


# --- kinks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_slopes_at_zero(zero):
    x = np.full(1, zero, np.float32)
    assert slopes(relu, x) == 0
    assert slopes(relu.forward, x) == 0
    assert slopes(leaky_relu, x) == np.float32(0.01)
    assert slopes(partial(leaky_relu, negative_slope=3.0), x) == 3
    for name in ("gelu", "exact gelu", "softplus", "silu"):  # smooth, but some ways of writing them are not
        assert slopes(ALL[name], x) == 0.5
        assert slopes(FORWARD[name], x) == 0.5


def test_slopes_of_hard_swish_at_its_kinks():
    for op in (hard_swish, hard_swish.forward):
        np.testing.assert_array_equal(slopes(op, jnp.asarray([-3.0, 3.0])), [-0.5, 1.5])


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, -0.5, 2.0])
def test_leaky_relu_with_other_slopes(slope, rng, x64):
    x = rng.normal(size=20)
    f = partial(leaky_relu, negative_slope=slope)
    np.testing.assert_array_equal(f(x), np.where(x > 0, x, slope * x))
    np.testing.assert_array_equal(slopes(f, x), np.where(x > 0, 1, slope))


def test_leaky_relu_with_slope_zero_is_relu(rng):
    x = jnp.asarray([*rng.normal(size=10), 0.0, -0.0], jnp.float32)
    f = partial(leaky_relu, negative_slope=0.0)
    np.testing.assert_array_equal(f(x), relu(x))
    np.testing.assert_array_equal(slopes(f, x), slopes(relu, x))


def test_symmetries(rng, x64):
    x = rng.normal(size=20) * 5
    np.testing.assert_array_equal(slopes(sigmoid, x), slopes(sigmoid, -x))
    np.testing.assert_array_equal(slopes(tanh, x), slopes(tanh, -x))
    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), 1, rtol=1e-15)
    np.testing.assert_allclose(tanh(x), 2 * sigmoid(2 * x) - 1, rtol=1e-13, atol=1e-15)
    for name in ("gelu", "exact gelu", "softplus", "silu"):
        np.testing.assert_allclose(ALL[name](x) - ALL[name](-x), x, rtol=1e-14)
        np.testing.assert_allclose(slopes(ALL[name], x) + slopes(ALL[name], -x), 1, rtol=1e-14)


def test_the_two_gelus_are_close(x64):
    """The approximation is good to 0.0005, and best where it matters, at 0 and far out."""
    x = np.linspace(-8, 8, 1001)
    error = np.abs(np.asarray(gelu(x) - gelu(x, approximate=False)))
    assert 0.0004 < error.max() < 0.0005
    assert error[[0, 500, -1]].max() < 1e-13


@pytest.mark.parametrize("op", [softplus, softplus.forward])
@pytest.mark.parametrize("beta", [0.5, 3, 100.0])
def test_softplus_of_other_sharpness(op, beta, rng, x64):
    x = rng.normal(size=20)
    np.testing.assert_allclose(op(x, beta=beta), np.log1p(np.exp(beta * x)) / beta, rtol=1e-13)
    np.testing.assert_allclose(slopes(partial(op, beta=beta), x), 1 / (1 + np.exp(-beta * x)), rtol=1e-13)
    assert op(jnp.full((), 1e308), beta=beta) == 1e308  # though βx overflows


@pytest.mark.parametrize("op", [softplus, softplus.forward])
@pytest.mark.parametrize("beta", [0, -1.0, math.nan, math.inf, None, "1"])
def test_softplus_refuses(op, beta):
    with pytest.raises(ValueError, match=rf"^beta is {beta!r}: expected a finite number above 0$"):
        op(jnp.ones(3), beta=beta)


# --- dropout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [dropout, dropout.forward])
@pytest.mark.parametrize("rate", [0, 0.0, 0.25, 0.5, 0.9, 1, 1.0])
def test_dropout(op, rate, rng, x64):
    x, g, mask = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.random((3, 5)) < 0.5
    x[0] = 0.0  # a dropped place is known by the mask, not by its value
    scale = np.where(mask, 0.0 if rate == 1 else 1 / (1 - rate), 0.0)
    f = partial(op, mask=mask, rate=rate)
    np.testing.assert_array_equal(f(x), x * scale)
    np.testing.assert_array_equal(jax.vjp(f, x)[1](g)[0], g * scale)
    np.testing.assert_array_equal(jax.jvp(f, (x,), (g,))[1], g * scale)


def test_dropout_keeps_the_mean_over_all_masks(x64):
    """E[y] = x when each element is kept with probability 1 − rate, whatever the rate."""
    x, rate, expected = np.array([1.5, -2.0, 0.25]), 0.3, np.zeros(3)
    for mask in np.ndindex(2, 2, 2):
        mask = np.array(mask, bool)
        expected += np.prod(np.where(mask, 1 - rate, rate)) * np.asarray(dropout(x, mask, rate=rate))
    np.testing.assert_allclose(expected, x, rtol=1e-15)


def test_what_is_dropped_cannot_poison():
    x, mask = jnp.array([np.nan, np.inf, 1.0]), jnp.array([False, False, True])
    np.testing.assert_array_equal(dropout(x, mask, rate=0.5), [0, 0, 2])
    np.testing.assert_array_equal(jax.grad(lambda x: dropout(x, mask, rate=0.5).sum())(x), [0, 0, 2])


# --- Python's numbers -------------------------------------------------------------------------------------------------


@cache
def compiled_slopes(op):
    """(values and slopes of an array and of Python's number), in one program."""
    return jax.jit(lambda *numbers: [jax.value_and_grad(op)(number) for number in numbers])


NUMBERS = (0.0, 0.5, -1.25, np.float32(0.5), np.array(0.5, np.float32))


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
def test_single_numbers(op, number):
    """Value and slope of an array; Python's are weakly typed, and take on the dtype of what they meet."""
    expected, compiled = compiled_slopes(op)(np.float32(number), number)
    for actual in (jax.value_and_grad(op)(number), compiled):
        assert [part.dtype for part in actual] == [np.float32, np.float32]
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-7)  # the slope of silu cancels
    assert op(number).weak_type == (type(number) is float)
    assert (op(number) * jnp.ones(2, jnp.bfloat16)).dtype == (jnp.bfloat16 if type(number) is float else jnp.float32)
    assert jax.jvp(op, (number,), (number,))[1].dtype == np.float32


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("op", FORWARD.values(), ids=FORWARD)
def test_single_numbers_without_our_gradient(op, number):
    expected, actual = compiled_slopes(op)(np.float32(number), number)
    assert [part.dtype for part in actual] == [np.float32, np.float32]
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-7)
    assert jax.eval_shape(op, number).weak_type == (type(number) is float)


@pytest.mark.parametrize("op", [dropout, dropout.forward])
def test_dropout_of_single_numbers(op):
    assert op(3.0, True, rate=0.25) == 4
    assert op(3.0, False, rate=0.25) == 0
    assert jax.grad(lambda x: op(x, True, rate=0.25))(3.0) == np.float32(4 / 3)


@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
def test_a_list_has_no_gradient_and_an_integer_neither(op):
    with pytest.raises(ValueError, match=r"^x is a list: expected an array"):
        jax.vjp(op, [0.5, 1.0])
    with pytest.raises(ValueError, match=r"^x has dtype int32: expected a floating-point dtype"):
        op(1)


# --- refusals ---------------------------------------------------------------------------------------------------------

X, MASK = np.ones((2, 3), np.float32), np.ones((2, 3), bool)


@pytest.mark.parametrize("op", [*ALL.values(), *FORWARD.values()])
@pytest.mark.parametrize(
    ("x", "match"),
    [
        (X.astype(np.int32), r"^x has dtype int32: expected a floating-point dtype"),
        (X > 0, r"^x has dtype bool: expected a floating-point dtype"),
        (X.astype(np.uint8), r"^x has dtype uint8: expected a floating-point dtype"),
        (X.astype(np.complex64), r"^x has dtype complex64: expected a floating-point dtype"),
        (X.tolist(), r"^x is a list: expected an array"),
    ],
)
def test_refused(op, x, match):
    with pytest.raises(ValueError, match=match):
        op(x)


@pytest.mark.parametrize("op", [dropout, dropout.forward])
@pytest.mark.parametrize(
    ("x", "mask", "rate", "match"),
    [
        (X.astype(np.int32), MASK, 0.5, r"^x has dtype int32: expected a floating-point dtype"),
        (X, MASK[0], 0.5, r"^mask is bool \(3,\): expected bool \(2, 3\)"),
        (X, MASK[:, :1], 0.5, r"^mask is bool \(2, 1\): expected bool \(2, 3\)"),
        (X, MASK.astype(np.float32), 0.5, r"^mask is float32 \(2, 3\): expected bool"),
        (X, MASK.astype(np.int32), 0.5, r"^mask is int32 \(2, 3\): expected bool"),
        (X, MASK.tolist(), 0.5, r"^mask is a list: expected"),
        (X, None, 0.5, r"^mask is a NoneType: expected"),
        (X, MASK, -0.1, r"^rate is -0.1: expected a probability in \[0, 1\]"),
        (X, MASK, 1.5, r"^rate is 1.5: expected a probability"),
        (X, MASK, math.nan, r"^rate is nan: expected a probability"),
    ],
)
def test_dropout_refuses(op, x, mask, rate, match):
    with pytest.raises(ValueError, match=match):
        op(x, mask, rate=rate)
