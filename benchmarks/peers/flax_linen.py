"""Training steps as Flax users write them: Linen layers, Optax, `jax.value_and_grad`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array, lax

from benchmarks.cases import PRECISIONS, GemmTask
from benchmarks.messages import Task
from benchmarks.networks import LEARNING_RATE, MOMENTUM, StepTask
from benchmarks.peers.jax_ops import gemm_program, memory, precisely
from benchmarks.peers.jax_steps import device_data, driven, pixels, stacked, start
from benchmarks.peers.program import Loaded, Program, Unsupported
from benchmarks.peers.vocabulary import spans, unwritten
from convnet.architectures import layers

FUNCTIONS = {"relu": nn.relu, "tanh": nn.tanh, "sigmoid": nn.sigmoid}


class Layers(nn.Module):
    """`body`, one layer after the other, with the table's names; beside a shortcut, `function` of the sum of both.

    Raises Unsupported for a layer that is not written here.
    """

    body: tuple[layers.Layer, ...]
    shortcut: tuple[layers.Layer, ...] | None = None
    function: str = "relu"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = self.through(self.body, x)
        return y if self.shortcut is None else FUNCTIONS[self.function](y + self.through(self.shortcut, x))

    def through(self, body: tuple[layers.Layer, ...], x: Array) -> Array:
        for layer in body:
            x = self.written(layer, x.shape[1:])(x)
        return x

    def written(self, layer: layers.Layer, shape: tuple[int, ...]) -> Callable[[Array], Array]:
        own = dict(dtype=self.dtype, name=getattr(layer, "name", None))
        match layer:
            case layers.Conv(features=features, bias=bias, groups=groups, frozen=False):
                kernel, stride, dilation, padding = spans(layer, shape)
                settings = dict(kernel_dilation=dilation, feature_group_count=groups, use_bias=bias)
                return nn.Conv(features, kernel, stride, padding, **settings, **own)
            case layers.Dense(features=features, bias=bias):
                return nn.Dense(features, use_bias=bias, **own)
            case layers.BatchNorm(momentum=momentum, use_scale=use_scale):
                return nn.BatchNorm(use_running_average=False, momentum=momentum, use_scale=use_scale, **own)
            case layers.Activation(function=function) if function in FUNCTIONS:
                return FUNCTIONS[function]
            case layers.Pool(kind=kind):
                kernel, stride, _, padding = spans(layer, shape)
                pool = nn.max_pool if kind == "max" else nn.avg_pool
                return partial(pool, window_shape=kernel, strides=stride, padding=padding)
            case layers.GlobalAvgPool():
                return lambda x: x.mean(axis=(1, 2))
            case layers.Flatten():
                return lambda x: x.reshape(x.shape[0], -1)
            case layers.Dropout(rate=0):
                return lambda x: x
            case layers.Block(layers=body):
                return Layers(body, **own)
            case layers.Residual(body=body, shortcut=shortcut, function=function) if function in FUNCTIONS:
                return Layers(body, shortcut, function, **own)
        raise unwritten(layer, "Flax")


def step_program(task: StepTask) -> Program:
    model = Layers(task.network.layers, dtype=PRECISIONS[task.precision])
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)

    def init(key: Array) -> dict[str, Any]:
        variables = model.init(key, jnp.zeros((1, *task.network.image_shape)))
        params = start(task.network)
        return {"params": params, "opt": optimizer.init(params), "stats": variables.get("batch_stats", {})}

    def objective(params, stats, images, labels):
        logits, changed = model.apply({"params": params, "batch_stats": stats}, images, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)
        return losses.mean(), changed.get("batch_stats", {})

    def step(state, batch):
        images, labels = batch
        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(
            state["params"], state["stats"], pixels(None, images), labels
        )
        updates, opt = optimizer.update(grads, state["opt"], state["params"])
        return {"params": optax.apply_updates(state["params"], updates), "opt": opt, "stats": stats}, loss

    images, labels = device_data(task)
    if task.mode == "single":
        return driven(step, jax.jit(init)(jax.random.key(0)), ((images, labels),), lambda loss: loss)
    batches = stacked(task, images, labels)
    if task.mode == "scanned":
        epoch = lambda state, batches: lax.scan(step, state, batches)  # noqa: E731
        state = jax.jit(init)(jax.random.key(0))
        return driven(epoch, state, (batches,), lambda losses: losses[0], units=task.repeats)
    states = jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), task.repeats))
    return driven(jax.vmap(step), states, (batches,), jnp.mean, units=task.repeats)


def load() -> Loaded:
    def build(task: Task) -> Program:
        if isinstance(task, GemmTask):
            return gemm_program(task)
        if not isinstance(task, StepTask):
            raise Unsupported("Flax has no convolution of its own")
        return precisely(task.precision, step_program(task))

    return Loaded(build, device=jax.devices()[0].device_kind, memory=memory)
