"""Convolutions as matrix products and as sums over taps: what a CPU does faster than its general convolution."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import jax.numpy as jnp
from jax import Array

from convnet.ops.formulations.chunks import chunk_size, map_chunks, sum_chunks, wide
from convnet.ops.formulations.direct import adjoint_kernel
from convnet.ops.taps import interleaved, padded, tap, taps, untap
from convnet.ops.window import Window

BUDGET = 2**19
"""Values of a chunk's patches: 2 MiB of float32, which measured best with 512 KiB of L2 cache per core."""

SHARES = 2**22
"""Values of all taps' shares of dL/dx: 16 MiB of float32."""
TERMS = 144
"""Products of images that are added up at once, written out one by one: 16 images for 3×3 taps."""


# --- products at every place, and sums over taps ----------------------------------------------------------------------


def one_tap(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [1, 1, C, K] -> [N, OH, OW, K]: a product at every place."""
    return tap(padded(x, rows, cols), rows, cols, 0, 0) @ w[0, 0]


def one_tap_input_gradient(g: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """g: [N, OH, OW, K], w: [1, 1, C, K] -> [N, H, W, C]: a product at every place, put where x was read."""
    return untap(g @ w[0, 0].T, rows, cols, 0, 0)


def tap_sums(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [KH, KW, C, K] -> [N, OH, OW, K], elementwise over images, places and filters.

    For so few channels that a matrix product spends its time on gathering the patches.
    """
    x = padded(x, rows, cols)
    terms = (
        tap(x, rows, cols, i, j)[..., c, None].astype(wide(x.dtype)) * w[i, j, None, None, c : c + 1]
        for i, j in taps(rows, cols)
        for c in range(x.shape[3])
    )
    return sum(terms).astype(x.dtype)


def patches(x: Array, rows: Window, cols: Window) -> Array:
    """All taps of each window side by side (im2col): [N, H, W, C] -> [N, OH, OW, KH·KW·C]."""
    x = padded(x, rows, cols)
    return jnp.concatenate([tap(x, rows, cols, i, j) for i, j in taps(rows, cols)], axis=3)


# --- products of all patches of a batch at once, for accelerators ----------------------------------------------------


def patches_correlate(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [KH, KW, C, K] -> [N, OH, OW, K]: the patches of x times w."""
    return patches(x, rows, cols) @ w.reshape(-1, w.shape[3])


def shares_input_gradient(g: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """g: [N, OH, OW, K], w: [KH, KW, C, K] -> [N, H, W, C]: g times wᵀ, and each tap's share put back (col2im)."""
    shares = jnp.matmul(g, w.reshape(-1, w.shape[3]).T, preferred_element_type=wide(g.dtype))
    shares = shares.reshape(*g.shape[:3], *w.shape[:3])
    return sum(untap(shares[..., i, j, :], rows, cols, i, j) for i, j in taps(rows, cols)).astype(g.dtype)


def whole_patches_kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, K] -> [KH, KW, C, K]: the patches of x, transposed, times g."""
    dw = jnp.einsum("npqm,npqk->mk", patches(x, rows, cols), g)
    return dw.reshape(rows.kernel, cols.kernel, x.shape[3], g.shape[3])


# --- one channel per group: sums over taps, elementwise --------------------------------------------------------------


def depthwise(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [KH, KW, 1, C·m] -> [N, OH, OW, C·m]."""
    x = padded(jnp.repeat(x, w.shape[3] // x.shape[3], axis=3), rows, cols)
    y = sum(tap(x, rows, cols, i, j).astype(wide(x.dtype)) * w[i, j, None, None] for i, j in taps(rows, cols))
    return y.astype(x.dtype)


def depthwise_input_gradient(g: Array, w: Array, *, rows: Window, cols: Window, groups: int) -> Array:
    """g: [N, OH, OW, C·m], w: [KH, KW, 1, C·m] -> [N, H, W, C], with C groups."""
    dx = sum(untap(g.astype(wide(g.dtype)) * w[i, j, None, None], rows, cols, i, j) for i, j in taps(rows, cols))
    return dx.reshape(*dx.shape[:3], groups, -1).sum(4).astype(g.dtype)


def depthwise_kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, C·m] -> [KH, KW, 1, C·m].

    Images are added up place by place, which XLA:CPU vectorises as it does not vectorise sums down to a vector; those
    are left for the end, when one image remains for each tap.
    """
    repeats = g.shape[3] // x.shape[3]
    at_once = max(1, TERMS // (rows.kernel * cols.kernel))

    def images(x: Array, g: Array) -> list[Array]:
        x = padded(jnp.repeat(x, repeats, axis=3), rows, cols)
        return [sum(map(jnp.multiply, tap(x, rows, cols, i, j), g)) for i, j in taps(rows, cols)]

    dw = sum_chunks(images, x, g, chunk_size(x.shape[0], 1, at_once))
    dw = jnp.stack([jnp.sum(places, (0, 1)) for places in dw])
    return dw.reshape(rows.kernel, cols.kernel, 1, g.shape[3]).astype(x.dtype)


# --- dL/dw: one product of all patches, or one product per tap -------------------------------------------------------


def patches_kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, K] -> [KH, KW, C, K]: gᵀ times the patches of x (im2col), chunk by chunk."""
    (n, _, _, c), k = x.shape, g.shape[3]
    length = rows.kernel * cols.kernel * c

    def images(x: Array, g: Array) -> list[Array]:
        return [g.reshape(-1, k).T @ patches(x, rows, cols).reshape(-1, length)]

    (dw,) = sum_chunks(images, x, g, chunk_size(n, rows.output * cols.output * (length + k), BUDGET))
    return dw.T.reshape(rows.kernel, cols.kernel, c, k).astype(x.dtype)


def taps_kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """The same with one product per tap: no patches, so nothing larger than the images."""
    (n, _, _, c), k = x.shape, g.shape[3]

    def images(x: Array, g: Array) -> list[Array]:
        x, g = padded(x, rows, cols), g.reshape(-1, k)
        return [tap(x, rows, cols, i, j).reshape(-1, c).T @ g for i, j in taps(rows, cols)]

    dw = sum_chunks(images, x, g, chunk_size(n, rows.output * cols.output * (c + k), BUDGET))
    return jnp.stack(dw).reshape(rows.kernel, cols.kernel, c, k).astype(x.dtype)


# --- dL/dx of few channels: one product, whose rows are added up where they belong -----------------------------------


def col2im_input_gradient(g: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """g: [N, OH, OW, K], w: [KH, KW, C, K] -> [N, H, W, C]: w times gᵀ, and each tap's share put back (col2im).

    Each tap of each channel is a plane of its own, so that what is added up lies side by side in memory.
    """
    (_, oh, ow, k), c = g.shape, w.shape[2]

    def images(g: Array) -> Array:
        n = g.shape[0]
        shares = jnp.einsum("tk,mk->tm", w.reshape(-1, k).astype(g.dtype), g.reshape(-1, k))
        shares = shares.reshape(rows.kernel, cols.kernel, c * n, oh, ow, 1)
        dx = sum(untap(shares[i, j], rows, cols, i, j) for i, j in taps(rows, cols))
        return jnp.moveaxis(dx.reshape(c, n, rows.size, cols.size), 0, 3)

    size = chunk_size(g.shape[0], oh * ow * rows.kernel * cols.kernel * c, SHARES)
    if size < g.shape[0]:
        return map_chunks(images, g, size)
    return images(g.astype(wide(g.dtype))).astype(g.dtype)  # in a loop it would run on one core


# --- dL/dx of a strided convolution: one small convolution per phase -------------------------------------------------


def phases(g: Array, w: Array, *, rows: Window, cols: Window, correlate: Callable[..., Array]) -> Array:
    """g: [N, OH, OW, K], w: [KH, KW, C, K], dilation 1 -> [N, H, W, C], by `correlate`.

    With stride s every s-th element of x is reached by every s-th tap and by no others. Each phase is a convolution of
    stride 1 with those taps alone, and no product has a factor that only dilation put there.
    """
    found = {}
    for (row, (i, rows_read)), (col, (j, cols_read)) in product(rows.phases.items(), cols.phases.items()):
        kernel = adjoint_kernel(w[i :: rows.stride, j :: cols.stride], 1)
        found[row, col] = correlate(g, kernel, rows=rows_read, cols=cols_read)
    nothing = jnp.zeros_like(next(iter(found.values())))
    dx = interleaved([[found.get((row, col), nothing) for col in range(cols.stride)] for row in range(rows.stride)])
    return dx[:, : rows.size, : cols.size]
