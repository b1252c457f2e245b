"""Training steps as Flax users write them: Linen layers, Optax, `jax.value_and_grad`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array, lax

from benchmarks import networks
from benchmarks.cases import PRECISIONS, GemmTask
from benchmarks.messages import Task
from benchmarks.networks import LEARNING_RATE, MOMENTUM, Network, StepTask, initial_parameters
from benchmarks.peers.jax_ops import gemm_program, memory, precisely
from benchmarks.peers.jax_steps import device_data, driven, pixels, stacked
from benchmarks.peers.program import Loaded, Program, Unsupported


class TableModule(nn.Module):
    """A network of the table; its layers have the table's names."""

    network: Network
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self._forward(self.network.layers, x, "layer").astype(jnp.float32)

    def _forward(self, layers, x: Array, prefix: str) -> Array:
        for i, layer in enumerate(layers):
            name = f"{prefix}_{i}"
            match layer:
                case networks.Conv(features=features, kernel=kernel, stride=stride, bias=bias):
                    padding = [(kernel // 2, kernel // 2)] * 2
                    settings = dict(use_bias=bias, dtype=self.dtype, name=name)
                    x = nn.Conv(features, (kernel, kernel), stride, padding, **settings)(x)
                case networks.Norm():
                    x = nn.BatchNorm(use_running_average=False, dtype=self.dtype, name=name)(x)
                case networks.Relu():
                    x = nn.relu(x)
                case networks.Pool(window=window):
                    x = nn.max_pool(x, (window, window), (window, window))
                case networks.GlobalAverage():
                    x = x.mean(axis=(1, 2))
                case networks.Flatten():
                    x = x.reshape(x.shape[0], -1)
                case networks.Dense(features=features):
                    x = nn.Dense(features, dtype=self.dtype, name=name)(x)
                case networks.Residual(body=body, shortcut=shortcut):
                    beside = self._forward(shortcut, x, f"{name}_shortcut")
                    x = nn.relu(self._forward(body, x, f"{name}_body") + beside)
        return x


def step_program(task: StepTask) -> Program:
    model = TableModule(task.network, PRECISIONS[task.precision])
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)

    def init(key: Array) -> dict[str, Any]:
        variables = model.init(key, jnp.zeros((1, *task.network.image_shape)))
        params = jax.tree.map(jnp.asarray, initial_parameters(task.network))
        return {"params": params, "opt": optimizer.init(params), "stats": variables.get("batch_stats", {})}

    def objective(params, stats, images, labels):
        logits, changed = model.apply({"params": params, "batch_stats": stats}, images, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
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
