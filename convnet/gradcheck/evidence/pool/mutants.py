"""Wrong gradients of pooling. The rules are written over patches: what every window reads, tap by tap."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.gradcheck.evidence.case import Case, gaussian, separated
from convnet.gradcheck.evidence.planting import (
    Mutant,
    corrupted,
    corrupted_under_vmap,
    corrupted_when_compiled,
    scaled,
    with_rule,
    without,
)
from convnet.ops import HAND
from convnet.ops.window import Window, windows


def pool_case(name: str, x: tuple, *, op: str = "max_pool", draw: Callable = separated, **settings) -> Case:
    window = settings.get("window", 1)
    return Case(op, name, lambda rng: (draw(rng, x),), settings, int(np.prod(window if window != 1 else x[1:3])) ** 2)


def tied(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values of which many are equal."""
    return rng.integers(0, 3, shape).astype(np.float64)


def nearly_tied(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values that differ by 1e-10 or more, so that float32 cannot tell them apart."""
    return 1 + 1e-10 * rng.permutation(int(np.prod(shape))).reshape(shape)


def rising(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The last value of every window is its largest."""
    return np.arange(np.prod(shape)).reshape(shape) + 0.4 * rng.random(shape)


OVERLAPPING = pool_case("3 × 3, stride 2, padding 1", (2, 7, 7, 2), window=3, stride=2, padding=1)
TILING = pool_case("2 × 2", (2, 6, 6, 2), window=2)
TIES = pool_case("ties", (2, 6, 6, 2), draw=tied, window=2)
NEAR_TIES = pool_case("near ties", (2, 6, 6, 2), draw=nearly_tied, window=2)
OBLONG = pool_case("2 × 3 windows", (2, 6, 6, 2), window=(2, 3))
MANY_TAPS = pool_case("5 × 5 windows", (1, 6, 6, 1), draw=rising, window=5, stride=1)
EXCLUDED = pool_case(
    "padding not counted", (2, 7, 7, 2), op="avg_pool", draw=gaussian, window=3, stride=2, padding=1,
    count_include_pad=False,
)  # fmt: skip
INCLUDED = pool_case("padding counted", (2, 7, 7, 2), op="avg_pool", draw=gaussian, window=3, stride=2, padding=1)
UNPADDED = pool_case("no padding", (2, 6, 6, 2), op="avg_pool", draw=gaussian, window=2, count_include_pad=False)
EVEN_WINDOW = pool_case("2 × 2, SAME", (2, 5, 6, 2), op="sum_pool", draw=gaussian, window=2, stride=1, padding="SAME")
TALL = pool_case("not square", (2, 3, 5, 2), op="global_avg_pool", draw=gaussian)
SQUARE = pool_case("square", (2, 4, 4, 2), op="global_avg_pool", draw=gaussian)


def geometry(x: Array, window, stride, padding) -> tuple[Window, Window]:
    return windows(x.shape[1:3], window, stride=window if stride is None else stride, padding=padding)


def reads(window: Window) -> np.ndarray:
    """Whether tap i of window p reads element h, which padding is not: [output, kernel, size]."""
    return window.positions[:, :, None] == np.arange(window.size)


def patches(x: Array, rows: Window, cols: Window) -> Array:
    """What every window reads at every tap, 0 from padding: [N, H, W, C] -> [KH·KW, N, OH, OW, C]."""
    places = jnp.asarray(reads(rows), x.dtype), jnp.asarray(reads(cols), x.dtype)
    read = jnp.einsum("oih,pjw,nhwc->ijnopc", *places, x)
    return read.reshape(-1, *read.shape[2:])


def put_back(values: Array, rows: Window, cols: Window) -> Array:
    """The adjoint of `patches`."""
    places = jnp.asarray(reads(rows), values.dtype), jnp.asarray(reads(cols), values.dtype)
    values = values.reshape(rows.kernel, cols.kernel, *values.shape[1:])
    return jnp.einsum("oih,pjw,ijnopc->nhwc", *places, values)


def inside(rows: Window, cols: Window) -> Array:
    """Where `patches` are not padding: [KH·KW, 1, OH, OW, 1]."""
    real = np.einsum("oi,pj->ijop", rows.real, cols.real)
    return jnp.asarray(real.reshape(-1, 1, rows.output, cols.output, 1))


def winners(x: Array, rows: Window, cols: Window) -> tuple[Array, Array]:
    """(largest value, its tap, the first among equals) of every window."""
    read = patches(x, rows, cols)
    read = jnp.where(inside(rows, cols), read, jnp.full_like(read, -jnp.inf))
    return jnp.max(read, axis=0), jnp.argmax(read, axis=0)


def at_winners(g: Array, winner: Array, rows: Window, cols: Window) -> Array:
    """g where a tap is the winner, else 0: [KH·KW, N, OH, OW, C]."""
    taps = jnp.arange(rows.kernel * cols.kernel).reshape(-1, 1, 1, 1, 1)
    return jnp.where(winner[None] == taps, g[None], jnp.zeros((1,) * 5, g.dtype))


def given(g: Array, winner: Array, rows: Window, cols: Window) -> Array:
    """Σ g[p] over the windows whose winner is tap `winner`: the right rule of max pooling."""
    return put_back(at_winners(g, winner, rows, cols), rows, cols)


def last_windows_last(values: Array) -> Iterable[int]:
    """The taps from the last to the first: an element is read by a later window at an earlier tap, so of all windows
    that read it the last one comes last."""
    return reversed(range(len(values)))


def assigned(g, x, rows, cols):
    """dx[winner] = g for dx[winner] += g, window after window: the last one stays."""
    _, winner = winners(x, rows, cols)
    won = at_winners(jnp.ones_like(g), winner, rows, cols)
    dx = jnp.zeros_like(x)
    for t in last_windows_last(won):
        mine = jnp.arange(len(won)).reshape(-1, 1, 1, 1, 1) == t
        share = put_back(jnp.where(mine, won * g[None], jnp.zeros_like(won)), rows, cols)
        dx = jnp.where(put_back(jnp.where(mine, won, jnp.zeros_like(won)), rows, cols) > 0, share, dx)
    return dx


def last_gate(g, x, rows, cols):
    """Whether an element won is written down once per element, by the last window that reads it, and then holds for
    all of them."""
    y, _ = winners(x, rows, cols)
    everywhere = jnp.ones((rows.kernel * cols.kernel, *g.shape), g.dtype)
    gate = jnp.zeros(x.shape, bool)
    for t in last_windows_last(everywhere):
        mine = jnp.arange(len(everywhere)).reshape(-1, 1, 1, 1, 1) == t
        read = put_back(jnp.where(mine, everywhere, 0 * everywhere), rows, cols) > 0
        largest = put_back(jnp.where(mine, everywhere * y[None], 0 * everywhere), rows, cols)
        gate = jnp.where(read, largest == x, gate)
    return jnp.where(gate, put_back(everywhere * g[None], rows, cols), jnp.zeros_like(x))


def is_largest(x: Array, rows: Window, cols: Window) -> Array:
    """Whether a tap is equal to the maximum: bool [KH·KW, N, OH, OW, C]."""
    return (patches(x, rows, cols) == winners(x, rows, cols)[0][None]) & inside(rows, cols)


def all_ties(g, x, rows, cols):
    """Every element that is equal to the maximum gets all of g."""
    return put_back(is_largest(x, rows, cols) * g[None], rows, cols)


def shared_ties(g, x, rows, cols):
    """Elements that are equal to the maximum share g: a subgradient, but not the one declared."""
    largest = is_largest(x, rows, cols)
    return put_back(largest * (g / largest.sum(0).astype(g.dtype))[None], rows, cols)


def last_tie(g, x, rows, cols):
    """Of equal elements the last wins: a subgradient, but not the one declared."""
    largest = is_largest(x, rows, cols)
    return given(g, len(largest) - 1 - jnp.argmax(largest[::-1], axis=0), rows, cols)


def oblong_index(g, x, rows, cols):
    """The winner's number is divided by the height of the window, where it should be its width."""
    _, winner = winners(x, rows, cols)
    i, j = winner // rows.kernel, winner % rows.kernel
    return given(g, jnp.minimum(i, rows.kernel - 1) * cols.kernel + jnp.minimum(j, cols.kernel - 1), rows, cols)


def counted_from_the_border(g, x, rows, cols):
    """The winner's row counts from the first row inside the image: only windows in the padding notice."""
    _, winner = winners(x, rows, cols)
    lost = np.maximum(-rows.positions[:, 0], 0)[None, :, None, None]
    return given(g, jnp.maximum(winner - jnp.asarray(lost * cols.kernel, winner.dtype), 0), rows, cols)


def packed_index(g, x, rows, cols):
    """Winners are packed into four bits, also where windows have more than 16 taps."""
    return given(g, winners(x, rows, cols)[1] % 16, rows, cols)


def found_in_float32(g, x, rows, cols):
    return given(g, winners(x.astype(jnp.float32), rows, cols)[1], rows, cols)


def _max(name, defect, rule, *cases, source="invented", **fields) -> Mutant:
    def ruled(g, x, window, *, stride=None, padding="VALID"):
        return (rule(g, x, *geometry(x, window, stride, padding)),)

    def build():
        return with_rule(HAND.max_pool, ruled)

    return Mutant(f"max pool: {name}", "max_pool", build, defect, source, cases, **fields)


def spread_back(g: Array, rows: Window, cols: Window) -> Array:
    """Σ_{p ∋ h} g[p]: the right rule of sum pooling."""
    return put_back(jnp.broadcast_to(g, (rows.kernel * cols.kernel, *g.shape)), rows, cols)


def counts(rows: Window, cols: Window, dtype) -> Array:
    """The elements of each window that are not padding: [OH, OW, 1]."""
    return jnp.asarray(np.outer(rows.real.sum(1), cols.real.sum(1))[None, :, :, None], dtype)


def _avg(name, defect, divided, *cases, source="invented", **fields) -> Mutant:
    """`divided(g, rows, cols, count_include_pad)`: g over the number of elements of each window."""

    def rule(g, x, window, *, stride=None, padding="VALID", count_include_pad=True):
        rows, cols = geometry(x, window, stride, padding)
        return (spread_back(divided(g, rows, cols, count_include_pad), rows, cols),)

    def build():
        return with_rule(HAND.avg_pool, rule)

    return Mutant(f"avg pool: {name}", "avg_pool", build, defect, source, cases, **fields)


def by_full_window(g, rows, cols, include):
    return g / (rows.kernel * cols.kernel)


def by_real_pixels(g, rows, cols, include):
    return g / counts(rows, cols, g.dtype)


def by_height_squared(g, rows, cols, include):
    return g / rows.kernel**2 if include else by_real_pixels(g, rows, cols, include)


def _sum_exchanged(g, x, window, *, stride=None, padding="VALID"):
    rows, cols = geometry(x, window, stride, padding)
    turned = [Window(w.size, w.kernel, w.stride, w.dilation, 1, w.hi, w.lo) for w in (rows, cols)]
    return (spread_back(g, *turned),)


def _global(name, defect, rule, *cases, source="invented", **fields) -> Mutant:
    def build():
        return with_rule(HAND.global_avg_pool, lambda g, x: (jnp.broadcast_to(rule(g, x)[:, None, None], x.shape),))

    return Mutant(f"global avg pool: {name}", "global_avg_pool", build, defect, source, cases, **fields)


MUTANTS = (
    _max("= for +=", "of overlapping windows the last one stays", assigned, OVERLAPPING, source="FluxML/NNlib.jl 205"),
    _max("last gate", "the last window that reads an element decides for all", last_gate, OVERLAPPING,
         source="ahrefs/ocannl 512"),
    _max("all ties", "every element equal to the maximum gets the full g", all_ties, TIES, source="Theano/Theano 4568"),
    _max("shared ties", "equal elements share g, where the first was declared to win", shared_ties, TIES),
    _max("last tie", "the last of equal elements wins, where the first was declared to", last_tie, TIES),
    _max("oblong index", "the winner's row and column are found with the height for the width", oblong_index, OBLONG),
    _max("square index", "the same where windows are square", oblong_index, OVERLAPPING, equivalent=True),
    _max("padding", "windows that begin in the padding give to the wrong row", counted_from_the_border, OVERLAPPING),
    _max("packed index", "more than 16 winners are counted in four bits", packed_index, MANY_TAPS),
    _max("found in float32", "winners are looked for in float32", found_in_float32, NEAR_TIES),
    Mutant("max pool: first row", "max_pool", lambda: corrupted("max_pool", without(slice(None), 0)),
           "the first row gets none", cases=(OVERLAPPING,)),
    Mutant("max pool: vmap", "max_pool", lambda: corrupted_under_vmap("max_pool", lambda d: jnp.roll(d, 1, 0)),
           "the batching rule hands the images' gradients round", cases=(TILING,), shows="vmap"),
    _avg("constant window", "the full window divides, also where it hangs over the border", by_full_window, EXCLUDED,
         source="PaddlePaddle/Paddle pull 74077"),
    _avg("constant window, no padding", "the same without padding", by_full_window, UNPADDED, equivalent=True),
    _avg("real pixels only", "padding is not counted where it should be", by_real_pixels, INCLUDED),
    _avg("not divided", "the divisor is missing", lambda g, *_: g, INCLUDED),
    _avg("height squared", "the height of the window divides twice", by_height_squared,
         pool_case("2 × 3", (2, 6, 6, 2), op="avg_pool", draw=gaussian, window=(2, 3))),
    Mutant("avg pool: compiled", "avg_pool", lambda: corrupted_when_compiled("avg_pool", scaled(1.01)),
           "the compiled rule divides by a rounded number", cases=(INCLUDED,), shows="scan"),
    Mutant("sum pool: padding exchanged", "sum_pool", lambda: with_rule(HAND.sum_pool, _sum_exchanged),
           "the transposed window lies on the wrong side", cases=(EVEN_WINDOW,)),
    _global("not divided", "the constant is missing", lambda g, x: g, TALL, source="pytorch/pytorch pull 17180"),
    _global("height squared", "1/H² for 1/(H·W)", lambda g, x: g / x.shape[1] ** 2, TALL),
    _global("height squared, square", "the same for square images", lambda g, x: g / x.shape[1] ** 2, SQUARE,
            equivalent=True),
)  # fmt: skip
