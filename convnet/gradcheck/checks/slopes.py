"""Stage 4: what the values alone tell: finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.comparison import finite, inner, norm
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

STEPS = (1e-3, 1e-3 / 8, 1e-3 / 64, 1e-3 / 512)
"""Of a leaf's scale. The first has a truncation error near 1e-12; smaller ones are for points near a kink."""

TOLERANCE = 1e-9
"""Of the largest slope. A five-point difference of a smooth function in float64 reaches about 1e-12."""


WEAK = 1e-4
"""Of the largest slope: what could only notice larger errors has tested nothing."""


TINY = 1e-4
"""Arguments of this size and below may be part of a function that changes over steps of 1: where steps of their own
size change nothing that rounding leaves to see, those of 1 are asked."""


def five_point(f: Callable[[float], float], step: float) -> float:
    """f′(0) with an error of the order step⁴."""
    return (f(-2 * step) - 8 * f(-step) + 8 * f(step) - f(2 * step)) / (12 * step)


def settled_slope(f: Path, scale: float, tolerance: float) -> tuple[float, float, float]:
    """(slope, disagreement, step) at the largest step that agrees with the next smaller one; disagreement ∞ at a kink.

    Only the function's values decide, never the gradient under test, so a wrong gradient cannot hide as a kink.
    """
    slopes = [five_point(f, step * scale) for step in STEPS[:2]]
    for step in STEPS[2:]:
        if abs(slopes[-1] - slopes[-2]) <= tolerance:
            break
        slopes.append(five_point(f, step * scale))
    gap = abs(slopes[-1] - slopes[-2])
    step = STEPS[len(slopes) - 2] * scale
    return slopes[-2], gap if gap <= tolerance and not bent(f, scale) else np.inf, step


def bent(f: Path, scale: float) -> bool:
    """Whether f has a kink at 0, to which a symmetric difference is blind.

    The slopes from either side differ by h·f″ where f is smooth, which falls with h, and by a constant at a kink. Of a
    function of few digits the nearest steps may show nothing, and any two are asked.
    """
    steps = [step * scale for step in (STEPS if f.subject.coarser > 1 else STEPS[-2:])]
    gaps = [abs(f(h) + f(-h)) / h for h in steps]
    seen = zip(gaps, gaps[1:], steps[1:], strict=False)
    return any(near > 0.5 * wide and near > 100 * f.noise / step for wide, near, step in seen)


def adds_up(f: Path) -> bool:
    """Whether slopes do, as those of a function with a gradient: along v, along another direction, and along both. That
    of a median of equal numbers is as straight along ±1s as if it had one."""
    subject = f.subject
    other = [scale_of(x) * d * np.isfinite(x) for x, d in zip(subject.leaves, subject.direction(), strict=True)]
    both = [v + w for v, w in zip(f.direction, other, strict=True)]
    paths = [f, *(Path(subject, f.g, direction) for direction in (other, both))]
    first, second, third = (five_point(path, STEPS[2]) for path in paths)
    noise = 10 * max(path.noise for path in paths) / STEPS[2]
    return abs(first + second - third) <= 1e-4 * max(map(abs, (first, second, third))) + noise


NEARER = tuple(STEPS[-1] / 2.0**k for k in (6, 12, 18))
"""What is narrower than all steps, as a spectral line may be, is seen at these."""


def narrower(f: Path, scale: float, slope: float, gradient: float) -> bool:
    """Whether values nearer to the point contradict the slope that settled farther out, and bear out the gradient."""
    for step in NEARER:
        near = five_point(f, step * scale)
        noise = 10 * f.noise / (step * scale)
        if abs(near - slope) > 2 * noise and abs(near - gradient) <= noise + 1e-6 * abs(gradient):
            return True
    return False


def scale_of(leaf: np.ndarray) -> float:
    """A leaf's typical size."""
    leaf = leaf[np.isfinite(leaf)]
    root = float(np.sqrt(np.mean(leaf**2))) if leaf.size else 1.0
    return root or 1.0


def scale_at(leaf: np.ndarray, entry: tuple[int, ...]) -> float:
    """Of one entry: its own size where that is far below the typical one, as where units are mixed."""
    typical, own = scale_of(leaf), abs(float(leaf[entry]))
    return own if 0 < own < typical / 100 else typical


