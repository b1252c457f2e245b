"""Stage 14: the same compiled programs at other values of the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from convnet.gradcheck.arguments import Leaves, is_key, is_part_of
from convnet.gradcheck.checks.first_order import compare_gradients, compare_values
from convnet.gradcheck.checks.kinks import only_kinks
from convnet.gradcheck.checks.slopes import directional, scale_of
from convnet.gradcheck.checks.sources import independent
from convnet.gradcheck.subject import CLUMSY, Subject, Untested
from convnet.gradcheck.terms import compared_with
from convnet.gradcheck.verdict import Check


@dataclass(frozen=True)
class Variation:
    """Other values for some of the arguments."""

    name: str
    leaves: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    constants: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    kinds: str = ""
    """Of constants: the dtypes' kinds that it is for."""
    masks: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    """For booleans, and for floating-point numbers of two values."""
    contract: bool = False
    """Whether it may lead where the function is not defined: indices may have to be sorted, numbers to be positive."""
    rarely_meant: bool = False
    """Whether a gradient that differs there is named and no more, as that of a label of −1."""
    repeats: bool = False
    """Whether integers that were distinct may no longer be."""
    reorders: bool = False
    negates: bool = False
    """Whether numbers that were all positive may become negative: a function may be for such alone."""
    clumsy: float = CLUMSY
    """See `Subject.noise`."""
    only: str = ""
    """The argument that it is for; default all."""


def _row_of_zeros(x, rng):
    x = x.copy()
    if x.size:
        x[(0,) if x.ndim else ()] = 0.0
    return x


def _single_zeros(x, rng):
    """One in every row, away from each other: of a product the gradient there is that of the others."""
    x = x.copy()
    for row in x.reshape(-1, x.shape[-1]) if x.ndim else ():
        row[rng.integers(row.size) if row.size else slice(None)] = 0.0
    return x


def _small(x, rng):
    """Of all sizes down to 1e-8 of what they were, as on both sides of where a series takes over."""
    return x * 10.0 ** rng.uniform(-8, 0, x.shape)


def _shuffled(x, rng):
    return rng.permutation(np.ravel(x)).reshape(x.shape)


def _with(value):
    """What often stands for padding (0, in the range of any index) or for a label that is not there (−1)."""

    def put(x, rng):
        x = x.copy()
        x.flat[0] = value
        return x

    return put


def _apart(x, rng):
    """Zeros, as a fresh bias has, and ones stay what they are under every multiplication."""
    return x + 2 * scale_of(x) * rng.standard_normal(x.shape) if np.unique(x).size == 1 else x


def _repeated(x, rng):
    return rng.choice(np.ravel(x), x.shape) if x.size else x


def _nearby(x, rng):
    """Each by itself, which leaves no symmetry and no even spacing."""
    return x * (1 + 0.1 * rng.standard_normal(x.shape))


VARIATIONS = (
    Variation("×10", leaves=lambda x, rng: 10 * x),
    Variation("×0.1", leaves=lambda x, rng: 0.1 * x),
    Variation("numbers down to 1e-8", leaves=_small, contract=True, clumsy=np.inf),
    Variation("single zeros", leaves=_single_zeros, contract=True),
    Variation("a row of zeros", leaves=_row_of_zeros),
    Variation("zeros", leaves=lambda x, rng: 0 * x, contract=True),
    Variation("equal numbers moved apart", leaves=_apart, contract=True),
    Variation("shuffled", leaves=_shuffled, reorders=True),
    Variation("other signs", leaves=lambda x, rng: x * rng.choice([-1.0, 1.0], x.shape), contract=True, negates=True),
    Variation("integers shuffled", constants=_shuffled, kinds="iu", contract=True),
    Variation("a −1 among the integers", constants=_with(-1), kinds="i", contract=True, rarely_meant=True),
    Variation("a zero among the integers", constants=_with(0), kinds="iu", contract=True, repeats=True),
    Variation("integers repeated", constants=_repeated, kinds="iu", contract=True, repeats=True),
    Variation(
        "integers all equal", constants=lambda x, rng: np.full_like(x, np.ravel(x)[-1]), kinds="iu", contract=True,
        repeats=True,
    ),
    Variation("masks all true", masks=lambda x, rng: x | True),
    Variation("masks all false", masks=lambda x, rng: x & False),
    Variation("masks half true", masks=lambda x, rng: rng.random(x.shape) < 0.5),
    Variation("masks inverted", masks=lambda x, rng: ~x),
    Variation("constants ×10", constants=lambda x, rng: 10 * x, kinds="f", contract=True),
    Variation("constants moved one by one", constants=_nearby, kinds="f", contract=True),
)  # fmt: skip

ALONE = 4
"""Arguments up to which each is multiplied by 10 by itself, so that their ratios change."""


def _variations_of(subject: Subject) -> Iterator[Variation]:
    """Those of every function, and those that come from its arguments and from the integers that it compares with."""
    yield from VARIATIONS
    names = subject.program.names
    if 1 < len(names) <= ALONE:
        yield from (Variation(f"{n} ×10 alone", lambda x, rng: 10 * x, contract=True, only=n) for n in names)
    if any(c.dtype.kind in "i" for _, c in constants_of(subject) if not is_key(c)):
        for value in sorted(compared_with(subject.program.traced("value", subject.leaves, subject.constants))):
            put = dict(constants=_with(value), kinds="i", contract=True, rarely_meant=True)
            yield Variation(f"{value} among the integers", **put)


def variations(subject: Subject) -> Iterator[Check]:
    """Each against whatever the function was compared with where it stands; without that, against its own values."""
    if subject.estimator:
        raise Untested("the gradient is an estimate by design")
    if not subject.level.thorough:
        raise Untested("left to level standard")
    for variation in _variations_of(subject):
        there = _moved(subject, variation)
        if there is not None:
            yield _at(there, variation, meant=_meant(subject, variation))


def _meant(subject: Subject, variation: Variation) -> bool:
    """Whether the function is surely made for such arguments, too."""
    positive = any((x >= 0).all() and x.any() for x in subject.leaves)
    asked = variation.rarely_meant or (variation.repeats and _distinct(subject)) or (variation.negates and positive)
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
    if np.isin(x, (0.0, 1.0)).all() and np.unique(x).size == 2:  # a mask in floating-point numbers
        return _masked(variation, x, subject.rng)
    if vary is None or (variation.reorders and is_sorted(x)):
        return x
    return vary(x, subject.rng)


def _constant(subject: Subject, variation: Variation, name: str, c):
    if reason_to_keep(subject, name, c):
        return c
    if c.dtype.kind == "b" or (c.dtype.kind == "f" and np.unique(c).size == 2):
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
    sums = np.sum(constant, axis=-1) if values.dtype.kind == "f" else 0.0
    return "sums of 1" if np.allclose(sums, 1.0, rtol=1e-5) else ""


def is_sorted(x) -> bool:
    """Whether numbers stand in order, as knots and times do."""
    return np.ndim(x) == 1 and np.size(x) > 2 and bool((np.diff(x) > 0).all())
