"""Stages 14 and 15: the same compiled programs at other values of the same shapes, and what no value can show."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import jax
import numpy as np

from convnet.gradcheck.arguments import Leaves, is_float, is_key, is_part_of, is_static
from convnet.gradcheck.checks.first_order import compare_gradients, compare_values
from convnet.gradcheck.checks.kinks import only_kinks
from convnet.gradcheck.checks.slopes import directional, scale_of
from convnet.gradcheck.checks.sources import independent
from convnet.gradcheck.comparison import finite
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check


@dataclass(frozen=True)
class Variation:
    """Other values for some of the arguments."""

    name: str
    leaves: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    constants: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    kinds: str = ""
    """Of constants: the dtypes' kinds that it is for."""
    contract: bool = False
    """Whether it may lead where the function is not defined: indices may have to be sorted, numbers to be positive."""
    rarely_meant: bool = False
    """Whether a gradient that differs there is named and no more, as that of a label of −1."""


def _row_of_zeros(x, rng):
    x = x.copy()
    if x.size:
        x[(0,) if x.ndim else ()] = 0.0
    return x


def _shuffled(x, rng):
    return rng.permutation(np.ravel(x)).reshape(x.shape)


def _with_a_zero(x, rng):
    """What often stands for padding, and is in the range of any index."""
    x = x.copy()
    x.flat[0] = 0
    return x


def _with_a_minus_one(x, rng):
    """What often stands for a label that is not there."""
    x = x.copy()
    x.flat[0] = -1
    return x


def _apart(x, rng):
    """Zeros, as a fresh bias has, and ones stay what they are under every multiplication."""
    return x + 2 * scale_of(x) * rng.standard_normal(x.shape) if np.unique(x).size == 1 else x


def _repeated(x, rng):
    return rng.choice(np.ravel(x), x.shape) if x.size else x


VARIATIONS = (
    Variation("×10", leaves=lambda x, rng: 10 * x),
    Variation("×0.1", leaves=lambda x, rng: 0.1 * x),
    Variation("a row of zeros", leaves=_row_of_zeros),
    Variation("zeros", leaves=lambda x, rng: 0 * x, contract=True),
    Variation("equal numbers moved apart", leaves=_apart, contract=True),
    Variation("shuffled", leaves=_shuffled),
    Variation("other signs", leaves=lambda x, rng: x * rng.choice([-1.0, 1.0], x.shape), contract=True),
    Variation("integers shuffled", constants=_shuffled, kinds="iu", contract=True),
    Variation("a −1 among the integers", constants=_with_a_minus_one, kinds="i", contract=True, rarely_meant=True),
    Variation("a zero among the integers", constants=_with_a_zero, kinds="iu", contract=True),
    Variation("integers repeated", constants=_repeated, kinds="iu", contract=True),
    Variation(
        "integers all equal", constants=lambda x, rng: np.full_like(x, np.ravel(x)[-1]), kinds="iu", contract=True
    ),
    Variation("masks all true", constants=lambda x, rng: x | True, kinds="b"),
    Variation("masks all false", constants=lambda x, rng: x & False, kinds="b"),
    Variation("masks half true", constants=lambda x, rng: rng.random(x.shape) < 0.5, kinds="b"),
    Variation("masks inverted", constants=lambda x, rng: ~x, kinds="b"),
    Variation("constants ×10", constants=lambda x, rng: 10 * x, kinds="f", contract=True),
)


def variations(subject: Subject) -> Iterator[Check]:
    """Each against whatever the function was compared with where it stands; without that, against its own values."""
    if subject.estimator:
        raise Untested("the gradient is an estimate by design")
    if not subject.level.thorough:
        raise Untested("left to level standard")
    for variation in VARIATIONS:
        there = _moved(subject, variation)
        if there is not None:
            yield _at(there, variation)


def _moved(subject: Subject, variation: Variation) -> Subject | None:
    """None where there is nothing to vary."""
    leaves, constants, rng = subject.leaves, subject.constants, subject.rng
    if variation.leaves is not None:
        kept = [is_fixed(subject, name) for name in subject.program.names]
        leaves = [x if stays else variation.leaves(x, rng) for x, stays in zip(leaves, kept, strict=True)]
        old, new = subject.leaves, leaves
    else:
        kept = [bool(reason_to_keep(subject, *pair)) for pair in _constants(subject)]
        constants = [
            variation.constants(c, rng) if not stays and c.dtype.kind in variation.kinds else c
            for c, stays in zip(constants, kept, strict=True)
        ]
        old, new = subject.constants, constants
    if all(a is b or np.array_equal(a, b) for a, b in zip(old, new, strict=True)):
        return None
    level = replace(subject.level, cotangents=2)
    return replace(subject.at(leaves, constants), level=level)