class Path:
    """t -> ⟨g, F(x + t·direction) − F(x)⟩; the difference is taken output by output, before anything is added up."""

    def __init__(self, subject: Subject, g: Leaves, direction: Leaves):
        self.subject, self.g, self.direction = subject, g, direction
        self.noise = 0.0
        """How far rounding can move these values: half an ulp of every output that has moved, and of its base."""
        self.moved = False

    def __call__(self, t: float) -> float:
        subject = self.subject
        moved = [x + t * v for x, v in zip(subject.leaves, self.direction, strict=True)]
        values = as_float64(subject.program.value(moved, subject.constants))
        total, sizes = 0.0, []
        for value, base, g in zip(values, subject.outputs, self.g, strict=True):
            changed = (value != base) & np.isfinite(base)  # of a large result often a single entry
            self.moved |= bool(changed.any())
            total += inner([g[changed]], [value[changed] - base[changed]])
            seen = changed | (subject.coarser > 1) & np.isfinite(base)  # few digits may hide that a value has moved
            sizes.append(g[seen] * np.maximum(np.abs(base[seen]), finite(np.abs(value[seen]))))
        self._allow(norm(sizes))
        return total

    def _allow(self, size: float) -> None:
        roundings = 2 if self.subject.coarser == 1 else 8  # on the way as well, of which few digits leave more to see
        self.noise = max(self.noise, roundings * self.subject.unit * size)

    def doubt(self) -> None:
        """Before anything fails: what rounding on the way may have done; where no value moved at all, half an ulp of
        every value, which may have hidden it."""
        if not self.moved:
            self._allow(norm([g * finite(y) for g, y in zip(self.g, self.subject.outputs, strict=True)]))
        self._allow(norm([g * n for g, n in zip(self.g, self.subject.value_noise, strict=True)]))


def unit(subject: Subject, leaf: int, entry: tuple[int, ...]) -> Leaves:
    """The direction of a single entry."""
    direction = [np.zeros(x.shape) for x in subject.leaves]
    direction[leaf][entry] = 1.0
    return direction


def check_derivative(subject: Subject) -> None:
    if subject.estimator:
        raise Untested("the gradient is an estimate by design, which differences of the value do not show")


def differences(subject: Subject) -> Iterator[Check]:
    """Entry by entry, five points in float64; large arrays also along random directions that touch every entry."""
    check_derivative(subject)
    for leaf, x in enumerate(subject.leaves):
        if x.size:
            check = _entrywise(subject, leaf)
            if check.status == "untested" and 0 < scale_of(x) < TINY:
                wider = _entrywise(subject, leaf, least=1.0)
                check = check if wider.status == "untested" else replace(wider, note="by steps wider than the argument")
            yield check
    if any(x.size > subject.level.entries for x in subject.leaves):
        yield directional(subject)


def _entrywise(subject: Subject, leaf: int, least: float = 0.0) -> Check:
    """least: what steps are a part of, at least."""
    x, gradient, name = subject.leaves[leaf], subject.slopes[leaf], subject.program.names[leaf]
    entries = [entry for entry in subject.entries(x.shape) if np.isfinite(x[entry])]
    if not entries:
        return Check("differences", name, "untested", note="nothing here is finite")
    paths = [Path(subject, subject.cotangents[0], unit(subject, leaf, entry)) for entry in entries]
    scales, typical = [max(scale_at(x, entry), least) for entry in entries], max(scale_of(x), least)
    first = [five_point(path, STEPS[1] * scale) for path, scale in zip(paths, scales, strict=True)]
    largest = float(np.abs(finite(np.array(first))).max())
    noises = [path.noise / (STEPS[1] * scale) for path, scale in zip(paths, scales, strict=True)]
    common = max([n for n, scale in zip(noises, scales, strict=True) if scale == typical], default=0.0)
    worst, text, rejected, coarsest = 0.0, "", 0, common
    for path, entry, scale, own in zip(paths, entries, scales, noises, strict=True):
        error, slope, gap = _error(path, scale, gradient[entry], largest, max(common, own))
        if error > 1:
            path.doubt()
            noise = path.noise / (STEPS[1] * scale)
            if least:  # steps that see more than the rule's own rounding leaves
                noise = max(noise, subject.unit * subject.slope_noise[leaf][entry])
            noise = max(common, 4 * noise)  # of many entries some are off by several
            error, slope, gap = _error(path, scale, gradient[entry], largest, noise)
            coarsest = max(coarsest, noise) if np.isfinite(noise) else coarsest
        unknown = not np.isfinite(path.noise) or not np.isfinite(gap)
        if unknown or (error > 1 and narrower(path, scale, slope, gradient[entry])):
            rejected += 1
        elif error > worst:
            index = f"{name}{list(entry)}" if entry else name
            worst, text = float(error), f"{index} is {gradient[entry]:.9g}: expected {slope:.9g}"
    detects = max(2 * TOLERANCE * largest, coarsest) / largest if largest else None
    looked_at = "" if len(entries) == x.size else f"{len(entries)} of {x.size} entries"
    return _check(name, worst, text, detects, rejected / len(entries), looked_at)


