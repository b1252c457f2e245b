"""A sliding window walked element by element, and its arithmetic by trying: what the oracles of windows are made of.

Each walk takes the arrays and the upstream gradient g (a scalar stands for a constant one), and gives y and the
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
