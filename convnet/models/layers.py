"""Layers that have parameters, as Flax modules: parameters in Flax, arithmetic through an `OpSet`."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from convnet import initializers
from convnet.architectures import layers as table
from convnet.ops import OpSet
from convnet.ops.window import pair


class Weighted(nn.Module):
    """A convolution or a dense layer of the vocabulary. initializer, initializer_scale: of those that have none of
    their own. patch_moment: what frozen kernels whiten; () where they do not."""

    layer: table.Conv | table.Dense
    ops: OpSet
    initializer: str
    initializer_scale: float | None
    precision: str
    patch_moment: tuple[float, ...] | Array = ()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layer = self.layer
        if isinstance(layer, table.Dense):
            return self.ops.dense(x, *self.weights((x.shape[-1], layer.features)))
        kernel, bias = self.weights((*pair(layer.kernel, "kernel"), x.shape[-1] // layer.groups, layer.features))
        given = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
        return self.ops.conv2d(x, kernel, bias, **given)

    def weights(self, shape: tuple[int, ...]) -> tuple[Array, Array | None]:
        """Kernel of `shape` and bias [features] or None, in the precision that the layer computes in."""
        stored = _stored(jnp.dtype(self.precision))
        start = _started(self.layer, self.initializer, self.initializer_scale)
        if getattr(self.layer, "frozen", False):
            start = _whitening(self.patch_moment) if len(self.patch_moment) else start
            kernel = self.variable("batch_stats", "kernel", lambda: start(self.make_rng("params"), shape, stored)).value
        else:
            kernel = self.param("kernel", start, shape, stored)
        if not self.layer.bias:
            return kernel.astype(self.precision), None
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], stored)
        return kernel.astype(self.precision), bias.astype(self.precision)


class BatchNorm(nn.Module):
    """[N, …, C] -> the same, each channel of mean `bias` and deviation `scale` over the batch.

    In training the running mean and (biased) variance follow those of the batches with the layer's `momentum`;
    otherwise they take their place (Ioffe & Szegedy, ICML 2015). They are kept in the collection `batch_stats`, which
    `apply` is to be given as mutable for them to move.
    """

    ops: OpSet
    layer: table.BatchNorm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        channels, stored = x.shape[-1:], _stored(x.dtype)
        affine = [p.astype(x.dtype) for p in _affine(self, channels, stored, use_scale=self.layer.use_scale)]
        running = {
            "mean": self.variable("batch_stats", "mean", jnp.zeros, channels, stored),
            "var": self.variable("batch_stats", "var", jnp.ones, channels, stored),
        }
        if not train:
            return self.ops.batch_norm_inference(x, *affine, *(each.value.astype(x.dtype) for each in running.values()))
        x, *now = self.ops.batch_norm(x, *affine)
        if self.is_mutable_collection("batch_stats"):
            for each, value in zip(running.values(), now, strict=True):
                each.value = self.layer.momentum * each.value + (1 - self.layer.momentum) * value.astype(stored)
        return x


class Affine(nn.Module):
    """[N, …, C] -> the same: a normalisation of each image alone, scaled and moved.

    normalize(x, scale [C], bias [C]): layer norm (Ba et al., 2016), say, or group norm (Wu & He, ECCV 2018).
    """

    normalize: Callable[[Array, Array, Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self.normalize(x, *(p.astype(x.dtype) for p in _affine(self, x.shape[-1:], _stored(x.dtype))))


def _stored(computed) -> jnp.dtype:
    """What parameters are kept in where layers compute in `computed`."""
    return jnp.float64 if computed == jnp.float64 else jnp.float32


def _affine(module: nn.Module, shape: tuple[int, ...], dtype, *, use_scale: bool = True) -> tuple[Array, Array]:
    scale = module.param("scale", nn.initializers.ones, shape, dtype) if use_scale else jnp.ones(shape, dtype)
    return scale, module.param("bias", nn.initializers.zeros, shape, dtype)


def _started(layer: table.Conv | table.Dense, initializer: str, scale: float | None) -> initializers.Initializer:
    """Of the kernel, where the network has this initializer: the layer's own one goes first."""
    if layer.initializer_scale is not None or layer.initializer is not None:
        scale = layer.initializer_scale
    return initializers.build(layer.initializer or initializer, scale)


def _whitening(moment: tuple[float, ...] | Array) -> initializers.Initializer:
    side = isqrt(len(moment))

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        del key
        return initializers.whitening(jnp.asarray(moment).reshape(side, side), shape[:3]).astype(dtype)

    return init
