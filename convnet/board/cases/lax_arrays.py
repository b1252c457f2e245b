"""`jax.lax`: windows, convolutions, reductions, gather and scatter, sorting, loops; and `jax.ops`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mpmath import mp, mpf

from convnet.board.case import Case, at, not_covered
from convnet.board.cases.numpy_arrays import SQUARES, sorted_real
from convnet.board.cases.numpy_reductions import POWERS, array_case, prod
from convnet.board.vectors import MATRIX, PAIRS, ROWS, VECTORS, rowwise, vector, with_each

TRIPLES = tuple(point for point in VECTORS if len(point.args[0]) == 3)
FEW = (*at("generic", vector(0.5, -1.25, 2.0, 1.5)), *at("tie", vector(1.0, 1.0, 2.0, 2.0)),
       *at("zero", vector(0.0, 0.0, -1.0, 2.0), vector(0.0, 0.0, 0.0, 0.0)))  # fmt: skip
LOGS = (
    *at("generic", vector(0.5, -1.25, 2.0)),
    *at("tie", vector(1.0, 1.0, 1.0)),
    *at("tail", vector(-1000.0, 0.0, 1000.0), vector(1000.0, 0.0, -1000.0), vector(-1e300, -1e300, 1.0)),
)
SIGNALS = (
    *at("generic", (vector(0.5, -1.25, 2.0, 1.5), vector(1.5, 0.75))),
    *at("zero", (vector(0.0, 0.0, 0.0, 0.0), vector(0.0, 1.0))),
)
WRITES = (
    *at("generic", (vector(0.5, -1.25, 2.0), vector(1.5, 0.75, -0.25))),
    *at("tie", (vector(1.0, 2.0, 1.0), vector(1.0, 2.0, 2.0))),
    *at("zero", (vector(0.5, 0.0, 2.0), vector(0.0, 3.0, 0.0)), (vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))),
)
"""An array, and what is combined into it at places 1, 1, 0."""
PLACES = (1, 1, 0)
BOTH = {"args": "x, y", "wrt": (0, 1)}
SEGMENTS = "x, np.array([1, 0, 1]), num_segments=3"
SCATTER = (
    "x, np.array([[1], [1], [0]]), y, jax.lax.ScatterDimensionNumbers(update_window_dims=(), "
    "inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))"
)
GATHER = (
    "x, np.array([[2], [0], [2]]), jax.lax.GatherDimensionNumbers(offset_dims=(), collapsed_slice_dims=(0,), "
    "start_index_map=(0,)), (1,)"
)
ONE_D = "dimension_numbers=('NHC', 'HIO', 'NHC')"
X, Y = "x[None, :, None]", "y[:, None, None]"
"""A signal and a kernel, of one channel."""


def correlated(x, y, stride=1, low=0, high=0, dilated=1, holes=1) -> np.ndarray:
    """Of x, with `dilated` − 1 zeros between entries and so many at the ends (or cropped), and y, with holes."""
    spread = np.array([mpf(0)] * (dilated * (len(x) - 1) + 1), object)
    spread[::dilated] = x
    padded = np.array([mpf(0)] * max(low, 0) + [*spread[max(-low, 0) :]] + [mpf(0)] * max(high, 0), object)
    padded = padded[: len(padded) + min(high, 0)]
    size = (len(padded) - holes * (len(y) - 1) - 1) // stride + 1
    return np.array([sum(padded[i * stride + holes * k] * y[k] for k in range(len(y))) for i in range(size)], object)


def windows(f: Callable[[np.ndarray], Any], start, size=2, stride=1, pad=0) -> Callable[[np.ndarray], np.ndarray]:
    """f of each window of a vector, padded with what changes nothing."""

    def of(x: np.ndarray) -> np.ndarray:
        full = [start] * pad + list(x) + [start] * pad
        return np.array([f(full[i : i + size]) for i in range(0, len(full) - size + 1, stride)], object)

    return of


def combined(f: Callable[[Any, Any], Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Each of y into x, at its place, by f."""

    def of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        result = x.copy()
        for place, value in zip(PLACES, y, strict=True):
            result[place] = f(result[place], value)
        return result

    return of


