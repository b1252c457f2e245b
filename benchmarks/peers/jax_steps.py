"""Training steps of the project itself: its own models, step, epoch and state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks.attributions import AttributionTask
from benchmarks.cases import PRECISIONS, GemmTask, OpTask
from benchmarks.messages import Task
from benchmarks.networks import (
    CLASSES,
    LEARNING_RATE,
    MOMENTUM,
    Network,
    StepTask,
    initial_parameters,
    synthetic_data,
)
from benchmarks.peers.jax_attributions import attribution_program
from benchmarks.peers.jax_ops import gemm_program, memory, op_program, precisely
from benchmarks.peers.program import Loaded, Program
from convnet import models, train
from convnet.allocator import give_back_memory
from convnet.ops import OPSETS, OpSet
from convnet.train.programs import DETERMINISTIC


def start(network: Network) -> Any:
    """The network's initial parameters as Flax nests them: stage1 -> block1 -> conv1 -> kernel."""
    found = initial_parameters(network)
    return models.unflatten(
        {f"{name}/{part}": jnp.asarray(value) for name, own in found.items() for part, value in own.items()}
    )


def pixels(key: Array, images: Array) -> Array:
    """uint8 to [0, 1]."""
    del key
    return images.astype(jnp.float32) / 255


def step_program(task: StepTask, opset: OpSet, options: dict[str, Any]) -> Program:
    """options: of the compiler."""
    settings = dict(num_classes=CLASSES, ops=opset, precision=PRECISIONS[task.precision])
    model = models.build(task.network.architecture, **settings)
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    step = train.make_train_step(model, optimizer, opset.softmax_cross_entropy, pixels)

    def init(key: Array) -> train.TrainState:
        state = train.init_state(model, optimizer, key, task.network.image_shape)
        return replace(state, params=start(task.network))  # those of every other peer, whatever the key

    images, labels = device_data(task)
    if task.mode == "single":
        state, batch = jax.jit(init)(jax.random.key(0)), (images, labels)
        return driven(step, state, (batch,), lambda info: info["loss"], options=options)
    if task.mode == "scanned":
        epoch = train.make_epoch(step, task.batch)
        shared = dict(units=task.repeats, options=options)
        return driven(epoch, jax.jit(init)(jax.random.key(0)), (images, labels), lambda info: info["loss"][0], **shared)
    states = jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), task.repeats))
    batches = stacked(task, images, labels)
    return driven(jax.vmap(step), states, (batches,), lambda info: info["loss"].mean(), units=task.repeats)


def device_data(task: StepTask) -> tuple[Array, Array]:
    """As many batches as the task needs, on the device: images uint8 [repeats × batch, H, W, C], labels."""
    images, labels = synthetic_data(task.network, task.batch * (1 if task.mode == "single" else task.repeats))
    return jnp.asarray(images), jnp.asarray(labels)


def stacked(task: StepTask, images: Array, labels: Array) -> tuple[Array, Array]:
    """[repeats, batch, …]."""
    return (
        images.reshape(task.repeats, task.batch, *task.network.image_shape),
        labels.reshape(task.repeats, task.batch),
    )


def driven(
    function: Callable,
    state: Any,
    arguments: tuple,
    loss: Callable[[Any], Array],
    *,
    units: int = 1,
    options: dict[str, Any] | None = None,
) -> Program:
    """A program that carries `state` from call to call, as training does; its buffers are donated."""

    @cache
    def compiled() -> Callable:
        """As a `Trainer` does it, in the first call: what it takes longer counts as compilation."""
        program = jax.jit(function, donate_argnums=0).lower(state, *arguments).compile(options)
        give_back_memory()
        return program

    def run(calls: int) -> float:
        nonlocal state
        program = compiled()
        for _ in range(calls):
            state, info = program(state, *arguments)
        jax.block_until_ready(state)
        return float(np.asarray(loss(info)))

    def device_bytes() -> int | None:
        plan = compiled().memory_analysis()
        if plan is None or jax.default_backend() == "cpu":
            return None
        in_and_out = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
        return in_and_out + plan.temp_size_in_bytes

    return Program(run, units=units, device_bytes=device_bytes)


def load(gradient: str, bits: str = "any") -> Loaded:
    """gradient: hand or auto. bits: equal, for a program that gives the same ones at every run, or any."""
    opset = OPSETS[gradient]
    options = DETERMINISTIC if bits == "equal" and jax.default_backend() == "gpu" else {}

    def build(task: Task) -> Program:
        if isinstance(task, GemmTask):
            return gemm_program(task)
        if isinstance(task, OpTask):
            return op_program(task, opset)
        if isinstance(task, AttributionTask):
            return attribution_program(task, opset, start(task.network))
        return precisely(task.precision, step_program(task, opset, options))

    return Loaded(build, device=jax.devices()[0].device_kind, memory=memory)
