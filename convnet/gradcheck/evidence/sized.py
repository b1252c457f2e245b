"""Gradients that are right but for a relative error of a given size: how small a fault is found, op by op."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from convnet.gradcheck.evidence.planting import Change, Mutant, corner_off, corrupted, scaled

SIZES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
WHOLE = ("conv2d", "batch_norm", "softmax_cross_entropy")
CORNER = ("conv2d", "max_pool", "gelu")


def _sized(kind: str, op: str, size: float, change: Callable[[float], Change], defect: str) -> Mutant:
    return Mutant(
        f"{op}: {kind} off by {size:.0e}", op, lambda: corrupted(op, change(size), 0), defect, size=0.99 * size
    )


MUTANTS = (
    *(_sized("all", op, size, lambda size: scaled(1 + size), f"dL/dx is {1 + size} times too large")
      for size in SIZES for op in WHOLE),
    *(_sized("corner", op, size, corner_off, f"the last entry of dL/dx is off by {size} of the largest")
      for size in SIZES for op in CORNER),
    Mutant("layer_norm: all in float32", "layer_norm", lambda: corrupted("layer_norm", lambda d: d.astype(jnp.float32)),
           "float64 goes through float32", size=1e-9),
    Mutant("dense: all in float32", "dense", lambda: corrupted("dense", lambda d: d.astype(jnp.float32)),
           "float64 goes through float32", size=1e-9),
    Mutant("avg_pool: none in remote places", "avg_pool", lambda: corrupted(
        "avg_pool", lambda d: jnp.where(jnp.abs(d) < 0.01 * jnp.max(jnp.abs(d)), jnp.zeros_like(d), d)),
        "entries below a hundredth of the largest are dropped", size=1e-5),
)  # fmt: skip
