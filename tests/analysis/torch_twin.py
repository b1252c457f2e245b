"""A network of this library as a network of PyTorch, with the same weights: what captum is asked about.

twin = torch_twin(network, variables, (H, W, C))
twin.net(torch.as_tensor(images))       # logits [N, K] of images [N, H, W, C]: the axes change places inside
twin.modules["conv1_relu"]              # the module whose result is ours of that name, but [N, C, H, W]

Who imports this is skipped where PyTorch is not installed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import inf

import numpy as np
import pytest

from convnet.architectures import layers as kinds
from convnet.architectures import shapes

torch = pytest.importorskip("torch")
nn = torch.nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "silu": nn.SiLU}
"""A module for each use of one: captum changes the backward pass of modules, and of functions not at all."""


class ChannelsFirst(nn.Module):
    def forward(self, x):
        return x.permute(0, 3, 1, 2)


class FlattenChannelsLast(nn.Module):
    """[N, C, H, W] -> [N, H·W·C], in the order in which ours flattens [N, H, W, C]."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class MeanOfPixels(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


@dataclass(frozen=True)
class TorchTwin:
    """net: images [N, H, W, C] as our model sees them -> logits. modules: by the names of our layers."""

    net: nn.Sequential
    modules: dict[str, nn.Module]


def torch_twin(network, variables, image_shape) -> TorchTwin:
    """The twin of a `models.Network`, in the precision of its variables, ready to predict.

    Raises ValueError for a layer that it has no module for: residual blocks, normalisations.
    """
    parts, found = OrderedDict(channels_first=ChannelsFirst()), {}
    params = variables["params"]
    for number, placed in enumerate(shapes.walk(network.table(image_shape), image_shape)):
        modules = _modules(placed, params.get(placed.name))
        for part, module in enumerate(modules):
            parts[f"{number}_{part}_{placed.name}"] = module
        if hasattr(placed.layer, "name"):
            found[placed.name] = modules[-1]
    return TorchTwin(nn.Sequential(parts).eval(), found)


def _modules(placed, params) -> list[nn.Module]:
    """One layer as one module, or two where it pads; the last one gives its result."""
    layer = placed.layer
    match layer:
        case kinds.Conv():
            rows, cols = shapes.spatial(layer, placed.input)
            settings = dict(stride=(rows.stride, cols.stride), dilation=(rows.dilation, cols.dilation))
            size = (rows.kernel, cols.kernel)
            conv = nn.Conv2d(
                placed.input[2], layer.features, size, groups=layer.groups, bias=layer.bias, **settings
            )  # fmt: skip
            return [*_padding(rows, cols, 0.0), _filled(conv, params, (3, 2, 0, 1))]
        case kinds.Dense():
            return [_filled(nn.Linear(*placed.input, layer.features, bias=layer.bias), params, (1, 0))]
        case kinds.Pool(kind=kind):
            rows, cols = shapes.spatial(layer, placed.input)
            pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
            outside = -inf if kind == "max" else 0.0  # where the mean of a window counts padding, as ours does
            return [
                *_padding(rows, cols, outside),
                pool((rows.kernel, cols.kernel), stride=(rows.stride, cols.stride)),
            ]
        case kinds.GlobalAvgPool():
            return [MeanOfPixels()]
        case kinds.Flatten():
            return [FlattenChannelsLast() if len(placed.input) == 3 else nn.Identity()]
        case kinds.Dropout():
            return [nn.Identity()]
        case kinds.Activation(function=function) if function in ACTIVATIONS:
            return [ACTIVATIONS[function]()]
    raise ValueError(f"layer {placed.name} is a {layer}: expected one that has a twin here")


def _padding(rows, cols, value: float) -> list[nn.Module]:
    sides = (cols.lo, cols.hi, rows.lo, rows.hi)
    return [nn.ConstantPad2d(sides, value)] if any(sides) else []


def _filled(module: nn.Module, params, axes: tuple[int, ...]) -> nn.Module:
    """The module with our weights, whose kernel has its axes in another order."""
    state = {"weight": np.asarray(params["kernel"]).transpose(axes)}
    if "bias" in params:
        state["bias"] = np.asarray(params["bias"])
    state = {name: torch.tensor(values) for name, values in state.items()}
    module = module.to(next(iter(state.values())).dtype)
    module.load_state_dict(state)
    return module.requires_grad_(False)
