"""The oracles: against the forward passes and their autodiff, against closed forms and values worked out by hand."""

import ast
import sys
from dataclasses import fields
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from convnet.gradcheck import oracles
from convnet.gradcheck.cases import CASES
from convnet.gradcheck.oracles import ORACLES, Oracle, by_complex_step, norms, pointwise, reductions, windows
from convnet.ops import AUTO, OpSet

OPS = [field.name for field in fields(OpSet)]
EVERY = [(case.op, case) for op in OPS for case in CASES[op]]
QUICK = {"xla_backend_optimization_level": 0}  # each program runs once
NAMES = [f"{op}: {case.name}" for op, case in EVERY]


def point(case, seed=0):
    """(args, g): g has the structure of the value."""
    rng = np.random.default_rng(seed)
    args = case.draw(rng)
    value = ORACLES[case.op].value(*args, **case.settings)
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


def test_every_op_has_an_oracle():
    assert set(ORACLES) == set(OPS)
    assert all(isinstance(oracle, Oracle) for oracle in ORACLES.values())


USUAL = {id(CASES[op][0]) for op in OPS} | {id(case) for _, case in EVERY[::3]}
"""One case of every op at least; the others are for the sweep."""


@pytest.mark.parametrize(
    ("op", "case"),
    [
        pytest.param(op, case, id=name, marks=() if id(case) in USUAL else pytest.mark.sweep)
        for (op, case), name in zip(EVERY, NAMES, strict=True)
    ],
)
def test_agreement_with_autodiff(op, case, x64):
    assert max(disagreement(ORACLES[op], case)) <= 1e-12


def test_nothing_is_shared_with_jax_or_the_ops():
    """NumPy, SciPy, the standard library and one another: no more, in any module."""
    allowed = {"numpy", "scipy", "convnet.gradcheck.oracles"} | set(sys.stdlib_module_names)
    paths = sorted(Path(oracles.__file__).parent.glob("*.py"))
    assert len(paths) >= 5
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module in allowed or node.module.split(".")[0] in allowed, path


# --- planted faults ---------------------------------------------------------------------------------------------------


def _unbiased_batch_norm(x, scale, bias, *, eps=1e-5):
    _, mean, var = norms.batch_norm(x, scale, bias, eps=eps)
    m = x.size // x.shape[-1]
    return (x - mean) / np.sqrt(var * m / (m - 1) + eps) * scale + bias, mean, var


def _mirrored(x, **settings):
    return norms.local_response_norm(x[..., ::-1], **settings)[..., ::-1]


def _flipped(x, w, g, **settings):
    y, dx, dw = windows.conv2d(x, w, g, **settings)
    return y, dx, dw[::-1]


def _last_bias(x, w, b, g, **settings):
    y, dx, dw, db = windows.with_bias(windows.conv2d)(x, w, b, g, **settings)
    return y, dx, dw, db - np.broadcast_to(g, y.shape)[:, :, -1].sum((0, 1))


def _overwritten(x, g, *, window, stride=None, padding="VALID"):
    """The last window that a winner wins, where all of them should add up."""
    y, dx = windows.max_pool(x, g, window, stride=stride, padding=padding)
    seen = windows.max_pool(x, 1.0, window, stride=stride, padding=padding)[1]
    return y, dx / np.maximum(seen, 1)


PLANTED = {  # name: (op, wrong oracle, is its value wrong, is its gradient wrong)
    "unbiased variance": ("batch_norm", by_complex_step(_unbiased_batch_norm), True, True),
    "mirrored even window": ("local_response_norm", by_complex_step(_mirrored), True, True),
    "kernel gradient flipped": ("conv2d", oracles.by_walking(windows.with_bias(_flipped)), False, True),
    "bias without the last column": ("conv2d", oracles.by_walking(_last_bias), False, True),
    "shared winners do not add up": ("max_pool", oracles.by_walking(_overwritten), False, True),
    "padding counted": ("avg_pool", oracles.by_walking(
        lambda x, g, count_include_pad, **rest: windows.avg_pool(x, g, **rest)), True, True),
    "sum for a mean": ("global_avg_pool", oracles.by_walking(
        lambda x, g: tuple(a * (x.shape[1] * x.shape[2]) for a in windows.global_avg_pool(x, g))), True, True),
    "sharp label": ("softmax_cross_entropy", by_complex_step(
        lambda z, y, label_smoothing: reductions.softmax_cross_entropy(z, y)), True, True),
    "half the square": ("squared_error", by_complex_step(
        lambda a, t: reductions.squared_error(a, t) / 2), True, True),
    "exact for approximate": ("gelu", by_complex_step(lambda x: pointwise.gelu(x, approximate=False)), True, True),
    "gradient of one side": ("gram_matrix", Oracle(reductions.gram_matrix, lambda g, f: (
        by_complex_step(reductions.gram_matrix).gradient(g, f)[0] / 2,)), False, True),
}  # fmt: skip


