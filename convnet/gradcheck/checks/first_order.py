"""Stages 1 to 3: sane results, the gradient entry by entry against independent ones, and Jᵀ against J."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from convnet.gradcheck.exam import Exam, Untested
from convnet.gradcheck.judge import compare, inner, norm
from convnet.gradcheck.oracles import Oracle, by_complex_step
from convnet.gradcheck.program import Leaves, as_float64
from convnet.gradcheck.verdict import Check

ORACLE_ENTRIES = 4000
"""Loops over larger arrays take minutes; a gradient by complex step needs one evaluation per entry."""


def hygiene(exam: Exam) -> Iterator[Check]:
    """Finite arguments, values and gradients, the dtype kept, and the same bits from every call."""
    yield _finite("arguments", exam.leaves)
    yield _finite("value", exam.outputs)
    yield _finite("gradient", [leaf for gradient in exam.gradients for leaf in gradient])
    leaves, constants = exam.leaves, exam.constants
    dtypes = sorted({str(out.dtype) for out in exam.program.value(leaves, constants)})
    status = "passed" if dtypes == ["float64"] else "failed"
    yield Check("hygiene", "dtype", status, note="" if status == "passed" else f"float64 in, {', '.join(dtypes)} out")
    yield _repeatable(exam)


def _finite(name: str, arrays: Leaves) -> Check:
    for array in arrays:
        if not np.isfinite(array).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            return Check("hygiene", name, "failed", worst=f"{array[at]} at {list(at)}: expected finite numbers")
    return Check("hygiene", name, "passed")


def _repeatable(exam: Exam) -> Check:
    """Values are called for uncompiled: a compiled program would freeze what Python draws."""
    g, point = exam.cotangents[0], (exam.leaves, exam.constants)
    values = [as_float64(exam.program.plain(*point)) for _ in range(2)]
    gradients = [exam.gradients[0], as_float64(exam.program.vjp(*point, g))]
    for name, (first, second) in (("values", values), ("gradients", gradients)):
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))
        if not same or [a.shape for a in first] != [b.shape for b in second]:
            return Check("hygiene", "repeatable", "failed", worst=f"two calls gave different {name}")
    return Check("hygiene", "repeatable", "passed")


def elementwise(exam: Exam) -> Iterator[Check]:
    """Value and gradient, every entry, against autodiff of the plain forward and against an oracle."""
    if exam.reference is None and exam.oracle is None:
        raise Untested("neither a reference nor an oracle was given")
    if exam.oracle is not None and not oracle_is_affordable(exam):
        note = f"arrays of more than {ORACLE_ENTRIES} entries are too large for a complex step"
        yield Check("elementwise", "gradient, oracle", "untested", note=note)
    scale = exam.conditioning(lambda leaves: exam.program.value(leaves, exam.constants), exam.leaves)
    names = [f"output {i}" for i in range(len(exam.outputs))]
    for kind, value, gradients in independent(exam):
        scales = exam.scales
        if kind == "autodiff":
            scales = [exam.against_autodiff(leaves, exam.scales[0]) for leaves in scales]
        yield compare("elementwise", f"value, {kind}", names, exam.outputs, value, scale, exam.bound())
        yield worst_of(
            compare("elementwise", f"gradient, {kind}", exam.program.names, *both, leaves, exam.bound())
            for *both, leaves in zip(exam.gradients, gradients, scales, strict=True)
        )
    if exam.reference is not None:
        yield from _forward_mode(exam)


def independent(exam: Exam) -> Iterator[tuple[str, Leaves, list[Leaves]]]:
    """(kind, value, gradient per cotangent) from every independent source that was given."""
    point = (exam.leaves, exam.constants)
    if exam.reference is not None:
        value = as_float64(exam.reference.value(*point))
        yield "autodiff", value, [as_float64(exam.reference.vjp(*point, g)) for g in exam.cotangents]
    if exam.oracle is not None and oracle_is_affordable(exam):
        oracle = as_oracle(exam)
        value = oracle_value(exam, oracle)
        yield "oracle", value, [oracle_gradient(exam, oracle, g) for g in exam.cotangents]


def oracle_is_affordable(exam: Exam) -> bool:
    """A complex step evaluates the definition once per entry; a walk over a definition takes as long, but once."""
    return sum(leaf.size for leaf in exam.leaves) <= ORACLE_ENTRIES


def as_oracle(exam: Exam) -> Oracle:
    """The oracle that was given. A plain function is a value, whose gradient a complex step finds, leaf by leaf."""
    if isinstance(exam.oracle, Oracle):
        return exam.oracle
    program = exam.program

    def of_leaves(*leaves):
        value = exam.oracle(*program.merge(leaves, exam.constants), **program.settings)
        return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(value))

    by_leaf = by_complex_step(of_leaves)

    def value(*args, **settings):
        return exam.oracle(*args, **settings)

    def gradient(g, *args, **settings):
        found = iter(by_leaf.gradient(tuple(jax.tree.leaves(g)), *exam.leaves))
        flat = [next(found) if selected else None for selected in program.selected]
        return tuple(_grouped(flat, [child.num_leaves for child in program.tree.children()]))

    return Oracle(value, gradient)


def _grouped(flat: list, counts: list[int]) -> Iterator[list]:
    flat = iter(flat)
    for count in counts:
        yield [next(flat) for _ in range(count)]


def oracle_value(exam: Exam, oracle: Oracle) -> Leaves:
    args = exam.program.merge(exam.leaves, exam.constants)
    try:
        value = jax.tree.leaves(oracle.value(*args, **exam.program.settings))
        if len(value) == len(exam.program.floats):
            value = [leaf for leaf, is_float in zip(value, exam.program.floats, strict=True) if is_float]
        value = as_float64(value)
    except Exception as error:
        raise OracleFailed(error) from error
    shapes = [v.shape for v in value], [v.shape for v in exam.outputs]
    if shapes[0] != shapes[1]:
        raise ValueError(f"oracle returns shapes {shapes[0]}: expected those of fn, {shapes[1]}")
    return value


def oracle_gradient(exam: Exam, oracle: Oracle, g: Leaves) -> Leaves:
    """Its gradient in the differentiable leaves."""
    args = exam.program.merge(exam.leaves, exam.constants)
    try:
        gradients = oracle.gradient(exam.program.as_result(g), *args, **exam.program.settings)
    except Exception as error:
        raise OracleFailed(error) from error
    return as_float64(exam.program.select(gradients))


class OracleFailed(ValueError):
    """The oracle itself raised."""

    def __init__(self, error: Exception):
        super().__init__(f"the oracle raised {type(error).__name__}: {error}")


def _forward_mode(exam: Exam) -> Iterator[Check]:
    point, v = (exam.leaves, exam.constants), [exam.rng.standard_normal(leaf.shape) for leaf in exam.leaves]
    try:
        actual = as_float64(exam.program.jvp(*point, v))
    except TypeError:
        yield Check("elementwise", "forward mode", "untested", note="a custom_vjp has none")
        return
    scale = exam.conditioning(lambda leaves, v: exam.program.jvp(leaves, exam.constants, v), exam.leaves, v)
    names = [f"output {i}" for i in range(len(actual))]
    expected = as_float64(exam.reference.jvp(*point, v))
    scale = exam.against_autodiff(scale)
    check = compare("elementwise", "forward mode", names, actual, expected, scale, exam.bound())
    if check.status == "failed" and _contradicts_itself(exam, v, expected):
        note = "the reference's forward mode is not the transpose of its reverse mode here"
        check = Check("elementwise", "forward mode", "untested", note=note)
    yield check


def _contradicts_itself(exam: Exam, v: Leaves, forward: Leaves) -> bool:
    """Whether the reference's J v cannot be that of its Jᵀ: on accelerators JAX takes the derivative of a maximum over
    windows in half the digits forward, and in all of them in reverse. Who differs from such a J v is not wrong by that;
    whether the rule's own J belongs to its Jᵀ is asked by `adjoint`."""
    g = exam.cotangents[0]
    gradient = as_float64(exam.reference.vjp(exam.leaves, exam.constants, g))
    return _adjoint_gap(v, forward, g, gradient, exam.scales[0]) > _adjoint_bound(exam)


