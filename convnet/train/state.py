"""What training carries from step to step, and where its randomness comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

STREAMS = {"init": 0, "order": 1, "augment": 2, "dropout": 3}
"""Every use of randomness has a stream of its own: changing one leaves the others as they were."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Parameters, optimiser state, number of updates made, and the run's root key (which never changes)."""

    params: Any
    opt_state: Any
    step: Array
    key: Array


def stream(key: Array, name: str, index: Array | int = 0) -> Array:
    """Key number `index` of the stream called `name` under the root `key`."""
    return jax.random.fold_in(jax.random.fold_in(key, STREAMS[name]), index)


def init_state(model, optimizer, key: Array, image_shape: tuple[int, int, int]) -> TrainState:
    """The state before the first update, a pure function of the root `key`; images are [H, W, C] = `image_shape`."""
    params = model.init(stream(key, "init"), jnp.zeros((1, *image_shape)))["params"]
    return TrainState(params=params, opt_state=optimizer.init(params), step=jnp.zeros((), jnp.int32), key=key)
