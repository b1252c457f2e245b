"""Pooling, window by window."""

import math

import numpy as np

from convnet.gradcheck.evidence.walk import Walk, both


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
