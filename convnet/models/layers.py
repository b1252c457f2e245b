"""What every model is made of: parameters in Flax, arithmetic through an `OpSet`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from convnet import initializers
from convnet.ops import HAND, OpSet

ACTIVATIONS = {
    "relu": lambda ops: ops.relu,
    "leaky_relu": lambda ops: ops.leaky_relu,
    "sigmoid": lambda ops: ops.sigmoid,
    "tanh": lambda ops: ops.tanh,
    "gelu": lambda ops: ops.gelu,
    "softplus": lambda ops: ops.softplus,
    "silu": lambda ops: ops.silu,
}


class Layer(nn.Module):
    """A kernel and a bias; `features` outputs."""

    features: int
    ops: OpSet
    initializer: str
    initializer_scale: float | None
    precision: str

    def weights(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Kernel of `shape` and bias [features], in the precision that the layer computes in."""
        stored = jnp.float64 if self.precision == "float64" else jnp.float32
        init = initializers.build(self.initializer, self.initializer_scale)
        kernel = self.param("kernel", init, shape, stored)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), stored)
        return kernel.astype(self.precision), bias.astype(self.precision)


class Dense(Layer):
    """[N, D] -> [N, features]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self.ops.dense(x, *self.weights((x.shape[-1], self.features)))


class Conv(Layer):
    """[N, H, W, C] -> [N, ⌈H / stride⌉, ⌈W / stride⌉, features], padding SAME."""

    side: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel, bias = self.weights((self.side, self.side, x.shape[-1], self.features))
        return self.ops.conv2d(x, kernel, bias, stride=self.stride)


class Model(nn.Module):
    """Images [N, H, W, C] -> logits [N, num_classes]; what all models share.

    Every intermediate result has a name and is handed out, in order, to whoever asks (`models.activations`): `conv1`
    before and `conv1_relu` after the activation, `pool1`, `dense1`, …, `logits`.
    """

    num_classes: int
    ops: OpSet = HAND
    activation: str = "relu"
    dropout: float = 0.0
    initializer: str = "glorot_uniform"
    initializer_scale: float | None = None
    precision: str = "float32"

    def show(self, name: str, x: Array) -> Array:
        """Hand out `x` under `name`; costs nothing unless somebody asks."""
        if not self.is_initializing():
            self.sow("activations", "in_order", {name: x})
        return x

    def _settings(self) -> dict:
        return {key: getattr(self, key) for key in ("ops", "initializer", "initializer_scale", "precision")}

    def dense(self, name: str, x: Array, features: int) -> Array:
        return self.show(name, Dense(features, **self._settings(), name=name)(x))

    def conv(self, name: str, x: Array, features: int, side: int, stride: int) -> Array:
        layer = Conv(features, **self._settings(), side=side, stride=stride, name=name)
        return self.show(name, layer(x))

    def activate(self, name: str, x: Array) -> Array:
        return self.show(f"{name}_{self.activation}", ACTIVATIONS[self.activation](self.ops)(x))

    def drop(self, x: Array, train: bool) -> Array:
        if not train or not self.dropout:
            return x
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.dropout, x.shape)
        return self.ops.dropout(x, keep, rate=self.dropout)

    def logits(self, x: Array) -> Array:
        """The last layer; its result is at least float32, so that the loss is."""
        logits = self.dense("logits", x, self.num_classes)
        return logits if logits.dtype == jnp.float64 else logits.astype(jnp.float32)


def flatten(x: Array) -> Array:
    """[N, …] -> [N, D]."""
    return x.reshape(x.shape[0], -1)
