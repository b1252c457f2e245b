"""Stage 6: the derivative of the gradient. It is symmetric, it matches differences, and it matches a reference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convnet.gradcheck.checks.slopes import STEPS, scale_of
from convnet.gradcheck.comparison import compare, inner, norm
from convnet.gradcheck.compiled import Leaves, as_float64
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

TOLERANCE = 1e-7
"""Of the largest entry of H v, for differences of the gradient."""


def second_order(subject: Subject) -> Iterator[Check]:
    """H, the Hessian of ⟨g, F⟩, by reverse over reverse, and by forward over reverse where there is a forward mode."""
    g, point = subject.cotangents[0], (subject.leaves, subject.constants)
    u, v = ([scale_of(x) * subject.rng.standard_normal(x.shape) for x in subject.leaves] for _ in range(2))
    try:
        hv, hu = (as_float64(subject.program.second(*point, g, w)) for w in (v, u))
    except Exception as error:
        raise Untested(f"the rule cannot be differentiated: {type(error).__name__}") from error
    scale = subject.conditioning(
        lambda *inputs: subject.program.second(inputs[0], subject.constants, *inputs[1:]), subject.leaves, g, v
    )
    scale = subject.against_autodiff(scale, factor=8)  # two derivatives, rounded twice
    size = norm(u) * norm(scale)
    gap = abs(inner(u, hv) - inner(v, hu)) / size if size else 0.0
    bound = 1e-12
    status = "passed" if gap <= bound else "failed"
    yield Check("second order", "uᵀHv = vᵀHu", status, gap, bound, f"{inner(u, hv)} ≠ {inner(v, hu)}", bound)
    yield _differences(subject, g, v, hv)
    if subject.reference is not None:
        expected = as_float64(subject.reference.second(*point, g, v))
        yield compare("second order", "H v, autodiff", subject.program.names, hv, expected, scale, subject.bound())
    yield _forward_over_reverse(subject, g, v, hv, scale)


def _forward_over_reverse(subject: Subject, g: Leaves, v: Leaves, hv: Leaves, scale: Leaves) -> Check:
    name = "forward over reverse"
    try:
        forward = as_float64(subject.program.second_forward(subject.leaves, subject.constants, g, v))
    except Exception as error:
        return Check("second order", name, "untested", note=f"{type(error).__name__}")
    return compare("second order", name, subject.program.names, forward, hv, scale, subject.bound())


def _differences(subject: Subject, g: Leaves, v: Leaves, hv: Leaves) -> Check:
    """H v against five-point differences of the gradient; entries where two steps disagree are kinks."""
    first, second, third = (_slope(subject, g, v, step) for step in STEPS[:3])
    largest = max((np.abs(s).max() for s in second if s.size), default=0.0)
    sizes = [np.abs(s).max() / scale_of(x) for s, x in zip(subject.gradients[0], subject.leaves, strict=True) if s.size]
    floor = 1e-6 * max(sizes, default=0.0)
    largest = max(largest, floor, np.finfo(float).tiny)
    worst, text, rejected, total = 0.0, "", 0, 0
    for name, a, b, c, actual in zip(subject.program.names, first, second, third, hv, strict=True):
        smooth_wide, smooth_near = np.abs(a - b) <= TOLERANCE * largest, np.abs(b - c) <= TOLERANCE * largest
        expected, smooth = np.where(smooth_wide, a, b), smooth_wide | smooth_near
        rejected, total = rejected + int((~smooth).sum()), total + smooth.size
        error = np.where(smooth, np.abs(actual - expected) / largest, 0.0)
        error = np.where(np.isfinite(actual), error, np.inf)
        if error.size and error.max() > worst:
            at = np.unravel_index(np.argmax(error), error.shape)
            worst = float(error[at])
            text = f"(H v)[{name}{list(map(int, at))}] is {actual[at]:.9g}: expected {expected[at]:.9g}"
    bound = 2 * TOLERANCE
    if worst <= bound and rejected > total / 2:
        return Check("second order", "differences", "untested", rejected=rejected / total, note="kinks at most entries")
    status = "passed" if worst <= bound else "failed"
    return Check("second order", "differences", status, worst, bound, text, bound, rejected / max(total, 1))


def _slope(subject: Subject, g: Leaves, v: Leaves, step: float) -> Leaves:
    def gradient(t: float) -> Leaves:
        moved = [x + t * d for x, d in zip(subject.leaves, v, strict=True)]
        return as_float64(subject.program.vjp(moved, subject.constants, g))

    at = {t: gradient(t * step) for t in (-2, -1, 1, 2)}
    parts = zip(at[-2], at[-1], at[1], at[2], strict=True)
    return [(a - 8 * b + 8 * c - d) / (12 * step) for a, b, c, d in parts]
