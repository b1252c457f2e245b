"""The loss differenced along random directions: what its values say of the gradient, whatever code computed them.

Steps that cross kinks are found by the values alone, so no wrong gradient can hide behind one. Where the network itself
stands on a kink (a tie of max pooling, an activation at 0) the slopes from either side differ, and no difference can
say which the gradient should be: it is then judged beside that point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from convnet.gradcheck.arguments import Leaves
from convnet.gradcheck.checks.slopes import TOLERANCE, WEAK, five_point, scale_of
from convnet.gradcheck.comparison import inner, norm
from convnet.gradcheck.network.whole import Whole
from convnet.gradcheck.verdict import Check

STEPS = 1e-3 / 8.0 ** np.arange(6)
"""Of a parameter's scale. Each of a network's thousands of activations has a kink, so the first few may cross some."""
BESIDE = 0.01
"""How far from a kink a network is judged instead, relative to every parameter."""
TRIES = 4
"""Directions, until one shows a right slope or two a wrong one."""


@dataclass
class Point:
    """Where the loss is differenced, with the gradient under test and its conditioning there."""

    whole: Whole
    leaves: Leaves
    gradient: Leaves
    scale: Leaves

    @cached_property
    def base(self) -> np.ndarray:
        return self.whole.values(self.leaves)

    @cached_property
    def noise(self) -> float:
        """How far rounding moves the loss: what ulps of the parameters do to it, and half an ulp of every loss."""
        moves = []
        for _ in range(4):
            signs = [self.whole.rng.choice([-1, 1], x.shape) for x in self.leaves]
            moved = [x * (1 + 2.0**-52 * sign) for x, sign in zip(self.leaves, signs, strict=True)]
            moves.append(abs(float(np.mean(self.whole.values(moved) - self.base))))
        return 2 * max(moves) + 2.0**-52 * norm([self.base]) / self.base.size

    def along(self, direction: Leaves, search: Search) -> Found | None:
        """What the values and the gradient say of this direction; None where every step crosses kinks."""
        slope = search(Slice(self, direction))
        if slope is None:
            return None
        parts = [g * v for g, v in zip(self.gradient, direction, strict=True)]
        rounding = norm([s * v for s, v in zip(self.scale, direction, strict=True)])
        allowed = slope.allowed + 2.0**-53 * self.whole.bound * rounding
        return Found(inner(self.gradient, direction), replace(slope, allowed=allowed), norm(parts))


class Slice:
    """t -> the mean loss at x + t·direction, less that at x; the difference is taken before anything is added up."""

    def __init__(self, point: Point, direction: Leaves):
        self.point, self.direction, self.noise = point, direction, point.noise
        self._known: dict[float, float] = {}

    def __call__(self, t: float) -> float:
        if t not in self._known:
            moved = [x + t * v for x, v in zip(self.point.leaves, self.direction, strict=True)]
            self._known[t] = float(np.mean(self.point.whole.values(moved) - self.point.base))
        return self._known[t]

    def apart(self, step: float) -> float:
        """By how much the slopes from either side differ over this step."""
        return (self(step) + self(-step)) / step


@dataclass(frozen=True)
class Slope:
    """What the values say along one direction."""

    value: float
    allowed: float
    """How far from it a right gradient may be."""
    jump: float
    """The difference of the slopes from either side, but for curvature."""

    @property
    def bent(self) -> bool:
        return abs(self.jump) > self.allowed


class Search:
    """Finds slopes; begins near the step that sufficed last time."""

    def __init__(self):
        self.first = 0

    def __call__(self, f: Slice) -> Slope | None:
        """The slope at the largest step that agrees with the next smaller one; None where every step crosses kinks.

        A curve can look bent over a large step; a kink is one over every step.
        """
        found = None
        for index in range(max(self.first - 1, 0), len(STEPS) - 1):
            step, smaller = STEPS[index], STEPS[index + 1]
            wide, near = five_point(f, step), five_point(f, smaller)
            allowed = max(2 * TOLERANCE * abs(near), 4 * f.noise / smaller)
            if abs(wide - near) <= allowed / 2:
                found = Slope(wide, allowed, (8 * f.apart(smaller) - f.apart(step)) / 7)
                if not found.bent:
                    self.first = index
                    break
        return found


@dataclass(frozen=True)
class Found:
    """A slope that the gradient claims beside the one that the values show."""

    claimed: float
    slope: Slope
    size: float
    """What the claim adds up, before signs."""

    @property
    def error(self) -> float:
        error = abs(self.claimed - self.slope.value) / self.slope.allowed
        return error if np.isfinite(error) else np.inf


class Slopes:
    """The gradient of a network against its slopes."""

    def __init__(self, whole: Whole, scale: Leaves, frozen: Sequence[str] = ()):
        """frozen: names of parameters, or of what they stand in, whose slopes say nothing of their gradients."""
        self.whole, self.search = whole, Search()
        parts = {name: [f for f in frozen if name == f or name.startswith(f"{f}/")] for name in whole.names}
        for name in frozen:
            if not any(name in found for found in parts.values()):
                raise ValueError(f"frozen names {name!r}: expected some of {', '.join(whole.names)}")
        self.frozen = [name for name in whole.names if parts[name]]
        self.here = Point(whole, whole.leaves, whole.here[1], scale)

    @cached_property
    def _beside(self) -> tuple[Point, dict[str, Check]]:
        """A point near by, and how the gradient compares with autodiff's there."""
        rng = self.whole.rng
        leaves = [x + BESIDE * scale_of(x) * rng.standard_normal(x.shape) for x in self.whole.leaves]
        found = self.whole.gradient(leaves)
        checks, scale = self.whole.compared(leaves, found)
        return Point(self.whole, leaves, found[1], scale), {check.name: check for check in checks}

    def differences(self) -> Iterator[Check]:
        """One check per parameter that did not pass, one for the others, one for all together."""
        every = [i for i, name in enumerate(self.whole.names) if name not in self.frozen]
        if self.frozen:
            yield Check("differences", ", ".join(self.frozen), "untested", note="frozen")
        checks = [self._judged([i], self.whole.names[i]) for i in every if self.whole.leaves[i].size]
        yield from _folded(checks)
        yield self._judged(every, "all parameters at once")

    def excused(self, check: Check) -> Check:
        """A gradient that differs from autodiff's where the network stands on a tie, and nowhere near by."""
        if check.status != "failed" or check.name not in self.whole.names:
            return check
        found = [self._try(self.here, [self.whole.names.index(check.name)]) for _ in range(TRIES)]
        near = self._beside[1][check.name]
        if near.status != "passed" or not any(one is not None and one.slope.bent for one in found):
            return check
        return Check(check.stage, check.name, "untested", note=ON_A_TIE)

    def _try(self, point: Point, chosen) -> Found | None:
        rng = self.whole.rng
        signs = [rng.choice([-1.0, 1.0], x.shape) * scale_of(x) for x in point.leaves]
        return point.along([v if i in chosen else 0 * v for i, v in enumerate(signs)], self.search)

    def _judged(self, chosen, name: str) -> Check:
        check, bent = self._verdict(self.here, chosen, name)
        if not bent:
            return check
        near, _ = self._verdict(self._beside[0], chosen, name)
        if near.status == "failed":
            return replace(near, note=f"{BESIDE:.0%} beside this point, where the network stands on a tie or a kink")
        note = ON_A_TIE if near.status == "passed" else "the network stands on a tie or a kink, here and near by"
        return Check("differences", name, "untested", rejected=1.0, note=note)

    def _verdict(self, point: Point, chosen, name: str) -> tuple[Check, bool]:
        """(check, whether the network stands on a kink)."""
        said, bent = [], False
        for _ in range(TRIES):
            found = self._try(point, chosen)
            bent = bent or (found is not None and found.slope.bent)
            said += [found] if found is not None and not found.slope.bent else []
            if (said and said[-1].error <= 1) or len(said) == 2 or bent:
                break
        if not said:
            return Check("differences", name, "untested", rejected=1.0, note="every step crosses kinks"), bent
        return self._check(point, said[-1], name), False

    def _check(self, point: Point, found: Found, name: str) -> Check:
        size, note = max(found.size, abs(found.slope.value)), ""
        if size <= found.slope.allowed:  # 0 but for rounding, as in a bias before batch norm
            size = norm([g * scale_of(x) for g, x in zip(point.gradient, point.leaves, strict=True)])
            note = "0 to rounding, beside the others"
        detects = found.slope.allowed / size if size else None
        text = f"the slope in {name} is {found.claimed:.9g} by the gradient: {found.slope.value:.9g} by the values"
        if found.error > 1:
            note = "" if found.claimed else "a parameter that is held on purpose can be named: frozen="
            return Check("differences", name, "failed", found.error, 1.0, text, detects, note=note)
        if detects is not None and not detects < WEAK:
            note = f"the values are too coarse: an error of {detects:.1g} would go unnoticed"
            return Check("differences", name, "untested", note=note)
        return Check("differences", name, "passed", found.error, 1.0, text, detects, note=note)


ON_A_TIE = f"the network stands on a tie or a kink here; {BESIDE:.0%} beside it the gradient is right"


def _folded(checks: list[Check]) -> Iterator[Check]:
    """Failures one by one; what was untested for one reason, and what passed, in one row."""
    yield from (check for check in checks if check.status == "failed")
    for note in dict.fromkeys(check.note for check in checks if check.status == "untested"):
        same = [check for check in checks if check.status == "untested" and check.note == note]
        yield replace(same[0], name=", ".join(check.name for check in same))
    passed = [check for check in checks if check.status == "passed"]
    if passed:
        worst = max(passed, key=lambda check: check.error)
        detects = max((check.detects for check in passed if check.detects), default=None)
        name = f"each of {len(passed)} parameters"
        yield replace(worst, name=name, detects=detects, note=f"closest to its bound: {worst.name}")
