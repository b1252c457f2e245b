"""Pooling: the largest, the sum or the mean of each window, with hand-derived gradients."""

from __future__ import annotations

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.ops.checks import check_array
from convnet.ops.dense import collect_forward, collect_p
from convnet.ops.formulations.chunks import chunk_size
from convnet.ops.primitive import each_image, folded, left_to_compiler, primitive, transpose_linear, transpose_routed
from convnet.ops.taps import padded, tap, taps, untap
from convnet.ops.window import Padding, Pair, Window, windows


def _pool_windows(x: Array, window: Pair, stride: Pair | None, padding: Padding, *, floating: bool = True):
    check_array("x", x, "N H W C", floating=floating)
    if not (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer)):
        raise ValueError(f"x has dtype {x.dtype}: expected a real dtype")
    rows, cols = windows(x.shape[1:3], window, stride=window if stride is None else stride, padding=padding)
    if not (rows.real.any(1).all() and cols.real.any(1).all()):
        raise ValueError(f"padding is {padding!r}: a window of {window!r} would lie wholly in padding")
    return rows, cols


BUDGET = 2**20
"""So many values of a gradient at once, where it is computed in chunks of images: 4 MB of float32."""


# --- sums and means ---------------------------------------------------------------------------------------------------


def sum_windows_forward(x: Array, *, rows: Window, cols: Window) -> Array:
    """y[p] = Σ_i x̃[p·s + i·d − lo] per channel: the correlation with a kernel of ones."""
    margins = [(w.lo, w.hi, w.input_dilation - 1) for w in (rows, cols)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *margins, (0, 0, 0)])
    return lax.reduce_window(
        x,
        np.zeros((), x.dtype),  # a constant of NumPy: under jit JAX recognises the sum, and can differentiate it, by it
        lax.add,
        window_dimensions=(1, rows.kernel, cols.kernel, 1),
        window_strides=(1, rows.stride, cols.stride, 1),
        window_dilation=(1, rows.dilation, cols.dilation, 1),
        padding="VALID",
    )


sum_windows_p = primitive(
    "sum_windows",
    sum_windows_forward,
    settings=("rows", "cols"),
    batch=folded(lambda: sum_windows_p),
    division=each_image(),
)
transpose_linear(
    sum_windows_p,
    lambda g, *, rows, cols: sum_windows_p.bind(g, rows=rows.input_gradient, cols=cols.input_gradient),
)


def sum_pool(x: Array, window: Pair, *, stride: Pair | None = None, padding: Padding = "VALID") -> Array:
    """Sum of each window; padding counts 0.

    x: [N, H, W, C] -> [N, OH, OW, C] of the same floating dtype; stride None means the window.

    Gradient: y[p] = Σ_{h ∈ p} x[h], so dL/dx[h] = Σ_{p ∋ h} g[p], which is sum-pooling of g dilated by the stride.
    Linear: every transform, any order.

    Raises ValueError for a window or stride below 1, an unknown padding, a window wholly in padding, an empty output.
    """
    rows, cols = _pool_windows(x, window, stride, padding)
    return sum_windows_p.bind(x, rows=rows, cols=cols)


def sum_pool_forward(x, window, *, stride=None, padding="VALID") -> Array:
    """`sum_pool` without our gradient."""
    rows, cols = _pool_windows(x, window, stride, padding)
    return sum_windows_forward(x, rows=rows, cols=cols)


sum_pool.forward = sum_pool_forward


def _window_counts(rows: Window, cols: Window, count_include_pad: bool) -> np.ndarray:
    """D_p, the number of elements that window p averages over: [OH, OW, 1]."""
    if count_include_pad:
        return np.full((rows.output, cols.output, 1), rows.kernel * cols.kernel)
    return np.outer(rows.real.sum(1), cols.real.sum(1))[:, :, None]


def _avg_pool(sum_windows, x, window, stride, padding, count_include_pad) -> Array:
    rows, cols = _pool_windows(x, window, stride, padding)
    weights = jnp.asarray(1 / _window_counts(rows, cols, count_include_pad), x.dtype)
    return sum_windows(x, rows=rows, cols=cols) * weights[None]


def avg_pool(
    x: Array, window: Pair, *, stride: Pair | None = None, padding: Padding = "VALID", count_include_pad: bool = True
) -> Array:
    """Mean of each window, over all of its elements or (count_include_pad=False) over those that are not padding.

    x: [N, H, W, C] -> [N, OH, OW, C] of the same floating dtype; stride None means the window.

    Gradient: y[p] = Σ_{h ∈ p} x[h] / D_p with D_p the number of elements counted, so dL/dx[h] = Σ_{p ∋ h} g[p] / D_p.
    Linear: every transform, any order.

    Raises ValueError as sum_pool does.
    """
    return _avg_pool(sum_windows_p.bind, x, window, stride, padding, count_include_pad)


