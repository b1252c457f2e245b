"""What owes nothing to the rule under test, and is compared with it: autodiff of a plain forward, and an oracle."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import jax
import numpy as np

from convnet.gradcheck.arguments import BadInput, Leaves, as_float64
from convnet.gradcheck.checks.slopes import five_point, scale_of
from convnet.gradcheck.comparison import finite
from convnet.gradcheck.oracle import STEP as COMPLEX_STEP
from convnet.gradcheck.oracle import Oracle, by_complex_step
from convnet.gradcheck.subject import Subject

ORACLE_ENTRIES = 4000
"""Loops over larger arrays take minutes; a gradient by complex step needs one evaluation per entry."""


def independent(subject: Subject, cotangents) -> Iterator[tuple[str, Leaves, list[Leaves] | None]]:
    """(kind, value, gradient per cotangent) from every independent source that was given; None for gradients that say
    nothing, see SILENT."""
    point = (subject.leaves, subject.constants)
    if subject.reference is not None:
        value = as_float64(subject.reference.value(*point))
        gradients = [as_float64(subject.reference.vjp(*point, g)) for g in cotangents]
        yield "autodiff", value, gradients if subject.witness is not None else None
    if subject.oracle is not None and oracle_is_affordable(subject):
        oracle = as_oracle(subject)
        value = oracle_value(subject, oracle)
        analytic = not cotangents or is_analytic(subject)
        yield "oracle", value, [oracle_gradient(subject, oracle, g) for g in cotangents] if analytic else None


def oracle_is_affordable(subject: Subject) -> bool:
    """A complex step evaluates the definition once per entry; a walk over a definition takes as long, but once."""
    return sum(leaf.size for leaf in subject.leaves) <= ORACLE_ENTRIES


def as_oracle(subject: Subject) -> Oracle:
    """The oracle that was given. A plain function is a value, whose gradient a complex step finds, leaf by leaf."""
    if isinstance(subject.oracle, Oracle):
        return subject.oracle
    program = subject.program
    by_leaf = by_complex_step(partial(_of_leaves, subject))

    def gradient(g, *args, **settings):
        found = iter(by_leaf.gradient(tuple(jax.tree.leaves(g)), *subject.leaves))
        flat = [next(found) if selected else None for selected in program.selected]
        return tuple(_grouped(flat, [child.num_leaves for child in program.tree.children()]))

    return Oracle(subject.oracle, gradient)


def _of_leaves(subject: Subject, *leaves) -> tuple:
    """The oracle's floating-point results as a function of the differentiable leaves."""
    value = subject.oracle(*subject.program.merge(leaves, subject.constants), **subject.program.settings)
    return tuple(np.asarray(leaf) for leaf in subject.program.floating(jax.tree.leaves(value)))


def _grouped(flat: list, counts: list[int]) -> Iterator[list]:
    flat = iter(flat)
    for count in counts:
        yield [next(flat) for _ in range(count)]


SILENT = {
    "autodiff": "the reference is not finite where the function is: it says nothing of the gradient",
    "oracle": "the oracle is not analytic as written (abs, comparisons, real buffers): only its values are compared",
}


def is_analytic(subject: Subject) -> bool:
    """Whether a complex step differentiates the oracle: along a random direction it agrees with the oracle's values.

    An oracle that drops imaginary parts is no witness of a gradient, and no rule is wrong by that.
    """
    if isinstance(subject.oracle, Oracle):
        return True
    sizes = [np.where(x == 0, scale_of(x), finite(x)) for x in subject.leaves]
    direction = [size * subject.rng.uniform(-1, 1, size.shape) for size in sizes]

    def along(t) -> float | complex:
        moved = [x + t * v for x, v in zip(subject.leaves, direction, strict=True)]
        parts = zip(subject.cotangents[0], _of_leaves(subject, *moved), subject.outputs, strict=True)
        return sum(np.sum(np.where(np.isfinite(y), g * np.where(np.isfinite(y), v, 0.0), 0.0)) for g, v, y in parts)

    along(0.0)  # what is raised for real numbers, too, is the oracle's failure
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            slope = np.imag(along(1j * COMPLEX_STEP)) / COMPLEX_STEP
    except Exception:
        return False
    differences = [five_point(along, 10.0**-k) for k in (3, 4, 5, 6)]
    for far, near in pairwise(differences):
        if abs(near - far) <= 1e-6 * max(abs(near), abs(far)):
            return abs(slope - near) <= 1e-5 * max(abs(slope), abs(near)) + 1e-9 * abs(along(0.0))
    return False  # too rough for differences to tell


def oracle_value(subject: Subject, oracle: Oracle) -> Leaves:
    args = subject.program.merge(subject.leaves, subject.constants)
    try:
        value = as_float64(subject.program.floating(jax.tree.leaves(oracle.value(*args, **subject.program.settings))))
    except Exception as error:
        raise OracleFailed(error) from error
    shapes = [v.shape for v in value], [v.shape for v in subject.outputs]
    if shapes[0] != shapes[1]:
        raise BadInput(f"oracle returns shapes {shapes[0]}: expected those of fn, {shapes[1]}")
    return value


def oracle_gradient(subject: Subject, oracle: Oracle, g: Leaves) -> Leaves:
    """Its gradient in the differentiable leaves."""
    args = subject.program.merge(subject.leaves, subject.constants)
    try:
        gradients = oracle.gradient(subject.program.as_result(g), *args, **subject.program.settings)
    except Exception as error:
        raise OracleFailed(error) from error
    return as_float64(subject.program.select(gradients))


class OracleFailed(ValueError):
    """The oracle itself raised."""

    def __init__(self, error: Exception):
        super().__init__(f"the oracle raised {type(error).__name__}: {error}")
