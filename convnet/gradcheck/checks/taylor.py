"""Stage 5: the remainder of Taylor's formula, which falls with the square of the step if the gradient is right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convnet.gradcheck.checks.slopes import WEAK, Path, bent, check_derivative, scale_of
from convnet.gradcheck.comparison import inner, norm
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

ROUGH = 1.4
"""A gradient that is wrong leaves a remainder of order 1, one of |x|^1.5 at 0 is right and leaves 1.5."""


def taylor(subject: Subject) -> Iterator[Check]:
    """The remainder |L(x + hv) − L(x) − h⟨∇, v⟩| falls as h² (an error of the gradient makes it fall as h)."""
    check_derivative(subject)
    gradient = subject.slopes
    v = [scale_of(x) * d * np.isfinite(x) for x, d in zip(subject.leaves, subject.direction(), strict=True)]
    path, slope = Path(subject, subject.cotangents[0], v), inner(gradient, v)
    size = max(norm([a * b for a, b in zip(gradient, v, strict=True)]), abs(slope), np.finfo(float).tiny)
    if not any(x.size for x in subject.leaves):
        raise Untested("the arrays are empty")
    if bent(path, 1.0):
        raise Untested("the function has a kink at this point")
    check = _remainder(path, slope, size)
    if check.status == "failed":
        path.doubt()
        check = _remainder(path, slope, size)
    yield check


def _remainder(path: Path, slope: float, size: float) -> Check:
    """Over steps that get smaller until the order is 2, or nothing is left to see: what the function is like nearest to
    the point counts."""
    name, orders, errors = "order of the remainder", [], []
    for first in 10.0 ** -np.arange(1, 15):
        steps = first / 2.0 ** np.arange(6)
        rest = np.array([abs(path(h) - h * slope) for h in steps])
        floor = 10 * path.noise + 1e-14 * path.subject.coarser * size * first
        if not np.isfinite(rest).all():
            continue
        clear = rest > 10 * floor
        if clear.sum() < 5:
            if not _of_first_order(orders, errors):
                return _below_rounding(name, 100 * floor / steps[0] / size)
            break
        orders.append(float(np.polyfit(np.log2(steps[clear]), np.log2(rest[clear]), 1)[0]))
        errors.append(float(rest[clear][-1] / steps[clear][-1] / size))
        if orders[-1] >= 1.9 and errors[-1] < WEAK:  # else smaller steps see more
            error = max(2 - orders[-1], 0.0)
            return Check("taylor", name, "passed", error, 0.1, detects=errors[-1], note=f"order {orders[-1]:.2f}")
    if not orders:
        raise Untested("the function is not finite around this point")
    text = f"the remainder falls with order {orders[-1]:.2f}: expected 2"
    if not _of_first_order(orders, errors):
        raise Untested(text if orders[-1] < 1.9 else f"the remainder is large: errors of {errors[-1]:.1g} are not seen")
    return Check("taylor", name, "failed", abs(orders[-1] - 2), 0.1, text)


def _of_first_order(orders: list[float], errors: list[float]) -> bool:
    """Whether what is left of the slope is the same at the smallest steps and at those before: where a step crossed a
    kink, or went as far as the function bends, it is not."""
    if len(orders) < 2 or max(orders[-2:]) > ROUGH:
        return False
    return 0.5 < errors[-1] / errors[-2] < 2


def _below_rounding(name: str, detects: float) -> Check:
    """No remainder is left to fit: the function is linear here, or the steps had to be tiny."""
    if not detects < WEAK:
        note = f"rounding hides the remainder: an error of {detects:.1g} would go unnoticed"
        return Check("taylor", name, "untested", note=note)
    return Check("taylor", name, "passed", 0.0, 0.1, detects=float(detects), note="below rounding error")
