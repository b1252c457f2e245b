"""A network as plain values that a page can compute with: its table of layers, and all weights in one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from convnet.analysis import View
from convnet.architectures import shapes
from convnet.architectures.layers import (
    FUNCTIONS,
    Activation,
    BatchNorm,
    Block,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    LocalResponseNorm,
    Pool,
    Residual,
)
from convnet.ops import AUTO, HAND, OpSet, Window
from convnet.report.live.preprocess import Preprocess

POSITIVE = ("relu", "sigmoid", "softplus")
"""Functions without a negative value, which are shown from 0 upwards."""


@dataclass
class Weights:
    """Arrays as they are added, one after the other."""

    found: list[np.ndarray] = field(default_factory=list)
    size: int = 0

    def add(self, values: Any) -> tuple[int, int]:
        """Where they begin, and how many they are."""
        flat = np.asarray(values, np.float32).reshape(-1)
        self.found.append(flat)
        self.size += flat.size
        return self.size - flat.size, flat.size

    @property
    def bytes(self) -> bytes:
        return np.concatenate([np.zeros(0), *self.found]).astype("<f4").tobytes()


def table(view: View, preprocess: Preprocess, weights: Weights) -> list[dict[str, Any]]:
    """The layers from images in 0 … 1 to logits, the first of them `preprocess`; their weights go to `weights`.

    Raises ValueError for what a page cannot compute: a model without a table, an op or a layer of one's own, and one
    that does not end in logits.
    """
    shape = view.placed[0].input  # raises where there is no table
    for op in fields(OpSet):
        if getattr(view.model.ops, op.name) not in (getattr(HAND, op.name), getattr(AUTO, op.name)):
            raise ValueError(f"ops.{op.name} of the model is one's own: a live page computes with the library's alone")
    layers = view.model.table(shape)
    if not (isinstance(layers[-1], Dense) and view.class_names):
        raise ValueError(f"network ends in {view.placed[-1].name}: a live page is of one that ends in logits")
    kept = {name: weights.add(getattr(preprocess, name)) for name in ("scale", "shift")}
    part = {"input": view.image_shape, "output": shape, "top": preprocess.top, "left": preprocess.left}
    return [{"kind": "preprocess", **part, "weights": kept}, *_Writer(view.variables, weights).layers(layers, shape)]


@dataclass
class _Writer:
    variables: Mapping[str, Any]
    weights: Weights

    def layers(self, layers: Sequence[Layer], shape: tuple[int, ...], prefix: str = "", positive: bool = False):
        """The layers on an input of `shape`; those of blocks in their place. positive: whether it is known that the
        input has no negative value."""
        found: list[dict[str, Any]] = []
        for layer in layers:
            name = prefix + layer.name if hasattr(layer, "name") else ""
            if isinstance(layer, Block):
                found += self.layers(layer.layers, shape, f"{name}/", positive)
            elif not isinstance(layer, Dropout):
                written = self._layer(layer, name, shape, positive)
                found.append({"name": name, "input": shape, "output": shapes.output_shape(layer, shape), **written})
            shape = shapes.output_shape(layer, shape, prefix)
            positive = found[-1]["positive"] if found else positive
        return found

    def _layer(self, layer: Layer, name: str, shape: tuple[int, ...], positive: bool) -> dict[str, Any]:
        match layer:
            case Conv(groups=groups, frozen=frozen):
                kept = self._weights(name, "kernel", "bias")
                if frozen:
                    kept |= self._weights(name, "kernel", of="batch_stats")
                return {"kind": "conv", "groups": groups, **_windows(layer, shape), "weights": kept, "positive": False}
            case Dense():
                return {"kind": "dense", "weights": self._weights(name, "kernel", "bias"), "positive": False}
            case Pool(kind=kind):
                return {"kind": f"{kind}Pool", **_windows(layer, shape), "positive": positive}
            case GlobalAvgPool():
                return {"kind": "globalAvgPool", "positive": positive}
            case BatchNorm(use_scale=scaled):
                scale = self._weights(name, "scale") if scaled else {"scale": self.weights.add(np.ones(shape[-1]))}
                kept = self._weights(name, "bias") | self._weights(name, "mean", "var", of="batch_stats")
                return {"kind": "batchNorm", "weights": scale | kept, "positive": False}
            case LayerNorm() | GroupNorm():
                groups, kept = getattr(layer, "groups", None), self._weights(name, "scale", "bias")
                return {"kind": "standardize", "groups": groups, "weights": kept, "positive": False}
            case LocalResponseNorm():
                settings = {key: getattr(layer, key) for key in ("size", "k", "alpha", "beta")}
                return {"kind": "localResponseNorm", **settings, "positive": positive}
            case Activation(function=function) if function in FUNCTIONS:
                return {"kind": "activation", "function": function, "positive": function in POSITIVE}
            case Flatten():
                return {"kind": "flatten", "positive": positive}
            case Residual(function=function):
                parts = {
                    part: self.layers(getattr(layer, part), shape, f"{name}/", positive)
                    for part in ("body", "shortcut")
                }
                return {"kind": "residual", "function": function, **parts, "positive": function in POSITIVE}
        raise ValueError(
            f"layer {name or type(layer).__name__} is a {type(layer).__name__}: a live page has no such layer"
        )

    def _weights(self, name: str, *names: str, of: str = "params") -> dict[str, tuple[int, int] | None]:
        """Where the layer's arrays are; None for a bias that it does not have."""
        found = self.variables[of]
        for part in name.split("/"):
            found = found.get(part, {})  # a layer whose kernel is frozen and that has no bias has no parameters
        return {each: self.weights.add(found[each]) if each in found else None for each in names}


def _windows(layer: Conv | Pool, shape: tuple[int, ...]) -> dict[str, dict[str, int]]:
    rows, columns = shapes.spatial(layer, shape)

    def told(axis: Window) -> dict[str, int]:
        return {key: getattr(axis, key) for key in ("kernel", "stride", "dilation", "lo")}

    return {"rows": told(rows), "columns": told(columns)}
