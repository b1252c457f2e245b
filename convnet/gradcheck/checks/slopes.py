"""Stages 4, 5 and 7: what the values alone tell: finite differences, the Taylor remainder, and kinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from convnet.gradcheck.exam import Exam, Untested
from convnet.gradcheck.judge import inner, norm
from convnet.gradcheck.program import Leaves, as_float64
from convnet.gradcheck.verdict import Check

STEPS = (1e-3, 1e-3 / 8, 1e-3 / 64, 1e-3 / 512)
"""Of a leaf's scale. The first has a truncation error near 1e-12; smaller ones are for points near a kink."""

TOLERANCE = 1e-9
"""Of the largest slope. A five-point difference of a smooth function in float64 reaches about 1e-12."""


def five_point(f: Callable[[float], float], step: float) -> float:
    """f′(0) with an error of the order step⁴."""
    return (f(-2 * step) - 8 * f(-step) + 8 * f(step) - f(2 * step)) / (12 * step)


def settled_slope(f: Callable[[float], float], scale: float, tolerance: float) -> tuple[float, float]:
    """(slope, disagreement) at the largest step that agrees with the next smaller one; disagreement ∞ at a kink.

    Only the function's values decide, never the gradient under test, so a wrong gradient cannot hide as a kink.
    A symmetric difference is blind to a kink at the point itself; the slopes from either side are not.
    """
    slopes = [five_point(f, step * scale) for step in STEPS[:2]]
    for step in STEPS[2:]:
        gap = abs(slopes[-1] - slopes[-2])
        if gap <= tolerance:
            break
        slopes.append(five_point(f, step * scale))
    gap = abs(slopes[-1] - slopes[-2])
    h = STEPS[-1] * scale
    sides = (f(h) - f(0.0)) / h, (f(0.0) - f(-h)) / h
    bent = abs(sides[0] - sides[1]) > 0.02 * max(abs(sides[0]), abs(sides[1])) + 100 * tolerance
    return slopes[-2], np.inf if bent or gap > tolerance else gap


def scale_of(leaf: np.ndarray) -> float:
    """A leaf's typical size."""
    root = float(np.sqrt(np.mean(leaf**2))) if leaf.size else 1.0
    return root or 1.0


def along(exam: Exam, g: Leaves, direction: Leaves) -> Callable[[float], float]:
    """t -> ⟨g, F(x + t·direction) − F(x)⟩; the difference is taken output by output, before anything is added up."""

    def f(t: float) -> float:
        moved = [x + t * v for x, v in zip(exam.leaves, direction, strict=True)]
        values = as_float64(exam.program.value(moved, exam.constants))
        return inner(g, [v - base for v, base in zip(values, exam.outputs, strict=True)])

    return f


def unit(exam: Exam, leaf: int, entry: tuple[int, ...]) -> Leaves:
    """The direction of a single entry."""
    direction = [np.zeros(x.shape) for x in exam.leaves]
    direction[leaf][entry] = 1.0
    return direction


def differences(exam: Exam) -> Iterator[Check]:
    """Entry by entry, five points in float64; large arrays also along random directions that touch every entry."""
    for leaf, x in enumerate(exam.leaves):
        if x.size:
            yield _entrywise(exam, leaf)
    if any(x.size > exam.level.entries for x in exam.leaves):
        yield _directional(exam)


def _entrywise(exam: Exam, leaf: int) -> Check:
    x, gradient, name = exam.leaves[leaf], exam.gradients[0][leaf], exam.program.names[leaf]
    expected = _largest_slope(exam, leaf)
    tolerance, worst, text, rejected = TOLERANCE * expected, 0.0, "", 0
    entries = exam.entries(x.shape)
    for entry in entries:
        slope, gap = settled_slope(along(exam, exam.cotangents[0], unit(exam, leaf, entry)), scale_of(x), tolerance)
        if not np.isfinite(gap):
            rejected += 1
            continue
        error = abs(gradient[entry] - slope) / expected if np.isfinite(gradient[entry]) else np.inf
        if error > worst:
            index = f"{name}{list(entry)}" if entry else name
            worst, text = float(error), f"{index} is {gradient[entry]:.9g}: expected {slope:.9g}"
    if rejected > len(entries) / 2:
        note = "the function has kinks at most of the entries"
        return Check("differences", name, "untested", rejected=rejected / len(entries), note=note)
    status = "passed" if worst <= 2 * TOLERANCE else "failed"
    note = "" if len(entries) == x.size else f"{len(entries)} of {x.size} entries"
    return Check(
        "differences", name, status, worst, 2 * TOLERANCE, text, 2 * TOLERANCE, rejected / len(entries), note=note
    )


def _largest_slope(exam: Exam, leaf: int) -> float:
    """What errors are relative to: the largest slope among a few entries, from values alone, and never 0."""
    x = exam.leaves[leaf]
    slopes = [
        five_point(along(exam, exam.cotangents[0], unit(exam, leaf, entry)), STEPS[1] * scale_of(x))
        for entry in exam.entries(x.shape, 16)
    ]
    floor = 1e-3 * norm(exam.outputs) / (scale_of(x) * np.sqrt(x.size))
    return max(max(abs(s) for s in slopes), floor, np.finfo(float).tiny)


