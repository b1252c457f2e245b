"""Sliding windows walked element by element: convolution, its adjoint, dense layers and pooling.

Each function takes the arrays and the upstream gradient g (a scalar stands for a constant one), and gives y and the
gradients, which are accumulated term by term while the definition is walked (w[i]·g[p] into dx[h], x[h]·g[p] into
dw[i]), never through the derived formulas. Run on absolute values, a walk gives the scale of its rounding error; run on
ones, the number of terms it adds up.
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


# --- bilinear ---------------------------------------------------------------------------------------------------------


def with_bias(walk):
    """(x, w, b, g) -> y + b, dL/dx, dL/dw, dL/db from a walk without bias; b may be None, or left out altogether."""

    def biased(x, w, *b_and_g, **settings):
        *b, g = b_and_g
        y, dx, dw = walk(x, w, g, **settings)
        if not b or b[0] is None:
            return y, dx, dw, *b
        db, g = np.zeros(b[0].shape), np.broadcast_to(g, y.shape)
        for place in np.ndindex(y.shape[:-1]):
            y[place] += b[0]
            db += g[place]
        return y, dx, dw, db

    return biased


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


def convolve2d(x, w, g, **settings):
    """conv2d with the kernel read from its far corner."""
    y, dx, dw = conv2d(x, w[::-1, ::-1], g, **settings)
    return y, dx, dw[::-1, ::-1]


def larger(sizes, kernel, *, stride=1, padding="SAME", dilation=1, output_padding=0):
    """Size that conv_transpose2d makes of `sizes`: the smallest that conv2d maps to them, plus output padding."""
    found = []
    axes = zip(sizes, kernel, both(stride), both(dilation), both(output_padding), range(2), strict=True)
    for size, k, s, d, extra, axis in axes:
        lo_hi = padding if isinstance(padding, str) else both(both(padding)[axis])
        length = 1 - extra  # padding alone may fill the windows: then output padding is all there is to see
        while place(length, d * (k - 1) + 1, s, lo_hi)[0] < size:
            length += 1
        found.append(length + extra)
    return tuple(found)


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


def conv_transpose2d_of_settings(x, w, g, *, output_padding=0, groups=1, **settings):
    """conv_transpose2d as it is called, without the size."""
    sizes = larger(x.shape[1:3], w.shape[:2], output_padding=output_padding, **settings)
    return conv_transpose2d(x, w, g, sizes, groups=groups, **settings)


def dense(x, w, g):
    """y, dL/dx, dL/dw."""
    y, dx, dw = np.zeros((x.shape[0], w.shape[1])), np.zeros(x.shape), np.zeros(w.shape)
    g = np.broadcast_to(g, y.shape)
    for n, d, k in np.ndindex(*x.shape, w.shape[1]):
        y[n, k] += x[n, d] * w[d, k]
        dx[n, d] += g[n, k] * w[d, k]
        dw[d, k] += g[n, k] * x[n, d]
    return y, dx, dw


# --- pooling ----------------------------------------------------------------------------------------------------------


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


def sum_pool(x, g, **settings):
    return mean_pool(x, g, divisor=lambda elements, real: 1, **settings)


def avg_pool(x, g, *, count_include_pad=True, **settings):
    return mean_pool(x, g, divisor=lambda elements, real: elements if count_include_pad else real, **settings)


def global_avg_pool(x, g):
    y, dx = np.zeros((x.shape[0], x.shape[3])), np.zeros(x.shape)
    for h, w in np.ndindex(x.shape[1:3]):
        y += x[:, h, w] / math.prod(x.shape[1:3])
        dx[:, h, w] += np.asarray(g) / math.prod(x.shape[1:3])
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
