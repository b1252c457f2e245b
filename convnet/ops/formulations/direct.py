"""The three maps through XLA's own convolution, in two dialects.

Canonical: NHWC images, HWIO kernels and NHWC results, with every exchange of axes done beforehand. It is the only form
for which XLA:CPU has fast convolutions: one for images as they are, one for dilated images. Permuted: the exchanges are
left to the dimension numbers, which cuDNN understands.
"""

from __future__ import annotations

from dataclasses import replace

from jax import Array, lax

from convnet.ops.formulations.chunks import chunk_size, sum_chunks
from convnet.ops.window import Window

BUDGET = 2**22
"""Values of a chunk of images and of gradients whose axes are exchanged: 16 MiB of float32."""


def correlate(
    x: Array,
    w: Array,
    *,
    rows: Window,
    cols: Window,
    groups: int,
    axes: tuple[str, str, str] = ("NHWC", "HWIO", "NHWC"),
    groups_of_images: int = 1,
) -> Array:
    """y[n,p,q,k] = Σ_{i,j,c} w[i,j,c,k] · x̃[n, p·s + i·d − lo, q·s + j·d − lo, c] over the channels c of k's group.

    x: [N, H, W, C], w: [KH, KW, C // groups, K] -> [N, OH, OW, K], or with other names of the same `axes`.
    groups_of_images: N and K are cut into so many; each group of images meets its own filters only.
    """
    x, rows = _crop_low(x, rows, axes[0].index("H"))
    x, cols = _crop_low(x, cols, axes[0].index("W"))
    return lax.conv_general_dilated(
        x,
        w,
        window_strides=(rows.stride, cols.stride),
        padding=((rows.lo, rows.hi), (cols.lo, cols.hi)),
        lhs_dilation=(rows.input_dilation, cols.input_dilation),
        rhs_dilation=(rows.dilation, cols.dilation),
        dimension_numbers=axes,
        feature_group_count=groups,
        batch_group_count=groups_of_images,
    )


def _crop_low(x: Array, window: Window, axis: int) -> tuple[Array, Window]:
    """The same windows over x without the elements that negative padding crops off its low side.

    Only where the high side is padded: for float32 the XLA:CPU of jax 0.10.2 then reads memory beyond the image, and
    the result is wrong by anything. Gradients need such windows too, where an image is padded by more than a kernel.
    """
    if not (-window.size < window.lo < 0 < window.hi and window.input_dilation == 1):
        return x, window
    x = lax.slice_in_dim(x, -window.lo, window.size, axis=axis)
    return x, replace(window, size=window.size + window.lo, lo=0)


