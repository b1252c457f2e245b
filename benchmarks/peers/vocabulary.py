"""What other libraries' builders ask of a layer of the vocabulary (`convnet.architectures.layers`)."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.peers.program import Unsupported
from convnet.architectures import shapes
from convnet.architectures.layers import Conv, Layer, Pool


class Spans(NamedTuple):
    """Of a convolution or pooling: a number for rows and one for columns; of the padding (lo, hi) for each."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]


def spans(layer: Conv | Pool, shape: shapes.Shape) -> Spans:
    """On images of `shape` [H, W, C]. Raises ValueError where the layer does not fit them."""
    rows, cols = shapes.spatial(layer, shape)
    settings = ((getattr(rows, name), getattr(cols, name)) for name in ("kernel", "stride", "dilation"))
    return Spans(*settings, ((rows.lo, rows.hi), (cols.lo, cols.hi)))


def unwritten(layer: Layer, framework: str) -> Unsupported:
    return Unsupported(f"{layer!r} is not written in {framework}")
