"""What speaks for or against a rule of an op, and how arguments are drawn: without accidental ties, away from kinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convnet.gradcheck.oracle import Oracle

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Case:
    """One call of an op that is worth auditing: where its gradient can be wrong."""

    op: str
    name: str
    draw: Callable[[np.random.Generator], tuple]
    """The positional arguments: float64, integer labels int32, masks bool, None for an absent bias."""
    settings: dict
    """Keyword settings of the op, all hashable."""
    terms: int
    """Upper bound on the number of terms that are summed into one entry of any gradient."""
    second_order: bool = True
    batch: tuple[int | None, ...] = (0,)
    """The axis of each argument along which independent examples lie, as `in_axes` of vmap; none where none is said."""


@dataclass(frozen=True)
class Convention:
    """What an op declares at a kink or a tie: at `args`, with a cotangent of ones, the gradient of each argument.

    gradients: None where only a value between the one-sided slopes is required.
    """

    op: str
    name: str
    args: tuple
    settings: dict
    gradients: tuple | None


@dataclass(frozen=True)
class Evidence:
    """What a rule for one op is compared with, and where."""

    cases: tuple[Case, ...]
    """The calls that are worth auditing; the first is the most revealing one."""
    oracle: Oracle
    calls: Callable[[], SearchStrategy]
    """Makes a strategy of random calls: (positional arguments, settings)."""


class Mask(np.ndarray):
    """A bool array that is a setting: it cannot be written, has a hash, and is equal to another as a whole."""

    def __new__(cls, values):
        mask = np.array(values, bool).view(cls)
        mask.flags.writeable = False
        return mask

    def __hash__(self):
        return hash((self.shape, self.tobytes()))

    def __eq__(self, other):
        return isinstance(other, Mask) and np.array_equal(self.view(np.ndarray), other.view(np.ndarray))

    def __ne__(self, other):
        return not self == other


# --- arrays -----------------------------------------------------------------------------------------------------------


def gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal, with another mean and scale in each channel, so that channels cannot be exchanged unnoticed."""
    channels = np.arange(shape[-1]) if shape else 0
    return np.asarray(rng.normal(0.3 * (-1.0) ** channels, 0.6 + 0.4 * (channels % 4), shape))


def off_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of either sign, at least 0.05 away from 0."""
    values = gaussian(rng, shape)
    return values + np.copysign(0.05, values)


def moderate(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Within ±1.6. Farther out autodiff of a squashing forward is no reference: its 1 − y or 1 − y² cancels."""
    return np.asarray(1.6 * np.tanh(gaussian(rng, shape)))


def separated(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Between −2 and 2 in random order, no two nearer than 2.4 / size."""
    values = np.linspace(-2, 2, prod(shape)) if prod(shape) > 1 else np.array([rng.normal()])
    gap = 4 / max(prod(shape) - 1, 1)
    return rng.permutation(values + rng.uniform(-0.4, 0.4, values.shape) * gap / 2).reshape(shape)


def off_margin(rng: np.random.Generator, shape: tuple[int, int], margin: float) -> np.ndarray:
    """Logits [N, K], different within a row, no difference nearer to the margin than a tenth of it.

    Differences are multiples of 0.4 margins, give or take 0.1: the multiples 2 and 3 leave the margin itself out.
    """
    step = margin or 1.0
    levels = np.stack([rng.choice(max(8, shape[1]), shape[1], replace=False) for _ in range(shape[0])])
    return step * (0.4 * levels + rng.uniform(-0.05, 0.05, shape)) - step


def labels(rng: np.random.Generator, examples: int, classes: int) -> np.ndarray:
    """Class numbers; of four examples or more at least two share one, and not all do."""
    drawn = rng.integers(classes, size=examples)
    if examples >= 4:
        drawn[:3] = drawn[0], drawn[0], (drawn[0] + 1) % classes
    return drawn.astype(np.int32)


def mask(rng: np.random.Generator, shape: tuple[int, ...], axis: int = -1) -> np.ndarray:
    """About two thirds True; along the axis at least one True, and one False where there is room for it."""
    keep = np.moveaxis(rng.random(shape) < 0.67, axis, -1)
    size = keep.shape[-1]
    for row in np.ndindex(keep.shape[:-1]):
        chosen = rng.permutation(size)
        keep[row][chosen[0]] = True
        if size > 1:
            keep[row][chosen[1]] = False
    return np.moveaxis(keep, -1, axis)


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Far enough for sums of squares and exponentials to differ much from one another."""
    return 3 * gaussian(rng, shape)


def drawing(*shapes: tuple[int, ...] | None, draw: Callable = gaussian) -> Callable[[np.random.Generator], tuple]:
    """The `draw` of a case: one array of each shape; None for an absent argument."""
    return lambda rng: tuple(None if shape is None else np.asarray(draw(rng, shape)) for shape in shapes)


def column(*values: float) -> np.ndarray:
    """A vector, of channels say."""
    return np.array(values, np.float64)


def image(*rows: list[float]) -> np.ndarray:
    """One image of one channel: [1, H, W, 1]."""
    return np.array(rows, np.float64)[None, :, :, None]


def label(*values: int) -> np.ndarray:
    return np.array(values, np.int32)
