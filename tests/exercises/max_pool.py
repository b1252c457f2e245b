"""The gradient of max-pooling as a student writes it in loops, right and with a mistake each."""

import numpy as np


def routed(x, g, window, stride, share, *, add=True):
    """share: values of a window -> which part of the gradient each pixel gets."""
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(g.shape):
        at = n, slice(i * stride, i * stride + window), slice(j * stride, j * stride + window), c
        part = g[n, i, j, c] * share(x[at])
        dx[at] = dx[at] + part if add else np.where(part != 0, part, dx[at])
    return dx


def first(values):
    one = np.zeros(values.shape)
    one[np.unravel_index(np.argmax(values), values.shape)] = 1
    return one


def right(x, g, window, stride):
    return routed(x, g, window, stride, first)


def every_tie(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: 1.0 * (v == v.max()))


def ties_share(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: (v == v.max()) / (v == v.max()).sum())


def last_of_tie(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: first(v[::-1, ::-1])[::-1, ::-1])


def down_the_columns(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: first(v.T).T)


def windows_overwrite(x, g, window, stride):
    return routed(x, g, window, stride, first, add=False)


def average(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: np.ones(v.shape) / v.size)


def starts_from_zero(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: first(np.maximum(v, 0)) * (v.max() > 0))


def no_stride(x, g, window, stride):
    """Windows side by side."""
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(g.shape):
        patch = x[n, i * window : (i + 1) * window, j * window : (j + 1) * window, c]
        a, b = np.unravel_index(np.argmax(patch), patch.shape)
        dx[n, i * window + a, j * window + b, c] += g[n, i, j, c]
    return dx


def row_for_column(x, g, window, stride):
    return routed(x, g, window, stride, lambda v: first(v).T)


def upstream_forgotten(x, g, window, stride):
    return right(x, np.ones_like(g), window, stride)


def times_the_value(x, g, window, stride):
    return right(x, g, window, stride) * x


def one_winner_of_all_channels(x, g, window, stride):
    return right(np.broadcast_to(x[..., :1], x.shape), g, window, stride)


def of_absolute_values(x, g, window, stride):
    return right(np.abs(x), g, window, stride)


def outside_of_the_window(x, g, window, stride):
    """The index in the window taken for one in the image."""
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(g.shape):
        patch = x[n, i * stride : i * stride + window, j * stride : j * stride + window, c]
        dx[n, *np.unravel_index(np.argmax(patch), patch.shape), c] += g[n, i, j, c]
    return dx


MAX_POOL = {
    every_tie: "where every pixel of a tie gets the whole gradient, which is then counted twice",
    ties_share: "where the pixels of a tie share the gradient",
    last_of_tie: "where the last pixel of a tie gets the gradient",
    down_the_columns: "down the columns",
    windows_overwrite: "where windows that overlap write over one another",
    average: "that is average pooling",
    starts_from_zero: "negative pixels never win",
    no_stride: "where windows are taken to lie side by side, whatever the stride",
    row_for_column: "where row and column of the largest pixel in the window are exchanged",
    upstream_forgotten: "with ones in the place of d_outputs",
    times_the_value: "where the gradient is multiplied by the largest value",
    one_winner_of_all_channels: "where one winner is taken for all channels",
    of_absolute_values: "where the largest absolute value is looked for",
    outside_of_the_window: "where the place in the window is taken for one in the image",
}
