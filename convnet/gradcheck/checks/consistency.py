"""Stage 12: what a rule owes, whatever the function: the value beside every derivative, and a Jᵀg that is linear in g.

A rule returns the value by code of its own (the forward of a `custom_vjp`), which nothing else looks at; and whoever
clips, drops or normalises what comes from above is right for cotangents near 1 and no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from convnet.gradcheck.checks.first_order import worst_of
from convnet.gradcheck.comparison import compare
from convnet.gradcheck.compiled import Leaves, as_float64
from convnet.gradcheck.subject import Subject
from convnet.gradcheck.verdict import Check

EXPONENTS = (-60, -30, -15, -5, 5, 15, 30, 60)
"""Cotangents are scaled by these powers of two, which a linear rule hands on without rounding."""


def consistency(subject: Subject) -> Iterator[Check]:
    yield from _values(subject)
    yield worst_of(_scaled(subject, exponent) for exponent in EXPONENTS)
    if len(subject.cotangents) > 1:
        yield _added(subject)


def _values(subject: Subject) -> Iterator[Check]:
    point, v = (subject.leaves, subject.constants), [subject.rng.standard_normal(x.shape) for x in subject.leaves]
    found = [("value beside the gradient", subject.program.plain_value_and_vjp(*point, subject.cotangents[0])[0])]
    with suppress(TypeError):  # a custom_vjp has no tangents, as stage `adjoint` says
        found.append(("value beside the tangent", subject.program.value_and_jvp(*point, v)[0]))
    scale = subject.conditioning(lambda leaves: subject.program.value(leaves, subject.constants), subject.leaves)
    names = [f"output {i}" for i in range(len(subject.outputs))]
    for name, value in found:
        yield compare("consistency", name, names, as_float64(value), subject.outputs, scale, subject.bound())


def _gradient(subject: Subject, g: Leaves) -> Leaves:
    return as_float64(subject.gradient_of(subject.leaves, g))


def _scaled(subject: Subject, exponent: int) -> Check:
    factor = 2.0**exponent
    found = [leaf / factor for leaf in _gradient(subject, [factor * c for c in subject.cotangents[0]])]
    name, names = "Jᵀ(2ᵏg) = 2ᵏ Jᵀg", subject.program.names
    return compare("consistency", name, names, found, subject.gradients[0], subject.scales[0], subject.bound())


def _added(subject: Subject) -> Check:
    """Of cotangents that are not multiples of one another."""
    both = [a + b for a, b in zip(*subject.cotangents[:2], strict=True)]
    expected = [a + b for a, b in zip(*subject.gradients[:2], strict=True)]
    scale = [a + b for a, b in zip(*subject.scales[:2], strict=True)]
    name, names = "Jᵀ(g + h) = Jᵀg + Jᵀh", subject.program.names
    return compare("consistency", name, names, _gradient(subject, both), expected, scale, subject.bound())
