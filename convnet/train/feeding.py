"""How images reach the compiled programs: all of them lie on the devices, or windows of batches are read ahead.

Either way the same steps are made in the same order from the same images, and come to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.data.batching import epoch_order, num_batches
from convnet.data.feed import require_grain, windows
from convnet.train.sharding import Layout
from convnet.train.state import TrainState, stream
from convnet.train.step import Info

if TYPE_CHECKING:  # a task brings models, and those Flax
    from convnet.data import Dataset
    from convnet.data.dataset import Split

_order = jax.jit(epoch_order, static_argnums=(1, 2))  # once for all runs of a process
WINDOW = 2**24
"""Bytes of images that go to the devices at a time: two more windows are read ahead of it."""


class Feed(NamedTuple):
    """A data set on its way into compiled programs.

    epoch(state, values) -> (state, infos); validate and test(variables, values) -> (info, logits).
    """

    epoch: Callable[[TrainState, Any], tuple[TrainState, Info]]
    validate: Callable[[Any, Any], tuple[Info, Array]]
    test: Callable[[Any, Any], tuple[Info, Array]]


def resident(programs: Any, splits: Any) -> Feed:
    """splits: (images, labels) of training, validation and test images, all on the devices."""
    training, validation, test = splits
    return Feed(
        epoch=lambda state, values: programs.epoch(state, values, *training),
        validate=lambda variables, values: programs.validate(variables, values, *validation),
        test=lambda variables, values: programs.test(variables, values, *test),
    )


# --- windows ----------------------------------------------------------------------------------------------------------


def steps_at_once(steps: int, batch_bytes: int) -> int:
    """Batches of a window. None has a single one, nor has what is left over (unless there is one in all): XLA makes no
    loop of that, and may compute it in another way."""
    most = max(WINDOW // max(batch_bytes, 1), 3)
    if steps <= most:
        return steps
    return next(k for k in (*range(most, 1, -1), *range(most + 1, steps + 1)) if steps % k != 1)


def window_of(split: Split, steps: int, batch: int) -> int:
    return steps_at_once(steps, batch * split.images.nbytes // len(split))


def window_lengths(split: Split, steps: int, batch: int) -> set[int]:
    """Of the windows of so many batches: one, or two where the last is shorter."""
    length = window_of(split, steps, batch)
    return {length, steps % length} - {0}


def make_window(train_step: Callable, divided: Callable[[Any], Any]) -> Callable:
    """`window(state, images uint8 [k, B, H, W, C], labels [k, B]) -> (state, infos)`: k steps."""

    def window(state: TrainState, images: Array, labels: Array) -> tuple[TrainState, Info]:
        return lax.scan(lambda state, batch: train_step(state, divided(batch)), state, (images, labels))

    return window


def make_classify(classify: Callable[[Any, Array], Array], divided: Callable[[Any], Any]) -> Callable:
    """`classify`, (variables, images [B, H, W, C]) -> logits [B, K], of a window: images uint8 [k, B, H, W, C] ->
    logits [k, B, K]."""

    def window(variables: Any, images: Array) -> Array:
        return lax.map(lambda batch: classify(variables, divided(batch)), images)

    return window


def make_score(loss: Callable) -> Callable:
    """`score(logits [N, K], labels [N]) -> info` as of `make_evaluate`."""

    def score(logits: Array, labels: Array) -> Info:
        hits = jnp.argmax(logits, axis=1) == labels
        return {"loss": jnp.mean(loss(logits, labels)), "hits": jnp.sum(hits)}

    return score


def rows_of(n: int, wanted: int, multiple_of: int) -> np.ndarray:
    """All of n examples in order, in batches as `batched_map` makes them, the last filled up with the last example:
    [steps, batch]."""
    batch = -(-min(wanted, n) // multiple_of) * multiple_of
    return np.minimum(np.arange(-(-n // batch) * batch, dtype=np.int32), n - 1).reshape(-1, batch)


def computed(results: list[Any]) -> None:
    """Wait for the last of `results`, so that a window is computed and one waits. JAX would take them as fast as they
    are read, and hold all that are not computed yet, in the end all data."""
    jax.block_until_ready(results[-1:])


def streamed(programs: Any, dataset: Dataset, layout: Layout, batch: int, evaluation_batch: int) -> Feed:
    """Of images that are read while others are computed with; each process reads its share of every batch.

    programs: as `lower_streamed` makes them.
    """
    require_grain()  # not in the first epoch's time

    def read(split: Split, order: np.ndarray) -> Iterator[tuple[Array, Array]]:
        shared = dict(per_window=window_of(split, *order.shape), rows=layout.share(order.shape[1]))
        found = windows(split.images, split.labels, order, **shared)
        for window in found:
            yield layout.window(window)

    def epoch(state: TrainState, values: Any) -> tuple[TrainState, Info]:
        n, infos = len(dataset.train), []
        key, number = jax.random.wrap_key_data(np.asarray(jax.random.key_data(state.key))), int(state.step)
        order = _order(stream(key, "order", number // num_batches(n, batch)), n, batch)
        for images, labels in read(dataset.train, np.asarray(order)):
            computed(infos)
            state, info = programs.epoch[len(images)](state, values, images, labels)
            infos.append(info)
        return state, jax.tree.map(lambda *parts: np.concatenate(list(map(np.asarray, parts))), *infos)

    def evaluate(name: str) -> Callable:
        split = dataset.splits[name]
        order = rows_of(len(split), evaluation_batch, layout.batch)

        def evaluated(variables: Any, values: Any) -> tuple[Info, Array]:
            parts: list[Array] = []
            for images, _ in read(split, order):
                computed(parts)
                parts.append(programs.classify[images.shape[:2]](variables, values, images))
            logits = np.concatenate([np.asarray(part).reshape(-1, part.shape[-1]) for part in parts])[: len(split)]
            return programs.score[name](values, logits, split.labels), logits

        return evaluated

    return Feed(epoch, evaluate("validation"), evaluate("test"))