def _directional(exam: Exam) -> Check:
    """⟨∇, v⟩ for v = ±scale at every entry: one wrong entry of a million shows, as rounding is far below it."""
    worst, text, detects, used = 0.0, "", 0.0, 0
    tries = max(3, exam.level.cotangents)
    for _ in range(tries):
        v = [scale_of(x) * exam.rng.choice([-1.0, 1.0], x.shape) for x in exam.leaves]
        size = norm([g * s for g, s in zip(exam.gradients[0], v, strict=True)])
        slope, gap = settled_slope(along(exam, exam.cotangents[0], v), 1.0, 1e-11 * size)
        if not np.isfinite(gap):
            continue
        used += 1
        allowed = 4e-11 * size
        error = abs(inner(exam.gradients[0], v) - slope) / allowed
        largest = max(np.abs(g * s).max() for g, s in zip(exam.gradients[0], v, strict=True))
        detects = max(detects, allowed / largest) if largest else detects
        if not error <= worst:
            worst, text = float(error), f"⟨∇, v⟩ is {inner(exam.gradients[0], v):.12g}: expected {slope:.12g}"
    if not used:
        return Check("differences", "directions", "untested", rejected=1.0, note="every direction crosses kinks")
    status = "passed" if worst <= 1 else "failed"
    return Check("differences", "directions", status, worst, 1.0, text, detects or None, 1 - used / tries)


def taylor(exam: Exam) -> Iterator[Check]:
    """The remainder |L(x + hv) − L(x) − h⟨∇, v⟩| falls as h² (an error of the gradient makes it fall as h)."""
    g, gradient = exam.cotangents[0], exam.gradients[0]
    v = [scale_of(x) * exam.rng.standard_normal(x.shape) for x in exam.leaves]
    f, slope = along(exam, g, v), inner(gradient, v)
    size = max(norm([a * b for a, b in zip(gradient, v, strict=True)]), abs(slope), np.finfo(float).tiny)
    floor = 1e-14 * (np.sqrt(exam.terms) * norm(g) * norm(exam.outputs) + size)
    rungs = []
    for first in 10.0 ** -np.arange(1, 7):
        steps = first / 2.0 ** np.arange(6)
        rest = np.array([abs(f(h) - h * slope) for h in steps])
        clear = rest > 100 * floor
        if clear.sum() < 5:
            yield _below_rounding(rungs, steps, floor, size)
            return
        order = np.polyfit(np.log2(steps[clear]), np.log2(rest[clear]), 1)[0]
        rungs.append(order)
        if abs(order - 2) <= 0.1 or order > 2.1:
            detects = float(rest[clear][-1] / steps[clear][-1] / size)
            yield Check("taylor", "order of the remainder", "passed", abs(order - 2) if order < 2 else 0.0, 0.1,
                        detects=detects, note=f"order {order:.2f}")  # fmt: skip
            return
    text = f"the remainder falls with order {rungs[-1]:.2f}: expected 2"
    yield Check("taylor", "order of the remainder", "failed", abs(rungs[-1] - 2), 0.1, text)


def _below_rounding(rungs: list, steps: np.ndarray, floor: float, size: float) -> Check:
    """No remainder left to fit: the function is linear here, or the steps had to be tiny."""
    detects = float(100 * floor / steps[0] / size)
    status = "passed" if not rungs or detects < 1e-4 else "untested"
    return Check("taylor", "order of the remainder", status, 0.0, 0.1, detects=detects, note="below rounding error")


def kinks(exam: Exam) -> Iterator[Check]:
    """At ties and kinks: the declared gradient exactly, and each entry between the slopes from either side."""
    if not exam.conventions:
        raise Untested("no conventions were given")
    for convention in exam.conventions:
        there = exam.restart(convention.args, convention.settings)
        g = [np.ones(out.shape) for out in there.outputs]
        gradient = as_float64(there.program.vjp(there.leaves, there.constants, g))
        yield _declared(there, convention, gradient)
        yield _between(there, convention.name, g, gradient)


def _declared(exam: Exam, convention, gradient: Leaves) -> Check:
    name = f"declared at {convention.name}"
    if convention.gradients is None:
        return Check("kinks", name, "untested", note="no gradient declared")
    declared = as_float64(exam.program.select(convention.gradients))
    for leaf, actual, expected in zip(exam.program.names, gradient, declared, strict=True):
        error = np.abs(actual - expected)
        if not (error <= 1e-13 * np.maximum(1, np.abs(expected))).all():
            at = tuple(map(int, np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), error.shape)))
            text = f"{leaf}{list(at)} is {actual[at]:.9g}: declared {expected[at]:.9g}"
            return Check("kinks", name, "failed", float(error[at]), 1e-13, text)
    return Check("kinks", name, "passed", 0.0, 1e-13)


def _between(exam: Exam, name: str, g: Leaves, gradient: Leaves) -> Check:
    """Infinite slopes, of a point outside the function's domain, say nothing."""
    worst, text, step = 0.0, "", 1e-7
    for leaf, x in enumerate(exam.leaves):
        for entry in exam.entries(x.shape):
            if not np.isfinite(x[entry]):
                continue
            f = along(exam, g, unit(exam, leaf, entry))
            sides = sorted((f(step) / step, -f(-step) / step))
            if not np.isfinite(sides).all():
                continue
            outside = max(sides[0] - gradient[leaf][entry], gradient[leaf][entry] - sides[1], 0.0)
            outside = np.inf if np.isnan(gradient[leaf][entry]) else outside / max(1.0, *map(abs, sides))
            if outside > worst:
                index = f"{exam.program.names[leaf]}{list(entry)}"
                worst, text = outside, f"{index} is {gradient[leaf][entry]:.6g}: the slopes are {sides}"
    return Check("kinks", f"one-sided slopes at {name}", "passed" if worst <= 1e-5 else "failed", worst, 1e-5, text)
