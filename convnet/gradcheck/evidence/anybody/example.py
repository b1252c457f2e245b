"""Anybody's function with a gradient, and how the referee is asked about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

WRONG_KINDS = (
    "value", "linear in g", "as users run it", "arguments that never change", "loose bounds", "orders",
    "own precision", "not listed",
)  # fmt: skip
RIGHT_KINDS = (
    "zero by invariance", "faults of the reference", "oracles that break the complex step", "declared accuracy",
    "saturated and mixed scales", "inf and NaN that belong there", "crashes", "arguments with a meaning",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A function that somebody wrote, right or wrong."""

    name: str
    kind: str
    """One of WRONG_KINDS or RIGHT_KINDS."""
    build: Callable[[np.random.Generator], dict]
    """-> the keyword arguments of `audit`: fn and args; as they apply reference, oracle, settings, accuracy, …"""
    note: str
    """What is wrong with it, or why somebody might object."""
    level: str = "standard"
    named: str = ""
    """Of a fault that an audit at this point need not show: what `untested` must name instead, "other shapes" say."""
    shows: Callable[[dict], float] | None = None
    """The relative size of the fault, measured by JAX alone at what `build` returned; None for what is right."""


def with_vjp(value: Callable, forward: Callable, backward: Callable) -> Callable:
    """`value` with a gradient of its own: forward(*args) -> (value, what is kept), backward(kept, g) -> gradients."""
    rule = jax.custom_vjp(value)
    rule.defvjp(forward, backward)
    return rule


def with_jvp(value: Callable, tangent: Callable) -> Callable:
    """`value` with a tangent of its own: tangent(primals, tangents) -> (value, its tangent)."""
    rule = jax.custom_jvp(value)
    rule.defjvp(tangent)
    return rule
