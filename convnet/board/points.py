"""Where functions of one domain are looked at, and how such tables are put together."""

from __future__ import annotations

from convnet.board.case import Point, at

LINE = (
    *at("generic", -2.3, -0.7, 0.4, 1.6, 3.1),
    *at("tail", -300.0, -30.0, 30.0, 300.0),
    *at("zero", 0.0, -0.0),
)
"""All real numbers."""

SUBNORMAL = at("subnormal", 1e-310)
"""Where the function is nearly a multiple of its argument: beside a constant this is nothing."""

POSITIVE = (
    *at("generic", 0.4, 1.6, 3.1, 7.5),
    *at("tail", 1e-150, 1e-10, 30.0, 300.0, 1e10),
)
"""Real numbers above 0."""

UNIT_INTERVAL = (
    *at("generic", 0.1, 0.4, 0.7, 0.93),
    *at("tail", 1e-150, 1e-10, 1 - 1e-10),
    *at("tie", 0.5),
    *at("subnormal", 1e-310),
    *at("end", 0.0, 1.0, 1 - 2.0**-53),
)
"""From 0 to 1, the ends too, such as probabilities."""

LOCATION_SCALE = (
    *at("generic", (0.7, 0.2, 1.5), (-1.3, 0.5, 0.8), (2.6, -0.4, 2.3)),
    *at("tail", (-300.0, 0.0, 1.0), (-30.0, 0.0, 1.0), (30.0, 0.0, 1.0), (300.0, 0.0, 1.0)),
    *at("tail", (1e10, 0.0, 1.0), (-1e10, 0.0, 1.0), (0.3, 0.0, 1e10), (1.25, 1.25 - 2.0**-40, 1.0)),
    *at("tie", (1.25, 1.25, 0.5)),
    *at("zero", (0.0, 0.0, 1.0)),
)
"""x, location and scale, of distributions on all real numbers."""

QUANTILE = (
    *at("generic", (0.1, 0.2, 1.5), (0.4, 0.0, 1.0), (0.7, -0.4, 2.3), (0.93, 0.5, 0.8)),
    *at("tail", (1e-10, 0.0, 1.0), (1e-30, 0.0, 1.0), (1 - 1e-10, 0.0, 1.0)),
    *at("tie", (0.5, 0.0, 1.0), (0.5 + 2.0**-40, 0.0, 1.0)),
    *at("end", (0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (1 - 2.0**-53, 0.0, 1.0)),
)
"""Probability, location and scale."""


def with_shape(points: tuple[Point, ...], *shape: float) -> tuple[Point, ...]:
    """The same points, with arguments inserted behind the first."""
    return tuple(Point(point.label, (point.args[0], *shape, *point.args[1:])) for point in points)


def within(points: tuple[Point, ...], low: float, high: float) -> tuple[Point, ...]:
    """Those whose first argument lies between, both ends excluded."""
    return tuple(point for point in points if low < point.args[0] < high)
