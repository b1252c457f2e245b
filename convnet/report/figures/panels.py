"""What figures of every subject have alike: colours and strokes, bare frames, rows of names, a legend above."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convnet.report.picture import legend, ticks

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito: safe for colour-blind eyes
STYLES = ("-", "--", ":", "-.")
MISSING = "#e6e6e6"


def colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def stroke(i: int) -> dict[str, str]:
    """Of the i-th line: where the colours are used up, they come again with another style."""
    return {"color": colour(i), "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}


def bare(panel: Axes, grid: str | None = "both") -> None:
    """No frame above and to the right; faint grid lines along an axis, or none."""
    if grid:
        panel.grid(axis=grid, alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def legend_above(figure: Figure, handles: Mapping[str, object], columns: int = 6) -> None:
    legend(figure, handles, loc="outside upper center", ncols=max(1, min(columns, len(handles))), fontsize=9)


def quantity_panels(labels: Mapping[str, str], xlabel: str, height: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel per quantity, to be drawn over whole numbers such as epochs.

    labels: quantity -> axis label, in the order of the panels; one that ends in "(log)" gets a logarithmic axis.
    """
    figure = Figure(figsize=(4.5 * len(labels), height), layout="constrained")
    panels = dict(zip(labels, figure.subplots(1, len(labels), squeeze=False)[0], strict=True))
    for quantity, panel in panels.items():
        label = labels[quantity]
        panel.set_yscale("log" if label.endswith("(log)") else "linear")
        panel.set(xlabel=xlabel, ylabel=label.removesuffix(" (log)"))
        panel.xaxis.get_major_locator().set_params(integer=True)
        bare(panel)
    return figure, panels


def named_rows(names: Iterable[str], label: str) -> tuple[Figure, Axes]:
    """A figure of one row per name, the first above."""
    names = ticks(names)
    figure = Figure(figsize=(7.5, 1.3 + 0.36 * len(names)), layout="constrained")
    panel = figure.subplots()
    panel.set_yticks(range(len(names)), names, fontsize=9)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlabel(label, loc="right")  # a long one reaches to the left, under the names
    bare(panel, "x")
    return figure, panel


def matrix_ticks(panel: Axes, rows: Sequence[str], columns: Sequence[str], *, angle: float, **options: Any) -> None:
    """Names of the rows and columns of a matrix; those of the columns turned by `angle`, unless it is 0."""
    turned = {"rotation": angle, "ha": "right", "rotation_mode": "anchor"} if angle else {}
    panel.set_xticks(range(len(columns)), columns, **options, **turned)
    panel.set_yticks(range(len(rows)), rows, **options)


def write_cells(panel: Axes, texts: np.ndarray, dark: np.ndarray, size: float) -> None:
    """A text in every cell of a matrix, in white on the `dark` ones; the empty text in none. Both [rows, columns]."""
    for (i, j), text in np.ndenumerate(texts):
        if text:
            ink = "white" if dark[i, j] else "black"
            panel.text(j, i, text, ha="center", va="center", fontsize=size, color=ink)
