"""From a table of layers to a Flax module over an `OpSet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import partial
from itertools import takewhile
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from convnet.architectures import Architecture, Table, shapes
from convnet.architectures import layers as kinds
from convnet.models.layers import Affine, BatchNorm, Weighted
from convnet.ops import HAND, OpSet
from convnet.settings import require


class Model(nn.Module):
    """What computes layers of the vocabulary, one's own module, too: `run` in its `__call__`.

    Every intermediate result has its layer's name and is handed out, in order, to whoever asks (`models.activations`).
    patch_moment: as of `models.build`.
    """

    ops: OpSet = HAND
    initializer: str = "glorot_uniform"
    initializer_scale: float | None = None
    precision: str = "float32"
    patch_moment: tuple[float, ...] | Array = ()

    def run(self, layers: Sequence[kinds.Layer], x: Array, train: bool = False) -> Array:
        """`x` [N, …] through `layers`, one after the other. To be called in a compact method."""
        for layer in layers:
            x = self._layer(layer, x, train)
            if hasattr(layer, "name") and not isinstance(layer, kinds.Block):
                x = self.show(layer.name, x)
        return x

    def show(self, name: str, x: Array) -> Array:
        """Hand out `x` under `name`; costs nothing unless somebody asks. The network goes on with what comes back."""
        if not self.is_initializing():
            self.sow("activations", "in_order", {name: x})
        return x

    def _layer(self, layer: kinds.Layer, x: Array, train: bool) -> Array:
        ops, name = self.ops, getattr(layer, "name", None)
        match layer:
            case kinds.Conv() | kinds.Dense():
                return Weighted(layer, **self._settings(), name=name)(x)
            case kinds.Pool(kind=kind):
                pool = ops.max_pool if kind == "max" else ops.avg_pool
                return pool(x, layer.window, stride=layer.stride, padding=layer.padding)
            case kinds.GlobalAvgPool():
                return ops.global_avg_pool(x)
            case kinds.BatchNorm():
                return BatchNorm(ops, layer, name=name)(x, train=train)
            case kinds.LayerNorm():
                return Affine(ops.layer_norm, name=name)(x)
            case kinds.GroupNorm(groups=groups):
                return Affine(partial(ops.group_norm, groups=groups), name=name)(x)
            case kinds.LocalResponseNorm():
                settings = dict(size=layer.size, k=layer.k, alpha=layer.alpha, beta=layer.beta)
                return ops.local_response_norm(x, **settings)
            case kinds.Activation(function=function):
                return getattr(ops, function)(x)
            case kinds.Dropout(rate=rate):
                return self._drop(x, rate) if train and rate else x
            case kinds.Flatten():
                return x.reshape(x.shape[0], -1)
            case kinds.Block() | kinds.Residual():
                return Scope(**self._settings(), layer=layer, name=name)(x, train)
        raise ValueError(f"layer {layer!r} is none of convnet.architectures.layers")

    def _settings(self) -> dict[str, Any]:
        names = ("ops", "initializer", "initializer_scale", "precision", "patch_moment")
        return {name: getattr(self, name) for name in names}

    def _drop(self, x: Array, rate: float) -> Array:
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, x.shape)
        return self.ops.dropout(x, keep, rate=rate)


class Scope(Model):
    """Layers under one name: its parameters and results go below that."""

    layer: kinds.Block | kinds.Residual = field(kw_only=True)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        if isinstance(self.layer, kinds.Block):
            return self.run(self.layer.layers, x, train)
        x = self.show("sum", self.run(self.layer.body, x, train) + self.run(self.layer.shortcut, x, train))
        return getattr(self.ops, self.layer.function)(x)

    def show(self, name: str, x: Array) -> Array:
        return self.parent.show(f"{self.name}/{name}", x)


class Network(Model):
    """Images [N, H, W, C] -> logits [N, num_classes], by the table of an architecture.

    The logits are at least float32, so that the loss is.

    Raises ValueError where a layer does not fit the images, naming it and the sizes.
    """

    architecture: Architecture | Table = field(kw_only=True)
    num_classes: int = field(kw_only=True)

    def table(self, image_shape: tuple[int, int, int]) -> tuple[kinds.Layer, ...]:
        """The layers on images [H, W, C]."""
        layers = self.architecture.layers(image_shape, self.num_classes)
        for _ in shapes.walk(layers, image_shape):  # raises where one does not fit
            pass
        return layers

    def trunk(self, image_shape: tuple[int, int, int]) -> Trunk:
        """The layers before the first dense one of the network on images [H, W, C], which take images of any size.

        Raises ValueError where there are none.
        """
        layers = tuple(takewhile(lambda layer: not isinstance(layer, kinds.Flatten), self.table(image_shape)))
        require(
            len(layers) > 0,
            "network",
            type(self.architecture).__name__,
            "one that begins with convolutions, for other sizes",
        )
        return Trunk(layers=layers, **self._settings(), parent=None)

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        x = self.run(self.table(x.shape[1:]), x.astype(self.precision), train)
        return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


class Trunk(Model):
    """Images [N, H, W, C] -> the result of the last of `layers`: a part of a network, with its parameters."""

    layers: tuple[kinds.Layer, ...] = field(kw_only=True)

    def table(self, image_shape: tuple[int, int, int]) -> tuple[kinds.Layer, ...]:
        """The layers, on images [H, W, C]. Raises ValueError where one does not fit."""
        for _ in shapes.walk(self.layers, image_shape):
            pass
        return self.layers

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        return self.run(self.layers, x.astype(self.precision), train)
