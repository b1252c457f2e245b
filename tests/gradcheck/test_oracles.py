"""The oracles: against the forward passes and their autodiff, against closed forms and values worked out by hand."""

import sys
from dataclasses import fields
from types import CodeType, FunctionType, ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from convnet.gradcheck.evidence import EVIDENCE, activation, image, loss, norm
from convnet.gradcheck.evidence.conv import oracle as convs
from convnet.gradcheck.evidence.pool import oracle as pools
from convnet.gradcheck.evidence.walk import with_bias
from convnet.gradcheck.oracle import Oracle, by_complex_step, by_walking
from convnet.ops import AUTO, OpSet

OPS = [field.name for field in fields(OpSet)]
EVERY = [(case.op, case) for op in OPS for case in EVIDENCE[op].cases]
QUICK = {"xla_backend_optimization_level": 0}  # each program runs once
NAMES = [f"{op}: {case.name}" for op, case in EVERY]


def point(case, seed=0):
    """(args, g): g has the structure of the value."""
    rng = np.random.default_rng(seed)
    args = case.draw(rng)
    value = EVIDENCE[case.op].oracle.value(*args, **case.settings)
    return args, jax.tree.map(lambda leaf: np.asarray(rng.normal(size=np.shape(leaf))), value)


def by_autodiff(op, args, g, settings):
    """(value, gradients) of the plain forward under JAX; None for arguments that are no floating-point arrays."""
    floats = [arg is not None and arg.dtype.kind == "f" for arg in args]

    def f(*moving):
        moving = iter(moving)
        full = [next(moving) if is_float else arg for is_float, arg in zip(floats, args, strict=True)]
        return getattr(AUTO, op)(*full, **settings)

    def run(moving, g):
        value, pullback = jax.vjp(f, *moving)
        return value, pullback(g)

    moving = [jnp.asarray(arg) for is_float, arg in zip(floats, args, strict=True) if is_float]
    value, gradients = jax.jit(run, compiler_options=QUICK)(moving, g)
    gradients = iter(gradients)
    return value, tuple(next(gradients) if is_float else None for is_float in floats)


def relative_error(actual, expected):
    """Largest error over all leaves, each relative to its own largest entry."""
    actual, expected = (jax.tree.leaves(tree, is_leaf=lambda leaf: leaf is None) for tree in (actual, expected))
    worst = 0.0
    for a, b in zip(actual, expected, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            assert np.shape(a) == np.shape(b)
            assert np.asarray(a).dtype == np.float64
            worst = max(worst, np.max(np.abs(a - b)) / (np.max(np.abs(b)) or 1.0))
    return worst


def disagreement(oracle, case, seed=0):
    """Errors of value and gradient against autodiff of the plain forward."""
    args, g = point(case, seed)
    value, gradients = by_autodiff(case.op, args, g, case.settings)
    return (
        relative_error(oracle.value(*args, **case.settings), value),
        relative_error(oracle.gradient(g, *args, **case.settings), gradients),
    )


# pytest writes the asserts of a distribution anew that brings a plugin.
ALLOWED = {"numpy", "scipy", "builtins", "_pytest"} | set(sys.stdlib_module_names)


def everything_reached(*functions):
    """The functions, and all that they use: globals named in their code, what they close over, inner functions."""
    found, waiting = {}, list(functions)
    while waiting:
        thing = waiting.pop()
        if id(thing) in found or thing is None:
            continue
        found[id(thing)] = thing
        if isinstance(thing, FunctionType):
            waiting += [cell.cell_contents for cell in thing.__closure__ or ()]
            waiting += [thing.__globals__[name] for name in names_in(thing.__code__) if name in thing.__globals__]
    return list(found.values())


def names_in(code):
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(names_in, inner))


def home_of(thing):
    """The module that a thing comes from."""
    return thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or "builtins"


