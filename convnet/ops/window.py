"""All window arithmetic: where the windows of a convolution or a pooling lie, and how that turns around in a gradient.

One idea carries the package. A `Window` describes one axis of the most general case: an input dilated by
`input_dilation` and padded by (`lo`, `hi`), read by a kernel dilated by `dilation` in steps of `stride`:

    y[p] = Σ_i w[i] · x̃[p·stride + i·dilation − lo],   x̃ = x with input_dilation − 1 zeros between neighbours.

Both gradients of such a map are maps of the same form, so a `Window` has two relatives, `input_gradient` and
`kernel_gradient`, and every derivative of every order is again described by a `Window`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Pair = int | tuple[int, int]
"""A setting of the two spatial axes (rows, columns); one int stands for both."""

Padding = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
""""SAME" | "VALID" | p | (p_rows, p_cols) | ((lo, hi), (lo, hi)); negative explicit padding crops."""


@dataclass(frozen=True)
class Window:
    """One spatial axis of a sliding window; lengths in elements."""

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    input_dilation: int = 1
    lo: int = 0
    hi: int = 0

    @property
    def span(self) -> int:
        """Elements from the first to the last one that a (dilated) window touches."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def room(self) -> int:
        """How far a window can slide: dilated and padded length less the span. Negative: no window fits."""
        return self.input_dilation * (self.size - 1) + 1 + self.lo + self.hi - self.span

    @property
    def output(self) -> int:
        """Number of windows that fit."""
        return self.room // self.stride + 1 if self.room >= 0 else 0

    @property
    def remainder(self) -> int:
        """Trailing elements that no window reaches because the stride does not divide the room."""
        return self.room % self.stride

    @property
    def input_gradient(self) -> Window:
        """The window that maps g = dL/dy to dL/dx, read with the reversed kernel.

        y[p] touches x̃[h] through tap i when h = p·s + i·d − lo. Collecting all p for one h is a correlation of
        g, dilated by s, with the kernel reversed: reversing shifts by span − 1, which gives the padding; the
        remainder comes back on the high side, so that the size is exactly that of x; and only every
        input_dilation-th place of x̃ is an element of x, which is the stride.
        """
        reach = self.span - 1
        return Window(
            size=self.output,
            kernel=self.kernel,
            stride=self.input_dilation,
            dilation=self.dilation,
            input_dilation=self.stride,
            lo=reach - self.lo,
            hi=reach - self.hi + self.remainder,
        )

    @property
    def kernel_gradient(self) -> Window:
        """The window that maps x to dL/dw, read with g = dL/dy as the kernel: stride and dilation change places.

        dL/dw[i] = Σ_p g[p] · x̃[p·s + i·d − lo]; the remainder was never read, so it is cropped.
        """
        return Window(
            size=self.size,
            kernel=self.output,
            stride=self.dilation,
            dilation=self.stride,
            input_dilation=self.input_dilation,
            lo=self.lo,
            hi=self.hi - self.remainder,
        )

    @property
    def phases(self) -> dict[int, tuple[int, Window]]:
        """For the elements h ≡ q (mod stride) of x that some tap reaches: q -> (first tap r, window over g).

        With dilation 1, tap i of window p touches x[h] where h + lo = p·s + i. So h = u·s + q is touched by the taps
        i = r, r + s, … with r = (q + lo) mod s: in i = r + t·s, p = u + ⌊(q + lo) / s⌋ − t, a correlation of g with
        these taps reversed. All phases have ⌈size / s⌉ elements, of which the last may lie beyond x. A phase that no
        tap reaches, where s exceeds the kernel, gets 0 and has no entry.
        """
        count = -(-self.size // self.stride)
        found = {}
        for q in range(self.stride):
            first, r = divmod(q + self.lo, self.stride)
            reach = len(range(r, self.kernel, self.stride)) - 1
            if reach >= 0:
                lo = reach - first
                found[q] = r, Window(self.output, reach + 1, lo=lo, hi=count + reach - self.output - lo)
        return found

    @property
    def positions(self) -> np.ndarray:
        """Index into x̃ of every tap of every window: int [output, kernel]; outside 0 … means padding."""
        return self.stride * np.arange(self.output)[:, None] + self.dilation * np.arange(self.kernel)[None] - self.lo

    @property
    def real(self) -> np.ndarray:
        """Whether each tap of each window reads an element rather than padding: bool [output, kernel]."""
        return (self.positions >= 0) & (self.positions < self.input_dilation * (self.size - 1) + 1)


def pair(value: Pair, name: str, *, minimum: int | None = 1) -> tuple[int, int]:
    """`value` for rows and columns; ValueError naming `name` unless it is one int or two, each ≥ `minimum`."""
    try:
        values = tuple(map(_integer, value)) if isinstance(value, tuple | list) else (_integer(value),) * 2
    except TypeError:
        values = ()
    if len(values) != 2 or (minimum is not None and min(values) < minimum):
        bound = "" if minimum is None else f" of at least {minimum}"
        raise ValueError(f"{name} is {value!r}: expected an int or a pair of ints{bound}")
    return values


def _integer(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError("a bool is not a length")
    return operator.index(value)


def same_padding(size: int, span: int, stride: int) -> tuple[int, int]:
    """(lo, hi) that makes ⌈size / stride⌉ windows fit; an odd total puts the extra element on the high side."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def resolve_padding(padding: Padding, sizes: tuple[int, int], spans: tuple[int, int], strides: tuple[int, int]):
    """`padding` as ((lo, hi), (lo, hi)) for inputs of `sizes`; ValueError for anything that `Padding` does not list."""
    if padding == "SAME":
        return tuple(same_padding(*axis) for axis in zip(sizes, spans, strides, strict=True))
    if padding == "VALID":
        return (0, 0), (0, 0)
    if isinstance(padding, tuple | list) and all(isinstance(side, tuple | list) for side in padding) and padding:
        if len(padding) == 2:
            return tuple(pair(side, "padding", minimum=None) for side in padding)
    elif not isinstance(padding, str):
        return tuple((p, p) for p in pair(padding, "padding", minimum=None))
    raise ValueError(
        f"padding is {padding!r}: expected 'SAME', 'VALID', an int, (rows, columns) or ((lo, hi), (lo, hi))"
    )


def windows(
    sizes: tuple[int, int], kernel: Pair, *, stride: Pair = 1, padding: Padding = "VALID", dilation: Pair = 1
) -> tuple[Window, Window]:
    """The row and the column window over an image of `sizes` = (H, W).

    Raises ValueError for a kernel, stride or dilation below 1, an unknown padding, or where no window fits; and where
    padding depends on a size that is a symbol.
    """
    kernels, strides, dilations = pair(kernel, "window"), pair(stride, "stride"), pair(dilation, "dilation")
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernels, dilations, strict=True))
    pads = resolve_padding(padding, sizes, spans, strides)
    rows, cols = (
        Window(size, k, s, d, 1, lo, hi)
        for size, k, s, d, (lo, hi) in zip(sizes, kernels, strides, dilations, pads, strict=True)
    )
    for axis, window in (("rows", rows), ("columns", cols)):
        if not isinstance(window.lo + window.hi, int):  # a symbol, as `jax.export` has them
            raise ValueError(
                f"padding is {padding!r}: of {window.size} {axis} and stride {window.stride} it is unknown"
            )
        if window.size < 1 or window.output < 1:
            raise ValueError(
                f"the output is empty: no window of {window.span} {axis} fits an input of {window.size} "
                f"padded by ({window.lo}, {window.hi})"
            )
    return rows, cols


def transposed_windows(
    outputs: tuple[int, int], kernel: Pair, *, stride: Pair, padding: Padding, dilation: Pair, output_padding: Pair
) -> tuple[Window, Window]:
    """The windows of the convolution that maps a larger image to `outputs` = (H, W).

    A strided convolution maps `stride` input sizes to one output size; `output_padding` in [0, stride) says which:
    size = (H − 1)·s + span − lo − hi + output_padding, and with "SAME" (H − 1)·s + 1 + output_padding.

    Raises ValueError as `windows` does, and for an output padding outside [0, stride).
    """
    strides, kernels = pair(stride, "stride"), pair(kernel, "window")
    dilations, extras = pair(dilation, "dilation"), pair(output_padding, "output_padding", minimum=0)
    if any(extra >= s for extra, s in zip(extras, strides, strict=True)):
        raise ValueError(f"output_padding is {output_padding!r}: expected less than the stride {stride!r}")
    if padding == "SAME":
        sizes = tuple((n - 1) * s + 1 + extra for n, s, extra in zip(outputs, strides, extras, strict=True))
    else:
        spans = tuple(d * (k - 1) + 1 for k, d in zip(kernels, dilations, strict=True))
        pads = resolve_padding(padding, outputs, spans, strides)
        sizes = tuple(
            (n - 1) * s + span - sum(lo_hi) + extra
            for n, s, span, lo_hi, extra in zip(outputs, strides, spans, pads, extras, strict=True)
        )
    return windows(sizes, kernels, stride=strides, padding=padding, dilation=dilations)


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels of one axis that output p depends on: `start` + p·`jump` … + `size` − 1."""

    size: int = 1
    jump: int = 1
    start: int = 0


def receptive_field(layers: Iterable[Window]) -> ReceptiveField:
    """The receptive field of stacked layers, first layer first, along one axis.

    Each layer widens the field by its span in units of the jump so far, and its padding moves the start
    (Araujo et al., Distill 2019, "Computing receptive fields of convolutional neural networks").
    """
    field = ReceptiveField()
    for layer in layers:
        field = ReceptiveField(
            size=field.size + (layer.span - 1) * field.jump,
            jump=field.jump * layer.stride,
            start=field.start - layer.lo * field.jump,
        )
    return field
