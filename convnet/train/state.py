"""What training carries from step to step, and where its randomness comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

STREAMS = {"init": 0, "order": 1, "augment": 2, "dropout": 3, "flip": 4}
"""Every use of randomness has a stream of its own: changing one leaves the others as they were."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Parameters, optimiser state, number of updates made, the run's root key (which never changes), and what is
    kept but not trained: the running statistics of batch norm, and frozen kernels (empty for a model without)."""

    params: Any
    opt_state: Any
    step: Array
    key: Array
    batch_stats: Any = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What the model is applied with."""
        return variables(self.params, self.batch_stats)


def variables(params: Any, batch_stats: Any) -> dict[str, Any]:
    """The collections of a Flax model; one that is empty is left out."""
    return {"params": params} | ({"batch_stats": batch_stats} if batch_stats else {})


def stream(key: Array, name: str, index: Array | int = 0) -> Array:
    """Key number `index` of the stream called `name` under the root `key`."""
    return jax.random.fold_in(jax.random.fold_in(key, STREAMS[name]), index)


def init_state(
    model, optimizer, key: Array, image_shape: tuple[int, int, int], init: Callable[[Array, Array], Any] | None = None
) -> TrainState:
    """The state before the first update, a pure function of the root `key`; images are [H, W, C] = `image_shape`.

    init: (key, images [1, H, W, C]) -> variables; None: the model's own.
    """
    start = (init or model.init)(stream(key, "init"), jnp.zeros((1, *image_shape)))
    params, batch_stats = start["params"], start.get("batch_stats", {})
    opt_state, step = optimizer.init(params), jnp.zeros((), jnp.int32)
    return TrainState(params=params, opt_state=opt_state, step=step, key=key, batch_stats=batch_stats)
