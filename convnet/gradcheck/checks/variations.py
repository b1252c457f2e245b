"""Stage 14: the same compiled programs at other values of the same shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from convnet.gradcheck.arguments import Leaves, is_key, is_part_of
from convnet.gradcheck.checks.first_order import compare_gradients, compare_values
from convnet.gradcheck.checks.kinks import only_kinks
from convnet.gradcheck.checks.other_values import VARIATIONS, Variation, put
from convnet.gradcheck.checks.slopes import directional
from convnet.gradcheck.checks.sources import independent
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.terms import compared_with, writes
from convnet.gradcheck.verdict import Check

ALONE = 4
"""Arguments up to which each is multiplied by 10 by itself, so that their ratios change."""


def _variations_of(subject: Subject) -> Iterator[Variation]:
    """Those of every function, and those that come from its arguments and from the integers that it compares with."""
    yield from VARIATIONS
    names = subject.program.names
    if 1 < len(names) <= ALONE:
        yield from (Variation(f"{n} ×10 alone", lambda x, rng: 10 * x, contract=True, only=n) for n in names)
    if any(c.dtype.kind in "i" for _, c in constants_of(subject) if not is_key(c)):
        for value in sorted(compared_with(_value_program(subject))):
            known = dict(kinds="i", contract=True, rarely_meant=True)
            yield Variation(f"{value} among the integers", constants=put(value), **known)


def variations(subject: Subject) -> Iterator[Check]:
    """Each against whatever the function was compared with where it stands; without that, against its own values."""
    if subject.estimator:
        raise Untested("the gradient is an estimate by design")
    if not subject.level.thorough:
        raise Untested("left to level standard")
    endless = subject.arithmetic.open_ended
    if endless:
        note = "it loops until numbers are close enough, which elsewhere may be never"
        yield Check("variations", "where it may not be defined", "untested", note=note)
    for variation in _variations_of(subject):
        if endless and variation.contract:
            continue
        if variation.masks and not any(c.dtype.kind == "b" for _, c in constants_of(subject) if not is_key(c)):
            variation = replace(variation, contract=True)  # of numbers it is not known that they are a mask
        there = _moved(subject, variation)
        if there is not None:
            yield _at(there, variation, meant=_meant(subject, variation))


def _value_program(subject: Subject):
    return subject.program.traced("value", subject.leaves, subject.constants)


def _meant(subject: Subject, variation: Variation) -> bool:
    """Whether the function is surely made for such arguments, too."""
    written = variation.repeats and _distinct(subject) and writes(_value_program(subject))
    asked = variation.rarely_meant or written
    return not asked and not subject.accuracy


def _moved(subject: Subject, variation: Variation) -> Subject | None:
    """None where there is nothing to vary."""
    leaves = [_leaf(subject, variation, *pair) for pair in zip(subject.program.names, subject.leaves, strict=True)]
    constants = [_constant(subject, variation, *pair) for pair in constants_of(subject)]
    old, new = [*subject.leaves, *subject.constants], [*leaves, *constants]
    if all(a is b or np.array_equal(a, b) for a, b in zip(old, new, strict=True)):
        return None
    level = replace(subject.level, cotangents=2)
    return replace(subject.at(leaves, constants), level=level, clumsy=variation.clumsy)


def _leaf(subject: Subject, variation: Variation, name: str, x: np.ndarray) -> np.ndarray:
    vary = variation.leaves
    if is_fixed(subject, name) or variation.only not in ("", name):
        return x
    if adds_up_to_one(x):
        return x
    if is_mask(x):
        return _masked(variation, x, subject.rng)
    if vary is None or (variation.reorders and is_sorted(x)):
        return x
    return vary(x, subject.rng)


def _constant(subject: Subject, variation: Variation, name: str, c):
    if reason_to_keep(subject, name, c):
        return c
    if c.dtype.kind == "b" or (c.dtype.kind == "f" and is_mask(c)):
        return _masked(variation, c, subject.rng)
    return variation.constants(c, subject.rng) if variation.constants and c.dtype.kind in variation.kinds else c


def _masked(variation: Variation, mask: np.ndarray, rng) -> np.ndarray:
    if variation.masks is None or not mask.size:
        return mask
    low, high = mask.min(), mask.max()
    if mask.dtype.kind == "b":
        return variation.masks(mask, rng)
    return np.where(variation.masks(mask == high, rng), high, low)


def _distinct(subject: Subject) -> bool:
    """Whether integers are an index that meets nothing twice."""
    found = [c for _, c in constants_of(subject) if not is_key(c) and c.dtype.kind in "iu" and c.ndim == 1]
    return any(c.size > 1 and np.unique(c).size == c.size for c in found)


def _at(there: Subject, variation: Variation, *, meant: bool) -> Check:
    name = variation.name
    try:
        sources = list(independent(there, there.cotangents))
    except Exception as error:
        return Check("variations", name, "untested", note=f"{type(error).__name__}: outside what can be computed")
    if not all(np.isfinite(y).all() for y in (*there.outputs, *there.leaves)):
        return Check("variations", name, "untested", note="not finite there")
    if any(_both_infinite(there.gradients, gradients) for _, _, gradients in sources if gradients is not None):
        return Check("variations", name, "untested", note="no gradient is finite there")
    checks = []
    for kind, value, gradients in sources:
        values = compare_values(there, "variations", name, there.outputs, value)
        if values.status == "failed" and variation.contract:
            note = "another value than the independent one: other arguments than the function is for, or a fault"
            return Check("variations", name, "untested", note=note)
        if values.status == "failed":
            return replace(values, worst=f"the value: {values.worst}")
        if gradients is not None:
            check = compare_gradients(there, name, gradients, loosely=kind == "autodiff")
            checks.append(replace(check, stage="variations"))
    if not checks:
        return replace(directional(there), stage="variations", name=name)
    failed = [check for check in checks if check.status == "failed"]
    if failed and all(only_kinks(there, gradients) for _, _, gradients in sources if gradients is not None):
        return Check("variations", name, "untested", note="kinks where the gradients differ")
    if failed and not meant:
        return Check(
            "variations", name, "untested", note="another gradient there, where it may not be meant to be right"
        )
    if failed and variation.contract:
        note = "; ".join(filter(None, [failed[0].note, "what is not made for that can be named: fixed="]))
        return replace(failed[0], note=note)
    return (failed or checks)[0]


def _both_infinite(ours: list[Leaves], theirs: list[Leaves]) -> bool:
    """Whether an entry has no finite gradient by either, as a square root at 0."""
    pairs = (pair for both in zip(ours, theirs, strict=True) for pair in zip(*both, strict=True))
    return any((~np.isfinite(a) & ~np.isfinite(b)).any() for a, b in pairs)


def constants_of(subject: Subject) -> Iterator[tuple[str, np.ndarray]]:
    return zip(subject.program.constant_names, subject.constants, strict=True)


def is_fixed(subject: Subject, name: str) -> bool:
    """Whether the argument is one that was said to stay as it is, or a part of one."""
    return any(is_part_of(name, fixed) for fixed in subject.fixed)


def reason_to_keep(subject: Subject, name: str, constant) -> str:
    """Why a constant is not varied: other numbers in its place would be no call that somebody makes. Empty if it is."""
    if is_fixed(subject, name):
        return "as was said"
    if is_key(constant):
        return "a key"
    values = np.ravel(constant)
    if values.dtype.kind == "b":
        return ""
    if values.size < 2 or (values == values[0]).all():
        return "of one value"
    if values.dtype.kind in "iu" and (np.diff(values) >= 0).all():
        return "sorted"
    if values.dtype.kind in "iu" and np.array_equal(np.sort(values), np.arange(values.size)):
        return "a permutation"
    if values.dtype.kind == "f" and is_sorted(constant):
        return "sorted"
    return "sums of 1" if values.dtype.kind == "f" and adds_up_to_one(constant) else ""


def adds_up_to_one(x) -> bool:
    """Whether rows are probabilities."""
    return np.ndim(x) > 0 and np.shape(x)[-1] > 1 and bool(np.allclose(np.sum(x, axis=-1), 1.0, rtol=1e-5))


def is_mask(x) -> bool:
    """Whether floating-point numbers say what counts: 0 and 1, or 0 and what stands for −∞."""
    found = np.unique(x)
    return found.size == 2 and (tuple(found) == (0.0, 1.0) or (found[1] == 0.0 and found[0] <= MASKED))


MASKED = -1e4
"""What is added to a logit that does not count, at most."""


def is_sorted(x) -> bool:
    """Whether numbers stand in order, as knots and times do."""
    return np.ndim(x) == 1 and np.size(x) > 2 and bool((np.diff(x) > 0).all())
