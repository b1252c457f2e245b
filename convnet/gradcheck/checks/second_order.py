"""Stages 6 and 13: derivatives of the gradient. They are symmetric, and match differences and a reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.checks.slopes import STEPS, TINY, WEAK, scale_of
from convnet.gradcheck.comparison import LOST, finite, has_infinite, inner, norm
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

TOLERANCE = 1e-7
"""Of the largest entry of H v, for differences of the gradient."""

SYMMETRY = 1e-12


def second_order(subject: Subject) -> Iterator[Check]:
    """H, the Hessian of ⟨g, F⟩, by reverse over reverse, and by forward over reverse where there is a forward mode."""
    if _squares_overflow(subject):
        raise Untested("squares of numbers of this size overflow, or vanish")
    g, point = subject.cotangents[0], (subject.leaves, subject.constants)
    u, v = (_direction(subject) for _ in range(2))
    try:
        hv, hu = (as_float64(subject.program.second(*point, g, w)) for w in (v, u))
    except Exception as error:
        raise Untested(f"the rule cannot be differentiated: {type(error).__name__}") from error
    scale = subject.conditioning("second", subject.leaves, g, v)
    scale = subject.against_autodiff(scale, factor=8)  # two derivatives, rounded twice
    bends = _Bends(subject, partial(_gradient, subject, g), v)
    if not subject.estimator:
        yield _symmetric(subject, (u, v), (hu, hv), scale, bends)
        yield _differences("second order", subject, partial(_gradient, subject, g), g, [v], hv, bends)
        yield from _wider(subject, g)
    if subject.witness is not None and not subject.estimator:
        expected = as_float64(subject.reference.second(*point, g, v))
        yield _compared(subject, "H v, autodiff", hv, expected, scale, g, v, bends)
    yield _forward_over_reverse(subject, g, v, hv, scale, bends)


def _wider(subject: Subject, g: Leaves) -> Iterator[Check]:
    """Along arguments that are tiny, by steps that are not: steps of their own size say nothing of a derivative in
    them that is as large as 1."""
    tiny = [0 < scale_of(x) < TINY for x in subject.leaves]
    if any(tiny):
        v = [d * small * np.isfinite(x) for d, small, x in zip(subject.direction(), tiny, subject.leaves, strict=True)]
        hv, gradient = subject.program.second(subject.leaves, subject.constants, g, v), partial(_gradient, subject, g)
        bends = _Bends(subject, gradient, v)
        yield _differences(
            "second order", subject, gradient, g, [v], as_float64(hv), bends, "differences, by wider steps"
        )


def higher_orders(subject: Subject) -> Iterator[Check]:
    """From the third on: each derivative against differences of the one before, along one more random direction."""
    if subject.estimator:
        raise Untested("the gradient is an estimate by design")
    if subject.level.order < 3:
        raise Untested("left to level standard")
    if _squares_overflow(subject):
        raise Untested("squares of numbers of this size overflow, or vanish")
    g, directions = subject.cotangents[0], [_direction(subject) for _ in range(subject.level.order - 1)]
    for order in range(3, subject.level.order + 1):
        given, last = directions[: order - 2], directions[order - 2]

        def lower(leaves: Leaves, order=order, given=given) -> Leaves:
            return as_float64(subject.program.higher(order - 1)(leaves, subject.constants, g, given))

        try:
            actual = subject.program.higher(order)(subject.leaves, subject.constants, g, [*given, last])
        except Exception as error:
            yield Check("higher orders", f"order {order}", "untested", note=type(error).__name__)
            return
        bends = _Bends(subject, lower, last)
        along = [*given, last]
        yield _differences("higher orders", subject, lower, g, along, as_float64(actual), bends, f"order {order}")


def _squares_overflow(subject: Subject) -> bool:
    sizes = [np.abs(finite(array)) for array in (*subject.leaves, *subject.outputs)]
    return any((size > 1e100).any() or ((size > 0) & (size < 1e-100)).any() for size in sizes)


def _direction(subject: Subject) -> Leaves:
    pairs = zip(subject.leaves, subject.direction(), strict=True)
    return [scale_of(x) * d * np.isfinite(x) for x, d in pairs]


def _gradient(subject: Subject, g: Leaves, leaves: Leaves) -> Leaves:
    return as_float64(subject.gradient_of(leaves, g))


class _Bends:
    """Where f has a kink along v: its derivative there is a convention, and no two need agree on it.

    The slopes from either side differ by h·f″ where f is smooth, which falls with h, and by a constant at a kink.
    """

    def __init__(self, subject: Subject, f: Callable[[Leaves], Leaves], v: Leaves):
        self.subject, self.f, self.v = subject, f, v
        self._masks: Leaves | None = None

    def masks(self) -> Leaves:
        if self._masks is None:
            base = self._at(0.0)
            sizes = [np.abs(finite(y)).max(initial=0.0) for y in base]
            noise = [200 * self.subject.unit * size / STEPS[-1] for size in sizes]
            slopes = zip(*(self._gaps(base, step) for step in STEPS[-2:]), noise, strict=True)
            jumps = zip(*(self._jumps(step) for step in STEPS[-2:]), sizes, strict=True)
            bends = [(near > 0.5 * wide) & (near > floor) for wide, near, floor in slopes]
            breaks = [(near > 0.5 * wide) & (near > 1e-3 * size) for wide, near, size in jumps]
            self._masks = [a | b for a, b in zip(bends, breaks, strict=True)]
        return self._masks

    def _jumps(self, step: float) -> Leaves:
        """Across the point: falls with the step unless f jumps there, as x / |x| does at 0."""
        return [np.abs(a - b) for a, b in zip(self._at(step), self._at(-step), strict=True)]

    def _at(self, t: float) -> Leaves:
        return self.f([x + t * d for x, d in zip(self.subject.leaves, self.v, strict=True)])

    def _gaps(self, base: Leaves, step: float) -> Leaves:
        return [np.abs(a + b - 2 * y) / step for a, b, y in zip(self._at(step), self._at(-step), base, strict=True)]

    def anywhere(self) -> bool:
        return any(mask.any() for mask in self.masks())


KINK = "the slope has a kink here"


def _compared(subject: Subject, name: str, actual, expected, scale, g: Leaves, v: Leaves, bends: _Bends) -> Check:
    excused = [~np.isfinite(x) for x in subject.leaves]
    noise = partial(subject.noise, "higher", subject.leaves, g, [v])
    check = subject.compare("second order", name, actual, expected, scale, noise, excused=excused)
    if check.status == "failed" and bends.anywhere():
        smooth = [np.where(mask, np.nan, e) for mask, e in zip(bends.masks(), expected, strict=True)]
        masks = [np.isnan(e) for e in smooth]
        check = subject.compare("second order", name, actual, smooth, scale, noise, excused=masks)
    return check


def _symmetric(subject: Subject, directions, products, scale: Leaves, bends: _Bends) -> Check:
    (u, v), (hu, hv) = directions, ([finite(h) for h in product] for product in products)
    bound, text = SYMMETRY * subject.coarser, f"{inner(u, hv)} ≠ {inner(v, hu)}"
    gap = abs(inner(u, hv) - inner(v, hu))
    error = _relative(gap, norm(u) * norm(scale))
    if error > bound:
        g = subject.cotangents[0]
        noises = [subject.noise("higher", subject.leaves, g, [w]) for w in (v, u)]
        if has_infinite([*noises[0], *noises[1]]):
            return Check("second order", "uᵀHv = vᵀHu", "untested", note=LOST)
        sizes = norm(u) * norm(noises[0]) + norm(v) * norm(noises[1])
        error = _relative(gap, max(sizes, norm(u) * norm(scale)))
        if error > bound and bends.anywhere():
            return Check("second order", "uᵀHv = vᵀHu", "untested", note=KINK)
    status = "passed" if error <= bound else "failed"
    return Check("second order", "uᵀHv = vᵀHu", status, error, bound, text, bound)


def _relative(gap: float, size: float) -> float:
    return gap / size if size else 0.0


def _forward_over_reverse(subject: Subject, g: Leaves, v: Leaves, hv: Leaves, scale: Leaves, bends: _Bends) -> Check:
    name = "forward over reverse"
    try:
        forward = as_float64(subject.program.second_forward(subject.leaves, subject.constants, g, v))
    except Exception as error:
        return Check("second order", name, "untested", note=f"{type(error).__name__}")
    return _compared(subject, name, forward, hv, scale, g, v, bends)


def _differences(
    stage: str, subject: Subject, f: Callable[[Leaves], Leaves], g: Leaves, directions: list[Leaves], actual: Leaves,
    bends: _Bends, title: str = "differences",
) -> Check:  # fmt: skip
    """The derivative of f, that of ⟨g, F⟩ along all directions but the last, along the last against five-point
    differences; entries where two steps disagree are kinks."""
    slopes = [_slope(subject, f, directions[-1], step) for step in STEPS[:3]]
    largest, tolerance = _largest(subject, slopes[1]), TOLERANCE
    differenced = partial(_differenced, stage, title, subject.program.names, actual)
    check = differenced(slopes, largest, tolerance)
    if check.status != "passed" and bends.anywhere():
        slopes = _without(bends.masks(), slopes)
        check = differenced(slopes, largest, tolerance)
    if check.status == "passed":
        return check
    hidden = _hidden(subject, f, g, directions)
    allowed = 10 * hidden / largest  # an entry of many may be off by several
    if allowed > tolerance:
        tolerance = min(allowed, 1.0)
        check = differenced(slopes, largest, tolerance)
        if not allowed < (WEAK if check.status == "passed" else COARSEST):
            return Check(stage, title, "untested", note="rounding hides the differences")
    if check.status == "failed":
        falling = _falling(partial(_slope, subject, f, directions[-1]), actual, slopes[1], hidden, tolerance * largest)
        check = differenced(_without(falling, slopes), largest, tolerance)
    return check


def _without(masks: Leaves, slopes: Sequence[Leaves]) -> list[Leaves]:
    return [[np.where(m, np.nan, s) for m, s in zip(masks, slope, strict=True)] for slope in slopes]


def _falling(slope: Callable, actual: Leaves, usual: Leaves, hidden: float, allowed: float) -> Leaves:
    """Where differences by smaller steps come nearer to `actual` than those by the `usual` ones: the function changes
    over less than these, as one of 1e5 and 1e-4 in one array does. An error of a derivative is as large at any step.

    hidden: what rounding leaves of a difference by the usual step.
    """
    errors = [np.abs(found - expected) for found, expected in zip(actual, usual, strict=True)]
    masks = [np.zeros(np.shape(error), bool) for error in errors]
    for step in FINER:
        noise = hidden * STEPS[1] / step
        for mask, error, found, finer in zip(masks, errors, actual, slope(step), strict=True):
            mask |= (error > allowed) & (noise < error / 4) & (np.abs(found - finer) < error / 2)
    return masks


FINER = 1e-3 / 8.0 ** np.arange(2, 11)
"""Steps down to 1e-12 of a leaf's scale."""


