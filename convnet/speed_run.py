"""A whole training as one compiled program, timed: from images on the device to test accuracy.

Nothing is decided on the way: no checkpoints, no choice of an epoch, no host in the loop. What a `Trainer` does beside
training takes longer than training itself, where that takes seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet import models
from convnet.allocator import free_memory
from convnet.architectures.shapes import cost
from convnet.config import RunConfig
from convnet.data import Dataset, Split, batched_map, num_batches
from convnet.data.views import VIEWS, each, mean
from convnet.initializers import patch_moment, whitening
from convnet.settings import require
from convnet.task import Facts, make_task
from convnet.train import TrainState, init_state, make_epoch
from convnet.train.programs import batch_size_of, step_of, steps_of

EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class SpeedResult:
    """seconds: of the whole; train_seconds and evaluate_seconds: of its two parts. accuracy: of the test images by
    each set of views (`convnet.data.views`). losses: of each step."""

    seed: int
    train_seconds: float
    evaluate_seconds: float
    accuracy: dict[str, float]
    losses: np.ndarray = field(repr=False)

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.evaluate_seconds


def _some(n: int, count: int = 5000) -> np.ndarray:
    """Rows of so many of n images, from all over, as those of `Dataset.patch_moment`."""
    return np.arange(min(count, n)) * n // min(count, n)


def _whitened(variables: Any, moment: Array) -> Any:
    """With the frozen kernel that whitens patches of this moment."""
    found = models.flatten(variables)
    name = "batch_stats/whiten/kernel"
    found[name] = whitening(moment, found[name].shape[:3]).astype(found[name].dtype)
    return models.unflatten(found)


def matrix_product_rate(dtype: str, side: int = 2048) -> float:
    """Floating-point operations a second of the product of two matrices that are already there: the best of five."""
    factor = jnp.ones((side, side), dtype)
    product = jax.jit(lambda a: jnp.matmul(a, a, preferred_element_type=jnp.float32))
    jax.block_until_ready(product(factor))

    def seconds() -> float:
        start = time.perf_counter()
        jax.block_until_ready(product(factor))
        return time.perf_counter() - start

    return 2 * side**3 / min(seconds() for _ in range(5))


def with_validation(dataset: Dataset) -> Dataset:
    """Trained on its validation images, too, as is usual once every choice is made."""
    parts = (dataset.train, dataset.validation)
    whole = Split(*(np.concatenate(arrays) for arrays in zip(*((p.images, p.labels) for p in parts), strict=True)))
    return replace(dataset, train=whole)


class SpeedRun:
    """The program of `config` on `dataset`, compiled, with the images on the device.

    Raises ValueError for images that are not in memory, and what `make_task` raises.
    """

    def __init__(self, config: RunConfig, dataset: Dataset):
        require(not dataset.stored, "data", dataset.name, "images in memory")
        self.config, self.dataset = config, dataset
        self.task = make_task(config, Facts.of(dataset, config.model))
        with self.task.precision():
            self._training, _, self._test = (tuple(map(jnp.asarray, arrays)) for arrays in dataset.arrays)
            start = time.perf_counter()
            key = jax.random.key(0)
            self._train = jax.jit(self._trained).lower(key, *self._training).compile()
            state = jax.eval_shape(self._trained, key, *self._training)[0]
            self._classify = jax.jit(self._views).lower(state.variables, self._test[0]).compile()
            self.compile_seconds = time.perf_counter() - start
        self._require_memory()

    def _require_memory(self) -> None:
        """Raises ValueError where what the program plans for does not fit."""
        plan, free = self._train.memory_analysis(), free_memory()
        if plan is None or free is None or plan.temp_size_in_bytes <= free:
            return
        batch = batch_size_of(self.task, self.dataset)
        fits = (
            f"{free / 2**30:.3g} GiB, which are free: a batch of {int(batch * free / plan.temp_size_in_bytes)} might do"
        )
        require(False, "train.batch_size", batch, f"one that needs no more than {fits}")

    @property
    def steps(self) -> int:
        return steps_of(self.task, self.dataset)

    @property
    def flops(self) -> float:
        """Multiplications and additions of convolutions and dense layers in a run: three times those of a forward pass
        per training image, and one pass for each view of a test image."""
        table = self.task.model.table(self.task.input_shape)
        forward = 2 * cost(table, self.task.input_shape).multiply_adds
        trained = self.steps * batch_size_of(self.task, self.dataset)
        return forward * (3.0 * trained + len(VIEWS[self.config.data.views]) * len(self.dataset.test))

    def _trained(self, key: Array, images: Array, labels: Array) -> tuple[TrainState, Array]:
        """(the state after the last step, the loss of each step)."""
        task, batch = self.task, batch_size_of(self.task, self.dataset)
        side = self.config.model.whitening_side

        def init(key: Array, shape: Array) -> Any:
            variables = task.model.init(key, shape)
            if not side:
                return variables
            # What whitens is found here, too, so that its time counts.
            return _whitened(variables, patch_moment(task.preprocess(images[_some(len(images))]), side))

        state = init_state(task.model, task.optimizer(self.steps), key, task.input_shape, init)
        epoch = make_epoch(step_of(task, self.dataset, self.steps), batch)

        def one(state: TrainState, _: None) -> tuple[TrainState, Array]:
            state, infos = epoch(state, images, labels)
            return state, infos["loss"]

        state, losses = lax.scan(one, state, None, length=self.steps // num_batches(len(self.dataset.train), batch))
        return state, losses.reshape(-1)

    def _views(self, variables: Any, images: Array) -> Array:
        """Logits of each view: [V, N, K]."""

        def logits(images: Array) -> Array:
            return self.task.model.apply(variables, images)

        views = each(logits, self.config.data.views)

        def batch(images: Array) -> Array:
            return jnp.moveaxis(views(self.task.preprocess(images)), 0, 1)

        return jnp.moveaxis(batched_map(batch, images, EVALUATION_BATCH), 1, 0)

    def run(self, seed: int) -> SpeedResult:
        """Train from `seed`, and test once."""
        with self.task.precision():
            key = jax.random.key(seed)
            jax.block_until_ready((key, self._training, self._test))
            start = time.perf_counter()
            state, losses = jax.block_until_ready(self._train(key, *self._training))
            trained = time.perf_counter()
            logits = jax.block_until_ready(self._classify(state.variables, self._test[0]))
            accuracy = self._accuracies(logits)
            end = time.perf_counter()
        return SpeedResult(seed, trained - start, end - trained, accuracy, np.asarray(losses))

    def _accuracies(self, logits: Array) -> dict[str, float]:
        """Accuracy by each set of views that is part of the config's."""
        sets = list(VIEWS)[: list(VIEWS).index(self.config.data.views) + 1]
        right = {name: jnp.argmax(mean(logits, name), axis=1) == self._test[1] for name in sets}
        return {name: int(jnp.sum(hits)) / len(hits) for name, hits in right.items()}
