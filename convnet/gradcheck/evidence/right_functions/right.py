"""A function whose gradient is right, how its arguments are drawn, and what an audit of it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

Draw = Callable[[np.random.Generator, float], tuple]
"""(generator, scale) -> the arguments at that scale."""

SCALES = (1e-3, 0.1, 1.0, 30.0, 1e3)
"""Of the arguments; 30 saturates what squashes, but not to the last bit."""

MODERATE = (0.1, 1.0, 10.0)
"""For what overflows, or has nothing left to say, far from 1."""

UNIT = (1.0,)
"""For arguments that have a scale of their own: probabilities, angles, prices."""


@dataclass(frozen=True)
class RightFunction:
    """One function as people write it, use it and have it audited."""

    name: str
    fn: Callable
    draw: Draw
    scales: tuple[float, ...] = SCALES
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of `Auditor`: a reference or an oracle (the same function in another form, as a careful person
    gives it), settings, argnums, what accuracy it promises."""


def right(name: str, fn: Callable, draw: Draw, scales: tuple[float, ...] = SCALES, **options: Any) -> RightFunction:
    return RightFunction(name, fn, draw, scales, options)


# --- arguments --------------------------------------------------------------------------------------------------------


def normal(*shapes: tuple[int, ...]) -> Draw:
    """Gaussian arrays, all at the scale."""
    return lambda rng, scale: tuple(scale * rng.standard_normal(shape) for shape in shapes)


def positive(*shapes: tuple[int, ...]) -> Draw:
    """Within a factor of a few of the scale."""
    return lambda rng, scale: tuple(scale * np.exp(0.5 * rng.standard_normal(shape)) for shape in shapes)


def in_float32(draw: Draw) -> Draw:
    """The same, as JAX has arrays by default."""

    def cast(leaf):
        return np.asarray(leaf, np.float32) if np.asarray(leaf).dtype == np.float64 else leaf

    return lambda rng, scale: jax.tree.map(cast, draw(rng, scale))


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Draw:
    return lambda rng, scale: tuple(scale * rng.uniform(low, high, shape) for shape in shapes)


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Positive, and adding up to 1 along the last axis."""
    weights = np.exp(rng.standard_normal(shape))
    return weights / weights.sum(-1, keepdims=True)


def one_hot(rng: np.random.Generator, examples: int, classes: int) -> np.ndarray:
    return np.eye(classes)[rng.integers(classes, size=examples)]


def definite(rng: np.random.Generator, size: int) -> np.ndarray:
    """A positive definite matrix with eigenvalues between 1 and a few."""
    a = rng.standard_normal((size, size)) / np.sqrt(size)
    return a @ a.T + np.eye(size)


def invertible(rng: np.random.Generator, size: int) -> np.ndarray:
    """A matrix far from singular: its diagonal dominates."""
    return rng.standard_normal((size, size)) / np.sqrt(size) + 2 * np.diag(rng.choice([-1.0, 1.0], size))
