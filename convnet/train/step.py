"""One update."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from convnet.train.state import TrainState, stream, variables

Batch = tuple[Array, Array]
Info = dict[str, Array]


def make_train_step(
    model,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Array, Array], Array],
    prepare: Callable[[Array, Array], Array],
    mirror: Callable[[Array, Array, Array], Array] | None = None,
    resting: Any = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Info]]:
    """`train_step(state, batch) -> (state, info)`, a pure function to be compiled.

    loss(logits [N, K], labels [N]) -> [N]; the objective is its mean over the batch.
    prepare(key, images uint8 [N, H, W, C]) -> float images: augmentation and normalisation, inside the step.
    mirror(key, images, step) -> images, before that: what depends on how far the run is, with a key that is the same in
    every step.
    resting: a tree like the parameters, of bools: which need no gradient (it is 0 then); None: none of them.
    info: loss, accuracy (both before the update) and grad_norm, scalars.
    """

    def objective(params, batch_stats, images: Array, labels: Array, dropout_key: Array):
        settings = dict(training_argument(model), rngs={"dropout": dropout_key})
        if batch_stats:
            settings["mutable"] = ["batch_stats"]
        if resting is not None:
            params = jax.tree.map(lambda p, rests: lax.stop_gradient(p) if rests else p, params, resting)
        found = model.apply(variables(params, batch_stats), images, **settings)
        logits, changed = found if batch_stats else (found, {"batch_stats": {}})
        return jnp.mean(loss(logits, labels)), (logits, changed["batch_stats"])

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Info]:
        images, labels = batch
        if mirror is not None:
            images = mirror(stream(state.key, "flip"), images, state.step)
        images = prepare(stream(state.key, "augment", state.step), images)
        dropout_key = stream(state.key, "dropout", state.step)
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, (logits, batch_stats)), grads = gradient(state.params, state.batch_stats, images, labels, dropout_key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        info = {
            "loss": value,
            "accuracy": jnp.mean(jnp.argmax(logits, axis=1) == labels),
            "grad_norm": optax.tree.norm(grads),
        }
        params = optax.apply_updates(state.params, updates)
        return replace(state, params=params, opt_state=opt_state, step=state.step + 1, batch_stats=batch_stats), info

    return train_step


def training_argument(model: Any) -> dict[str, Any]:
    """What tells `model.apply` that it is training: train=True, unless it is a Flax module that does not ask."""
    asked = inspect.signature(type(model).__call__ if callable(model) else model.apply).parameters
    return {"train": True} if "train" in asked else {}
