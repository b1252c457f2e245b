"""Winograd's filtering: exact matrices, and a bound on its rounding error that no machine moves.

That every layer stays within the bound is a case of test_formulations.py. How its error compares with that of XLA's own
convolution is a fact of a machine, which `python -m benchmarks formulations` measures.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from convnet.ops import Window
from convnet.ops.conv import conv2d_as
from convnet.ops.formulations import Problem, choose, winograd
from convnet.ops.window import windows
from tests.ops.references import assert_filtered

FILTERS = [(m, r) for r in winograd.HEIGHTS for m in winograd.heights(r)]


@pytest.fixture
def points(monkeypatch):
    """Other points than those of the module, for one test."""

    def use(*chosen):
        monkeypatch.setattr(winograd, "POINTS", chosen)
        winograd.matrices.cache_clear()

    yield use
    winograd.matrices.cache_clear()


def test_the_filters_in_use():
    assert FILTERS == [(2, 3), (3, 3), (4, 3), (2, 4), (3, 4), (2, 5)]


@pytest.mark.parametrize(("m", "r"), FILTERS)
def test_the_matrices_of_winograd_filter_exactly(m, r):
    """Aᵀ [(G w) ⊙ (Bᵀ d)] is the correlation of d with w, for every pair of unit vectors; products are m + r − 1."""
    a, g, b = winograd.matrices(m, r)
    assert (a.shape, g.shape, b.shape) == ((m, m + r - 1), (m + r - 1, r), (m + r - 1, m + r - 1))
    filtered = np.einsum("pe,et,ei->pti", a, g, b)
    definition = np.array([[[i == p + t for i in range(m + r - 1)] for t in range(r)] for p in range(m)])
    np.testing.assert_allclose(filtered, definition, atol=1e-15)


def test_strips_are_as_high_as_costs_least():
    heights = {n: winograd.strips(Window(n, 3, lo=1, hi=1)) for n in (1, 2, 5, 7, 8, 9, 32)}
    assert heights == {1: (2, 1), 2: (2, 1), 5: (3, 2), 7: (4, 2), 8: (4, 2), 9: (3, 3), 32: (4, 8)}
    assert winograd.strips(Window(14, 5, lo=2, hi=2)) == (2, 7)
    same = Window(32, 3, lo=1, hi=1), Window(32, 3, lo=1, hi=1)
    assert winograd.values_per_image(*same, 64, 128) == 8 * 6 * 32 * (64 + 128)
    # 9 products of 64 channels each, for each of 64 results; half of them saved, for 1.5 values of 128 channels
    assert winograd.saving(*same, 64, 64) == 9 * 64 * 64 / 2 / (1.5 * 128)


# --- how many digits it may lose --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_gradient", [False, True])
@pytest.mark.parametrize(("m", "r"), FILTERS)
def test_the_amplification_is_that_of_independent_errors(m, r, kernel_gradient, rng):
    """Products wrong by independent relative errors: the worst row's root mean square over that of direct sums."""
    a, g, b = winograd.matrices(m, r)
    outer, inner, terms = (g.T, a.T, m) if kernel_gradient else (a, g, r)
    signs = lambda *shape: rng.choice([-1.0, 1.0], (20_000, *shape))  # noqa: E731
    products = (signs(terms) @ inner.T) * (signs(m + r - 1) @ b.T)
    errors = (products * signs(m + r - 1)) @ outer.T
    found = winograd.amplification(m, r, kernel_gradient=kernel_gradient)
    assert np.sqrt((errors**2).mean(0).max() / terms) == pytest.approx(found.rms, rel=0.03)
    assert np.abs(errors).max() / terms <= found.worst * (1 + 1e-12)
    assert found.rms < found.worst