@pytest.mark.parametrize(("op", "oracle", "value", "gradient"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_seen_in_the_first_case(op, oracle, value, gradient, x64):
    errors = disagreement(oracle, CASES[op][0])
    assert [error > 1e-5 for error in errors] == [value, gradient]


# --- worked out by hand -----------------------------------------------------------------------------------------------


def test_convolution_by_hand():
    """One row, stride 2, padding (1, 0), remainder 1: y = (w₁x₀, w₀x₁ + w₁x₂), x₃ is not read."""
    x, w, b = np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1), np.array([5.0, 7]).reshape(1, 2, 1, 1), np.array([100.0])
    g, settings = np.array([10.0, 1000]).reshape(1, 1, 2, 1), {"stride": 2, "padding": ((0, 0), (1, 0))}
    assert ORACLES["conv2d"].value(x, w, b, **settings).ravel().tolist() == [107, 131]
    dx, dw, db = ORACLES["conv2d"].gradient(g, x, w, b, **settings)
    assert dx.ravel().tolist() == [70, 5000, 7000, 0]
    assert dw.ravel().tolist() == [2000, 3010]
    assert db.tolist() == [1010]
    rotated = ORACLES["convolve2d"]
    assert rotated.value(x, w[:, ::-1], b, **settings).ravel().tolist() == [107, 131]
    assert rotated.gradient(g, x, w[:, ::-1], b, **settings)[1].ravel().tolist() == [3010, 2000]


def test_transposed_convolution_by_hand():
    """Two columns at stride 2 with kernel (5, 7): 5a, 7a, 5b, 7b, and one column of output padding that only b sees."""
    x, w, b = np.array([1.0, 2]).reshape(1, 1, 2, 1), np.array([5.0, 7]).reshape(1, 2, 1, 1), np.array([100.0])
    settings = {"stride": (1, 2), "padding": "VALID", "output_padding": (0, 1)}
    assert ORACLES["conv_transpose2d"].value(x, w, b, **settings).ravel().tolist() == [105, 107, 110, 114, 100]
    dx, dw, db = ORACLES["conv_transpose2d"].gradient(
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
        assert ORACLES[op].value(x, **settings).ravel().tolist() == value
        assert ORACLES[op].gradient(g, x, **settings)[0].ravel().tolist() == gradient


def test_absent_and_left_out_bias():
    x, w = np.ones((2, 3)), np.ones((3, 2))
    assert len(ORACLES["dense"].gradient(np.ones((2, 2)), x, w)) == 2
    assert ORACLES["dense"].gradient(np.ones((2, 2)), x, w, None)[2] is None


# --- complex step -----------------------------------------------------------------------------------------------------

CLOSED = {  # name: (definition, its derivative)
    "polynomial": (lambda x: x**3 - 2 * x, lambda x: 3 * x**2 - 2),
    "exponential": (np.exp, np.exp),
    "sine of the inverse": (lambda x: np.sin(1 / x), lambda x: -np.cos(1 / x) / x**2),
    "logarithm": (lambda x: np.log(1 + x**2), lambda x: 2 * x / (1 + x**2)),
    "square root": (lambda x: np.sqrt(x**2 + 1e-8), lambda x: x / np.sqrt(x**2 + 1e-8)),
    "sigmoid": (pointwise.sigmoid, lambda x: 1 / (1 + np.exp(-x)) / (1 + np.exp(x))),
    "tanh": (pointwise.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "softplus": (pointwise.softplus, special.expit),
    "exact gelu": (lambda x: pointwise.gelu(x, approximate=False),
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