def test_every_op_has_an_oracle():
    assert set(EVIDENCE) == set(OPS)
    assert all(isinstance(evidence.oracle, Oracle) for evidence in EVIDENCE.values())


REVEALING = {(op, EVIDENCE[op].cases[0].name) for op in OPS}
"""The most revealing case of every op; the others are for the sweep."""


@pytest.mark.parametrize(
    ("op", "case"),
    [
        pytest.param(op, case, id=name, marks=() if (op, case.name) in REVEALING else pytest.mark.sweep)
        for (op, case), name in zip(EVERY, NAMES, strict=True)
    ],
)
def test_agreement_with_autodiff(op, case, x64):
    assert max(disagreement(EVIDENCE[op].oracle, case)) <= 1e-12


def test_nothing_is_shared_with_jax_or_the_ops():
    """Whatever an oracle reaches, through globals, closures and inner functions, is NumPy's, SciPy's or Python's."""
    for evidence in EVIDENCE.values():
        reached = everything_reached(evidence.oracle.value, evidence.oracle.gradient)
        foreign = {home for home in map(home_of, reached) if home.split(".")[0] not in ALLOWED}
        assert {home for home in foreign if not home.startswith("convnet.gradcheck.")} == set()


def test_what_an_oracle_reaches_is_seen_through_closures_and_inner_functions():
    def outer():
        return lambda x: [jnp.sum(y) for y in x]

    def closing(f):
        return lambda x: f(x)

    for f in (outer, closing(jnp.exp), closing(AUTO.relu), lambda x: outer()):
        assert any(home_of(thing).startswith(("jax", "convnet.ops")) for thing in everything_reached(f)), f
    assert not any(home_of(thing).startswith("jax") for thing in everything_reached(activation.relu))


# --- planted faults ---------------------------------------------------------------------------------------------------


def _unbiased_batch_norm(x, scale, bias, *, eps=1e-5):
    _, mean, var = norm.batch_norm(x, scale, bias, eps=eps)
    m = x.size // x.shape[-1]
    return (x - mean) / np.sqrt(var * m / (m - 1) + eps) * scale + bias, mean, var


def _mirrored(x, **settings):
    return norm.local_response_norm(x[..., ::-1], **settings)[..., ::-1]


def _flipped(x, w, g, **settings):
    y, dx, dw = convs.conv2d(x, w, g, **settings)
    return y, dx, dw[::-1]


def _last_bias(x, w, b, g, **settings):
    y, dx, dw, db = with_bias(convs.conv2d)(x, w, b, g, **settings)
    return y, dx, dw, db - np.broadcast_to(g, y.shape)[:, :, -1].sum((0, 1))


def _overwritten(x, g, *, window, stride=None, padding="VALID"):
    """The last window that a winner wins, where all of them should add up."""
    y, dx = pools.max_pool(x, g, window, stride=stride, padding=padding)
    seen = pools.max_pool(x, 1.0, window, stride=stride, padding=padding)[1]
    return y, dx / np.maximum(seen, 1)


PLANTED = {  # name: (op, wrong oracle, is its value wrong, is its gradient wrong)
    "unbiased variance": ("batch_norm", by_complex_step(_unbiased_batch_norm), True, True),
    "mirrored even window": ("local_response_norm", by_complex_step(_mirrored), True, True),
    "kernel gradient flipped": ("conv2d", by_walking(with_bias(_flipped)), False, True),
    "bias without the last column": ("conv2d", by_walking(_last_bias), False, True),
    "shared winners do not add up": ("max_pool", by_walking(_overwritten), False, True),
    "padding counted": ("avg_pool", by_walking(
        lambda x, g, count_include_pad, **rest: pools.avg_pool(x, g, **rest)), True, True),
    "sum for a mean": ("global_avg_pool", by_walking(
        lambda x, g: tuple(a * (x.shape[1] * x.shape[2]) for a in pools.global_avg_pool(x, g))), True, True),
    "sharp label": ("softmax_cross_entropy", by_complex_step(
        lambda z, y, label_smoothing: loss.softmax_cross_entropy(z, y)), True, True),
    "half the square": ("squared_error", by_complex_step(
        lambda a, t: loss.squared_error(a, t) / 2), True, True),
    "exact for approximate": ("gelu", by_complex_step(lambda x: activation.gelu(x, approximate=False)), True, True),
    "gradient of one side": ("gram_matrix", Oracle(image.gram_matrix, lambda g, f: (
        by_complex_step(image.gram_matrix).gradient(g, f)[0] / 2,)), False, True),
}  # fmt: skip


