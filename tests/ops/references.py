"""Judging results against `convnet.gradcheck.evidence`, the ops once more in float64 NumPy.

Run on absolute values a walk gives the scale of its rounding error, run on ones the number of terms it adds up;
`assert_sums` judges with both. `assert_filtered` is its counterpart for sums that Winograd's filtering computes.
"""

import numpy as np

from convnet.gradcheck.evidence import EVIDENCE
from convnet.gradcheck.evidence.conv import oracle as loops
from convnet.ops.formulations import winograd


def of_example(op):
    """(z, label, **settings) -> L, dL/dz of one example of a loss, by its oracle."""

    def loss(z, label, **settings):
        args = np.array([z], np.float64), np.array([label])
        value = EVIDENCE[op].oracle.value(*args, **settings)[0]
        return value, EVIDENCE[op].oracle.gradient(np.ones(1), *args, **settings)[0][0].tolist()

    return loss


UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8}
"""Unit round-off of each dtype."""


def assert_sums(actual, expected, scale, terms):
    """|actual − expected| ≤ (terms + 2)·u·scale elementwise: at most one rounding per term; exact where scale is 0.

    scale: the same sum over absolute values; terms: how many products were added (an array or a number).
    """
    unit = UNIT[str(actual.dtype)]
    actual = np.asarray(actual, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    error, bound = np.abs(actual - expected), (terms + 2) * unit * scale
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    assert (error <= bound).all(), f"worst at {worst}: {actual[worst]!r}, not {expected[worst]!r}"


def assert_filtered(which, actual, operands, at):
    """|actual − exact| ≤ γₙ(u) times the same chain over absolute values, elementwise; exact where no term is.

    A bound for every order of summation, hence for every machine: n counts the roundings on the longest way through
    the transforms (a matrix's entries, products and sums), the products and their sum, and the transform back. The
    definition in float64, which stands for the exact sum, has a bound of its own.
    """
    dtype = str(actual.dtype)
    unit, sums = UNIT[dtype], UNIT["float64" if dtype == "float64" else "float32"]  # narrow dtypes are added up wide
    exact, scale, terms = (definition(which, f(operands), at) for f in (list, _absolute, _ones))
    filtered, n = filtered_sizes(which, _absolute(operands), at)
    bound = gamma(n, sums) * filtered
    if sums != unit:
        bound += unit * (np.abs(exact) + bound)
    bound += gamma(terms.max() + 1, UNIT["float64"]) * scale
    actual = np.asarray(actual, np.float64)
    assert actual.shape == exact.shape
    assert np.isfinite(actual).all()
    assert not actual[scale == 0].any(), "a sum without terms is 0"
    error = np.abs(actual - exact)
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    assert (error <= bound).all(), f"worst at {worst}: {actual[worst]!r}, not {exact[worst]!r} ± {bound[worst]:.3g}"


def gamma(n, unit):
    """n roundings one after the other (Higham 2002, lemma 3.1)."""
    return n * unit / (1 - n * unit)


def _absolute(arrays):
    return [np.abs(a) for a in arrays]


def _ones(arrays):
    return [np.ones_like(a) for a in arrays]


def definition(which, operands, at):
    """correlate(x, w) or kernel_gradient(x, g) of a layer with stride and dilation 1, by the loops of the oracle."""
    x, other = operands
    padding = (at.rows.lo, at.rows.hi), (at.cols.lo, at.cols.hi)
    if which == "correlate":
        return loops.conv2d(x, other, 0.0, padding=padding)[0]
    return loops.conv2d(x, np.zeros((*at.kernel, at.c, at.k)), other, padding=padding)[2]


def filtered_sizes(which, operands, at):
    """|Aᵀ| ( |G| |w| ∗ |Bᵀ| |d| ), or |Gᵀ| Σ ( |Bᵀ| |d| ) ∗ ( |A| |g| ), of absolute values; and n, the roundings."""
    x, other = operands
    m, count = winograd.strips(at.rows)
    a, g, b = map(np.abs, winograd.matrices(m, at.rows.kernel))
    columns = dict(padding=((0, 0), (at.cols.lo, at.cols.hi)))
    parts = np.einsum("tj,snjwc->tsnwc", b, _strips(x, at.rows.lo, m, count, len(b)))
    parts = parts.reshape(len(b), -1, 1, *parts.shape[3:])  # a row of every strip: an image of one row
    into = np.count_nonzero(b, 1).max()
    if which == "correlate":
        kernels = np.einsum("ti,ijck->tjck", g, other)[:, None]
        rows = np.stack([loops.conv2d(*pair, 0.0, **columns)[0] for pair in zip(parts, kernels, strict=True)])
        y = np.einsum("pt,tsow->spow", a, rows.reshape(len(b), count, -1, at.cols.output * at.k))
        y = y.transpose(2, 0, 1, 3).reshape(-1, m * count, at.cols.output, at.k)[:, : at.rows.output]
        return y, into + at.rows.kernel + 1 + at.cols.kernel * at.c + np.count_nonzero(a, 1).max()
    upstream = np.einsum("pt,snpok->tsnok", a, _strips(other, 0, m, count, m))
    upstream = upstream.reshape(len(b), -1, 1, *upstream.shape[3:])
    kernel = np.zeros((1, at.cols.kernel, at.c, at.k))
    pairs = zip(parts, upstream, strict=True)
    sums = [loops.conv2d(part, kernel, up, **columns)[2] for part, up in pairs]
    n = into + np.count_nonzero(a, 0).max() + at.n * count * at.cols.output + len(b) + 1
    return np.einsum("ti,tujck->ijck", g, sums), n


def _strips(x, lo, m, count, length):
    """[N, H, W, C] -> [count, N, length, W, C]: rows m·s − lo … of strip s, 0 where there are none."""
    found = np.zeros((count, x.shape[0], length, *x.shape[2:]))
    for s, j in np.ndindex(count, length):
        if 0 <= m * s + j - lo < x.shape[1]:
            found[s, :, j] = x[:, m * s + j - lo]
    return found


def assert_conv(actual, reference, args):
    """Judge (y, dx, dw) against `reference(*args)`, with the scale and the number of terms from the same loops."""
    sums = (
        reference(*args),
        reference(*(np.abs(a) for a in args)),
        reference(*(np.ones_like(a, np.float64) for a in args)),
    )
    for one, expected, scale, terms in zip(actual, *sums, strict=True):
        assert_sums(one, expected, scale, terms)


def one_hots(shape):
    """Cotangents that look at one output each: first, last, and last row with first column."""
    for index in ((0, 0, 0, 0), (-1, -1, -1, -1), (0, -1, 0, -1)):
        g = np.zeros(shape)
        g[index] = 1.0
        yield g


STEPS = 1e-3 * np.array([-2, -1, 1, 2])
WEIGHTS = np.array([1, -8, 8, -1]) / 12e-3
"""f′(0) ≈ Σ WEIGHTS · f(STEPS), with an error of the fourth order in the step."""


def five_point(f, x, direction):
    """Derivative of f at x along `direction`."""
    return sum(weight * np.asarray(f(x + step * direction)) for step, weight in zip(STEPS, WEIGHTS, strict=True))
