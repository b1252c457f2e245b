"""`jax.numpy`: products of arrays, and functions that choose, move and repeat entries.

Of those that only move entries about, each is linear: one generic table says all there is to say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mpmath import mp, mpf

from convnet.board import linear
from convnet.board.case import Case, at, case, not_covered
from convnet.board.cases.numpy_reductions import array_case
from convnet.board.vectors import MATRIX, PAIRS, ROWS, VECTORS, matrix, rowwise, vector, with_each

TRIPLES = tuple(point for point in VECTORS if len(point.args[0]) == 3)
SQUARES = (
    *at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), matrix([2.0, -0.5], [0.25, 1.0]))),
    *at("zero", (matrix([0.0, 0.0], [0.0, 1.0]), matrix([1.0, -2.0], [0.0, 0.0]))),
)
TIMES_VECTOR = at("generic", (matrix([0.5, -1.25, 2.0], [1.5, 0.75, -0.25]), vector(2.0, -0.5, 0.25)))
VECTOR_TIMES = at("generic", (vector(2.0, -0.5), matrix([0.5, -1.25, 2.0], [1.5, 0.75, -0.25])))
TWO = at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), matrix([2.0, -0.5], [0.25, 1.0])))
"""Two arrays of one shape, for functions that join them."""


def product(function: str, oracle: Callable[..., Any], points=PAIRS, **options: Any) -> Case:
    return array_case(function, oracle, points, **{"args": "x, y", "wrt": (0, 1)} | options)


def moved(name: str, arguments: str, oracle: Callable[..., Any], points=MATRIX, args: str = "x", wrt=(0,)) -> Case:
    """A function that moves the entries of its argument about, called with further `arguments`."""
    call = f"jnp.{name}({arguments})"
    return case(f"jax.numpy.{name}", oracle, points, call=call, elementwise=False, args=args, wrt=wrt)


def joined(name: str, oracle: Callable[..., Any], arguments: str = "(x, y)") -> Case:
    return moved(name, arguments, lambda x, y: oracle((x, y)), TWO, args="x, y", wrt=(0, 1))


def split(name: str, arguments: str, oracle: Callable[..., Any], points=MATRIX) -> Case:
    return moved(name, arguments, lambda x: tuple(oracle(x)), points)


def convolution(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([sum((x[j] * y[i - j] for j in range(len(x)) if 0 <= i - j < len(y)), start=mpf(0))
                     for i in range(len(x) + len(y) - 1)], object)  # fmt: skip


def middle(x: np.ndarray, y: np.ndarray, mode: str) -> np.ndarray:
    full, n, m = convolution(x, y), len(x), len(y)
    size = max(n, m) if mode == "same" else max(n, m) - min(n, m) + 1
    start = (len(full) - size) // 2
    return full[start : start + size]


def sorted_real(x: np.ndarray) -> np.ndarray:
    return np.array(sorted(x), object)


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]], object)


def padded(mode: str, **options: Any) -> Callable[[np.ndarray], np.ndarray]:
    """NumPy's own, of which entry goes where."""
    return lambda x: np.pad(x, 2, mode=mode, **options)


def ramped(x: np.ndarray) -> np.ndarray:
    return np.concatenate([[mpf(0), x[0] / 2], x, [x[-1] / 2, mpf(0)]])


