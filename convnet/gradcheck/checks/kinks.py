"""Stage 7: the gradient at ties and kinks, which is a convention, and between the slopes from either side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.checks.slopes import NEARER, STEPS, Path, bent, five_point, scale_of, unit
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check


def kinks(subject: Subject) -> Iterator[Check]:
    """At ties and kinks: the declared gradient exactly, and each entry between the slopes from either side."""
    if not subject.conventions:
        raise Untested("no conventions were given")
    for convention in subject.conventions:
        there = subject.restart(convention.args, convention.settings)
        g = [np.ones(out.shape) for out in there.outputs]
        gradient = as_float64(there.program.vjp(there.leaves, there.constants, g))
        yield _declared(there, convention, gradient)
        yield _between(there, convention.name, g, gradient)


def _declared(subject: Subject, convention, gradient: Leaves) -> Check:
    name = f"declared at {convention.name}"
    if convention.gradients is None:
        return Check("kinks", name, "untested", note="no gradient declared")
    declared = as_float64(subject.program.select(convention.gradients))
    for leaf, actual, expected in zip(subject.program.names, gradient, declared, strict=True):
        error = np.abs(actual - expected)
        if not (error <= 1e-13 * subject.coarser * np.maximum(1, np.abs(expected))).all():
            at = tuple(map(int, np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), error.shape)))
            text = f"{leaf}{list(at)} is {actual[at]:.9g}: declared {expected[at]:.9g}"
            return Check("kinks", name, "failed", float(error[at]), 1e-13, text)
    return Check("kinks", name, "passed", 0.0, 1e-13)


def _between(subject: Subject, name: str, g: Leaves, gradient: Leaves) -> Check:
    """Infinite slopes, of a point outside the function's domain, say nothing."""
    worst, text, step = 0.0, "", 1e-7
    for leaf, x in enumerate(subject.leaves):
        for entry in subject.entries(x.shape):
            if not np.isfinite(x[entry]):
                continue
            f = Path(subject, g, unit(subject, leaf, entry))
            sides = sorted((f(step) / step, -f(-step) / step))
            if not np.isfinite(sides).all():
                continue
            outside = max(sides[0] - gradient[leaf][entry], gradient[leaf][entry] - sides[1], 0.0)
            outside = np.inf if np.isnan(gradient[leaf][entry]) else outside / max(1.0, *map(abs, sides))
            if outside > worst:
                index = f"{subject.program.names[leaf]}{list(entry)}"
                worst, text = outside, f"{index} is {gradient[leaf][entry]:.6g}: the slopes are {sides}"
    return Check("kinks", f"one-sided slopes at {name}", "passed" if worst <= 1e-5 else "failed", worst, 1e-5, text)


BENT = 40
"""Entries of which each is asked whether the function has a kink there."""


def only_kinks(subject: Subject, expected: Sequence[Leaves]) -> bool:
    """Whether, wherever a gradient is not the expected one, the function has a kink, as a relu at 0, or its own values
    bear the gradient out: autodiff of a maximum is half of it at a tie that leaves no kink.

    expected: of each cotangent, the gradients.
    """
    for g, ours, theirs in zip(subject.cotangents, subject.gradients, expected, strict=False):
        for leaf, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            wrong = np.abs(a - b) > 1e-9 * np.maximum(np.abs(b), np.abs(a).max(initial=0.0) * 1e-3)
            entries = [tuple(map(int, at)) for at in np.argwhere(wrong | ~np.isfinite(a))]
            if not all(_excused(subject, g, leaf, entry, a[entry], b[entry]) for entry in entries[:BENT]):
                return False
            if len(entries) > 1 and not _together(subject, g, leaf, wrong, a):
                return False
    return True


def _together(subject: Subject, g: Leaves, leaf: int, wrong: np.ndarray, gradient: np.ndarray) -> bool:
    """Whether all that differ may be what they are at once: each of two equal numbers may have all of the gradient of
    their maximum, but not both. Moved together, the numbers of a tie stay one, and the slope has no choice."""
    scale, step = scale_of(subject.leaves[leaf]), STEPS[-1]
    direction = [np.where(wrong, scale, 0.0) if i == leaf else 0 * x for i, x in enumerate(subject.leaves)]
    path, claimed = Path(subject, g, direction), float(np.sum(gradient[wrong]) * scale)
    sides = sorted((path(step) / step, -path(-step) / step))
    slack = 1e-3 * max(*map(abs, sides), float(np.abs(gradient[wrong]).max(initial=0.0) * scale))
    return bool(sides[0] - slack <= claimed <= sides[1] + slack)


def _excused(
    subject: Subject, g: Leaves, leaf: int, entry: tuple[int, ...], gradient: float, expected: float
) -> bool:  # fmt: skip
    path, scale = Path(subject, g, unit(subject, leaf, entry)), scale_of(subject.leaves[leaf])
    if bent(path, scale):
        step = STEPS[-1] * scale
        sides = sorted((path(step) / step, -path(-step) / step))
        slack = 1e-3 * max(map(abs, sides))
        return bool(sides[0] - slack <= gradient <= sides[1] + slack)
    steps = [step * scale for step in (*STEPS[1:], *NEARER)]
    slopes = [five_point(path, step) for step in steps]
    path.doubt()
    apart = abs(gradient - expected) if np.isfinite(expected) else abs(gradient)
    known = [path.noise / step <= 1e-3 * apart for step in steps]  # which no rounding can have made equal
    pairs = [(abs(a - b), b) for (a, b), sure in zip(pairwise(slopes), known[1:], strict=True) if sure]
    gap, slope = min(pairs, default=(np.inf, 0.0))
    return bool(gap <= 1e-3 * apart and abs(gradient - slope) <= 1e-2 * apart)  # differences tell the two apart