def test_every_filter_in_use_loses_two_bits_at_most(points):
    """Which decides what is used, and is a property of the matrices alone; the usual points lose more."""
    found = [winograd.amplification(m, r, kernel_gradient=turned).rms for m, r in FILTERS for turned in (False, True)]
    assert max(found) <= winograd.TOLERATED == 4
    assert winograd.amplification(2, 3).rms == pytest.approx(np.sqrt(5 / 3))
    for others in ((0, 1, -1, 2, -2), (0, 1, -1, 0.5, -0.5), (0, 1, -1, 3, -0.5), (0, 1, -1, 2, 3)):
        points(*others)
        assert winograd.amplification(4, 3).rms > winograd.TOLERATED


# --- and that the bound notices more ----------------------------------------------------------------------------------


@pytest.fixture(params=["correlate", "kernel_gradient"])
def judged(request, rng, x64):
    """`judged(dtype)`: compute a map of a layer in F(4, 3), and compare with the bound."""
    which, x, w = request.param, (2, 8, 5, 2), (3, 3, 2, 3)
    rows, cols = windows(x[1:3], w[:2], padding="SAME")
    at = Problem(x[0], x[3], w[3], rows, cols, 1)
    operands = [rng.normal(size=shape) for shape in ((x, w) if which == "correlate" else (x, (*x[:3], w[3])))]

    def judge(dtype, monkeypatch):
        rounded = [jnp.asarray(a, dtype) for a in operands]
        actual = choose(which, at, "winograd").compute(*rounded, rows=rows, cols=cols, groups=1)
        monkeypatch.undo()  # the bound is that of the right matrices
        assert_filtered(which, actual, [np.asarray(a, np.float64) for a in rounded], at)

    return judge


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_filter_stays_within_the_bound(judged, dtype, monkeypatch):
    judged(dtype, monkeypatch)


@pytest.mark.parametrize("place", range(3), ids=["A", "G", "B"])
def test_an_entry_off_by_a_ten_thousandth_breaks_the_bound(judged, place, monkeypatch):
    changed = [matrix.copy() for matrix in winograd.matrices(4, 3)]
    changed[place][1, 1] += 1e-4
    monkeypatch.setattr(winograd, "matrices", lambda m, r: changed)
    with pytest.raises(AssertionError, match=r"^worst at"):
        judged("float64", monkeypatch)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_transform_in_bfloat16_breaks_the_bound(judged, dtype, monkeypatch):
    combined = winograd.combined

    def narrow(matrix, terms):
        return [term.astype("bfloat16").astype(dtype) for term in combined(matrix, terms)]

    monkeypatch.setattr(winograd, "combined", narrow)
    with pytest.raises(AssertionError, match=r"^worst at"):
        judged(dtype, monkeypatch)


# --- zeros ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "padding", [((4, 0), (1, 1)), ((0, 3), (1, 1)), ((2, -6), (1, 1)), ((-6, 2), (1, 1)), ((7, 7), (1, 1))]
)
def test_windows_and_taps_in_padding_are_left_to_others(padding):
    """Their zeros would be zeros to rounding only, whoever asks for the formulation."""
    x, w = jnp.ones((1, 8, 5, 2)), jnp.ones((3, 3, 2, 2))
    for which in ("correlate", "kernel_gradient"):
        with pytest.raises(ValueError, match=rf"'winograd' of {which} needs .* rows of the image in every window"):
            conv2d_as(**{which: "winograd"})(x, w, padding=padding)


@pytest.mark.parametrize("rows", [(1, 1), (2, 2), (-2, 2)])
def test_of_columns_nothing_is_asked(rows, rng):
    """They are not filtered, so their zeros are exact."""
    x, w = (jnp.asarray(rng.normal(size=shape), "float32") for shape in ((1, 8, 5, 2), (3, 3, 2, 2)))
    y = conv2d_as(correlate="winograd", kernel_gradient="winograd")(x, w, padding=(rows, (9, 0)))
    assert not np.any(y[:, :, :7])
    assert np.all(y[:, :, 7:])