def beside(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """A statistic of the vector, twice on each side."""
    return lambda x: np.array([f(x)] * 2 + [*x] + [f(x)] * 2, object)


def written(x: np.ndarray, places: list, values: Any) -> np.ndarray:
    result = x.copy()
    for k, place in enumerate(places):
        result[place] = values[k % len(values)]
    return result


def vander(x: np.ndarray) -> np.ndarray:
    return np.array([[value**k if k else mpf(1) for k in (2, 1, 0)] for value in x], object)


def geometric(start, stop) -> np.ndarray:
    """Four numbers."""
    ratio = mp.cbrt(stop / start)
    return np.array([start, start * ratio, start * ratio**2, stop], object)


def clipped_unwrap(x: np.ndarray) -> np.ndarray:
    """Jumps of more than π are made less, by multiples of 2π."""
    jumps = [mpf(0)]
    for step in x[1:] - x[:-1]:
        jumps.append(step - 2 * mp.pi * mp.ceil((step - mp.pi) / (2 * mp.pi)))
    return x[0] + np.cumsum(jumps)


ENDS = (
    *at("generic", (0.5, 2.0), (1.5, 6.0)),
    *at("tie", (2.0, 2.0)),
    *at("tail", (1e-150, 1e150), (1e-8, 1e8)),
)
CASES: tuple[Case, ...] = (
    product("jax.numpy.dot", lambda x, y: (x * y).sum(), scipy=np.dot),
    product("jax.numpy.vdot", lambda x, y: (x * y).sum()),
    product("jax.numpy.inner", lambda x, y: (x * y).sum()),
    product("jax.numpy.vecdot", lambda x, y: (x * y).sum()),
    product("jax.numpy.outer", lambda x, y: x[:, None] * y[None], scipy=np.outer),
    product("jax.numpy.cross", cross, scipy=np.cross),
    product("jax.numpy.kron", lambda x, y: (x[:, None] * y[None]).ravel(), scipy=np.kron),
    product("jax.numpy.matmul", lambda x, y: x @ y, SQUARES),
    product("jax.numpy.matvec", lambda x, y: x @ y, TIMES_VECTOR),
    product("jax.numpy.vecmat", lambda x, y: x @ y, VECTOR_TIMES),
    product("jax.numpy.tensordot", lambda x, y: (x * y.T).sum(), SQUARES,
            call="jnp.tensordot(x, y, axes=((0, 1), (1, 0)))"),
    product("jax.numpy.einsum", lambda x, y: np.array([(x[i] * y[:, i]).sum() for i in range(2)], object), SQUARES,
            call="jnp.einsum('ij,ji->i', x, y)"),
    array_case("jax.numpy.einsum", lambda x: x[0, 0] + x[1, 1], at("generic", matrix([0.5, -1.25], [1.5, 0.75])),
               call="jnp.einsum('ii', x)"),
    product("jax.numpy.convolve", convolution, call="jnp.convolve(x, y)", scipy=np.convolve),
    product("jax.numpy.convolve", partial(middle, mode="same"), call="jnp.convolve(x, y, mode='same')"),
    product("jax.numpy.correlate", lambda x, y: middle(x, y[::-1], "valid"), scipy=np.correlate),
    product("jax.numpy.correlate", lambda x, y: convolution(x, y[::-1]), call="jnp.correlate(x, y, mode='full')"),
    array_case("jax.numpy.sort", sorted_real, VECTORS, scipy=np.sort),
    array_case("jax.numpy.sort", rowwise(lambda x: sorted_real(x)[::-1]), ROWS,
               call="jnp.sort(x, axis=1, descending=True)"),
    array_case("jax.numpy.partition", lambda x: sorted_real(x)[1], TRIPLES, call="jnp.partition(x, 1)[1]"),
    array_case("jax.numpy.sort_complex", sorted_real, TRIPLES, call="jnp.sort_complex(x).real",
               dtypes=("float64", "float32")),
    array_case("jax.numpy.unique", lambda x: sorted_real(x)[:2], at("generic", vector(0.5, -1.25, 2.0)),
               call="jnp.unique(x, size=2)"),
    array_case("jax.numpy.diff", lambda x: x[2:] - 2 * x[1:-1] + x[:-2], TRIPLES, call="jnp.diff(x, n=2)"),
    array_case("jax.numpy.ediff1d", lambda x: np.diff(x), TRIPLES, scipy=np.ediff1d),
    array_case("jax.numpy.unwrap", clipped_unwrap,
               (*at("generic", vector(0.5, 4.5, -1.0)), *at("tail", vector(0.0, 100.0, -100.0)),
                *at("branch", vector(0.0, 3.0, 7.0))), scipy=np.unwrap),
    array_case("jax.numpy.trace", lambda x: x[0, 0] + x[1, 1], MATRIX, scipy=np.trace),
    array_case("jax.numpy.vander", vander, TRIPLES, call="jnp.vander(x)", scipy=np.vander),
    array_case("jax.numpy.linspace", lambda x, y: np.array([x + (y - x) * k / 3 for k in range(4)], object), ENDS,
               call="jnp.linspace(x, y, 4)", args="x, y", wrt=(0, 1)),
    array_case("jax.numpy.logspace", lambda x, y: np.array([mpf(10) ** (x + (y - x) * k / 3) for k in range(4)],
               object),
               at("generic", (0.5, 2.0), (-1.5, 1.0)), call="jnp.logspace(x, y, 4)", args="x, y", wrt=(0, 1)),
    array_case("jax.numpy.geomspace", geometric, ENDS, call="jnp.geomspace(x, y, 4)", args="x, y", wrt=(0, 1)),
    moved("take", "x, np.array([2, 0, 2]), axis=1", lambda x: x[:, [2, 0, 2]]),
    moved("take_along_axis", "x, np.array([[2, 2], [0, 1]]), axis=1", lambda x: np.array([x[0, [2, 2]], x[1, [0, 1]]])),
    moved("choose", "np.array([1, 0, 1]), (x[0], x[1]), mode='clip'", lambda x: np.array([x[1, 0], x[0, 1], x[1, 2]])),
    moved("select", "[x[0] > 0.25, x[1] > 0], [x[0] ** 2, x[1]], 0.0",
          lambda x: np.array([a * a if a > mpf(1) / 4 else b if b > 0 else mpf(0) for a, b in x.T], object)),
    moved("piecewise", "x[0], [x[0] < 0, x[0] > 1], [jnp.sin, jnp.exp, 0.5]",
          lambda x: np.array([mp.sin(a) if a < 0 else mp.exp(a) if a > 1 else mpf(1) / 2 for a in x[0]], object)),
    moved("compress", "np.array([True, False, True]), x, axis=1, size=2", lambda x: x[:, [0, 2]]),
    moved("extract", "np.array([True, False, True]), x[0], size=2", lambda x: x[0, [0, 2]]),
    moved("put", "x, np.array([4, 0]), y, inplace=False",
          lambda x, y: written(x.ravel(), [4, 0], y).reshape(2, 3), with_each(MATRIX, vector(3.0, -2.0)),
          "x, y", (0, 1)),
    moved("put_along_axis", "x, np.array([[2], [0]]), y, axis=1, inplace=False",
          lambda x, y: written(x.ravel(), [2, 3], [y, y]).reshape(2, 3), with_each(MATRIX, 3.0), "x, y", (0, 1)),
    moved("place", "x, np.array([[True, False, True], [False, True, False]]), y, inplace=False",
          lambda x, y: written(x.ravel(), [0, 2, 4], y).reshape(2, 3), with_each(MATRIX, vector(3.0, -2.0)), "x, y",
          (0, 1)),
    moved("fill_diagonal", "x, y, inplace=False",
          lambda x, y: written(x.ravel(), [0, 4], [y, y]).reshape(2, 3), with_each(MATRIX, 3.0), "x, y", (0, 1)),
    moved("insert", "x[0], 1, y", lambda x, y: np.array([x[0, 0], y, x[0, 1], x[0, 2]], object), with_each(MATRIX, 3.0),
          "x, y", (0, 1)),
    moved("delete", "x, 1, axis=1", lambda x: x[:, [0, 2]]),
    moved("append", "x[0], x[1]", lambda x: x.ravel()),
    moved("repeat", "x, np.array([2, 0, 1]), axis=1, total_repeat_length=3", lambda x: x[:, [0, 0, 2]]),
    moved("tile", "x, (2, 1)", lambda x: np.tile(x, (2, 1))),
    moved("roll", "x, (1, 4), axis=(0, 1)", lambda x: np.roll(x, (1, 4), axis=(0, 1))),
    moved("pad", "x, 1, constant_values=y", lambda x, y: np.pad(x, 1, constant_values=y), with_each(MATRIX, 3.0),
          "x, y",
          (0, 1)),
    moved("pad", "x, 2, mode='edge'", padded("edge"), TRIPLES),
    moved("pad", "x, 2, mode='reflect'", padded("reflect"), TRIPLES),
    moved("pad", "x, 2, mode='reflect', reflect_type='odd'", padded("reflect", reflect_type="odd"), TRIPLES),
    moved("pad", "x, 2, mode='symmetric'", padded("symmetric"), TRIPLES),
    moved("pad", "x, 2, mode='wrap'", padded("wrap"), TRIPLES),
    moved("pad", "x, 2, mode='linear_ramp'", ramped, TRIPLES),
    moved("pad", "x, 2, mode='maximum'", beside(max), TRIPLES),
    moved("pad", "x, 2, mode='minimum'", beside(min), TRIPLES),
    moved("pad", "x, 2, mode='mean'", beside(lambda x: x.sum() / 3), TRIPLES),
    moved("pad", "x, 2, mode='median'", beside(lambda x: sorted_real(x)[1]), TRIPLES[:1]),
    moved("triu", "x, 1", partial(linear.upper, k=1)),
    moved("tril", "x, -1", partial(linear.lower, k=-1)),
    moved("diag", "x, 1", lambda x: x.diagonal(1)),
    moved("diagonal", "x, 1", lambda x: x.diagonal(1)),
    moved("diagflat", "x", lambda x: np.diag(x.ravel())),
    moved("rot90", "x", np.rot90),
    moved("flip", "x", np.flip),
    moved("fliplr", "x", np.fliplr),
    moved("flipud", "x", np.flipud),
    moved("moveaxis", "x, 0, 1", lambda x: x.T),
    moved("rollaxis", "x, 1", lambda x: x.T),
    moved("swapaxes", "x, 0, 1", lambda x: x.T),
    moved("transpose", "x", lambda x: x.T),
    moved("permute_dims", "x, (1, 0)", lambda x: x.T),
    moved("matrix_transpose", "x", lambda x: x.T),
    moved("reshape", "x, (3, 2), order='F'", lambda x: np.reshape(x, (3, 2), order="F")),
    moved("ravel", "x, order='F'", lambda x: x.T.ravel()),
    moved("resize", "x, (2, 4)", lambda x: np.resize(x, (2, 4))),
    moved("squeeze", "x[None]", lambda x: x),
    moved("expand_dims", "x, 0", lambda x: x),
    moved("broadcast_to", "x, (2, 2, 3)", lambda x: np.array([x, x])),
    moved("broadcast_arrays", "x, x[0]", lambda x: (x, np.array([x[0], x[0]]))),
    moved("atleast_1d", "x", lambda x: x),
    moved("atleast_2d", "x", lambda x: x),
    moved("atleast_3d", "x", lambda x: x),
    moved("astype", "x, x.dtype", lambda x: x),
    moved("array", "[x[0], x[1]]", lambda x: x),
    moved("asarray", "x", lambda x: x),
    moved("copy", "x", lambda x: x),
    moved("full", "(2, 2), x[0, 0]", lambda x: np.full((2, 2), x[0, 0])),
    moved("full_like", "x, x[0, 0]", lambda x: np.full((2, 3), x[0, 0])),
    moved("meshgrid", "x[0], x[1, :2]", lambda x: (np.tile(x[0], (2, 1)), np.tile(x[1, :2], (3, 1)).T)),
    moved("block", "[[x, x], [x, x]]", lambda x: np.tile(x, (2, 2))),
    joined("stack", np.stack), joined("concatenate", np.concatenate), joined("hstack", np.hstack),
    joined("vstack", np.vstack), joined("dstack", np.dstack), joined("column_stack", np.hstack),
    joined("concat", np.concatenate),
    split("split", "x, 3, axis=1", lambda x: np.split(x, 3, axis=1)),
    split("array_split", "x, 2, axis=1", lambda x: np.array_split(x, 2, axis=1)),
    split("hsplit", "x, 3", lambda x: np.hsplit(x, 3)), split("vsplit", "x, 2", lambda x: np.vsplit(x, 2)),
    split("dsplit", "x[None], 3", lambda x: np.dsplit(x[None], 3)), split("unstack", "x", list),
    moved("apply_along_axis", "jnp.cumprod, 1, x", lambda x: np.cumprod(x, axis=1)),
    moved("apply_over_axes", "jnp.sum, x, (0, 1)", np.sum),
    moved("vectorize", "lambda a: a**2)(x", lambda x: x**2),
)  # fmt: skip

NOT_COVERED = not_covered("jax.numpy", {
    "logical": "allclose array_equal array_equiv isin iterable",
    "makes an array of integers, or of literals": "arange",
    "indices":
        "argpartition argsort argwhere diag_indices diag_indices_from digitize flatnonzero indices ix_ lexsort "
        "mask_indices nonzero ravel_multi_index searchsorted tril_indices tril_indices_from triu_indices "
        "triu_indices_from unravel_index",
    "text": "array_repr array_str",
    "makes an array of a length": "bartlett blackman hamming hanning kaiser",
    "shapes": "broadcast_shapes",
    "of dtypes": "can_cast iscomplexobj isrealobj isdtype issubdtype promote_types result_type",
    "a plan": "einsum_path",
    "makes an array": "empty empty_like eye identity ones ones_like tri zeros zeros_like",
    "an import": "from_dlpack frombuffer fromfile fromiter fromstring load",
    "makes an array of indices": "fromfunction",
    "makes a function": "frompyfunc",
    "about text": "get_printoptions printoptions set_printoptions",
    "counts; the one with weights is jax.numpy.histogram": "histogram2d histogramdd",
    "edges of bins": "histogram_bin_edges",
    "a set": "intersect1d setdiff1d setxor1d union1d unique_values",
    "a shape": "isscalar ndim shape size",
    "of bits": "packbits unpackbits",
    "an export": "save savez",
    "of newer JAX only: jax.lax.top_k": "top_k",
    "a shape that values decide": "trim_zeros",
    "a set with indices": "unique_all unique_inverse",
    "a set with counts": "unique_counts",
})  # fmt: skip
"""Functions without a gradient that anybody could want, and why."""