@pytest.mark.parametrize(("op", "oracle", "value", "gradient"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_seen_in_the_first_case(op, oracle, value, gradient, x64):
    errors = disagreement(oracle, EVIDENCE[op].cases[0])
    assert [error > 1e-5 for error in errors] == [value, gradient]


# --- worked out by hand -----------------------------------------------------------------------------------------------


def test_convolution_by_hand():
    """One row, stride 2, padding (1, 0), remainder 1: y = (w₁x₀, w₀x₁ + w₁x₂), x₃ is not read."""
    x, w, b = np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1), np.array([5.0, 7]).reshape(1, 2, 1, 1), np.array([100.0])
    g, settings = np.array([10.0, 1000]).reshape(1, 1, 2, 1), {"stride": 2, "padding": ((0, 0), (1, 0))}
    assert EVIDENCE["conv2d"].oracle.value(x, w, b, **settings).ravel().tolist() == [107, 131]
    dx, dw, db = EVIDENCE["conv2d"].oracle.gradient(g, x, w, b, **settings)
    assert dx.ravel().tolist() == [70, 5000, 7000, 0]
    assert dw.ravel().tolist() == [2000, 3010]
    assert db.tolist() == [1010]
    rotated = EVIDENCE["convolve2d"].oracle
    assert rotated.value(x, w[:, ::-1], b, **settings).ravel().tolist() == [107, 131]
    assert rotated.gradient(g, x, w[:, ::-1], b, **settings)[1].ravel().tolist() == [3010, 2000]


def test_transposed_convolution_by_hand():
    """Two columns at stride 2 with kernel (5, 7): 5a, 7a, 5b, 7b, and one column of output padding that only b sees."""
    x, w, b = np.array([1.0, 2]).reshape(1, 1, 2, 1), np.array([5.0, 7]).reshape(1, 2, 1, 1), np.array([100.0])
    settings = {"stride": (1, 2), "padding": "VALID", "output_padding": (0, 1)}
    assert EVIDENCE["conv_transpose2d"].oracle.value(x, w, b, **settings).ravel().tolist() == [105, 107, 110, 114, 100]
    dx, dw, db = EVIDENCE["conv_transpose2d"].oracle.gradient(
        np.array([1.0, 10, 100, 1000, 10000]).reshape(1, 1, 5, 1), x, w, b, **settings
    )
    assert dx.ravel().tolist() == [75, 7500]
    assert dw.ravel().tolist() == [201, 2010]
    assert db.tolist() == [11111]


def test_pooling_by_hand():
    x, g = np.array([3.0, 1, 2, 5]).reshape(1, 1, 4, 1), np.array([10.0, 100, 1000]).reshape(1, 1, 3, 1)
    settings = {"window": (1, 2), "stride": 1}
    for op, value, gradient in (
        ("max_pool", [3, 2, 5], [10, 0, 100, 1000]),
        ("sum_pool", [4, 3, 7], [10, 110, 1100, 1000]),
        ("avg_pool", [2, 1.5, 3.5], [5, 55, 550, 500]),
    ):
        assert EVIDENCE[op].oracle.value(x, **settings).ravel().tolist() == value
        assert EVIDENCE[op].oracle.gradient(g, x, **settings)[0].ravel().tolist() == gradient


def test_absent_and_left_out_bias():
    x, w = np.ones((2, 3)), np.ones((3, 2))
    assert len(EVIDENCE["dense"].oracle.gradient(np.ones((2, 2)), x, w)) == 2
    assert EVIDENCE["dense"].oracle.gradient(np.ones((2, 2)), x, w, None)[2] is None


# --- complex step -----------------------------------------------------------------------------------------------------

CLOSED = {  # name: (definition, its derivative)
    "polynomial": (lambda x: x**3 - 2 * x, lambda x: 3 * x**2 - 2),
    "exponential": (np.exp, np.exp),
    "sine of the inverse": (lambda x: np.sin(1 / x), lambda x: -np.cos(1 / x) / x**2),
    "logarithm": (lambda x: np.log(1 + x**2), lambda x: 2 * x / (1 + x**2)),
    "square root": (lambda x: np.sqrt(x**2 + 1e-8), lambda x: x / np.sqrt(x**2 + 1e-8)),
    "sigmoid": (activation.sigmoid, lambda x: 1 / (1 + np.exp(-x)) / (1 + np.exp(x))),
    "tanh": (activation.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "softplus": (activation.softplus, special.expit),
    "exact gelu": (lambda x: activation.gelu(x, approximate=False),
                   lambda x: special.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),
}  # fmt: skip


@pytest.mark.parametrize(("value", "slope"), CLOSED.values(), ids=CLOSED)
def test_complex_step_against_closed_forms(value, slope, rng):
    x, g = rng.uniform(-3, 3, (4, 5)), rng.normal(size=(4, 5))
    np.testing.assert_allclose(by_complex_step(value).gradient(g, x)[0], slope(x) * g, rtol=1e-13, atol=1e-15)


def test_complex_step_with_several_arguments_and_outputs(rng):
    a, b, labels = rng.normal(size=(2, 3)), rng.normal(size=3), np.array([0, 1], np.int32)

    def value(a, b, labels, absent, keep, *, power):
        assert labels.dtype == np.int32
        assert absent is None
        assert keep.dtype == bool
        return a * b, (a**power).sum(1), b

    g = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=3)
    gradients = by_complex_step(value).gradient(g, a, b, labels, None, labels > 0, power=3)
    assert gradients[2:] == (None, None, None)
    np.testing.assert_allclose(gradients[0], g[0] * b + 3 * a**2 * g[1][:, None], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(gradients[1], (g[0] * a).sum(0) + g[2], rtol=1e-13, atol=1e-14)


def test_complex_step_keeps_the_structure_of_nested_arguments(rng):
    params, x = {"w": rng.normal(size=(3, 2)), "more": [rng.normal(size=2)]}, rng.normal(size=(4, 3))
    oracle = by_complex_step(lambda params, x: {"y": x @ params["w"] + params["more"][0]})
    g = rng.normal(size=(4, 2))
    of_params, of_x = oracle.gradient({"y": g}, params, x)
    np.testing.assert_allclose(of_params["w"], x.T @ g, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(of_params["more"][0], g.sum(0), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(of_x, g @ params["w"].T, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(params["w"].imag, 0)


@pytest.mark.parametrize(
    "value", [np.abs, lambda x: np.linalg.norm(x), lambda x: x.real**2], ids=["abs", "norm", "real"]
)
def test_complex_step_refuses_what_drops_the_imaginary_part(value):
    with pytest.raises(ValueError, match="gives real numbers for complex arguments: expected a definition"):
        by_complex_step(value).gradient(np.ones(3), np.ones(3))


def test_an_argument_without_influence_has_gradient_zero():
    gradients = by_complex_step(lambda a, b: a * 2).gradient(np.ones(2), np.ones(2), np.ones(3))
    np.testing.assert_array_equal(gradients[0], [2, 2])
    np.testing.assert_array_equal(gradients[1], [0, 0, 0])
