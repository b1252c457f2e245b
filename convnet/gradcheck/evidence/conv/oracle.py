"""Convolution and its adjoint, window by window and tap by tap."""

import numpy as np

from convnet.gradcheck.evidence.walk import Walk, both, place


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
