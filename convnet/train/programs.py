"""A task compiled: for one run, or for many replicates side by side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from convnet import optim
from convnet.data.batching import num_batches
from convnet.train.epoch import make_epoch, make_evaluate
from convnet.train.feeding import make_classify, make_score, make_window, rows_of, window_lengths
from convnet.train.sharding import Layout
from convnet.train.state import init_state
from convnet.train.step import make_train_step

if TYPE_CHECKING:  # a task brings models, and those Flax
    from convnet.data import Dataset, Split
    from convnet.task import Task

EVALUATION_BATCH = 500
DETERMINISTIC = {"xla_gpu_deterministic_ops": True}
"""XLA's option for equal bits from run to run on GPUs. It does what two others do. xla_gpu_exclude_nondeterministic_ops
takes only what adds up in a fixed order, of cuDNN, too; by itself it lets algorithms be chosen by the clock, so bits
may be others when a program is compiled again. xla_gpu_autotune_level=0 lets none be chosen by the clock; by itself it
lets sums be made in any order."""

Values = Mapping[str, Array]


def compiler_options(deterministic: bool = True) -> dict[str, Any]:
    """Of every run's programs. On GPUs XLA adds up in any order, and tries algorithms by the clock, unless it is told
    not to: two runs of one config then end with different bits, even in one process. What XLA_FLAGS says goes first.

    deterministic: tell it. Elsewhere than on GPUs there is nothing to tell.
    """
    told = "deterministic" in os.environ.get("XLA_FLAGS", "")
    return DETERMINISTIC if deterministic and jax.default_backend() == "gpu" and not told else {}


class Programs(NamedTuple):
    """Lowered, or compiled.

    init(keys, values) -> states; epoch(states, values, images, labels) -> (states, infos);
    validate and test(variables, values, images, labels) -> (info, logits), as `make_evaluate` says.
    """

    init: Callable
    epoch: Callable
    validate: Callable
    test: Callable


class StreamedPrograms(NamedTuple):
    """The same where images are read in windows of batches. By the windows' lengths k, of which the last may differ:

    epoch[k](states, values, images [k, B, …], labels [k, B]) -> (states, infos [k]);
    classify[k, B](variables, values, images [k, B, …]) -> logits [k, B, K];
    score["validation" or "test"](values, logits [N, K], labels [N]) -> info.
    """

    init: Callable
    epoch: dict[int, Callable]
    classify: dict[tuple[int, int], Callable]
    score: dict[str, Callable]


def compiled(lowered: Any, options: Mapping[str, Any]) -> Any:
    return jax.tree.map(lambda program: program.compile(options), lowered)


def digests(lowered: Any) -> dict[str, str]:
    """Of what decides what is computed, whoever wrote it: each lowered program's text, which has neither names of files
    nor numbers of lines. SHA-256, the first 16 digits."""
    named = jax.tree_util.tree_leaves_with_path(lowered)
    texts = {jax.tree_util.keystr(path, simple=True, separator="."): program.as_text() for path, program in named}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def init_of(task: Task, steps: int) -> Callable:
    """(key, values) -> the state before the first of so many steps."""

    def init(key: Array, values: Values):
        now = task.with_values(values)
        state = init_state(now.model, now.optimizer(steps), key, now.input_shape, now.init)
        return replace(state, opt_state=optim.with_numbers(state.opt_state, now.numbers(values)))

    return init


def step_of(task: Task, dataset: Dataset, steps: int, resting: Any = None) -> Callable:
    """The train step of a run of so many. resting: as in `make_train_step`."""
    mirror = task.mirror(num_batches(len(dataset.train), batch_size_of(task, dataset)))
    return make_train_step(task.model, task.optimizer(steps), task.loss, task.prepare, mirror, resting)


def lower(task: Task, dataset: Dataset, keys: Array, values: Values, layout: Layout) -> Programs:
    """The programs of `task` on `dataset` before they are compiled, which takes a second or so.

    keys, values: the root key and the traced numbers of a run, or mapped over a leading axis of replicates, as the
    `layout` says. Call it where that is `in_use`.
    """
    batch_size = batch_size_of(task, dataset)
    steps = steps_of(task, dataset)
    init = init_of(task, steps)

    def epoch(state, values: Values, images: Array, labels: Array):
        step = step_of(task.with_values(values), dataset, steps)
        return make_epoch(step, batch_size, layout.divided)(state, images, labels)

    def evaluate(variables, values: Values, images: Array, labels: Array):
        now = task.with_values(values)
        shared = dict(divided=layout.divided, multiple_of=layout.batch)
        run = make_evaluate(now.classify, now.loss, EVALUATION_BATCH, **shared)
        return run(variables, images, labels)

    init = layout.vmap(init)
    epoch, evaluate = (layout.vmap(f, shared=2) for f in (epoch, evaluate))
    state, evaluate = jax.eval_shape(init, keys, values), layout.jit(evaluate, own=2, shared=2)
    training, validation, test = (shapes(len(split), split) for split in dataset.splits.values())
    return Programs(
        init=layout.jit(init, own=2).lower(keys, values),
        epoch=layout.jit(epoch, own=2, shared=2, donate_argnums=0).lower(state, values, *training),
        validate=evaluate.lower(state.variables, values, *validation),
        test=evaluate.lower(state.variables, values, *test),
    )


def lower_streamed(task: Task, dataset: Dataset, key: Array, values: Values, layout: Layout) -> StreamedPrograms:
    """As `lower`, for one run on images that are not in memory."""
    batch, steps = batch_size_of(task, dataset), steps_of(task, dataset)
    init = init_of(task, steps)

    def window(state, values: Values, images: Array, labels: Array):
        step = step_of(task.with_values(values), dataset, steps)
        return make_window(step, layout.divided)(state, images, labels)

    def classify(variables, values: Values, images: Array):
        return make_classify(task.with_values(values).classify, layout.divided)(variables, images)

    def score(values: Values, logits: Array, labels: Array):
        return make_score(task.with_values(values).loss)(logits, labels)

    state = jax.eval_shape(init, key, values)
    run_window = layout.jit(window, own=2, windows=2, donate_argnums=0)
    run_classify, run_score = layout.jit(classify, own=2, windows=1), layout.jit(score, own=1, shared=2)
    lengths = window_lengths(dataset.train, num_batches(len(dataset.train), batch), batch)
    programs = StreamedPrograms(
        init=layout.jit(init, own=2).lower(key, values),
        epoch={k: run_window.lower(state, values, *shapes(k, dataset.train, batch)) for k in lengths},
        classify={},
        score={},
    )
    for name in ("validation", "test"):
        split = dataset.splits[name]
        rows = rows_of(len(split), EVALUATION_BATCH, layout.batch)
        for k in window_lengths(split, *rows.shape):
            images, _ = shapes(k, split, rows.shape[1])
            logits = jax.eval_shape(classify, state.variables, values, images)
            programs.classify[k, rows.shape[1]] = run_classify.lower(state.variables, values, images)
        logits = jax.ShapeDtypeStruct((len(split), logits.shape[-1]), logits.dtype)
        programs.score[name] = run_score.lower(values, logits, shapes(len(split), split)[1])
    return programs


def shapes(n: int, split: Split, *batch: int) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Of images [n, …] and labels [n] of the split, or [n, B, …] and [n, B]."""
    image = split.images.shape[1:]
    return jax.ShapeDtypeStruct((n, *batch, *image), jnp.uint8), jax.ShapeDtypeStruct((n, *batch), jnp.int32)


def batch_size_of(task: Task, dataset: Dataset) -> int:
    """Examples of a batch: those of the config, or all."""
    wanted = task.config.train.batch_size
    return len(dataset.train) if wanted == "full" else wanted


def steps_of(task: Task, dataset: Dataset) -> int:
    """Updates of the whole run."""
    return task.config.train.epochs * num_batches(len(dataset.train), batch_size_of(task, dataset))
