"""Points on the real line, for tables of elementwise functions.

The far ones are chosen by what overflows in a formula: the square of 1e25 in float32 and bfloat16, that of 1e200 in
float64; exp of 300 in float32, of 1e3 in float64.
"""

from __future__ import annotations

import numpy as np

from convnet.board.case import at

ZERO = (*at("zero", 0.0, -0.0), *at("subnormal", 1e-310))
NEAR_ZERO = at("tail", 1e-5, -1e-5, 1e-10, 1e-25, 1e-200)

LINE = (
    *at("generic", -2.3, -0.7, 0.4, 1.6, 3.1),
    *at("tail", -300.0, -30.0, 30.0, 300.0),
    *ZERO,
    *NEAR_ZERO,
)
"""For functions of all real numbers."""

WIDE = (*LINE, *at("tail", 1e10, -1e10, 1e25, 1e200, -1e200))
"""For functions of all real numbers that grow no faster than powers, or saturate."""

POSITIVE = (
    *at("generic", 0.2, 0.7, 1.6, 3.1),
    *at("tail", 30.0, 300.0, 1e10, 1e25, 1e200, 1e-5, 1e-10, 1e-25, 1e-200),
    *at("end", 0.0),
    *at("subnormal", 1e-310),
    *at("branch", 1.0),
)
"""For functions of positive numbers."""

UNIT = (
    *at("generic", -0.7, -0.3, 0.2, 0.9),
    *at("branch", 0.5, -0.5),
    *ZERO,
    *NEAR_ZERO,
    *at("end", 1.0, -1.0, np.nextafter(1.0, 0.0), np.nextafter(-1.0, 0.0), 1 - 1e-6),
)
"""For functions on [−1, 1]."""

STEPS = (
    *at("generic", -2.3, -0.7, 0.4, 1.6, 3.1),
    *at("tail", -300.2, 1e10, 1e-10),
    *at("zero", 0.0, -0.0),
    *at("branch", 1.0, -3.0, 0.5, 1.5, -2.5, np.nextafter(0.5, 0.0)),
)
"""For functions that are constant between whole numbers, or between halves."""

PLANE = (
    *at("generic", (0.5, 1.7), (-1.3, 0.6), (2.1, -0.8), (-0.4, -3.2)),
    *at("tie", (1.5, 1.5), (-2.0, -2.0), (2.0, -2.0)),
    *at("zero", (0.0, 0.0), (0.0, 1.2), (-1.2, 0.0), (0.0, -1.2)),
)
"""For functions of two real numbers."""

FAR_PLANE = (
    *at("tail", (300.0, -0.5), (-0.5, 300.0), (300.0, 299.0), (-300.0, -301.0)),
    *at("tail", (1e25, 2e25), (1e-25, 2e-25), (1e200, 3e200), (1e-200, 3e-200), (1e-200, 1.0), (1.0, 1e-200)),
)
"""Far out, and close to the origin, for the same."""
