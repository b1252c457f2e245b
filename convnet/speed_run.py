"""A whole training as one compiled program, timed: from images on the device to test accuracy.

Nothing is decided on the way: no checkpoints, no choice of an epoch, no host in the loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet import optim
from convnet.allocator import free_memory
from convnet.architectures.shapes import cost
from convnet.config import RunConfig
from convnet.data import Dataset, Split, batched_map
from convnet.data.dataset import MEASURED
from convnet.data.splits import spread
from convnet.data.views import VIEWS, each, mean
from convnet.initializers import patch_moment
from convnet.settings import require
from convnet.task import Facts, make_task
from convnet.train import TrainState, init_state, make_epoch
from convnet.train.programs import EVALUATION_BATCH, batch_size_of, step_of, steps_of


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
            self._training, _, self._testing = (tuple(map(jnp.asarray, arrays)) for arrays in dataset.arrays)
            start = time.perf_counter()
            key = jax.random.key(0)
            self._train = jax.jit(self._trained).lower(key, *self._training).compile()
            state = jax.eval_shape(self._trained, key, *self._training)[0]
            self._test = jax.jit(self._tested).lower(state.variables, *self._testing).compile()
            self.compile_seconds = time.perf_counter() - start
        self._require_memory()

    def _require_memory(self) -> None:
        """Raises ValueError where what the program plans for does not fit."""
        plan, free = self._train.memory_analysis(), free_memory()
        if plan is None or free is None or plan.temp_size_in_bytes <= free:
            return
        batch = batch_size_of(self.task, self.dataset)
        smaller = int(batch * free / plan.temp_size_in_bytes)
        raise ValueError(
            f"train.batch_size is {batch}: expected one that needs no more than {free / 2**30:.3g} GiB, "
            f"which are free: a batch of {smaller} might do"
        )

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

        model = task.model
        if side:  # what whitens is found here, too, so that its time counts
            moment = patch_moment(task.preprocess(images[spread(len(images), MEASURED)]), side)
            model = model.clone(patch_moment=moment.ravel())

        def phase(state: TrainState, resting: Any, epochs: int) -> tuple[TrainState, Array]:
            epoch = make_epoch(step_of(task, self.dataset, self.steps, resting), batch)
            state, infos = lax.scan(lambda state, _: epoch(state, images, labels), state, length=epochs)
            return state, infos["loss"].reshape(-1)

        state, losses = init_state(model, task.optimizer(self.steps), key, task.input_shape, task.init), []
        for resting, epochs in groupby(range(self.config.train.epochs), partial(self._resting, state.params)):
            state, found = phase(state, resting, len(list(epochs)))
            losses.append(found)
        return state, jnp.concatenate(losses)

    def _resting(self, params: Any, epoch: int) -> Any:
        """Of each parameter, whether its rate has ended when `epoch` begins, so that it needs no gradient: None where
        the norm of all of them counts. Only for its bias does a first layer that whitens need what comes down to it."""
        if self.config.optim.clip_norm:
            return None
        before = epoch * self.steps // self.config.train.epochs
        return optim.at_rest(self.config.optim, self.steps, before, params)

    def _tested(self, variables: Any, images: Array, labels: Array) -> dict[str, Array]:
        """How many of the images are right by each set of views that is part of the config's."""

        def logits(images: Array) -> Array:
            return self.task.model.apply(variables, images)

        views = each(logits, self.config.data.views)

        def batch(images: Array) -> Array:
            return jnp.moveaxis(views(self.task.preprocess(images)), 0, 1)

        found = jnp.moveaxis(batched_map(batch, images, EVALUATION_BATCH), 1, 0)
        sets = list(VIEWS)[: list(VIEWS).index(self.config.data.views) + 1]
        return {name: jnp.sum(jnp.argmax(mean(found, name), axis=1) == labels) for name in sets}

    def run(self, seed: int) -> SpeedResult:
        """Train from `seed`, and test once."""
        with self.task.precision():
            key = jax.random.key(seed)
            jax.block_until_ready((key, self._training, self._testing))
            start = time.perf_counter()
            state, losses = jax.block_until_ready(self._train(key, *self._training))
            trained = time.perf_counter()
            hits = jax.block_until_ready(self._test(state.variables, *self._testing))
            end = time.perf_counter()
        # A program's results come sorted by name; the smallest set of views is to be first.
        accuracy = {name: int(hits[name]) / len(self.dataset.test) for name in VIEWS if name in hits}
        return SpeedResult(seed, trained - start, end - trained, accuracy, np.asarray(losses))
