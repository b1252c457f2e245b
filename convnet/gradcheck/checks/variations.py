"""Stages 14 and 15: the same compiled programs at other values of the same shapes, and what no value can show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from convnet.gradcheck.arguments import Leaves, is_float, is_key, is_static
from convnet.gradcheck.checks.first_order import compare_gradients, compare_values
from convnet.gradcheck.checks.slopes import Path, bent, directional, scale_of, unit
from convnet.gradcheck.checks.sources import independent
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

BENT = 40
"""Entries of which each is asked whether the function has a kink there."""


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


def _row_of_zeros(x, rng):
    x = x.copy()
    x[(0,) if x.ndim else ()] = 0.0
    return x


def _shuffled(x, rng):
    return rng.permutation(np.ravel(x)).reshape(x.shape)


def _with_a_zero(x, rng):
    """What often stands for padding, and is in the range of any index."""
    x = x.copy()
    x.flat[0] = 0
    return x


def _repeated(x, rng):
    return rng.choice(np.ravel(x), x.shape) if x.size else x


VARIATIONS = (
    Variation("×10", leaves=lambda x, rng: 10 * x),
    Variation("×0.1", leaves=lambda x, rng: 0.1 * x),
    Variation("a row of zeros", leaves=_row_of_zeros),
    Variation("shuffled", leaves=_shuffled),
    Variation("other signs", leaves=lambda x, rng: x * rng.choice([-1.0, 1.0], x.shape), contract=True),
    Variation("integers shuffled", constants=_shuffled, kinds="iu", contract=True),
    Variation("a zero among the integers", constants=_with_a_zero, kinds="iu", contract=True),
    Variation("integers repeated", constants=_repeated, kinds="iu", contract=True),
    Variation(
        "integers all equal", constants=lambda x, rng: np.full_like(x, np.ravel(x)[-1]), kinds="iu", contract=True
    ),
    Variation("masks half true", constants=lambda x, rng: rng.random(x.shape) < 0.5, kinds="b"),
    Variation("masks inverted", constants=lambda x, rng: ~x, kinds="b"),
    Variation("constants ×10", constants=lambda x, rng: 10 * x, kinds="f"),
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
        leaves = [variation.leaves(x, rng) for x in leaves]
    else:
        constants = [
            variation.constants(c, rng) if not is_key(c) and c.size and c.dtype.kind in variation.kinds else c
            for c in constants
        ]
        same = (is_key(c) or np.array_equal(c, old) for c, old in zip(constants, subject.constants, strict=True))
        if all(same):
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
    if failed and _only_kinks(there, sources):
        return Check("variations", name, "untested", note="kinks where the gradients differ")
    return (failed or checks)[0]


def _only_kinks(there: Subject, sources) -> bool:
    """Whether the function has a kink at every entry where its gradient is not the independent one, as at zeros."""
    for _, _, gradients in sources:
        for g, ours, theirs in zip(there.cotangents, there.gradients, gradients or [], strict=False):
            for leaf, (x, a, b) in enumerate(zip(there.leaves, ours, theirs, strict=True)):
                wrong = np.abs(a - b) > 1e-9 * np.maximum(np.abs(b), np.abs(a).max(initial=0.0) * 1e-3)
                entries = [tuple(map(int, at)) for at in np.argwhere(wrong | ~np.isfinite(a))]
                for entry in entries[:BENT]:
                    if not bent(Path(there, g, unit(there, leaf, entry)), scale_of(x)):
                        return False
    return True


def scope(subject: Subject) -> Iterator[Check]:
    """What this audit says nothing about, by name."""
    if subject.strategy is None:
        yield Check("scope", "other shapes", "untested", note=_special_shapes(subject.leaves))
        if subject.program.settings:
            yield Check("scope", f"other settings: {', '.join(subject.program.settings)}", "untested")
        scalars = _names_of(subject, is_static)
        if scalars:
            yield Check("scope", f"other Python scalars: {', '.join(scalars)}", "untested")
    fixed = [name for name, c in zip(subject.program.constant_names, subject.constants, strict=True) if _fixed(c)]
    if fixed:
        yield Check("scope", f"constants: {', '.join(fixed)}", "untested", note="one value, which nothing was put for")
    integers = [i for i, is_float in enumerate(subject.program.floats) if not is_float]
    if integers:
        names = ", ".join(f"result {i}" for i in integers)
        yield Check("scope", f"integer outputs: {names}", "untested")
    if subject.computes_in != "float64":
        note = f"it rounds to {subject.computes_in} on the way: smaller errors are not seen"
        yield Check("scope", "digits", "untested", note=note)
    apart = [name for name in _names_of(subject, is_float) if name not in subject.program.names]
    if apart:
        yield Check("scope", f"not differentiated: {', '.join(apart)}", "untested")
    left = [] if subject.level.thorough else ["variations", "higher orders", "rarer maps"]
    left += [] if "float16" in subject.level.precisions else ["float16"]
    if left:
        yield Check("scope", f"left to higher levels: {', '.join(left)}", "untested")


def _fixed(constant) -> bool:
    """Keys, and what has a single value, cannot be varied by what they hold."""
    return is_key(constant) or (np.asarray(constant).dtype.kind in "iuf" and np.unique(constant).size < 2)


def _names_of(subject: Subject, kind: Callable) -> list[str]:
    """Arguments of a kind."""
    pairs = zip(subject.program.all_names, subject.program.static, strict=True)
    return [name for name, leaf in pairs if kind(leaf)]


def _special_shapes(leaves: Leaves) -> str:
    square = any(x.ndim >= 2 and x.shape[-1] == x.shape[-2] for x in leaves)
    alone = any(x.ndim and x.shape[0] == 1 for x in leaves)
    return "; ".join(text for text, holds in (("these are square", square), ("a batch of one", alone)) if holds)
