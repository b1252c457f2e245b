"""Stage 7: the gradient at ties and kinks, which is a convention, and between the slopes from either side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.checks.slopes import Path, unit
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
