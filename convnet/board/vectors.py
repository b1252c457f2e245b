"""Tables of points for functions of arrays. Most numbers are short in binary, so that every dtype has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convnet.board.case import Point, at
from convnet.board.case import numbers as vector


def matrix(*rows: Sequence[float]) -> np.ndarray:
    return np.array(rows, float)


def rowwise(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """f of a vector, of each row of a matrix."""
    return lambda x: np.array([f(row) for row in x], object)


def with_each(points: Sequence[Point], *more: Any) -> tuple[Point, ...]:
    """The same points with further arguments behind."""
    return tuple(Point(point.label, (*point.args, *more)) for point in points)


VECTORS = (
    *at("generic", vector(0.5, -1.25, 2.0)),
    *at("tie", vector(1.0, 1.0, 1.0), vector(2.0, -1.0, 2.0)),
    *at("zero", vector(0.0, 0.0, 0.0), vector(0.0, 1.5, -2.0), vector(-0.0, 0.0, 1.0)),
    *at("tail", vector(300.0, -300.0, 1.0), vector(1e10, 1.0, -1e-10), vector(1e150, 1.0, -2e150)),
    *at("tail", vector(1e-150, 2e-150, -1e-150)),
    *at("length one", vector(0.75)),
)
EMPTY = at("empty", vector())

ROWS = (
    *at("generic", matrix([0.5, -1.25, 2.0], [1.5, 0.75, -0.25])),
    *at("tie", matrix([1.0, 1.0, 1.0], [2.0, -1.0, 2.0])),
    *at("zero", matrix([0.0, 0.0, 0.0], [0.0, 1.5, -2.0])),
    *at("tail", matrix([300.0, -300.0, 1.0], [1e10, 1.0, -1e-10])),
    *at("length one", matrix([0.75], [-1.5])),
)
"""[2, n], for reductions of the last axis."""

PAIRS = (
    *at("generic", (vector(0.5, -1.25, 2.0), vector(1.5, 0.75, -0.25))),
    *at("tie", (vector(1.0, 2.0, 1.0), vector(1.0, 2.0, 1.0))),
    *at("zero", (vector(0.0, 0.0, 0.0), vector(1.0, -2.0, 0.5)), (vector(0.0, 0.0, 0.0), vector(0.0, -0.0, 0.0))),
    *at("tail", (vector(1e150, 1.0, -1e150), vector(1e-150, 2.0, 1e-10))),
)
"""Two vectors of three entries."""

MATRIX = (
    *at("generic", matrix([0.5, -1.25, 2.5], [1.75, 0.75, -0.25])),
    *at("zero", matrix([0.0, -0.0, 0.0], [0.0, 1.5, -2.0])),
)
"""[2, 3], for functions that move entries about: each entry does the same everywhere."""
