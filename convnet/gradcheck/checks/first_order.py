"""Stages 1 to 3: sane results, the gradient entry by entry against independent ones, and Jᵀ against J."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from convnet.gradcheck.comparison import compare, inner, norm
from convnet.gradcheck.compiled import Leaves, as_float64
from convnet.gradcheck.oracle import Oracle, by_complex_step
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

ORACLE_ENTRIES = 4000
"""Loops over larger arrays take minutes; a gradient by complex step needs one evaluation per entry."""


def hygiene(subject: Subject) -> Iterator[Check]:
    """Finite arguments, values and gradients, the dtype kept, and the same bits from every call."""
    yield _finite("arguments", subject.leaves)
    yield _finite("value", subject.outputs)
    yield _finite("gradient", [leaf for gradient in subject.gradients for leaf in gradient])
    leaves, constants = subject.leaves, subject.constants
    dtypes = sorted({str(out.dtype) for out in subject.program.value(leaves, constants)})
    status = "passed" if dtypes == ["float64"] else "failed"
    yield Check("hygiene", "dtype", status, note="" if status == "passed" else f"float64 in, {', '.join(dtypes)} out")
    yield _repeatable(subject)


def _finite(name: str, arrays: Leaves) -> Check:
    for array in arrays:
        if not np.isfinite(array).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            return Check("hygiene", name, "failed", worst=f"{array[at]} at {list(at)}: expected finite numbers")
    return Check("hygiene", name, "passed")


def _repeatable(subject: Subject) -> Check:
    """Values are called for uncompiled: a compiled program would freeze what Python draws."""
    g, point = subject.cotangents[0], (subject.leaves, subject.constants)
    values = [as_float64(subject.program.plain(*point)) for _ in range(2)]
    gradients = [subject.gradients[0], as_float64(subject.program.vjp(*point, g))]
    for name, (first, second) in (("values", values), ("gradients", gradients)):
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))
        if not same or [a.shape for a in first] != [b.shape for b in second]:
            return Check("hygiene", "repeatable", "failed", worst=f"two calls gave different {name}")
    return Check("hygiene", "repeatable", "passed")


def elementwise(subject: Subject) -> Iterator[Check]:
    """Value and gradient, every entry, against autodiff of the plain forward and against an oracle."""
    if subject.reference is None and subject.oracle is None:
        raise Untested("neither a reference nor an oracle was given")
    if subject.oracle is not None and not oracle_is_affordable(subject):
        note = f"arrays of more than {ORACLE_ENTRIES} entries are too large for a complex step"
        yield Check("elementwise", "gradient, oracle", "untested", note=note)
    scale = subject.conditioning(lambda leaves: subject.program.value(leaves, subject.constants), subject.leaves)
    names = [f"output {i}" for i in range(len(subject.outputs))]
    for kind, value, gradients in independent(subject):
        scales = subject.scales
        if kind == "autodiff":
            scales = [subject.against_autodiff(leaves, subject.scales[0]) for leaves in scales]
        yield compare("elementwise", f"value, {kind}", names, subject.outputs, value, scale, subject.bound())
        yield worst_of(
            compare("elementwise", f"gradient, {kind}", subject.program.names, *both, leaves, subject.bound())
            for *both, leaves in zip(subject.gradients, gradients, scales, strict=True)
        )
    if subject.reference is not None:
        yield from _forward_mode(subject)


def independent(subject: Subject) -> Iterator[tuple[str, Leaves, list[Leaves]]]:
    """(kind, value, gradient per cotangent) from every independent source that was given."""
    point = (subject.leaves, subject.constants)
    if subject.reference is not None:
        value = as_float64(subject.reference.value(*point))
        yield "autodiff", value, [as_float64(subject.reference.vjp(*point, g)) for g in subject.cotangents]
    if subject.oracle is not None and oracle_is_affordable(subject):
        oracle = as_oracle(subject)
        value = oracle_value(subject, oracle)
        yield "oracle", value, [oracle_gradient(subject, oracle, g) for g in subject.cotangents]


def oracle_is_affordable(subject: Subject) -> bool:
    """A complex step evaluates the definition once per entry; a walk over a definition takes as long, but once."""
    return sum(leaf.size for leaf in subject.leaves) <= ORACLE_ENTRIES


def as_oracle(subject: Subject) -> Oracle:
    """The oracle that was given. A plain function is a value, whose gradient a complex step finds, leaf by leaf."""
    if isinstance(subject.oracle, Oracle):
        return subject.oracle
    program = subject.program

    def of_leaves(*leaves):
        value = subject.oracle(*program.merge(leaves, subject.constants), **program.settings)
        return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(value))

    by_leaf = by_complex_step(of_leaves)

    def value(*args, **settings):
        return subject.oracle(*args, **settings)

    def gradient(g, *args, **settings):
        found = iter(by_leaf.gradient(tuple(jax.tree.leaves(g)), *subject.leaves))
        flat = [next(found) if selected else None for selected in program.selected]
        return tuple(_grouped(flat, [child.num_leaves for child in program.tree.children()]))

    return Oracle(value, gradient)


def _grouped(flat: list, counts: list[int]) -> Iterator[list]:
    flat = iter(flat)
    for count in counts:
        yield [next(flat) for _ in range(count)]


def oracle_value(subject: Subject, oracle: Oracle) -> Leaves:
    args = subject.program.merge(subject.leaves, subject.constants)
    try:
        value = jax.tree.leaves(oracle.value(*args, **subject.program.settings))
        if len(value) == len(subject.program.floats):
            value = [leaf for leaf, is_float in zip(value, subject.program.floats, strict=True) if is_float]
        value = as_float64(value)
    except Exception as error:
        raise OracleFailed(error) from error
    shapes = [v.shape for v in value], [v.shape for v in subject.outputs]
    if shapes[0] != shapes[1]:
        raise ValueError(f"oracle returns shapes {shapes[0]}: expected those of fn, {shapes[1]}")
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


def _forward_mode(subject: Subject) -> Iterator[Check]:
    point, v = (subject.leaves, subject.constants), [subject.rng.standard_normal(leaf.shape) for leaf in subject.leaves]
    try:
        actual = as_float64(subject.program.jvp(*point, v))
    except TypeError:
        yield Check("elementwise", "forward mode", "untested", note="a custom_vjp has none")
        return
    scale = subject.conditioning(lambda leaves, v: subject.program.jvp(leaves, subject.constants, v), subject.leaves, v)
    names = [f"output {i}" for i in range(len(actual))]
    expected = as_float64(subject.reference.jvp(*point, v))
    scale = subject.against_autodiff(scale)
    check = compare("elementwise", "forward mode", names, actual, expected, scale, subject.bound())
    if check.status == "failed" and _contradicts_itself(subject, v, expected):
        note = "the reference's forward mode is not the transpose of its reverse mode here"
        check = Check("elementwise", "forward mode", "untested", note=note)
    yield check


def _contradicts_itself(subject: Subject, v: Leaves, forward: Leaves) -> bool:
    """Whether the reference's J v cannot be that of its Jᵀ: on accelerators JAX takes the derivative of a maximum over
    windows in half the digits forward, and in all of them in reverse. Who differs from such a J v is not wrong by that;
    whether the rule's own J belongs to its Jᵀ is asked by `adjoint`."""
    g = subject.cotangents[0]
    gradient = as_float64(subject.reference.vjp(subject.leaves, subject.constants, g))
    return _adjoint_gap(v, forward, g, gradient, subject.scales[0]) > _adjoint_bound(subject)