def _error(path: Path, scale: float, gradient: float, largest: float, noise: float) -> tuple[float, float, float]:
    """(error as a fraction of what is allowed, slope, disagreement of the slopes) of one entry."""
    slope, gap, step = settled_slope(path, scale, max(TOLERANCE * largest, noise))
    allowed = max(2 * TOLERANCE * largest, noise, path.noise / step)
    error = abs(gradient - slope)
    return 0.0 if error == 0 else error / allowed if np.isfinite(error) and allowed else np.inf, slope, gap


def _check(name: str, worst: float, text: str, detects: float | None, rejected: float, note: str) -> Check:
    """An error that was seen counts, however many entries were rejected; too few or too coarse ones are no pass."""
    if worst > 1:
        return Check("differences", name, "failed", worst, 1.0, text, detects, rejected, note)
    if rejected > 0.5:
        note = "kinks, or roundings that lead to no number, at most of the entries"
        return Check("differences", name, "untested", rejected=rejected, note=note)
    if detects is not None and not detects < WEAK:
        note = f"the values are too coarse: an error of {detects:.1g} would go unnoticed"
        return Check("differences", name, "untested", rejected=rejected, note=note)
    return Check("differences", name, "passed", worst, 1.0, text, detects, rejected, note)


def directional(subject: Subject) -> Check:
    """⟨∇, v⟩ for v = ±scale at every entry: one wrong entry of a million shows, as rounding is far below it."""
    worst, text, detects, used = 0.0, "", None, 0
    tries = max(3, subject.level.cotangents)
    for _ in range(tries):
        v = [scale_of(x) * subject.rng.choice([-1.0, 1.0], x.shape) * np.isfinite(x) for x in subject.leaves]
        parts = [g * s for g, s in zip(subject.slopes, v, strict=True)]
        path, size = Path(subject, subject.cotangents[0], v), norm(parts)
        five_point(path, STEPS[1])
        actual, own = inner(subject.slopes, v), 0.0
        error, slope, allowed = _misses(path, actual, size, own)
        if error is None:
            continue
        used += 1
        if error > 1:
            path.doubt()
            own = subject.unit * norm([n * s for n, s in zip(subject.slope_noise, v, strict=True)])
            error, slope, allowed = _misses(path, actual, size, own)
            if error is None or not np.isfinite(allowed):
                used -= 1
                continue
        if error > 1 and (narrower(path, 1.0, slope, actual) or not adds_up(path)):
            used -= 1
            continue
        largest = max(np.abs(part).max(initial=0.0) for part in parts)
        detects = max(detects or 0.0, allowed / largest) if largest else detects
        if not error <= worst:
            worst, text = float(error), f"⟨∇, v⟩ is {actual:.12g}: expected {slope:.12g}"
    if not used:
        return Check("differences", "directions", "untested", rejected=1.0, note="every direction crosses kinks")
    return _check("directions", worst, text, detects, 0.5 * (1 - used / tries), "")


def _misses(path: Path, actual: float, size: float, own: float) -> tuple[float | None, float, float]:
    """(error as a fraction of what is allowed, None where every step crosses kinks; slope; what is allowed). own: how
    far rounding moves the gradient's ⟨∇, v⟩ itself."""
    slope, gap, step = settled_slope(path, 1.0, max(1e-11 * size, path.noise / STEPS[1]))
    if not np.isfinite(gap):
        return None, slope, np.inf
    allowed = max(4e-11 * size, 4 * path.noise / min(step, STEPS[1]), 10 * gap, 4 * own, np.finfo(float).tiny)
    return abs(actual - slope) / allowed, slope, allowed