def _at(there: Subject, variation: Variation) -> Check:
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
    if failed and (variation.rarely_meant or there.accuracy):
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


def scope(subject: Subject) -> Iterator[Check]:
    """What this audit says nothing about, by name."""
    if subject.strategy is None:
        yield Check("scope", "other shapes", "untested", note=_special_shapes(subject.leaves))
        if subject.program.settings:
            yield Check("scope", f"other settings: {', '.join(subject.program.settings)}", "untested")
        scalars = _names_of(subject, is_static)
        if scalars:
            yield Check("scope", f"other Python scalars: {', '.join(scalars)}", "untested")
    reasons = {name: reason_to_keep(subject, name, c) for name, c in _constants(subject)}
    fixed = {name: reason for name, reason in reasons.items() if reason}
    if fixed:
        note = "not varied: " + ", ".join(dict.fromkeys(fixed.values()))
        yield Check("scope", f"constants: {', '.join(fixed)}", "untested", note=note)
    yield from _reach(subject)
    integers = [i for i, is_float in enumerate(subject.program.floats) if not is_float]
    if integers:
        names = ", ".join(f"result {i}" for i in integers)
        yield Check("scope", f"integer outputs: {names}", "untested")
    if subject.arithmetic.dtype != "float64":
        note = f"it rounds to {subject.arithmetic.dtype} on the way: smaller errors are not seen"
        yield Check("scope", "digits", "untested", note=note)
    apart = [name for name in _names_of(subject, is_float) if name not in subject.program.names]
    if apart:
        yield Check("scope", f"not differentiated: {', '.join(apart)}", "untested")
    left = [] if subject.level.thorough else ["variations", "higher orders", "rarer maps"]
    left += [] if "float16" in subject.level.precisions else ["float16"]
    left += [f"orders above {subject.level.order}"] if subject.level.thorough else []
    if left:
        yield Check("scope", f"left to higher levels: {', '.join(left)}", "untested")


def _constants(subject: Subject) -> Iterator[tuple[str, np.ndarray]]:
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
    sums = np.sum(constant, axis=-1) if values.dtype.kind == "f" else 0.0
    return "sums of 1" if np.allclose(sums, 1.0, rtol=1e-5) else ""


def _reach(subject: Subject) -> Iterator[Check]:
    """How far from 0 anything was looked at, and on what."""
    factor = 10 if subject.level.thorough and not subject.estimator else 1
    sizes = [factor * float(np.abs(finite(x)).max(initial=0.0)) for x in subject.leaves]
    largest = ", ".join(f"{name} beyond {size:.2g}" for name, size in zip(subject.program.names, sizes, strict=True))
    yield Check("scope", f"larger numbers: {largest}" if len(sizes) < 4 else "larger numbers", "untested")
    yield Check("scope", f"other devices than {jax.default_backend()}", "untested")
    held = _held(subject)
    if held:
        yield Check("scope", f"constants inside the function: {', '.join(held)}", "untested")
    given = {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(subject.args) if is_float(leaf)}
    if len(given) > 1 and not subject.level.thorough:
        yield Check("scope", f"mixed dtypes: {', '.join(sorted(given))}", "untested", note="all were made the same")


def _held(subject: Subject) -> list[str]:
    """Numbers that the function holds besides its arguments, by name where Python knows one."""
    fn = inspect.unwrap(subject.program.fn)
    names = getattr(getattr(fn, "__code__", None), "co_freevars", ())
    cells = zip(names, getattr(fn, "__closure__", None) or (), strict=False)
    numbers = (int, float, np.ndarray, np.generic, jax.Array)
    held = [name for name, cell in cells if isinstance(cell.cell_contents, numbers)]
    arrays = sum(np.size(c) > 1 for c in subject.program.traced("value", subject.leaves, subject.constants).consts)
    return held or ([f"{arrays} arrays"] if arrays else [])


def _names_of(subject: Subject, kind: Callable) -> list[str]:
    """Arguments of a kind."""
    pairs = zip(subject.program.all_names, subject.program.static, strict=True)
    return [name for name, leaf in pairs if kind(leaf)]


def _special_shapes(leaves: Leaves) -> str:
    square = any(x.ndim >= 2 and x.shape[-1] == x.shape[-2] for x in leaves)
    alone = any(x.ndim and x.shape[0] == 1 for x in leaves)
    return "; ".join(text for text, holds in (("these are square", square), ("a batch of one", alone)) if holds)
