"""Pooling. The remainder r of an axis is what no window reads at its end."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from convnet.gradcheck.evidence.case import Case, Convention, Evidence, drawing, gaussian, image, separated
from convnet.gradcheck.evidence.draws import Draws, strategy, window_call
from convnet.gradcheck.evidence.pool import oracle
from convnet.gradcheck.evidence.pool.controls import CONTROLS
from convnet.gradcheck.evidence.pool.mutants import MUTANTS
from convnet.gradcheck.oracle import by_walking
from convnet.ops.window import pair

__all__ = ["CONTROLS", "CONVENTIONS", "EVIDENCE", "MUTANTS"]


GEOMETRIES = {  # name: (shape, window, settings)
    "overlapping, r = (1, 0), asymmetric": ((2, 6, 5, 2), (3, 2), {"stride": (2, 1), "padding": ((0, 2), (1, 0))}),
    "tiling": ((2, 4, 6, 2), (2, 3), {}),
    "window = stride, r = (1, 2)": ((1, 7, 5, 3), (2, 3), {}),
    "gaps": ((1, 9, 8, 1), (2, 1), {"stride": (4, 3)}),
    "SAME, even window": ((1, 5, 6, 2), (2, 4), {"stride": (1, 2), "padding": "SAME"}),
    "negative padding crops": ((1, 8, 7, 1), (2, 3), {"stride": 2, "padding": ((-1, 1), (0, -2))}),
    "window larger than the image": ((1, 2, 3, 2), (4, 5), {"stride": 1, "padding": ((2, 1), (2, 2))}),
    "one pixel per window": ((1, 4, 3, 2), 1, {"stride": 2}),
    "tall": ((3, 11, 2, 1), (3, 2), {"stride": 1, "padding": "SAME"}),
}


def _pool(op: str, name: str, shape: tuple, window, settings: dict, draw=gaussian) -> Case:
    settings = {"window": window, **settings}
    return Case(op, name, drawing(shape, draw=draw), settings, prod(pair(window, "window")))


def _pools(op: str, draw=gaussian, **settings) -> tuple[Case, ...]:
    return tuple(
        _pool(op, name, shape, window, {**geometry, **settings}, draw)
        for name, (shape, window, geometry) in GEOMETRIES.items()
    )


MAX_POOL, SUM_POOL = _pools("max_pool", separated), _pools("sum_pool")
_REAL = tuple(
    _pool("avg_pool", f"{name}, real elements only", shape, window, {**settings, "count_include_pad": False})
    for name, (shape, window, settings) in GEOMETRIES.items()
    if settings.get("padding")
)
AVG_POOL = (_REAL[0], *_pools("avg_pool"), *_REAL[1:])
GLOBAL_AVG_POOL = tuple(
    Case("global_avg_pool", name, drawing(shape), {}, 1)
    for name, shape in {
        "H ≠ W": (2, 3, 5, 4),
        "one row": (3, 1, 7, 2),
        "one pixel": (2, 1, 1, 3),
    }.items()
)
CONVENTIONS = (
    Convention("max_pool", "all equal, tiling: the first", (np.ones((1, 2, 4, 1)),), {"window": 2},
               (image([1, 0, 1, 0], [0, 0, 0, 0]),)),
    Convention("max_pool", "all equal, overlapping: the first of each window", (np.zeros((1, 3, 3, 1)),),
               {"window": 2, "stride": 1}, (image([1, 1, 0], [1, 1, 0], [0, 0, 0]),)),
    Convention("max_pool", "two equal: row-major, not column-major", (image([0, 5], [5, 1]),), {"window": 2},
               (image([0, 1], [0, 0]),)),
    Convention("max_pool", "one winner of four windows", (image([0, 0, 0], [0, 1, 0], [0, 0, 0]),),
               {"window": 2, "stride": 1}, (image([0, 0, 0], [0, 4, 0], [0, 0, 0]),)),
    Convention("max_pool", "all equal, padded: padding never wins", (image([-1, -1], [-1, -1]),),
               {"window": 2, "stride": 1, "padding": 1}, (image([4, 2], [2, 1]),)),
)  # fmt: skip


# --- random calls -----------------------------------------------------------------------------------------------------


def _pool_call(array: Callable = gaussian, count: bool = False) -> Callable:
    def build(draws: Draws) -> tuple[tuple, dict]:
        sizes, kernel, settings = window_call(draws, real=True)
        if settings["stride"] == kernel:
            settings["stride"] = draws.choice(None, kernel)
        if count:
            settings["count_include_pad"] = draws.choice(True, False)
        shape = (draws.number(1, 2), *sizes, draws.number(1, 3))
        return (array(draws.rng(), shape),), {"window": kernel, **settings}

    return build


def _global_call(draws: Draws) -> tuple[tuple, dict]:
    return draws.gaussians(draws.shape(most=5, axes=(4, 4))), {}


EVIDENCE = {
    "max_pool": Evidence(MAX_POOL, by_walking(oracle.max_pool), strategy(_pool_call(separated))),
    "avg_pool": Evidence(AVG_POOL, by_walking(oracle.avg_pool), strategy(_pool_call(count=True))),
    "sum_pool": Evidence(SUM_POOL, by_walking(oracle.sum_pool), strategy(_pool_call())),
    "global_avg_pool": Evidence(GLOBAL_AVG_POOL, by_walking(oracle.global_avg_pool), strategy(_global_call)),
}