def worst_of(checks) -> Check:
    """The check with the largest error: one line for all cotangents."""
    return max(checks, key=lambda check: (check.status == "failed", check.error or 0.0))


def adjoint(subject: Subject) -> Iterator[Check]:
    """⟨J v, u⟩ = ⟨v, Jᵀu⟩: the two modes agree with each other, be they right or wrong."""
    point = (subject.leaves, subject.constants)
    worst, bound = 0.0, _adjoint_bound(subject)
    for g, gradient, scale in zip(subject.cotangents, subject.gradients, subject.scales, strict=True):
        v = [subject.rng.standard_normal(leaf.shape) for leaf in subject.leaves]
        try:
            forward = as_float64(subject.program.jvp(*point, v))
        except TypeError as error:
            raise Untested("there is no forward mode to compare with (a custom_vjp has none)") from error
        worst = max(worst, _adjoint_gap(v, forward, g, gradient, scale))
    status = "passed" if worst <= bound else "failed"
    yield Check("adjoint", "⟨Jv, u⟩ = ⟨v, Jᵀu⟩", status, worst, bound, detects=bound)


def _adjoint_bound(subject: Subject) -> float:
    return 1e-13 * max(1.0, np.sqrt(subject.terms) / 16)


def _adjoint_gap(v: Leaves, forward: Leaves, g: Leaves, gradient: Leaves, scale: Leaves) -> float:
    """|⟨Jv, g⟩ − ⟨v, Jᵀg⟩| relative to the sizes of what is multiplied; ∞ where it is not a finite number."""
    size = norm(forward) * norm(g) + norm(v) * norm(scale)
    gap = abs(inner(forward, g) - inner(v, gradient))
    if not np.isfinite(gap):
        return np.inf
    return gap / size if size else gap
