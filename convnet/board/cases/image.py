"""`jax.image`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from mpmath import mp, mpf

from convnet.board.case import Case, at
from convnet.board.cases.numpy_reductions import array_case
from convnet.board.vectors import vector

ROWS = (*at("generic", vector(0.5, -1.25, 2.0, 1.5)), *at("zero", vector(0.0, 0.0, 0.0, 0.0)))
SHIFTS = (
    *at("generic", (vector(0.5, -1.25, 2.0), 0.75, 0.3125), (vector(0.5, -1.25, 2.0), 1.375, -0.625)),
    *at("branch", (vector(0.5, -1.25, 2.0), 0.75, 0.375), (vector(0.5, -1.25, 2.0), 1.25, 0.625 + 2.0**-11)),
    *at("branch", (vector(0.5, -1.25, 2.0), 1.0, 0.0), (vector(0.5, -1.25, 2.0), 1.0, 1.0)),
    *at("tail", (vector(0.5, -1.25, 2.0), 1.0, 10.0)),
)
"""A row of pixels, a scale and a translation; at the branch, pixels fall on pixels, or all but do."""


def triangle(x):
    return max(mpf(0), 1 - x)


def keys(x, a: float = -0.5):
    """Cubic convolution; a has few bits."""
    if x >= 2:
        return mpf(0)
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x >= 1 else ((a + 2) * x - (a + 3)) * x * x + 1


def lanczos(x, radius: int):
    return mp.sincpi(x) * mp.sincpi(x / radius) if x <= radius else mpf(0)


def resampled(
    x: np.ndarray, scale, shift, *, kernel: Callable, size: int, antialias: bool = True, edges: int = 0
) -> np.ndarray:
    """Pixel i of the result is at (i + ½ − shift) / scale − ½ of x; weights of the kernel there, normed. edges: so many
    copies of the outermost pixels count."""
    n, wide = len(x), max(1 / mpf(scale), mpf(1)) if antialias else mpf(1)
    result = []
    for i in range(size):
        place = (i + mpf(1) / 2 - shift) / mpf(scale) - mpf(1) / 2
        weights = {j: kernel(abs(place - j) / wide) for j in range(-edges, n + edges)}
        inside = edges or -mpf(1) / 2 <= place <= n - mpf(1) / 2
        total = sum(weights.values())
        value = sum(w * x[min(max(j, 0), n - 1)] for j, w in weights.items())
        result.append(value / total if inside and abs(total) > mpf(10) ** -30 else mpf(0))
    return np.array(result, object)


def area(x: np.ndarray, scale, shift, *, size: int) -> np.ndarray:
    """Means over what a pixel of the result covers."""
    result = []
    for i in range(size):
        left, right = (i - shift) / mpf(scale), (i + 1 - shift) / mpf(scale)
        weights = [max(mpf(0), min(right, mpf(j + 1)) - max(left, mpf(j))) for j in range(len(x))]
        inside = 0 <= (left + right) / 2 <= len(x)
        total = sum(weights)
        result.append(sum(w * v for w, v in zip(weights, x, strict=True)) / total if inside and total else mpf(0))
    return np.array(result, object)


def nearest(x: np.ndarray, size: int) -> np.ndarray:
    return np.array([x[int(mp.floor((i + mpf(1) / 2) * len(x) / size))] for i in range(size)], object)


KERNELS = {
    "linear": partial(resampled, kernel=triangle),
    "cubic": partial(resampled, kernel=keys),
    "lanczos3": partial(resampled, kernel=partial(lanczos, radius=3)),
    "lanczos5": partial(resampled, kernel=partial(lanczos, radius=5)),
    "area": area,
}


def resized(method: str, size: int) -> Case:
    oracle = partial(nearest, size=size)
    if method != "nearest":
        oracle = lambda x: KERNELS[method](x, mpf(size) / len(x), mpf(0), size=size)  # noqa: E731
    return array_case("jax.image.resize", oracle, ROWS, call=f"jax.image.resize(x, ({size},), {method!r})")


def shifted(method: str) -> Case:
    return array_case(
        "jax.image.scale_and_translate",
        partial(KERNELS[method], size=3),
        SHIFTS,
        call=f"jax.image.scale_and_translate(x, (3,), (0,), scale[None], shift[None], {method!r})",
        args="x, scale, shift",
        wrt=(0, 1, 2),
        dtypes=("float64", "float32"),
    )


CASES: tuple[Case, ...] = (
    *(resized(method, size)
      for method in ("nearest", "linear", "cubic", "lanczos3", "lanczos5", "area") for size in (7, 3)),
    array_case("jax.image.resize", partial(resampled, scale=mpf(3) / 4, shift=mpf(0), kernel=triangle, size=3,
                                           antialias=False), ROWS,
               call="jax.image.resize(x, (3,), 'linear', antialias=False)"),
    array_case("jax.image.resize", partial(resampled, scale=mpf(7) / 4, shift=mpf(0), size=7, antialias=False, edges=2,
                                           kernel=partial(keys, a=-0.75)), ROWS,
               call="jax.image.resize(x, (7,), 'cubic-pytorch', antialias=False)"),
    *map(shifted, KERNELS),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
"""Functions without a gradient that anybody could want, and why."""
