"""The ops once more, as loops over their definitions in float64 NumPy: no code shared with convnet or with JAX.

Gradients are accumulated term by term while the definition is walked (w[i]·g[p] into dx[h], x[h]·g[p] into dw[i]),
never through the derived formulas. Run on absolute values a reference gives the scale of its rounding error, run on
ones the number of terms it adds up; `assert_sums` judges with both.
"""

import math

import numpy as np


def both(value):
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def fitting(length, span, stride):
    """How many windows lie inside `length` elements, by trying every start."""
    return sum(start + span <= length for start in range(0, max(length, 0), stride))


def place(size, span, stride, padding):
    """(number of windows, low padding) of one axis. SAME is the least padding that lets ⌈size/stride⌉ windows fit."""
    if padding == "VALID":
        padding = (0, 0)
    elif padding == "SAME":
        total = 0
        while fitting(size + total, span, stride) < math.ceil(size / stride):
            total += 1
        padding = (total // 2, total - total // 2)
    return fitting(size + sum(padding), span, stride), padding[0]


class Walk:
    """Every (window, tap, pixel) of a window sliding over an image of `sizes`; taps in padding are left out."""

    def __init__(self, sizes, kernel, stride=1, padding="SAME", dilation=1):
        self.sizes, self.kernel, self.stride, self.dilation = sizes, kernel, both(stride), both(dilation)
        padding = (padding, padding) if isinstance(padding, str) else [both(p) for p in both(padding)]
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, self.dilation, strict=True)]
        axes = [place(*axis) for axis in zip(sizes, spans, self.stride, padding, strict=True)]
        self.output, self.lo = tuple(zip(*axes, strict=True))

    def windows(self):
        """(window index, [(tap, pixel), …] in row-major order) for every window."""
        for p in np.ndindex(*self.output):
            taps = []
            for i in np.ndindex(*self.kernel):
                h = tuple(
                    a * s + b * d - lo for a, b, s, d, lo in zip(p, i, self.stride, self.dilation, self.lo, strict=True)
                )
                if all(0 <= v < size for v, size in zip(h, self.sizes, strict=True)):
                    taps.append((i, h))
            yield p, taps


def channels(groups, *counts):
    """For each group its slice of every channel count."""
    for index in range(groups):
        yield tuple(slice(index * c // groups, (index + 1) * c // groups) for c in counts)


def conv2d(x, w, g, *, groups=1, **settings):
    """y, dL/dx, dL/dw for g = dL/dy (a scalar stands for a constant g)."""
    walk = Walk(x.shape[1:3], w.shape[:2], **settings)
    y = np.zeros((x.shape[0], *walk.output, w.shape[3]))
    g = np.broadcast_to(g, y.shape)
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for p, taps in walk.windows():
        for i, h in taps:
            for c, k in channels(groups, x.shape[3], w.shape[3]):
                pixel, weight, up = x[:, *h, c], w[*i, :, k], g[:, *p, k]
                y[:, *p, k] += pixel @ weight
                dx[:, *h, c] += up @ weight.T
                dw[*i, :, k] += pixel.T @ up
    return y, dx, dw


def conv_transpose2d(x, w, g, sizes, *, groups=1, **settings):
    """y of spatial `sizes`, dL/dx, dL/dw: each window p of the larger image receives x[p]·w instead of being read."""
    walk = Walk(sizes, w.shape[:2], **settings)
    assert walk.output == x.shape[1:3], "the reference needs an image that conv2d maps to the shape of x"
    y = np.zeros((x.shape[0], *sizes, w.shape[2] * groups))
    g = np.broadcast_to(g, y.shape)
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for p, taps in walk.windows():
        for i, h in taps:
            for c, k in channels(groups, y.shape[3], x.shape[3]):
                pixel, weight, up = x[:, *p, k], w[*i, :, k], g[:, *h, c]
                y[:, *h, c] += pixel @ weight.T
                dx[:, *p, k] += up @ weight
                dw[*i, :, k] += up.T @ pixel
    return y, dx, dw


def dense(x, w, g):
    """y, dL/dx, dL/dw."""
    y, dx, dw = np.zeros((x.shape[0], w.shape[1])), np.zeros(x.shape), np.zeros(w.shape)
    g = np.broadcast_to(g, y.shape)
    for n, d, k in np.ndindex(*x.shape, w.shape[1]):
        y[n, k] += x[n, d] * w[d, k]
        dx[n, d] += g[n, k] * w[d, k]
        dw[d, k] += g[n, k] * x[n, d]
    return y, dx, dw


def mean_pool(x, g, window, *, divisor, stride=None, padding="VALID"):
    """y, dL/dx of the sum of each window over `divisor(elements of the window, those that are not padding)`."""
    walk = Walk(x.shape[1:3], both(window), stride=window if stride is None else stride, padding=padding)
    y, dx = np.zeros((x.shape[0], *walk.output, x.shape[3])), np.zeros(x.shape)
    g = np.broadcast_to(g, y.shape)
    for p, taps in walk.windows():
        for _, h in taps:
            y[:, *p] += x[:, *h] / divisor(math.prod(both(window)), len(taps))
            dx[:, *h] += g[:, *p] / divisor(math.prod(both(window)), len(taps))
    return y, dx


def max_pool(x, g, window, *, stride=None, padding="VALID"):
    """y, dL/dx; of equal values the first in row-major order wins."""
    walk = Walk(x.shape[1:3], both(window), stride=window if stride is None else stride, padding=padding)
    y, dx = np.zeros((x.shape[0], *walk.output, x.shape[3]), x.dtype), np.zeros(x.shape)
    g = np.broadcast_to(g, y.shape)
    for p, taps in walk.windows():
        for n, c in np.ndindex(x.shape[0], x.shape[3]):
            winner = taps[0][1]
            for _, h in taps[1:]:
                if x[n, *h, c] > x[n, *winner, c]:
                    winner = h
            y[n, *p, c] = x[n, *winner, c]
            dx[n, *winner, c] += g[n, *p, c]
    return y, dx


def softmax_cross_entropy(z, label, smoothing=0.0):
    """Loss and dL/dz of one example. The derivative of −Σ_k q_k log p_k is summed over k, not simplified."""
    p = [1 / sum(math.exp(min(b - a, 700.0)) for b in z) for a in z]
    q = [(1 - smoothing) * (k == label) + smoothing / len(z) for k in range(len(z))]
    loss = -sum(b * math.log(a) for a, b in zip(p, q, strict=True) if b)
    slope = [-sum(q[k] * ((j == k) - p[j]) for k in range(len(z))) for j in range(len(z))]
    return loss, slope


def weston_watkins(z, label, margin=1.0):
    loss, slope = 0.0, [0.0] * len(z)
    for k in range(len(z)):
        if k != label and margin + (z[k] - z[label]) > 0:
            loss += margin + (z[k] - z[label])
            slope[k] += 1.0
            slope[label] -= 1.0
    return loss, slope


def crammer_singer(z, label, margin=1.0):
    rival = next(k for k in range(len(z)) if k != label)
    for k in range(len(z)):
        if k != label and z[k] > z[rival]:
            rival = k
    loss, slope = margin + (z[rival] - z[label]), [0.0] * len(z)
    if loss <= 0:
        return 0.0, slope
    slope[rival], slope[label] = 1.0, -1.0
    return loss, slope


# --- judging ----------------------------------------------------------------------------------------------------------

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
