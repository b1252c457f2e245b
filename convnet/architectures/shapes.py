"""What a table of layers comes to on an image: names, shapes, parameters, arithmetic. Nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from convnet.architectures.layers import (
    BatchNorm,
    Block,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    Leaf,
    Pool,
    Residual,
)
from convnet.ops.window import Window, windows

Shape = tuple[int, ...]


class Placed(NamedTuple):
    """A layer where it stands: its full name, and the shapes of what goes in and comes out, without N."""

    name: str
    layer: Leaf
    input: Shape
    output: Shape


def walk(layers: Sequence[Layer], shape: Shape, prefix: str = "") -> Iterator[Placed]:
    """The layers on an image of `shape` [H, W, C], in order; the parts of blocks stand in their place, of a residual
    block first the body, then the shortcut.

    Raises ValueError for a layer that does not fit what comes before it, naming it and the sizes; for two layers of one
    name; and for what is no layer.
    """
    return _walk(layers, shape, prefix, set())


def _walk(layers: Sequence[Layer], shape: Shape, prefix: str, seen: set[str]) -> Iterator[Placed]:
    for layer in layers:
        name = prefix + getattr(layer, "name", type(layer).__name__.lower())
        if hasattr(layer, "name"):
            _require_new(name, seen)
        if isinstance(layer, Block):
            yield from _walk(layer.layers, shape, f"{name}/", seen)
        elif isinstance(layer, Residual):
            _require_new(f"{name}/sum", seen)
            yield from _walk(layer.body, shape, f"{name}/", seen)
            yield from _walk(layer.shortcut, shape, f"{name}/", seen)
        shape, before = output_shape(layer, shape, prefix), shape
        if isinstance(layer, Leaf):
            yield Placed(name, layer, before, shape)


def _require_new(name: str, seen: set[str]) -> None:
    if name in seen:
        raise ValueError(f"two layers are called {name!r}: expected a name for each")
    seen.add(name)


def output_shape(layer: Layer, shape: Shape, prefix: str = "") -> Shape:
    """What `layer` makes of `shape`, both without N. Raises ValueError as `walk` does."""
    name = prefix + getattr(layer, "name", type(layer).__name__.lower())
    match layer:
        case Conv() | Pool():
            rows, cols = spatial(layer, shape, name)
            return rows.output, cols.output, layer.features if isinstance(layer, Conv) else shape[2]
        case Dense():
            _require_fit(len(shape) == 1, name, shape, "a dense layer reads [N, D]; put a Flatten before it")
            return (layer.features,)
        case GlobalAvgPool():
            _require_fit(len(shape) == 3, name, shape, "it reads [N, H, W, C]")
            return shape[-1:]
        case Flatten():
            return (prod(shape),)
        case GroupNorm():
            divides = shape[-1] % layer.groups == 0
            _require_fit(divides, name, shape, f"{layer.groups} groups do not divide its channels")
            return shape
        case Block():
            return _through(layer.layers, shape, f"{name}/")
        case Residual():
            body, shortcut = (_through(part, shape, f"{name}/") for part in (layer.body, layer.shortcut))
            _require_fit(body == shortcut, name, shape, f"its body gives {_told(body)}, its shortcut {_told(shortcut)}")
            return body
    if not isinstance(layer, Leaf):
        raise ValueError(f"layer {layer!r} is none of convnet.architectures.layers")
    return shape


def _through(layers: Sequence[Layer], shape: Shape, prefix: str) -> Shape:
    for layer in layers:
        shape = output_shape(layer, shape, prefix)
    return shape


def spatial(layer: Conv | Pool, shape: Shape, name: str = "") -> tuple[Window, Window]:
    """The windows of a convolution or pooling over rows and columns. Raises ValueError where it does not fit."""
    name = name or layer.name
    _require_fit(len(shape) == 3, name, shape, "it reads [N, H, W, C]")
    if isinstance(layer, Conv):
        divides = shape[2] % layer.groups == layer.features % layer.groups == 0
        _require_fit(divides, name, shape, f"{layer.groups} groups do not divide its channels and features")
    try:
        if isinstance(layer, Pool):
            stride = layer.window if layer.stride is None else layer.stride
            return windows(shape[:2], layer.window, stride=stride, padding=layer.padding)
        own = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
        return windows(shape[:2], layer.kernel, **own)
    except ValueError as error:
        raise _misfit(name, shape, str(error)) from None


def _require_fit(fits: bool, name: str, shape: Shape, why: str) -> None:
    if not fits:
        raise _misfit(name, shape, why)


def _misfit(name: str, shape: Shape, why: str) -> ValueError:
    return ValueError(f"layer {name} does not fit an input of {_told(shape)}: {why}")


def _told(shape: Shape) -> str:
    return "×".join(map(str, shape))


# --- sizes ------------------------------------------------------------------------------------------------------------


def parameter_shapes(placed: Placed) -> dict[str, Shape]:
    """kernel [KH, KW, C // groups, K] or [D, K] and bias [K] of a layer, scale and bias of a normalisation; of these
    what it has."""
    match placed.layer:
        case Conv() as conv:
            rows, cols = spatial(conv, placed.input)
            found = {"kernel": (rows.kernel, cols.kernel, placed.input[2] // conv.groups, conv.features)}
        case Dense():
            found = {"kernel": (*placed.input, placed.layer.features)}
        case BatchNorm(use_scale=False):
            return {"bias": placed.input[-1:]}
        case BatchNorm() | LayerNorm() | GroupNorm():
            return {"scale": placed.input[-1:], "bias": placed.input[-1:]}
        case _:
            return {}
    return found | ({"bias": (placed.layer.features,)} if placed.layer.bias else {})


def trained_shapes(placed: Placed) -> dict[str, Shape]:
    """Those of `parameter_shapes` that are trained: all but a frozen kernel."""
    frozen = ("kernel",) if getattr(placed.layer, "frozen", False) else ()
    return {name: shape for name, shape in parameter_shapes(placed).items() if name not in frozen}


def trained_values(placed: Placed) -> int:
    """How many a layer has."""
    return sum(map(prod, trained_shapes(placed).values()))


def count_parameters(layers: Sequence[Layer], image_shape: Shape) -> int:
    """Trained values of a network on images [H, W, C]."""
    return sum(map(trained_values, walk(layers, image_shape)))


def multiply_adds(placed: Placed) -> int:
    """Of the forward pass of one image through a convolution or dense layer, padding included; 0 for other layers."""
    kernel = parameter_shapes(placed).get("kernel")
    return prod(placed.output[:-1]) * prod(kernel) if kernel else 0


class Cost(NamedTuple):
    """Of one image: trained weights, multiply-adds, values that come out."""

    weights: int
    multiply_adds: int
    values: int

    @property
    def bytes(self) -> int:
        """Of weights and values, in float32."""
        return 4 * (self.weights + self.values)


def cost(layers: Sequence[Layer], image_shape: Shape) -> Cost:
    """Of layers in a row on an image [H, W, C]."""
    placed = list(walk(layers, image_shape))
    return Cost(count_parameters(layers, image_shape), sum(map(multiply_adds, placed)), prod(placed[-1].output))
