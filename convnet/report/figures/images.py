"""Images, maps and matrices in rows, each with its title, its colours, a frame, its numbers or a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convnet.report.figures.panels import COLOURS, write_cells


@dataclass(frozen=True)
class Image:
    """What is shown in one panel.

    values: [H, W], in `colours` from `low` to `high` (None: the smallest and the largest of them; NaN has no colour);
    or RGB [H, W, 3]. frame: (left, top, width, height) of a rectangle, in units of the axes. write: a format in which
    every finite value is written into its cell, such as "{:.0f}"; what is written on is dark where the value, or its
    magnitude if `low` is negative, is above `dark`. scale: the label of a bar that explains the colours. framed:
    whether a line goes round it. axes: what
    Matplotlib's `Axes.set` takes; ticks that are not given are left out. extent, aspect: as of `imshow`.
    """

    values: np.ndarray
    title: str = ""
    colours: str = "gray_r"
    low: float | None = None
    high: float | None = None
    frame: tuple[float, float, float, float] | None = None
    frame_colour: str = COLOURS[1]
    write: str = ""
    dark: float = np.inf
    scale: str = ""
    framed: bool = True
    axes: Mapping[str, Any] = field(default_factory=dict)
    extent: tuple[float, float, float, float] | None = None
    aspect: str = "equal"


def images(
    rows: Sequence[Sequence[Image]],
    *,
    size: tuple[float, float],
    widths: Sequence[Sequence[float]] | None = None,
    heights: Sequence[float] | None = None,
) -> Figure:
    """Rows of images, all of as many, one below the other.

    size: of the figure, in inches. widths: of the images of each row, in proportion; then rows may have different
    numbers of them. heights: of the rows, in proportion.
    """
    figure = Figure(figsize=size, layout="constrained")
    if widths is None:
        drawn = figure.subplots(len(rows), len(rows[0]), squeeze=False, height_ratios=heights)
    else:
        figure.get_layout_engine().set(wspace=0.06)
        parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        drawn = [
            part.subplots(1, len(row), squeeze=False, width_ratios=width)[0]
            for part, row, width in zip(parts, rows, widths, strict=True)
        ]
    for axes, image in zip(chain(*drawn), chain(*rows), strict=True):
        _draw(figure, axes, image)
    return figure


def _draw(figure: Figure, axes: Axes, image: Image) -> None:
    drawn = axes.imshow(
        image.values, cmap=image.colours, vmin=image.low, vmax=image.high, interpolation="nearest",
        extent=image.extent, aspect=image.aspect,
    )  # fmt: skip
    if image.write:
        texts = np.vectorize(lambda v: image.write.format(v) if np.isfinite(v) else "", otypes=[object])(image.values)
        strength = np.abs(image.values) if (image.low or 0) < 0 else image.values
        write_cells(axes, texts, strength > image.dark, 10)
    if image.frame is not None:
        left, top, width, height = image.frame
        axes.add_patch(
            Rectangle((left, top), width, height, fill=False, color=image.frame_colour, linewidth=1.8, clip_on=False)
        )
    if image.scale:
        figure.colorbar(drawn, ax=axes, label=image.scale, shrink=0.8)
    axes.set_title(image.title, fontsize=9)
    axes.set(**{"xticks": [], "yticks": []} | dict(image.axes))
    if len(axes.get_ylabel()) <= 2:  # such as a number: upright
        axes.yaxis.label.set(rotation=0, ha="right", va="center")
    if not image.framed:
        axes.spines[:].set_visible(False)
