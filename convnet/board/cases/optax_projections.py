"""`optax.projections`: the nearest point of a set."""

from __future__ import annotations

import numpy as np
from mpmath import mp, mpf

from convnet.board import exact, real
from convnet.board.case import Case, at, case, numbers

VECTORS = (
    *at("generic", numbers(0.3, -1.2, 2.1), numbers(-0.7, 0.4, 0.1), numbers(0.2, 0.5, -0.1)),
    *at("tail", numbers(300.0, -1.0, 299.5), numbers(1e10, 1.0, -1.0), numbers(1e-10, 2e-10, -1e-10)),
    *at("tie", numbers(0.9, 0.9, 0.9), numbers(1.5, 1.5, -0.2)),
    *at("length one", numbers(0.7), numbers(-1.8)),
)
ZERO = at("zero", numbers(0.0, 0.0, 0.0), numbers(0.3, 0.0, -2.0))
BRANCH = at(
    "branch", numbers(1.0, 0.0, 0.0), numbers(0.5, -0.5, 0.5, 0.5), numbers(1.5, 0.5, -1.0), numbers(0.5, -0.25, 0.25)
)
"""On the sets, or on what separates faces."""
POSITIVE_SCALES = at("generic", (numbers(0.3, -1.2, 2.1), 1.5), (numbers(0.7, 0.4, 0.1), 0.8))
PAIRS = (
    *at("generic", (numbers(0.3, -1.2), numbers(2.1, 0.4)), (numbers(-0.7, 0.4), numbers(0.6, 1.1))),
    *at("tail", (numbers(300.0, -1.0), numbers(1e-5, 2e-5)), (numbers(1.0, 2.0), numbers(1e200, 3e200))),
    *at("tie", (numbers(0.3, 1.2), numbers(0.3, 1.2)), (numbers(1.0, 2.0), numbers(2.0, -1.0))),
    *at("zero", (numbers(0.0, 0.0), numbers(2.1, 0.4))),
)
PLANES = (
    *at("generic", (numbers(0.3, -1.2), numbers(2.1, 0.4), 0.5), (numbers(0.7, 1.4), numbers(0.6, 1.1), -0.5)),
    *at("tail", (numbers(300.0, -1.0), numbers(1e-5, 2e-5), 0.5)),
    *at("branch", (numbers(1.0, 0.5), numbers(0.5, 1.0), 1.0)),
    *at("zero", (numbers(0.0, 0.0), numbers(2.1, 0.4), 0.5), (numbers(0.0, 0.0), numbers(2.1, 0.4), -0.5)),
)
"""x, and the a and b of ⟨a, y⟩ = b; at the branch x lies on the plane."""


def simplex(x: np.ndarray, scale: mpf) -> np.ndarray:
    """max(x − τ, 0) with the τ for which that sums up to `scale`."""
    down = sorted(x, reverse=True)
    levels = [(sum(down[: k + 1]) - scale) / (k + 1) for k in range(len(down))]
    tau = [level for value, level in zip(down, levels, strict=True) if value > level][-1]
    return np.array([max(value - tau, mpf(0)) for value in x], object)


def l1_sphere(x: np.ndarray, scale: mpf) -> np.ndarray:
    return np.array([mp.sign(v) for v in x], object) * simplex(abs(x), scale)


def l1_ball(x: np.ndarray, scale: mpf) -> np.ndarray:
    return x if sum(abs(x)) <= scale else l1_sphere(x, scale)


def length(x: np.ndarray) -> mpf:
    return mp.sqrt(x @ x)


def l2_ball(x: np.ndarray, scale: mpf) -> np.ndarray:
    return x if length(x) <= scale else x * (scale / length(x))


def halfspace(x: np.ndarray, a: np.ndarray, b: mpf) -> np.ndarray:
    return x + min((b - x @ a) / (a @ a), mpf(0)) * a


def clipped(x: np.ndarray, low: mpf | int, high: mpf | int) -> np.ndarray:
    return exact.entrywise(lambda value: real.clip(value, low, high))(x)


def onto(name: str, oracle, points, args: str = "x", wrt: tuple[int, ...] = (0,)) -> Case:
    return case(f"optax.projections.projection_{name}", oracle, points, args=args, wrt=wrt, elementwise=False)


def scaled(name: str, oracle, points) -> tuple[Case, Case]:
    """Of radius 1, and differentiated in the radius too."""
    return (
        onto(name, lambda x: oracle(x, mpf(1)), points),
        onto(name, oracle, POSITIVE_SCALES, "x, scale", (0, 1)),
    )


CASES: tuple[Case, ...] = (
    onto("non_negative", lambda x: exact.larger(x, mpf(0)), (*VECTORS, *ZERO)),
    onto("box", clipped, at("generic", (numbers(0.3, -1.2, 2.1), -0.5, 1.5)), "x, low, high", (0, 1, 2)),
    onto("box", clipped, at("tie", (numbers(0.3, -0.5, 1.5), -0.5, 1.5)), "x, low, high"),
    onto("hypercube", lambda x: clipped(x, 0, 1), (*VECTORS, *BRANCH)),
    onto("hypercube", lambda x, scale: clipped(x, 0, scale), POSITIVE_SCALES, "x, scale", (0, 1)),
    *scaled("simplex", simplex, (*VECTORS, *ZERO, *BRANCH)),
    *scaled("l1_sphere", l1_sphere, (*VECTORS, *at("zero", numbers(0.3, 0.0, -2.0)), *BRANCH)),
    *scaled("l1_ball", l1_ball, (*VECTORS, *ZERO, *BRANCH)),
    *scaled("l2_sphere", lambda x, scale: x * (scale / length(x)),
            (*VECTORS, *at("zero", numbers(0.3, 0.0, -2.0)), *BRANCH,
             *at("tail", numbers(1e200, -2e200), numbers(1e-200, 3e-200)))),
    *scaled("l2_ball", l2_ball, (*VECTORS, *ZERO, *BRANCH, *at("tail", numbers(1e200, -2e200)))),
    *scaled("linf_ball", lambda x, scale: clipped(x, -scale, scale), (*VECTORS, *ZERO, *BRANCH)),
    onto("vector", lambda x, a: a * (x @ a / (a @ a)), PAIRS, "x, a", (0, 1)),
    onto("hyperplane", lambda x, a, b: x + (b - x @ a) / (a @ a) * a, PLANES, "x, a, b", (0, 1, 2)),
    onto("halfspace", halfspace, PLANES, "x, a, b", (0, 1, 2)),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
