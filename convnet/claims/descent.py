"""Gradient descent with nothing added, for claims about descent itself and about networks of a few units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import Array


def descend(
    loss: Callable[[Any], Array],
    start: Any,
    *,
    rate: float,
    steps: int,
    note: Callable[[Any], Any] = lambda params: None,
) -> tuple[Any, Any]:
    """(the parameters after `steps` of p ← p − rate · ∂loss/∂p, what `note` told of them before each step, stacked).

    Goes through `jax.vmap` over seeds and `jax.jit`, in one program whatever the number of steps.
    """

    def step(params: Any, _: None) -> tuple[Any, Any]:
        slopes = jax.grad(loss)(params)
        return jax.tree.map(lambda p, slope: p - rate * slope, params, slopes), note(params)

    return jax.lax.scan(step, start, length=steps)