def running(f: Callable[[Any, Any], Any], reverse: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    def of(x: np.ndarray) -> np.ndarray:
        entries = list(x)[::-1] if reverse else list(x)
        found = entries[:1]
        for value in entries[1:]:
            found.append(f(found[-1], value))
        return np.array(found[::-1] if reverse else found, object)

    return of


def log_add(a, b):
    return max(a, b) + mp.log1p(mp.exp(-abs(a - b)))


def segments(f: Callable[[list], Any], empty: Any = None) -> Callable[[np.ndarray], np.ndarray]:
    """Of segments 0 and 1; the third has no entries, and is left out of the call unless it has a finite value."""
    groups = lambda x: [[x[1]], [x[0], x[2]]]  # noqa: E731
    return lambda x: np.array([f(group) for group in groups(x)] + ([] if empty is None else [mpf(empty)]), object)


def padded(x: np.ndarray, y) -> np.ndarray:
    """With one of y before, one between all, and the last entry gone."""
    return np.array([y, x[0], y, x[1], y], object)


def ragged(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[2, 2] and two matrices: the first row times the one, the second times the other."""
    return np.stack([x[0] @ y[0], x[1] @ y[1]])


def top(x: np.ndarray) -> np.ndarray:
    return sorted_real(x)[::-1][:2]


def moved(name: str, arguments: str, oracle: Callable, points=MATRIX, **options: Any) -> Case:
    return array_case(f"jax.lax.{name}", oracle, points, call=f"jax.lax.{name}({arguments})", **options)


def window(operation: str, start: str, f: Callable, first: Any, points=FEW, arguments: str = "(2,), (1,), 'VALID'",
           **options: Any) -> Case:  # fmt: skip
    call = "reduce_window", f"x, {start}, jax.lax.{operation}, {arguments}"
    return moved(*call, windows(f, first, **options), points)


def convolved(arguments: str, **options: Any) -> Case:
    return moved(
        "conv_general_dilated", f"{X}, {Y}, {arguments}, {ONE_D}", partial(correlated, **options), SIGNALS, **BOTH
    )


LEAST, MOST = mpf("-inf"), mpf("inf")
CASES: tuple[Case, ...] = (
    convolved("(1,), 'VALID'"),
    convolved("(2,), [(1, 1)]", stride=2, low=1, high=1),
    convolved("(1,), [(-1, 2)]", low=-1, high=2),
    convolved("(1,), [(1, 1)], lhs_dilation=(2,)", low=1, high=1, dilated=2),
    convolved("(1,), 'VALID', rhs_dilation=(2,)", holes=2),
    moved("conv", "x[None, None], y[None, None], (1,), 'VALID'", correlated, SIGNALS, **BOTH),
    moved("conv_with_general_padding", "x[None, None], y[None, None], (1,), [(1, 0)], (1,), (2,)",
          partial(correlated, low=1, holes=2), SIGNALS, **BOTH),
    moved("conv_transpose", f"{X}, {Y}, (2,), 'VALID', {ONE_D}", partial(correlated, low=1, high=1, dilated=2), SIGNALS,
          **BOTH),
    moved("conv_general_dilated_local", f"{X}, y[:, None, None] * jnp.ones((1, 2, 1)), (1,), 'VALID', (2,), "
          "dimension_numbers=('NHC', 'HIO', 'NHC')",
          lambda x, y: np.array([(x[i : i + 2] * y[i]).sum() for i in range(3)]),
          with_each(FEW[:1], vector(1.5, 0.75, -0.5)), **BOTH),
    moved("conv_general_dilated_patches", "x[None, None], (2,), (1,), 'VALID'", lambda x: np.stack([x[:-1], x[1:]]),
          FEW),
    moved("dot", "x, y", lambda x, y: x @ y, SQUARES, **BOTH),
    moved("dot_general", "x, y, (((0,), (1,)), ((), ()))", lambda x, y: x.T @ y.T, SQUARES, **BOTH),
    moved("dot_general", "x, y, (((1,), (0,)), ((0,), (1,)))",
          lambda x, y: np.array([(x[i] * y[:, i]).sum() for i in (0, 1)]),
          SQUARES, **BOTH),
    moved("batch_matmul", "x[None], y[None]", lambda x, y: x @ y, SQUARES, **BOTH),
    moved("ragged_dot", "x, y, np.array([1, 1], np.int32)", ragged,
          at("generic", (SQUARES[0].args[0], np.array([[[0.5, 1.0], [2.0, -1.0]],
          [[1.0, 0.25], [-0.5, 3.0]]]))), **BOTH),
    moved("reduce_sum", "x, axes=(1,)", rowwise(np.sum), ROWS),
    moved("reduce_prod", "x, axes=(1,)", rowwise(prod), ROWS),
    moved("reduce_max", "x, axes=(1,)", rowwise(max), ROWS),
    moved("reduce_min", "x, axes=(1,)", rowwise(min), ROWS),
    moved("reduce", "x, x.dtype.type(1), jax.lax.mul, (0,)", prod, POWERS),
    moved("reduce", "x, np.inf, jax.lax.min, (0,)", min, TRIPLES[:3]),
    window("add", "0.0", sum, mpf(0)),
    window("add", "0.0", sum, mpf(0), arguments="(3,), (2,), [(1, 1)]", size=3, stride=2, pad=1),
    window("max", "-jnp.inf", max, LEAST),
    window("max", "-jnp.inf", max, LEAST, arguments="(3,), (2,), [(1, 1)]", size=3, stride=2, pad=1),
    window("min", "jnp.inf", min, MOST),
    window("mul", "1.0", lambda values: prod(np.array(values, object)), mpf(1)),
    moved("cumsum", "x, axis=1, reverse=True", lambda x: np.cumsum(x[:, ::-1], axis=1)[:, ::-1], ROWS),
    moved("cumprod", "x", np.cumprod, POWERS),
    moved("cumprod", "x, reverse=True", running(lambda a, b: a * b, reverse=True), POWERS),
    moved("cummax", "x", running(max), TRIPLES),
    moved("cummin", "x, reverse=True", running(min, reverse=True), TRIPLES),
    moved("cumlogsumexp", "x", running(log_add), LOGS),
    moved("cumlogsumexp", "x, reverse=True", running(log_add, reverse=True), LOGS),
    moved("associative_scan", "jax.lax.mul, x", np.cumprod, POWERS),
    moved("scan", "lambda c, a: (c * a, jnp.sin(c)), 1.0 * x[0], x", lambda x: (
          x[0] * prod(x), np.array([mp.sin(x[0] * prod(x[:k])) for k in range(3)], object)), TRIPLES[:3]),
    moved("map", "lambda a: a**2, x", lambda x: x**2, TRIPLES[:3]),
    moved("cond", "x[0] > 0, jnp.cumsum, jnp.cumprod, x", lambda x: np.cumsum(x) if x[0] > 0 else np.cumprod(x),
          at("generic", vector(0.5, -1.25, 2.0), vector(-0.5, -1.25, 2.0))),
    moved("switch", "1, [jnp.cumsum, jnp.cumprod], x", np.cumprod, TRIPLES[:3]),
    moved("fori_loop", "0, 3, lambda i, c: c * x[i], x[1]", lambda x: x[1] * prod(x), TRIPLES[:2]),
    moved("sort", "x", sorted_real, VECTORS),
    moved("sort_key_val", "x, y", lambda x, y: (sorted_real(x), np.array([y[i] for i in np.argsort(x)], object)),
          PAIRS[:1], **BOTH),
    moved("top_k", "x, 2", top, TRIPLES),
    moved("approx_max_k", "x, 2", top, TRIPLES[:1]),
    moved("approx_min_k", "x, 2", lambda x: sorted_real(x)[:2], TRIPLES[:1]),
    moved("gather", GATHER, lambda x: x[[2, 0, 2]], TRIPLES[:1]),
    moved("scatter_add", SCATTER, combined(lambda a, b: a + b), WRITES, **BOTH),
    moved("scatter_sub", SCATTER, combined(lambda a, b: a - b), WRITES, **BOTH),
    moved("scatter_mul", SCATTER, combined(lambda a, b: a * b), WRITES, **BOTH),
    moved("scatter_mul", SCATTER.replace("[1], [1], [0]", "[1], [2], [0]") + ", unique_indices=True",
          lambda x, y: x * y[[2, 0, 1]], WRITES, **BOTH),
    moved("scatter_max", SCATTER, combined(max), WRITES, **BOTH),
    moved("scatter_min", SCATTER, combined(min), WRITES, **BOTH),
    moved("scatter", SCATTER.replace("[1], [1], [0]", "[1], [2], [0]"), lambda x, y: y[[2, 0, 1]], WRITES[:1], **BOTH),
    moved("scatter_apply", "x, np.array([[1], [2]]), lambda a: a**2, jax.lax.ScatterDimensionNumbers("
          "update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)), update_shape=(2,)",
          lambda x: np.array([x[0], x[1] ** 2, x[2] ** 2]), TRIPLES[:2]),
    moved("dynamic_slice", "x, (0, 5), (2, 2)", lambda x: x[:, 1:]),
    moved("dynamic_slice_in_dim", "x, 1, 2, axis=1", lambda x: x[:, 1:]),
    moved("dynamic_index_in_dim", "x, 1", lambda x: x[1:]),
    moved("dynamic_update_slice", "x, y, (5,)", lambda x, y: np.array([x[0], y[0], y[1]]),
          with_each(TRIPLES[:1], vector(3.0, -2.0)), **BOTH),
    moved("dynamic_update_slice_in_dim", "x, y, 0, 0", lambda x, y: np.array([y[0], y[1], x[2]]),
          with_each(TRIPLES[:1], vector(3.0, -2.0)), **BOTH),
    moved("dynamic_update_index_in_dim", "x, y, 1, 0", lambda x, y: np.array([x[0], y, x[2]]),
          with_each(TRIPLES[:1], 3.0),
          **BOTH),
    moved("pad", "x, y, [(1, -1, 1)]", padded, with_each(TRIPLES[:1], 3.0), **BOTH),
    moved("pad", "x, y, [(-1, 2, 0)]", lambda x, y: np.array([x[1], x[2], y, y]), with_each(TRIPLES[:1], 3.0), **BOTH),
    moved("rev", "x, (1,)", lambda x: x[:, ::-1]),
    moved("broadcast", "x, (2,)", lambda x: np.array([x, x])),
    moved("broadcast_in_dim", "x, (3, 2), (0,)", lambda x: np.stack([x, x], axis=1), TRIPLES[:1]),
    moved("broadcast_to_rank", "x, 3", lambda x: x),
    moved("reshape", "x, (3, 2)", lambda x: x.reshape(3, 2)),
    moved("collapse", "x, 0, 2", lambda x: x.ravel()),
    moved("squeeze", "x[None], (0,)", lambda x: x),
    moved("expand_dims", "x, (0,)", lambda x: x),
    moved("transpose", "x, (1, 0)", lambda x: x.T),
    moved("slice", "x, (0, 0), (2, 3), (1, 2)", lambda x: x[:, ::2]),
    moved("slice_in_dim", "x, 1, 3, axis=1", lambda x: x[:, 1:]),
    moved("index_in_dim", "x, 1", lambda x: x[1:]),
    moved("index_take", "x, (np.array([1, 0, 1]),), (0,)", lambda x: x[[1, 0, 1]]),
    moved("split", "x, (1, 2), axis=1", lambda x: (x[:, :1], x[:, 1:])),
    moved("tile", "x, (2, 1)", lambda x: np.tile(x, (2, 1))),
    moved("concatenate", "[x, x], 0", lambda x: np.concatenate([x, x])),
    moved("stack", "[x, x]", lambda x: np.stack([x, x])),
    moved("unstack", "x", tuple),
    moved("full", "(2, 2), x[0, 0]", lambda x: np.full((2, 2), x[0, 0])),
    moved("full_like", "x, x[0, 0]", lambda x: np.full((2, 3), x[0, 0])),
    moved("fft", "x, jax.lax.FftType.RFFT, (3,)",
          lambda x: np.array([sum(x[k] * mp.expjpi(-mpf(2) * j * k / 3) for k in range(3))
          + mp.mpc(0) for j in range(2)], object), TRIPLES[:4], dtypes=("float64", "float32")),
    moved("custom_linear_solve", "lambda v: 2.0 * v, x, lambda f, b: b / 2.0, symmetric=True", lambda x: x / 2,
          TRIPLES[:1]),
    moved("custom_root", "lambda v: v**3 - x, x, lambda f, v: jnp.cbrt(x), lambda g, y: y / g(1.0)",
          lambda x: np.array(mp.cbrt(x)), at("generic", 2.0), dtypes=("float64", "float32")),
    array_case("jax.ops.segment_sum", segments(sum, 0), TRIPLES, call=f"jax.ops.segment_sum({SEGMENTS})"),
    array_case("jax.ops.segment_prod", segments(lambda g: prod(np.array(g, object)), 1), POWERS[:6],
               call=f"jax.ops.segment_prod({SEGMENTS})"),
    array_case("jax.ops.segment_max", segments(max), TRIPLES, call=f"jax.ops.segment_max({SEGMENTS})[:2]"),
    array_case("jax.ops.segment_min", segments(min), TRIPLES, call=f"jax.ops.segment_min({SEGMENTS})[:2]"),
)  # fmt: skip

NOT_COVERED = not_covered("jax.lax", {
    "a type": "ConvGeneralDilatedDimensionNumbers DotDimensionNumbers PrecisionLike",
    "a token": "after_all create_token",
    "of several devices":
        "all_gather all_to_all axis_index axis_size pbroadcast pcast pmax pmean pmin ppermute precv psend "
        "pshuffle psum psum_scatter psum_scatter_start pswapaxes ragged_all_to_all",
    "an index": "argmax argmin",
    "of bits": "bitcast_convert_type reduce_xor",
    "a copy": "broadcast_like",
    "shapes":
        "broadcast_shapes conv_dimension_numbers conv_general_permutations conv_general_shape_tuple "
        "conv_shape_tuple conv_transpose_shape_tuple padtype_to_pads reduce_window_shape_tuple shape_as_value",
    "makes an array": "broadcasted_iota empty iota",
    "a decorator": "composite",
    "about compilation": "dce_sink optimization_barrier stage",
    "of dtypes": "dtype",
    "a choice of the platform": "platform_dependent",
    "jax.lax.ragged_dot is a case of it": "ragged_dot_general",
    "logical": "reduce_and reduce_or",
    "random": "rng_bit_generator rng_uniform",
    "in eight-bit formats": "scaled_dot",
    "of an unknown length: forward mode only": "while_loop",
    "about devices": "with_sharding_constraint",
})  # fmt: skip
"""Functions without a gradient that anybody could want, and why."""
