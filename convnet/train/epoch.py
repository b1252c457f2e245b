"""A pass over the training set, and one over an evaluation set, each as a single program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from convnet.data.batching import batched_map, epoch_order, num_batches
from convnet.train.state import TrainState, stream
from convnet.train.step import Info


def make_epoch(
    train_step: Callable, batch_size: int, divided: Callable[[Any], Any] = lambda batch: batch
) -> Callable[[TrainState, Array, Array], tuple[TrainState, Info]]:
    """`epoch(state, images, labels) -> (state, infos)`: one step per full batch, in an order of its own.

    images: uint8 [N, H, W, C], labels: [N], both on the device; infos have a leading axis of steps.
    divided: what is done to a batch so that several devices have it together (`Layout.divided`).
    The order is a pure function of the state's key and step, so a run resumes from its state alone.

    Raises ValueError for a batch larger than the data.
    """

    def epoch(state: TrainState, images: Array, labels: Array) -> tuple[TrainState, Info]:
        steps = num_batches(images.shape[0], batch_size)
        order = epoch_order(stream(state.key, "order", state.step // steps), images.shape[0], batch_size)

        def step(state: TrainState, rows: Array):
            rows = divided(rows)  # before it is gathered, so that each device gathers its share
            return train_step(state, divided((images[rows], labels[rows])))

        return lax.scan(step, state, order)

    return epoch


def make_evaluate(
    classify: Callable[[Any, Array], Array],
    loss: Callable,
    batch_size: int,
    *,
    divided: Callable[[Array], Array] = lambda batch: batch,
    multiple_of: int = 1,
) -> Callable:
    """`evaluate(variables, images uint8 [N, H, W, C], labels [N]) -> (info, logits [N, K])`: every image once.

    classify(variables, images) -> logits, as `Task.classify`. variables: the model's, such as `TrainState.variables`;
    any N.
    info: the mean loss over all N, and hits, the whole number of images that are classified rightly. An accuracy is
    hits / N, divided on the host: a float32 mean would part two equal differences by its last bit.
    batch_size only bounds the memory. divided, multiple_of: as in `make_epoch`, and the devices that share a batch.
    """

    def evaluate(variables, images: Array, labels: Array) -> tuple[Info, Array]:
        def batch(images: Array) -> Array:
            return classify(variables, divided(images))

        logits = batched_map(batch, images, batch_size, multiple_of=multiple_of)
        hits = jnp.argmax(logits, axis=1) == labels
        return {"loss": jnp.mean(loss(logits, labels)), "hits": jnp.sum(hits)}, logits

    return evaluate
