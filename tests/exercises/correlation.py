"""The cross-correlation and its gradients as a student writes them in loops, right and with a mistake each."""

import numpy as np

# --- exercise 1 -------------------------------------------------------------------------------------------------------


def correlate(x, w, stride, padding, *, pad=None, size=None, add=True, images=None, scale=1.0, dtype=np.float64):
    """Right, unless something is changed. pad: ((before, after), …) along rows and columns. size: (length, kernel,
    stride) -> how many windows. add: whether channels add up. images: how many are looked at."""
    if pad is None:
        pad = ((padding, padding),) * 2
    x = np.pad(x, ((0, 0), *pad, (0, 0)))
    count = size or (lambda length, kernel, s: (length - kernel) // s + 1)
    rows, cols = (count(length, kernel, stride) for length, kernel in zip(x.shape[1:3], w.shape[:2], strict=True))
    out = np.zeros((len(x), rows, cols, w.shape[3]), dtype)
    for n in range(len(x) if images is None else images):
        for i, j, k in np.ndindex(rows, cols, w.shape[3]):
            patch = x[n, i * stride : i * stride + w.shape[0], j * stride : j * stride + w.shape[1]]
            for c in range(x.shape[3]):
                value = scale * (patch[:, :, c] * w[:, :, c, k]).sum()
                out[n, i, j, k] = out[n, i, j, k] + value if add else value
    return out


def rotated(x, w, stride, padding):
    return correlate(x, w[::-1, ::-1], stride, padding)


def transposed(x, w, stride, padding):
    return correlate(x, w.transpose(1, 0, 2, 3), stride, padding)


def channels_exchanged(x, w, stride, padding):
    return correlate(x, w.transpose(0, 1, 3, 2), stride, padding)


def no_stride(x, w, stride, padding):
    return correlate(x, w, 1, padding)


def no_padding(x, w, stride, padding):
    return correlate(x, w, stride, 0)


def padded_behind(x, w, stride, padding):
    return correlate(x, w, stride, padding, pad=((0, 2 * padding),) * 2)


def one_window_short(x, w, stride, padding):
    return correlate(x, w, stride, padding, size=lambda length, kernel, s: (length - kernel) // s)


def rounded_up(x, w, stride, padding):
    return correlate(x, w, stride, padding, size=lambda length, kernel, s: -(-(length - kernel) // s) + 1)


def channels_overwrite(x, w, stride, padding):
    return correlate(x, w, stride, padding, add=False)


def first_image_only(x, w, stride, padding):
    return correlate(x, w, stride, padding, images=1)


def mean_of_window(x, w, stride, padding):
    return correlate(x, w, stride, padding, scale=1 / (w.shape[0] * w.shape[1] * w.shape[2]))


def edge_repeated(x, w, stride, padding):
    return correlate(np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="edge"), w, stride, 0)


def whole_numbers(x, w, stride, padding):
    return correlate(x, w, stride, padding, dtype=np.int64)


def wrapped_around(x, w, stride, padding):
    return correlate(np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="wrap"), w, stride, 0)


CORRELATION = {
    rotated: "with the kernels rotated by 180°",
    transposed: "with rows and columns of the kernels exchanged",
    channels_exchanged: "Case 2, outputs has shape [3, 2, 2, 2]: expected [3, 2, 2, 4]",
    no_stride: "with a stride of 1",
    no_padding: "without padding",
    padded_behind: "with all the padding behind the last row and column",
    one_window_short: "Axis 1 is one too short: how many windows fit?",
    rounded_up: "Axis 1 is one too long: how many windows fit?",
    channels_overwrite: "from the last channel alone",
    first_image_only: "The wrong entries are all 0: nothing was written to them.",
    mean_of_window: "the number of entries of a window is 9",
    edge_repeated: "with the border repeated instead of zeros",
    whole_numbers: "outputs has dtype int64: expected floating-point numbers",
    wrapped_around: "Case 5, outputs: 56 of 80 entries are wrong",
}

# --- exercise 2 -------------------------------------------------------------------------------------------------------


def gradients(x, w, g, stride, padding, *, add=True, kernel=None, step=None, images=None, outputs=None):
    """Right, unless something is changed. add: whether pixels of overlapping windows add up. kernel: what is read on
    the way back. step: from one window to the next on the way back. images: those that the kernels' gradient is of.
    outputs: channels that are looked at for the images' gradient."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))).astype(np.float64)
    dx, dw = np.zeros(padded.shape), np.zeros(w.shape)
    kernel, (kh, kw) = w if kernel is None else kernel, w.shape[:2]
    step = stride if step is None else step
    for n, i, j, k in np.ndindex(g.shape):
        rows, cols = slice(i * step, i * step + kh), slice(j * step, j * step + kw)
        if outputs is None or k in outputs:
            part = g[n, i, j, k] * kernel[..., k]
            dx[n, rows, cols] = dx[n, rows, cols] + part if add else part
        if images is None or n in images(len(x)):
            dw[..., k] += g[n, i, j, k] * padded[n, rows, cols]
    return dx[:, padding : padding + x.shape[1], padding : padding + x.shape[2]], dw


def not_turned_around(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding, kernel=w[::-1, ::-1])


def kernel_gradient_rotated(x, w, g, stride, padding):
    dx, dw = gradients(x, w, g, stride, padding)
    return dx, dw[::-1, ::-1]


def windows_overwrite(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding, add=False)


def last_image_only(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding, images=lambda n: [n - 1])


def mean_over_images(x, w, g, stride, padding):
    dx, dw = gradients(x, w, g, stride, padding)
    return dx, dw / len(x)


def other_order(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding)[::-1]


def no_stride_back(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding, step=1)


def padding_kept(x, w, g, stride, padding):
    p = padding
    return gradients(np.pad(x, ((0, 0), (p, p), (p, p), (0, 0))), w, g, stride, 0)


def padding_cut_behind(x, w, g, stride, padding):
    dx, dw = padding_kept(x, w, g, stride, padding)
    return dx[:, : x.shape[1], : x.shape[2]], dw


def upstream_forgotten(x, w, g, stride, padding):
    return gradients(x, w, np.ones_like(g), stride, padding)


def first_output_only(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding, outputs=[0])


def only_one_returned(x, w, g, stride, padding):
    return gradients(x, w, g, stride, padding)[0]


def kernel_channels_exchanged(x, w, g, stride, padding):
    dx, dw = gradients(x, w, g, stride, padding)
    return dx, dw.transpose(0, 1, 3, 2)


def nothing_returned(x, w, g, stride, padding):
    gradients(x, w, g, stride, padding)


GRADIENTS = {
    not_turned_around: "where the kernels are not turned around on the way back",
    kernel_gradient_rotated: "where the gradient in the kernels comes out rotated by 180°",
    windows_overwrite: "where windows that overlap write over one another",
    last_image_only: "from the last image alone",
    mean_over_images: "the number of images is 3: is it divided by once too often?",
    other_order: "The results are right, but in the wrong order: expected d_images, d_kernels",
    no_stride_back: "where the stride is taken for 1 on the way back",
    padding_kept: "where the padding is not cut off again",
    padding_cut_behind: "where the padding is cut off behind",
    upstream_forgotten: "with ones in the place of d_outputs",
    first_output_only: "from the first channel of the outputs alone",
    only_one_returned: "returns one ndarray: expected 2 values, d_images, d_kernels",
    kernel_channels_exchanged: "d_kernels has shape [3, 3, 4, 2]: expected [3, 3, 2, 4]",
    nothing_returned: "returns None: is there a return?",
}
