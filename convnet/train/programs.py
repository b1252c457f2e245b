"""A task compiled: for one run, or for many replicates side by side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jax import Array

from convnet import optim
from convnet.data.batching import num_batches
from convnet.train.epoch import make_epoch, make_evaluate
from convnet.train.sharding import Layout
from convnet.train.state import init_state
from convnet.train.step import make_train_step

if TYPE_CHECKING:  # a task brings models, and those Flax
    from convnet.data import Dataset
    from convnet.task import Task

EVALUATION_BATCH = 500
DETERMINISTIC = {"xla_gpu_deterministic_ops": True}

Values = Mapping[str, Array]


def compiler_options() -> dict[str, Any]:
    """Of every run's programs. On GPUs XLA adds up in any order, and tries algorithms by the clock, unless it is told
    not to: two runs of one config then end with different bits, even in one process. What XLA_FLAGS says goes first.
    """
    told = "deterministic" in os.environ.get("XLA_FLAGS", "")
    return DETERMINISTIC if jax.default_backend() == "gpu" and not told else {}


class Programs(NamedTuple):
    """Lowered, or compiled.

    init(keys, values) -> states; epoch(states, values, images, labels) -> (states, infos);
    validate and test(variables, values, images, labels) -> (info, logits), as `make_evaluate` says.
    """

    init: Callable
    epoch: Callable
    validate: Callable
    test: Callable

    def compiled(self) -> Programs:
        options = compiler_options()
        return Programs(*(program.compile(options) for program in self))

    def digests(self) -> dict[str, str]:
        """Of what decides what is computed, whoever wrote it: each lowered program's text, which has neither names of
        files nor numbers of lines. SHA-256, the first 16 digits."""
        texts = {name: program.as_text() for name, program in self._asdict().items()}
        return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def init_of(task: Task, steps: int) -> Callable:
    """(key, values) -> the state before the first of so many steps."""

    def init(key: Array, values: Values):
        now = task.with_values(values)
        state = init_state(now.model, now.optimizer(steps), key, now.input_shape, now.init)
        return replace(state, opt_state=optim.with_numbers(state.opt_state, now.numbers(values)))

    return init


def lower(task: Task, dataset: Dataset, keys: Array, values: Values, layout: Layout) -> Programs:
    """The programs of `task` on `dataset` before they are compiled, which takes a second or so.

    keys, values: the root key and the traced numbers of a run, or mapped over a leading axis of replicates, as the
    `layout` says. Call it where that is `in_use`.
    """
    batch_size = batch_size_of(task, dataset)
    steps = steps_of(task, dataset)
    init = init_of(task, steps)

    def epoch(state, values: Values, images: Array, labels: Array):
        now = task.with_values(values)
        step = make_train_step(now.model, now.optimizer(steps), now.loss, now.prepare)
        return make_epoch(step, batch_size, layout.divided)(state, images, labels)

    def evaluate(variables, values: Values, images: Array, labels: Array):
        now = task.with_values(values)
        shared = dict(divided=layout.divided, multiple_of=layout.batch)
        run = make_evaluate(now.model, now.loss, now.preprocess, EVALUATION_BATCH, **shared)
        return run(variables, images, labels)

    init = layout.vmap(init)
    epoch, evaluate = (layout.vmap(f, shared=2) for f in (epoch, evaluate))
    state, evaluate = jax.eval_shape(init, keys, values), layout.jit(evaluate, own=2, shared=2)
    training, validation, test = dataset.arrays
    return Programs(
        init=layout.jit(init, own=2).lower(keys, values),
        epoch=layout.jit(epoch, own=2, shared=2, donate_argnums=0).lower(state, values, *training),
        validate=evaluate.lower(state.variables, values, *validation),
        test=evaluate.lower(state.variables, values, *test),
    )


def batch_size_of(task: Task, dataset: Dataset) -> int:
    """Examples of a batch: those of the config, or all."""
    wanted = task.config.train.batch_size
    return len(dataset.train) if wanted == "full" else wanted


def steps_of(task: Task, dataset: Dataset) -> int:
    """Updates of the whole run."""
    return task.config.train.epochs * num_batches(len(dataset.train), batch_size_of(task, dataset))
