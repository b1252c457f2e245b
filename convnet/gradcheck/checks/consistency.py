"""Stage 12: what a rule owes, whatever the function: the value beside every derivative, and a Jᵀg that is linear in g.

A rule returns the value by code of its own (the forward of a `custom_vjp`), which nothing else looks at; and whoever
clips, drops or normalises what comes from above is right for cotangents near 1 and no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.checks.first_order import compare_values, worst_of
from convnet.gradcheck.comparison import LOST, has_infinite, inner, norm
from convnet.gradcheck.subject import Subject
from convnet.gradcheck.verdict import Check

EXPONENTS = (-60, -30, -15, -5, 5, 15, 30, 60)
"""Cotangents are scaled by these powers of two, which a linear rule hands on without rounding."""


def consistency(subject: Subject) -> Iterator[Check]:
    yield from _values(subject)
    largest = np.log2(float(jnp.finfo(subject.arithmetic.dtype).max)) / 2
    yield worst_of(_scaled(subject, exponent) for exponent in EXPONENTS if abs(exponent) <= largest)
    if len(subject.cotangents) > 1:
        yield _added(subject)
        yield _of_ones(subject)
    if subject.level.thorough:
        yield _differentiated_in_g(subject)


def _values(subject: Subject) -> Iterator[Check]:
    """The plain value comes from a program without any rule, and runs once more where values are known."""
    point, g = (subject.leaves, subject.constants), subject.cotangents[0]
    found = [
        ("value, eager", subject.program.plain(*point)),
        ("value beside the gradient", subject.program.plain_value_and_vjp(*point, g)[0]),
        ("value beside the compiled gradient", subject.program.value_and_vjp(*point, g)[0]),
    ]
    with suppress(TypeError):  # a custom_vjp has no tangents, as stage `adjoint` says
        found.append(("value beside the tangent", subject.program.value_and_jvp(*point, subject.direction())[0]))
    for name, value in found:
        yield compare_values(subject, "consistency", name, as_float64(value), subject.outputs)


def _compare(subject: Subject, name: str, cotangents, found: Leaves, expected: Leaves, scale: Leaves) -> Check:
    """cotangents: those whose gradients were added up."""
    excused = [~np.isfinite(x) for x in subject.leaves]

    def noise() -> Leaves:
        return [
            sum(parts) for parts in zip(*(subject.noise("vjp", subject.leaves, g) for g in cotangents), strict=True)
        ]

    return subject.compare("consistency", name, found, expected, scale, noise, excused=excused)


def _gradient(subject: Subject, g: Leaves) -> Leaves:
    return as_float64(subject.gradient_of(subject.leaves, g))


def _scaled(subject: Subject, exponent: int) -> Check:
    factor, g = 2.0**exponent, subject.cotangents[0]
    found = [leaf / factor for leaf in _gradient(subject, [factor * c for c in g])]
    return _compare(subject, "Jᵀ(2ᵏg) = 2ᵏ Jᵀg", [g], found, subject.gradients[0], subject.scales[0])


def _added(subject: Subject) -> Check:
    """Of cotangents that are not multiples of one another."""
    both = [a + b for a, b in zip(*subject.cotangents[:2], strict=True)]
    expected = [a + b for a, b in zip(*subject.gradients[:2], strict=True)]
    scale = [a + b for a, b in zip(*subject.scales[:2], strict=True)]
    return _compare(subject, "Jᵀ(g + h) = Jᵀg + Jᵀh", subject.cotangents[:2], _gradient(subject, both), expected, scale)


def _of_ones(subject: Subject) -> Check:
    """Equal cotangents, as a sum hands them on, and what is left of them: a rule may have a short cut for these."""
    g = subject.cotangents[0]
    ones = [np.where(np.isfinite(y), 1.0, 0.0) for y in subject.outputs]
    rest = [one - c for one, c in zip(ones, g, strict=True)]
    expected = [a + b for a, b in zip(subject.gradients[0], _gradient(subject, rest), strict=True)]
    scale = [2 * s for s in subject.scales[0]]
    return _compare(subject, "Jᵀ1 = Jᵀg + Jᵀ(1 − g)", [g, rest], _gradient(subject, ones), expected, scale)


def _differentiated_in_g(subject: Subject) -> Check:
    """d⟨Jᵀg, v⟩/dg · h = ⟨Jᵀh, v⟩ for every cotangent h: what a gradient penalty differentiates.

    Jᵀg is linear in g, so its derivative is known from itself: it takes no reference, and no forward mode.
    """
    name, v = (
        "derivative of ⟨Jᵀg, v⟩ in g",
        [d * np.isfinite(x) for x, d in zip(subject.leaves, subject.direction(), strict=True)],
    )
    g = subject.cotangents[0]
    try:
        slope = as_float64(subject.program.transposed(subject.leaves, subject.constants, g, v))
    except Exception as error:
        return Check("consistency", name, "untested", note=type(error).__name__)
    slope = [np.where(np.isfinite(y), s, 0.0) for s, y in zip(slope, subject.outputs, strict=True)]
    worst, bound, text = 0.0, 1e-12 * max(1.0, np.sqrt(subject.arithmetic.terms) / 16) * subject.coarser, ""
    for h, gradient, scale in zip(subject.cotangents, subject.gradients, subject.scales, strict=True):
        found, expected = (
            inner(slope, h),
            inner([np.where(d == 0, 0.0, y) for d, y in zip(v, gradient, strict=True)], v),
        )
        size = norm(slope) * norm(h) + norm(v) * norm(scale)
        if abs(found - expected) > bound * size:
            moves = subject.noise("vjp", subject.leaves, h)
            if has_infinite(moves):
                return Check("consistency", name, "untested", note=LOST)
            size = max(size, norm(v) * norm(moves))
        error = abs(found - expected) / size if size else abs(found - expected)
        error = error if np.isfinite(error) else np.inf
        if error > worst:
            worst, text = error, f"along a cotangent it is {found:.9g}: expected {expected:.9g}"
    return Check("consistency", name, "passed" if worst <= bound else "failed", worst, bound, text, bound)