def avg_pool_forward(x, window, *, stride=None, padding="VALID", count_include_pad=True) -> Array:
    """`avg_pool` without our gradient."""
    return _avg_pool(sum_windows_forward, x, window, stride, padding, count_include_pad)


avg_pool.forward = avg_pool_forward


def _global_avg_pool(collect, x) -> Array:
    check_array("x", x, "N H W C")
    if 0 in x.shape[1:3]:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected at least one pixel to average")
    return collect(x, middle=tuple(x.shape[1:3])) / prod(x.shape[1:3])


def global_avg_pool(x: Array) -> Array:
    """Mean over all pixels. x: [N, H, W, C] -> [N, C] of the same floating dtype.

    Gradient: dL/dx[n,h,w,c] = g[n,c] / (H·W), the same at every pixel. Linear: every transform, any order.

    Raises ValueError for another rank and for images without pixels.
    """
    return _global_avg_pool(collect_p.bind, x)


def global_avg_pool_forward(x) -> Array:
    """`global_avg_pool` without our gradient."""
    return _global_avg_pool(collect_forward, x)


global_avg_pool.forward = global_avg_pool_forward


# --- maxima -----------------------------------------------------------------------------------------------------------


def _are_apart(rows: Window, cols: Window) -> bool:
    """Whether no pixel lies in two windows."""
    return all(w.kernel <= w.stride for w in (rows, cols))


@partial(
    jax.jit, static_argnames=("rows", "cols"), inline=True
)  # as one function: its −∞ is none of `jax.debug_infs`' business
def max_and_winner(x: Array, rows: Window, cols: Window) -> tuple[Array, Array]:
    """The largest value of each window and the tap that holds it, the first in row-major order among equals.

    A winner and its value go on together. Looking for the tap whose value equals the maximum would need the maximum to
    be the very number that is looked for, and a compiler may compute x once for each, rounded differently.
    """
    lowest = jnp.array(-np.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min, x.dtype)
    x = padded(x, rows, cols, lowest)
    dtype = jnp.uint8 if rows.kernel * cols.kernel <= 256 else jnp.int32
    found = [(tap(x, rows, cols, i, j), jnp.asarray(t, dtype)) for t, (i, j) in enumerate(taps(rows, cols))]
    # No number is smaller than padding, so padding can win only where it comes first: there stands the first real tap.
    first = found[0][0]
    found[0] = (first, jnp.broadcast_to(jnp.asarray(_first_real_tap(rows, cols), dtype), first.shape))
    while len(found) > 1:  # neighbours against each other, which keeps chains short
        found = [_larger(*found[i : i + 2]) for i in range(0, len(found), 2)]
    return found[0]