def worst_of(checks) -> Check:
    """The check with the largest error: one line for all cotangents."""
    return max(checks, key=lambda check: (check.status == "failed", check.error or 0.0))


def adjoint(exam: Exam) -> Iterator[Check]:
    """⟨J v, u⟩ = ⟨v, Jᵀu⟩: the two modes agree with each other, be they right or wrong."""
    point = (exam.leaves, exam.constants)
    worst, bound = 0.0, _adjoint_bound(exam)
    for g, gradient, scale in zip(exam.cotangents, exam.gradients, exam.scales, strict=True):
        v = [exam.rng.standard_normal(leaf.shape) for leaf in exam.leaves]
        try:
            forward = as_float64(exam.program.jvp(*point, v))
        except TypeError as error:
            raise Untested("there is no forward mode to compare with (a custom_vjp has none)") from error
        worst = max(worst, _adjoint_gap(v, forward, g, gradient, scale))
    status = "passed" if worst <= bound else "failed"
    yield Check("adjoint", "⟨Jv, u⟩ = ⟨v, Jᵀu⟩", status, worst, bound, detects=bound)


def _adjoint_bound(exam: Exam) -> float:
    return 1e-13 * max(1.0, np.sqrt(exam.terms) / 16)


def _adjoint_gap(v: Leaves, forward: Leaves, g: Leaves, gradient: Leaves, scale: Leaves) -> float:
    """|⟨Jv, g⟩ − ⟨v, Jᵀg⟩| relative to the sizes of what is multiplied; ∞ where it is not a finite number."""
    size = norm(forward) * norm(g) + norm(v) * norm(scale)
    gap = abs(inner(forward, g) - inner(v, gradient))
    if not np.isfinite(gap):
        return np.inf
    return gap / size if size else gap
