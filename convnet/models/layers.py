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
    """A kernel and a bias, unless what follows takes the mean away again; `features` outputs."""

    features: int
    ops: OpSet
    initializer: str
    initializer_scale: float | None
    precision: str
    biased: bool = True

    def weights(self, shape: tuple[int, ...]) -> tuple[Array, Array | None]:
        """Kernel of `shape` and bias [features] or None, in the precision that the layer computes in."""
        stored = _stored(jnp.dtype(self.precision))
        init = initializers.build(self.initializer, self.initializer_scale)
        kernel = self.param("kernel", init, shape, stored)
        if not self.biased:
            return kernel.astype(self.precision), None
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


class BatchNorm(nn.Module):
    """[N, …, C] -> the same, each channel of mean `bias` and deviation `scale` over the batch.

    In training the running mean and (biased) variance follow those of the batches with a `momentum` of 0.9; otherwise
    they take their place (Ioffe & Szegedy, ICML 2015). They are kept in the collection `batch_stats`, which `apply` is
    to be given as mutable for them to move.
    """

    ops: OpSet
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        channels, stored = x.shape[-1:], _stored(x.dtype)
        affine = [p.astype(x.dtype) for p in _affine(self, channels, stored)]
        running = {
            "mean": self.variable("batch_stats", "mean", jnp.zeros, channels, stored),
            "var": self.variable("batch_stats", "var", jnp.ones, channels, stored),
        }
        if not train:
            return self.ops.batch_norm_inference(x, *affine, *(each.value.astype(x.dtype) for each in running.values()))
        x, *now = self.ops.batch_norm(x, *affine)
        if self.is_mutable_collection("batch_stats"):
            for each, value in zip(running.values(), now, strict=True):
                each.value = self.momentum * each.value + (1 - self.momentum) * value.astype(stored)
        return x


class LayerNorm(nn.Module):
    """[N, …, C] -> the same, the channels of each place of mean `bias` and deviation `scale` (Ba et al., 2016)."""

    ops: OpSet

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self.ops.layer_norm(x, *(p.astype(x.dtype) for p in _affine(self, x.shape[-1:], _stored(x.dtype))))


def _stored(computed) -> jnp.dtype:
    """What parameters are kept in where layers compute in `computed`."""
    return jnp.float64 if computed == jnp.float64 else jnp.float32


def _affine(module: nn.Module, shape: tuple[int, ...], dtype) -> tuple[Array, Array]:
    scale = module.param("scale", nn.initializers.ones, shape, dtype)
    return scale, module.param("bias", nn.initializers.zeros, shape, dtype)


class Model(nn.Module):
    """Images [N, H, W, C] -> logits [N, num_classes]; what all models share.

    Every intermediate result has a name and is handed out, in order, to whoever asks (`models.activations`): `conv1`
    before and `conv1_relu` after the activation, `conv1_norm` where there is normalisation, `pool1`, `dense1`, …,
    `logits`.
    """

    num_classes: int
    ops: OpSet = HAND
    activation: str = "relu"
    norm: str = "none"
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

    def dense(self, name: str, x: Array, features: int, *, biased: bool = True) -> Array:
        return self.show(name, Dense(features, **self._settings(), biased=biased, name=name)(x))

    def conv(self, name: str, x: Array, features: int, side: int, stride: int, *, biased: bool = True) -> Array:
        layer = Conv(features, **self._settings(), biased=biased, side=side, stride=stride, name=name)
        return self.show(name, layer(x))

    def activate(self, name: str, x: Array, train: bool) -> Array:
        """The activation of layer `name`, and the normalisation before it (or, of a map's channels, after it)."""
        if self.norm == "batch":
            x = self.show(f"{name}_norm", BatchNorm(self.ops, name=f"{name}_norm")(x, train=train))
        if self.norm == "layer":
            x = self.show(f"{name}_norm", LayerNorm(self.ops, name=f"{name}_norm")(x))
        x = self.show(f"{name}_{self.activation}", ACTIVATIONS[self.activation](self.ops)(x))
        if self.norm == "local_response" and x.ndim == 4:
            x = self.show(f"{name}_norm", self.ops.local_response_norm(x))
        return x

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