COARSEST = 0.1
"""Of the largest entry: where rounding may be as much as that, nothing is said."""


def _hidden(subject: Subject, f: Callable[[Leaves], Leaves], g: Leaves, directions: list[Leaves]) -> float:
    """How much of a derivative rounding may be: of what is differenced, over a step, and of itself."""
    *given, _ = directions
    below = subject.noise("higher", subject.leaves, g, given) if given else subject.noise("vjp", subject.leaves, g)
    own = subject.noise("higher", subject.leaves, g, directions)
    sizes = [np.abs(finite(y)).max(initial=0.0) for y in (*f(subject.leaves), *below)]
    return subject.unit * (max(sizes) / STEPS[1] + OWN * max(n.max(initial=0.0) for n in own))


OWN = 16
"""Roundings, of the usual size, that a derivative may be off by."""


def _largest(subject: Subject, slopes: Leaves) -> float:
    """What errors are relative to: the largest entry, and no less than a part of the gradient's own slope."""
    sizes = [
        np.abs(finite(s)).max() / scale_of(x) for s, x in zip(subject.slopes, subject.leaves, strict=True) if s.size
    ]
    found = max((np.abs(finite(s)).max() for s in slopes if s.size), default=0.0)
    return max(found, 1e-6 * max(sizes, default=0.0), np.finfo(float).tiny)


