"""Stages 1 to 3: sane results, the gradient entry by entry against independent ones, and Jᵀ against J."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64, unit_roundoff
from convnet.gradcheck.checks.kinks import only_kinks
from convnet.gradcheck.checks.sources import ORACLE_ENTRIES, SILENT, independent, oracle_is_affordable
from convnet.gradcheck.comparison import LOST, finite, has_infinite, inner, norm
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check


def hygiene(subject: Subject) -> Iterator[Check]:
    """Finite values and gradients, the dtype kept, and the same bits from every call.

    A value may be infinite or no number where an independent one is the same: masked logits are. So may an argument,
    which is then not moved there. A gradient must be finite for every finite argument.
    """
    yield _arguments(subject)
    yield _values(subject)
    gradients = [
        np.where(np.isfinite(x), d, 0.0)
        for gradient in subject.gradients
        for x, d in zip(subject.leaves, gradient, strict=True)
    ]
    yield _finite("gradient", gradients)
    yield _dtype(subject)
    yield _repeatable(subject)


def _not_finite(arrays: Leaves) -> str | None:
    for array in arrays:
        if not np.isfinite(array).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            return f"{array[at]} at {list(at)}"
    return None


def _finite(name: str, arrays: Leaves) -> Check:
    found = _not_finite(arrays)
    if found is None:
        return Check("hygiene", name, "passed")
    return Check("hygiene", name, "failed", worst=f"{found}: expected finite numbers")


def _arguments(subject: Subject) -> Check:
    found = _not_finite(subject.leaves)
    return Check("hygiene", "arguments", "passed", note=f"{found}: not moved there" if found else "")


def _values(subject: Subject) -> Check:
    """Whatever source says the same of what is not finite will do."""
    if _not_finite(subject.outputs) is None:
        return Check("hygiene", "value", "passed")
    for _, value, _ in independent(subject, cotangents=()):
        odd = [np.where(np.isfinite(y), 0.0, y) for y in subject.outputs]
        same = [np.where(np.isfinite(y), 0.0, e) for y, e in zip(subject.outputs, value, strict=True)]
        if all(np.array_equal(a, e, equal_nan=True) for a, e in zip(odd, same, strict=True)):
            return Check("hygiene", "value", "passed", note=f"{_not_finite(subject.outputs)}, as expected")
    return _finite("value", subject.outputs)


def _dtype(subject: Subject) -> Check:
    dtypes = sorted({str(out.dtype) for out in subject.program.value(subject.leaves, subject.constants)})
    coarsest = 0.0 if subject.dtype is None else unit_roundoff(subject.dtype)
    if all(dtype == "float64" or unit_roundoff(dtype) <= coarsest for dtype in dtypes):
        return Check("hygiene", "dtype", "passed")
    note = f"float64 in, {', '.join(dtypes)} out; an audit with dtype={dtypes[0]!r} allows it"
    return Check("hygiene", "dtype", "failed", note=note)


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
    for kind, value, gradients in independent(subject, subject.cotangents):
        yield compare_values(subject, "elementwise", f"value, {kind}", subject.outputs, value)
        if subject.estimator:
            note = "an estimate by design, which is not the derivative of the value"
            yield Check("elementwise", f"gradient, {kind}", "untested", note=note)
        elif gradients is None:
            yield Check("elementwise", f"gradient, {kind}", "untested", note=SILENT[kind])
        else:
            check = compare_gradients(subject, f"gradient, {kind}", gradients, loosely=kind == "autodiff")
            if check.status == "failed" and only_kinks(subject, gradients):
                check = Check("elementwise", check.name, "untested", note=KINKS)
            yield check
    if not subject.estimator:
        yield from _from_infinite_values(subject)
    if subject.witness is not None and not subject.estimator:
        yield from _forward_mode(subject)


def _from_infinite_values(subject: Subject) -> Iterator[Check]:
    """What comes from above to a −∞ that stays one, as to a masked logit, must not count."""
    if all(np.isfinite(y).all() for y in subject.outputs):
        return
    g = [subject.rng.standard_normal(y.shape) for y in subject.outputs]
    ours = as_float64(subject.gradient_of(subject.leaves, g))
    for kind, _, gradients in independent(subject, [g]):
        if gradients is not None:
            check = subject.compare(
                "elementwise", f"gradient from infinite values, {kind}", ours, gradients[0],
                subject.against_autodiff(subject.scales[0]), partial(subject.noise, "vjp", subject.leaves, g),
                excused=[~np.isfinite(e) for e in gradients[0]],
            )  # fmt: skip
            if check.status == "failed" and kind == "autodiff":  # which may never be asked: a loss there is infinite
                check = replace(check, status="untested", note="another one than the reference's")
            yield check


KINKS = "the function has kinks where the gradients differ; a Convention declares what holds there"


def compare_values(subject: Subject, stage: str, name: str, actual: Leaves, expected: Leaves) -> Check:
    return subject.compare(
        stage, name, actual, expected, subject.value_scale, lambda: subject.noise("value", subject.leaves),
        names=subject.output_names, excused=[np.ones(y.shape, bool) for y in expected],
    )  # fmt: skip


def compare_gradients(subject: Subject, name: str, expected: list[Leaves], *, loosely: bool) -> Check:
    """One line for all cotangents: that with the largest error. loosely: see `Subject.against_autodiff`."""
    checks, excused = [], [~np.isfinite(x) for x in subject.leaves]
    for g, ours, theirs, scale in zip(subject.cotangents, subject.gradients, expected, subject.scales, strict=True):
        scales = subject.against_autodiff(scale, subject.scales[0]) if loosely else scale
        noise = partial(subject.noise, "vjp", subject.leaves, g)
        checks.append(subject.compare("elementwise", name, ours, theirs, scales, noise, excused=excused))
    return worst_of(checks)


def _forward_mode(subject: Subject) -> Iterator[Check]:
    point, v = (subject.leaves, subject.constants), subject.direction()
    try:
        actual = as_float64(subject.program.jvp(*point, v))
    except TypeError:
        yield Check("elementwise", "forward mode", "untested", note="a custom_vjp has none")
        return
    expected = as_float64(subject.reference.jvp(*point, v))
    expected = [np.where(np.isfinite(y), e, np.nan) for y, e in zip(subject.outputs, expected, strict=True)]
    scale = subject.against_autodiff(subject.conditioning("jvp", subject.leaves, v))
    check = subject.compare(
        "elementwise", "forward mode", actual, expected, scale, lambda: subject.noise("jvp", subject.leaves, v),
        names=subject.output_names, excused=[~np.isfinite(y) for y in subject.outputs],
    )  # fmt: skip
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


def worst_of(checks: Iterable[Check]) -> Check:
    """One line for all cotangents: the check with the largest error, and, if all passed, what was noted at any."""
    checks = list(checks)
    worst = max(checks, key=lambda check: (check.status == "failed", check.error or 0.0))
    if any(check.status != "passed" for check in checks):
        return worst
    return replace(worst, note=next((check.note for check in (worst, *checks) if check.note), ""))


def adjoint(subject: Subject) -> Iterator[Check]:
    """⟨J v, u⟩ = ⟨v, Jᵀu⟩: the two modes agree with each other, be they right or wrong."""
    point = (subject.leaves, subject.constants)
    worst, bound = 0.0, _adjoint_bound(subject)
    for g, gradient, scale in zip(subject.cotangents, subject.gradients, subject.scales, strict=True):
        v = [np.where(np.isfinite(x), d, 0.0) for x, d in zip(subject.leaves, subject.direction(), strict=True)]
        try:
            forward = as_float64(subject.program.jvp(*point, v))
        except TypeError as error:
            raise Untested("there is no forward mode to compare with (a custom_vjp has none)") from error
        if (odd := _not_finite([np.where(c == 0, 0.0, y) for c, y in zip(g, forward, strict=True)])) is not None:
            text = f"J v is {odd}: expected finite numbers, as Jᵀu has"
            yield Check("adjoint", "⟨Jv, u⟩ = ⟨v, Jᵀu⟩", "failed", np.inf, bound, text, bound)
            return
        gap = _adjoint_gap(v, forward, g, gradient, scale)
        if gap > bound:
            noise = subject.noise("vjp", subject.leaves, g), subject.noise("jvp", subject.leaves, v)
            if has_infinite([*noise[0], *noise[1]]):
                raise Untested(LOST)
            scale = [np.maximum(s, n) for s, n in zip(scale, noise[0], strict=True)]
            gap = _adjoint_gap(v, forward, g, gradient, scale, noise[1])
        worst = max(worst, gap)
    status = "passed" if worst <= bound else "failed"
    yield Check("adjoint", "⟨Jv, u⟩ = ⟨v, Jᵀu⟩", status, worst, bound, detects=bound)


def _adjoint_bound(subject: Subject) -> float:
    return 1e-13 * max(1.0, np.sqrt(subject.arithmetic.terms) / 16) * subject.coarser


def _adjoint_gap(v: Leaves, forward: Leaves, g: Leaves, gradient: Leaves, scale: Leaves, noise: Leaves = ()) -> float:
    """|⟨Jv, g⟩ − ⟨v, Jᵀg⟩| relative to the sizes of what is multiplied; ∞ where it is not a finite number."""
    forward = [np.where(c == 0, 0.0, y) for c, y in zip(g, forward, strict=True)]
    gradient = [np.where(d == 0, 0.0, y) for d, y in zip(v, gradient, strict=True)]
    size = max(norm(forward), norm(noise)) * norm(g) + norm(v) * norm([finite(s) for s in scale])
    gap = abs(inner(forward, g) - inner(v, gradient))
    if not np.isfinite(gap):
        return np.inf
    return gap / size if size else gap
