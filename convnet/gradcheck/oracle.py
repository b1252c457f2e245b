"""An op written once more, in NumPy float64 and close to its definition, and how its gradient is had from there.

Where a definition is linear, bilinear or picks winners, it is walked element by element and the gradient is added up
term by term on the way (`by_walking`). Where it is smooth, only the definition is written, and a complex step
differentiates it (`by_complex_step`): no gradient formula is derived. None shares code with JAX or `convnet.ops`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Oracle:
    """An op written once more, by other means.

    value(*args, **settings): an array, or a tuple of arrays. gradient(g, *args, **settings), with g of the structure
    of the value: one entry per positional argument, None for labels, masks and absent arguments.
    """

    value: Callable
    gradient: Callable


def by_walking(walk: Callable) -> Oracle:
    """The oracle of `walk(*args, g, **settings) -> (y, one gradient per argument)`."""

    def value(*args, **settings):
        return walk(*args, 0.0, **settings)[0]

    def gradient(g, *args, **settings):
        return tuple(walk(*args, np.asarray(g, np.float64), **settings)[1:])

    return Oracle(value, gradient)


STEP = 1e-150
"""Its square vanishes beside 1, and it is far from vanishing itself."""


def by_complex_step(value: Callable) -> Oracle:
    """The oracle of a definition that is analytic as written: f′(x) = Im f(x + ih) / h.

    Nothing is subtracted, so h can be tiny and the derivative is exact to rounding (Lyness & Moler, SIAM J. Numer.
    Anal. 1967; Squire & Trapp, SIAM Review 1998). It takes one evaluation per entry of an argument. The definition must
    not use abs, conj, max, comparisons or anything else that looks at real parts, but to choose a branch or a constant.

    Raises ValueError, from `gradient`, for a definition that drops the imaginary part.
    """

    def gradient(g, *args, **settings):
        cotangents, analytic = leaves_of(g), []

        def slope(moved) -> float:
            outputs = leaves_of(value(*moved, **settings))
            analytic.append(any(map(np.iscomplexobj, outputs)))
            pairs = zip(cotangents, outputs, strict=True)
            return sum(np.sum(a * np.imag(y)) for a, y in pairs if a is not None) / STEP

        gradients = slopes_of(args, slope)
        if analytic and not any(analytic):
            raise ValueError("value gives real numbers for complex arguments: expected a definition that is analytic")
        return gradients

    return Oracle(value, gradient)


def slopes_of(arg, slope: Callable):
    """slope(argument with one entry moved) for every entry, in the structure of `arg`; None where it is not real."""
    if isinstance(arg, dict):
        return {key: slopes_of(part, lambda moved, key=key: slope({**arg, key: moved})) for key, part in arg.items()}
    if isinstance(arg, tuple | list):
        parts = [slopes_of(p, lambda moved, i=i: slope((*arg[:i], moved, *arg[i + 1 :]))) for i, p in enumerate(arg)]
        return type(arg)(parts)
    if arg is None or np.asarray(arg).dtype.kind != "f":
        return None
    moved, slopes = np.array(arg, np.complex128), np.zeros(np.shape(arg))
    for entry in np.ndindex(moved.shape):
        moved[entry] += 1j * STEP
        slopes[entry] = slope(moved)
        moved[entry] = moved[entry].real
    return slopes


def leaves_of(value) -> list:
    """The arrays of nested tuples, lists and dicts, in the order of JAX."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    return [leaf for part in value for leaf in leaves_of(part)] if isinstance(value, tuple | list) else [value]