def _differenced(
    stage: str, title: str, names: Sequence[str], actual: Leaves, slopes: Sequence[Leaves], largest: float,
    tolerance: float,
) -> Check:  # fmt: skip
    """tolerance: of the largest."""
    worst, text, rejected, total = 0.0, "", 0, 0
    for name, a, b, c, found in zip(names, *slopes, actual, strict=True):
        smooth_wide, smooth_near = np.abs(a - b) <= tolerance * largest, np.abs(b - c) <= tolerance * largest
        expected, smooth = np.where(smooth_wide, a, b), smooth_wide | smooth_near
        rejected, total = rejected + int((~smooth).sum()), total + smooth.size
        error = np.where(np.isfinite(found), np.abs(found - expected) / largest, np.inf)
        error = np.where(smooth, error, 0.0)
        if error.size and error.max() > worst:
            at = np.unravel_index(np.argmax(error), error.shape)
            worst = float(error[at])
            text = (
                f"its derivative along v, [{name}{list(map(int, at))}], is {found[at]:.9g}: expected {expected[at]:.9g}"
            )
    bound = 2 * tolerance
    if worst <= bound and rejected > total / 2:
        return Check(stage, title, "untested", rejected=rejected / total, note="kinks at most entries")
    status = "passed" if worst <= bound else "failed"
    return Check(stage, title, status, worst, bound, text, bound, rejected / max(total, 1))


def _slope(subject: Subject, f: Callable[[Leaves], Leaves], v: Leaves, step: float) -> Leaves:
    at = {t: f([x + t * step * d for x, d in zip(subject.leaves, v, strict=True)]) for t in (-2, -1, 1, 2)}
    parts = zip(at[-2], at[-1], at[1], at[2], strict=True)
    return [(a - 8 * b + 8 * c - d) / (12 * step) for a, b, c, d in parts]