def adjoint_kernel(w: Array, groups: int) -> Array:
    """[KH, KW, C // G, K] -> [KH, KW, K // G, C]: rotated by 180°, inputs and outputs swapped within each group."""
    kh, kw, c, k = w.shape
    w = lax.rev(w, (0, 1)).reshape(kh, kw, c, groups, k // groups)
    return w.transpose(0, 1, 4, 3, 2).reshape(kh, kw, k // groups, groups * c)


def input_gradient(g: Array, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """dL/dx[n,h,v,c] = Σ_{k,i,j} w[i,j,c,k] · g[n,p,q,k] over all (p,i), (q,j) whose tap is (h,v).

    That is g, dilated by the stride, correlated with the kernel rotated and its channels swapped.
    """
    return correlate(g, adjoint_kernel(w, groups), rows=rows.input_gradient, cols=cols.input_gradient, groups=groups)


def input_gradient_permuted(g: Array, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """The same; where there are no groups, the dimension numbers say which axes change places."""
    if groups > 1:
        return input_gradient(g, w, rows=rows, cols=cols, groups=groups)
    places = dict(rows=rows.input_gradient, cols=cols.input_gradient, groups=1)
    return correlate(g, lax.rev(w, (0, 1)), **places, axes=("NHWC", "HWOI", "NHWC"))


def _channels_as_images(x: Array, groups: int) -> Array:
    """[N, H, W, C] -> [C // G, H, W, G·N]: each channel of a group becomes an image with N channels."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, groups, channels // groups).transpose(4, 1, 2, 3, 0)
    return x.reshape(channels // groups, height, width, groups * n)


def kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """dL/dw[i,j,c,k] = Σ_{n,p,q} g[n,p,q,k] · x̃[n, p·s + i·d − lo, q·s + j·d − lo, c].

    The sum over n is a sum over input channels once N and C change places, and g is the kernel.
    """
    places = dict(rows=rows.kernel_gradient, cols=cols.kernel_gradient, groups=groups)
    return correlate(_channels_as_images(x, groups), g.transpose(1, 2, 0, 3), **places).transpose(1, 2, 0, 3)


def kernel_gradient_permuted(x: Array, g: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """The same; the dimension numbers say which axes change places, and groups of channels are groups of images."""
    places = dict(rows=rows.kernel_gradient, cols=cols.kernel_gradient, groups=1)
    return correlate(x, g, **places, axes=("CHWN", "IHWO", "HWNC"), groups_of_images=groups)


# XLA:CPU would fold an explicit exchange of axes back into the dimension numbers, and then has no fast convolution for
# them: outside loops it is several times slower, inside a loop up to 75 times (docs/speed.md). A barrier keeps the
# canonical operands canonical.


def behind_barrier(x: Array, w: Array, **settings) -> Array:
    """`correlate` of operands that nothing is folded into."""
    return correlate(*lax.optimization_barrier((x, w)), **settings)


def input_gradient_behind_barrier(g: Array, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """`input_gradient` with the exchanged kernel materialised."""
    places = dict(rows=rows.input_gradient, cols=cols.input_gradient, groups=groups)
    return behind_barrier(g, adjoint_kernel(w, groups), **places)


def kernel_gradient_behind_barrier(x: Array, g: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """`kernel_gradient` with both exchanged operands materialised."""
    places = dict(rows=rows.kernel_gradient, cols=cols.kernel_gradient, groups=groups)
    dw = behind_barrier(_channels_as_images(x, groups), g.transpose(1, 2, 0, 3), **places)
    return dw.transpose(1, 2, 0, 3)


# XLA:CPU gives most convolutions of float32 to YNNPACK. In jax 0.10.2 and with AVX2 that is half as fast below 128
# channels as the older way, patches packed for Eigen's matrix product, which is left to what YNNPACK does not know.
# Dilated images are such a case, and dilation is free where every length of the window is dilated with them; one axis
# is enough (docs/speed.md).


def dilated(window: Window) -> Window:
    """The same windows over an image with a zero between any two elements, none of which is read."""
    doubled = dict(stride=2 * window.stride, dilation=2 * window.dilation, input_dilation=2 * window.input_dilation)
    return replace(window, lo=2 * window.lo, hi=2 * window.hi, **doubled)


def by_eigen(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """`behind_barrier` of one group, by Eigen's matrix product."""
    x, cols = _crop_low(x, cols, 2)  # which looks at undilated windows only
    return behind_barrier(x, w, rows=rows, cols=dilated(cols), groups=1)


def images_at_once(n: int, rows: Window, cols: Window, c: int, k: int) -> int:
    """Of n images, how many `kernel_gradient_by_eigen` takes together: a divisor up to half, as BUDGET allows."""
    per_image = rows.size * cols.size * c + rows.output * cols.output * k
    return chunk_size(n, per_image, min(BUDGET, n * per_image // 2))


def kernel_gradient_by_eigen(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """`kernel_gradient_behind_barrier` of one group, by Eigen's matrix product, chunk by chunk.

    At least two chunks, but for a single image: into the exchange of axes of a whole batch XLA:CPU fuses whatever made
    x, element by element in the order of the exchanged axes, which takes longer than the convolution. What goes into a
    loop is made before.
    """
    places = dict(rows=rows.kernel_gradient, cols=cols.kernel_gradient)

    def images(x: Array, g: Array) -> list[Array]:
        return [by_eigen(_channels_as_images(x, 1), g.transpose(1, 2, 0, 3), **places)]

    size = images_at_once(x.shape[0], rows, cols, x.shape[3], g.shape[3])
    (dw,) = sum_chunks(images, x, g, size)
    return dw.transpose(1, 2, 0, 3).astype(x.dtype)
