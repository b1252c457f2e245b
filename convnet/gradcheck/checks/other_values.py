"""Other values that an argument may have: what stage `variations` tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convnet.gradcheck.checks.slopes import scale_of
from convnet.gradcheck.subject import CLUMSY


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


def put(value):
    """What often stands for padding (0, in the range of any index) or for a label that is not there (−1)."""

    def first(x, rng):
        known = np.iinfo(x.dtype)
        if not x.size or not known.min <= value <= known.max:
            return x
        x = x.copy()
        x.flat[0] = value
        return x

    return first


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
    Variation("other signs", leaves=lambda x, rng: x * rng.choice([-1.0, 1.0], x.shape), contract=True),
    Variation("integers shuffled", constants=_shuffled, kinds="iu", contract=True),
    Variation("a −1 among the integers", constants=put(-1), kinds="i", contract=True, rarely_meant=True),
    Variation("a zero among the integers", constants=put(0), kinds="iu", contract=True, repeats=True),
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
