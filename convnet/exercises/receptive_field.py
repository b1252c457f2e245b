"""Exercise 7: the arithmetic of receptive fields."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convnet import ops
from convnet.exercises.exercise import Case, Exercise, Mistake
from convnet.ops.window import Window

Layers = tuple[tuple[int, int, int], ...]
"""(kernel, stride, padding) of each layer, first layer first."""

VGG16: Layers = tuple(layer for block in (2, 2, 3, 3, 3) for layer in ((3, 1, 1),) * block + ((2, 2, 0),))
ALEXNET: Layers = ((11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 0))


def _cases() -> list[Case]:
    stacks = {
        "no layer: a pixel sees itself": (),
        "one kernel of 3": ((3, 1, 0),),
        "two kernels of 3": ((3, 1, 0), (3, 1, 0)),
        "padding 1": ((3, 1, 1), (3, 1, 1)),
        "a stride of 2, then a kernel of 3": ((2, 2, 0), (3, 1, 0)),
        "a kernel of 3, then a stride of 2": ((3, 1, 0), (2, 2, 0)),
        "padding after a stride": ((3, 2, 1), (3, 2, 1), (5, 1, 2)),
        "even kernels": ((4, 3, 1), (2, 1, 0), (6, 2, 3)),
        "AlexNet, to its last pooling": ALEXNET,
        "VGG-16, to its last pooling": VGG16,
    }
    return [Case(name, (layers,)) for name, layers in stacks.items()]


def _field(layers: Layers) -> tuple[int, int, int]:
    field = ops.receptive_field(Window(kernel, kernel, stride, lo=padding) for kernel, stride, padding in layers)
    return field.size, field.jump, field.start


def _walked(
    grow: Callable[..., int] = lambda size, kernel, jump, stride: size + (kernel - 1) * jump,
    leap: Callable[..., int] = lambda jump, stride: jump * stride,
    shift: Callable[..., int] = lambda start, padding, jump, stride: start - padding * jump,
    *,
    order: int = 1,
) -> Callable[..., tuple[int, int, int]]:
    """A mistake: other steps from layer to layer."""

    def made(right, layers):
        size, jump, start = 1, 1, 0
        for kernel, stride, padding in layers[::order]:
            size, start = grow(size, kernel, jump, stride), shift(start, padding, jump, stride)
            jump = leap(jump, stride)
        return size, jump, start

    return made


def _only(at: int, made: Callable[..., tuple]) -> Callable[..., tuple]:
    """Where the mistake touches one result."""
    return lambda right, layers: tuple(np.int64(v) if i == at else None for i, v in enumerate(made(right, layers)))


def _of_jumps(hint: str, leap: Callable[..., int]) -> list[Mistake]:
    """A mistake of the jump that goes into the size, too, and one that does not."""
    return [Mistake(hint, _walked(leap=leap)), Mistake(hint, _only(1, _walked(leap=leap)))]


EXERCISE = Exercise(
    number=7,
    title="the arithmetic of receptive fields",
    function="receptive_field",
    results=("size", "jump", "start"),
    draw=_cases,
    solution=_field,
    plain=_field,
    reference="convnet.ops.receptive_field",
    home="convnet/ops/window.py",
    whole=True,
    mistakes=(
        Mistake(
            "where kernels are added, not kernels less 1",
            _only(0, _walked(grow=lambda size, kernel, jump, stride: size + kernel * jump)),
        ),
        Mistake(
            "where strides do not matter: a kernel above a stride of 2 spans twice as many pixels",
            _only(0, _walked(grow=lambda size, kernel, jump, stride: size + kernel - 1)),
        ),
        Mistake(
            "where a layer's own stride counts for its own kernel: it does only for those above",
            _only(0, _walked(grow=lambda size, kernel, jump, stride: size + (kernel - 1) * jump * stride)),
        ),
        Mistake(
            "where kernels are multiplied",
            _only(0, _walked(grow=lambda size, kernel, jump, stride: size * kernel)),
        ),
        Mistake(
            "where only the stride of the layer below counts, not all strides below",
            _only(
                0,
                lambda right, layers: (
                    1 + sum((k - 1) * s for (k, _, _), s in zip(layers, [1, *(s for _, s, _ in layers)], strict=False)),
                    0,
                    0,
                ),
            ),
        ),
        Mistake(
            "where the layers are gone through in the other order, the last one first",
            _walked(order=-1),
        ),
        *_of_jumps("where strides are added: they multiply", lambda jump, stride: jump + stride),
        *_of_jumps("where strides less 1 are added: they multiply", lambda jump, stride: jump + stride - 1),
        *_of_jumps("of the last stride alone: strides multiply", lambda jump, stride: stride),
        Mistake(
            "where padding does not matter",
            _only(2, _walked(shift=lambda start, padding, jump, stride: start)),
        ),
        Mistake(
            "where padding is counted in pixels: above a stride of 2, one element of padding is two pixels",
            _only(2, _walked(shift=lambda start, padding, jump, stride: start - padding)),
        ),
        Mistake(
            "where padding moves the start inwards: the first window begins before the image",
            _only(2, _walked(shift=lambda start, padding, jump, stride: start + padding * jump)),
        ),
        Mistake(
            "where a layer's own stride counts for its own padding",
            _only(2, _walked(shift=lambda start, padding, jump, stride: start - padding * jump * stride)),
        ),
        Mistake(
            "of the middle of the first field, not of its first pixel",
            _only(2, lambda right, layers: (0, 0, right(layers)[2] + right(layers)[0] // 2)),
        ),
    ),
)