def _larger(a: tuple[Array, Array], b: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """Of two values with their taps the larger one; a, if they are equal or there is no other."""
    return a if b is None else (lax.max(a[0], b[0]), jnp.where(b[0] > a[0], b[1], a[1]))


def _first_real_tap(rows: Window, cols: Window) -> np.ndarray:
    """The first tap of each window that is not padding: [OH, OW, 1]."""
    return (rows.real.argmax(1)[:, None] * cols.kernel + cols.real.argmax(1))[:, :, None]


def _max_and_winner(x: Array, rows: Window, cols: Window) -> tuple[Array, Array]:
    return left_to_compiler(partial(max_and_winner, rows=rows, cols=cols), each_image())(x)


def take_winners_forward(x: Array, winner: Array, *, rows: Window, cols: Window) -> Array:
    """y[p] = x[winner(p)]: [N, H, W, C] -> [N, OH, OW, C]."""
    x, zero = padded(x, rows, cols), jnp.zeros((), x.dtype)
    values = (tap(x, rows, cols, i, j) for i, j in taps(rows, cols))
    return sum(jnp.where(winner == t, value, zero) for t, value in enumerate(values))


def give_winners_forward(g: Array, winner: Array, *, rows: Window, cols: Window) -> Array:
    """dx[h] = Σ_{p : winner(p) = h} g[p], the adjoint of `take_winners`: [N, OH, OW, C] -> [N, H, W, C]."""
    zero = jnp.zeros((), g.dtype)
    if _are_apart(rows, cols):
        return _give_to_own(g, winner, rows, cols)
    shares = (jnp.where(winner == t, g, zero) for t in range(rows.kernel * cols.kernel))
    return sum(untap(share, rows, cols, i, j) for share, (i, j) in zip(shares, taps(rows, cols), strict=True))


def _give_to_own(g: Array, winner: Array, rows: Window, cols: Window) -> Array:
    """The same of windows apart: each pixel compares itself with its window's winner, and no copies are added up."""
    zero = jnp.zeros((), g.dtype)
    own = jnp.arange(rows.kernel * cols.kernel, dtype=winner.dtype).reshape(1, 1, rows.kernel, 1, cols.kernel, 1)
    wins = winner[:, :, None, :, None, :] == own
    pixels = jnp.where(wins, g[:, :, None, :, None, :], zero)  # [N, OH, KH, OW, KW, C]
    gaps = [(0, w.stride - w.kernel, 0) for w in (rows, cols)]  # what lies between a window and the next
    none = (0, 0, 0)
    pixels = lax.pad(pixels, zero, [none, none, gaps[0], none, gaps[1], none])
    pixels = pixels.reshape(g.shape[0], rows.output * rows.stride, cols.output * cols.stride, g.shape[3])
    margins = [(-w.lo, w.size + w.lo - w.output * w.stride, 0) for w in (rows, cols)]
    return lax.pad(pixels, zero, [none, *margins, none])


def give_winners_in_chunks(g: Array, winner: Array, *, rows: Window, cols: Window) -> Array:
    """The same for CPUs. Windows that overlap are worked off in chunks of images, one chunk after the other.

    In one piece XLA computes the winner where it is used, which is as often as a pixel has windows; nothing but a loop
    keeps it from that on CPUs, which know no barrier (docs/speed.md).
    """
    n, per_image = g.shape[0], rows.size * cols.size * g.shape[3]
    if _are_apart(rows, cols) or not isinstance(n, int) or not isinstance(per_image, int):  # `jax.export` has symbols
        return give_winners_forward(g, winner, rows=rows, cols=cols)
    size = chunk_size(n, per_image, min(BUDGET, n * per_image // 2))
    chunks = tuple(x.reshape(n // size, size, *x.shape[1:]) for x in (g, winner))
    dx = lax.map(lambda chunk: give_winners_forward(*chunk, rows=rows, cols=cols), chunks)
    return dx.reshape(n, *dx.shape[2:])


take_winners_p = primitive(
    "take_winners",
    take_winners_forward,
    settings=("rows", "cols"),
    batch=folded(lambda: take_winners_p),
    division=each_image(2),
)
give_winners_p = primitive(
    "give_winners",
    give_winners_forward,
    settings=("rows", "cols"),
    batch=folded(lambda: give_winners_p),
    division=each_image(2),
    lowerings={"cpu": give_winners_in_chunks},
)
transpose_routed(take_winners_p, give_winners_p.bind)
transpose_routed(give_winners_p, take_winners_p.bind)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _max_pool(x: Array, rows: Window, cols: Window) -> Array:
    return _max_and_winner(x, rows, cols)[0]


@_max_pool.defjvp
def _max_pool_jvp(rows, cols, primals, tangents):
    (x,), (dx,) = primals, tangents
    y, winner = _max_and_winner(x, rows, cols)
    return y, take_winners_p.bind(dx, winner, rows=rows, cols=cols)


def max_pool(x: Array, window: Pair, *, stride: Pair | None = None, padding: Padding = "VALID") -> Array:
    """Largest value of each window.

    x: [N, H, W, C] of any real dtype -> [N, OH, OW, C] of the same; stride None means the window.
    Padding is −∞ and never wins; of equal values the first in row-major order wins.

    Gradient: y[p] = x[winner(p)], so dL/dx[h] = Σ_{p : winner(p) = h} g[p]: overlapping windows add up. For given
    winners that is linear, hence every transform and any order; the winners themselves are piecewise constant.

    Raises ValueError for a window or stride below 1, or lying wholly in padding, an unknown padding, an empty output.
    """
    rows, cols = _pool_windows(x, window, stride, padding, floating=False)
    return _max_pool(x, rows, cols)


def max_pool_forward(x, window, *, stride=None, padding="VALID") -> Array:
    """`max_pool` without our gradient: autodiff of `lax.reduce_window`, which also lets the first of equals win."""
    rows, cols = _pool_windows(x, window, stride, padding, floating=False)
    lowest = np.array(-np.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min, x.dtype)
    # Cropped beforehand: JAX cannot transpose a maximum over windows with negative padding.
    x = lax.pad(x, lowest, [(0, 0, 0), *((min(w.lo, 0), min(w.hi, 0), 0) for w in (rows, cols)), (0, 0, 0)])
    return lax.reduce_window(
        x,
        lowest,
        lax.max,
        window_dimensions=(1, rows.kernel, cols.kernel, 1),
        window_strides=(1, rows.stride, cols.stride, 1),
        padding=((0, 0), *((max(w.lo, 0), max(w.hi, 0)) for w in (rows, cols)), (0, 0)),
    )


max_pool.forward = max_pool_forward
