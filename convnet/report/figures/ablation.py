"""Figures of ablations: what changed, by how much, how surely, at what cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convnet.report.figures.panels import (
    COLOURS,
    MISSING,
    legend_above,
    matrix_ticks,
    named_rows,
    quantity_panels,
    stroke,
    write_cells,
)
from convnet.report.picture import shown, ticks

LEVEL = 0.05
Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bands(curves: Mapping[str, Mapping[str, Curve]], labels: Mapping[str, str], xlabel: str) -> Figure:
    """One panel per quantity, one line per arm, and a band about it.

    curves: arm -> quantity -> (x, middle, low, high), each [points]; labels: as of `quantity_panels`.
    """
    names, lines = shown(curves), {}
    columns = max(1, min(4, len(curves), 160 // max(map(len, names.values()))))
    figure, panels = quantity_panels(labels, xlabel, 3.6 + 0.2 * -(-len(curves) // columns))
    for quantity, panel in panels.items():
        for i, (arm, quantities) in enumerate(curves.items()):
            x, middle, low, high = quantities[quantity]
            (lines[names[arm]],) = panel.plot(x, middle, linewidth=1.8, **stroke(i))
            panel.fill_between(x, low, high, color=stroke(i)["color"], alpha=0.15, linewidth=0)
    legend_above(figure, lines, columns)
    return figure


def forest(effects: Mapping[str, tuple[float, float, float, float, bool]], label: str) -> Figure:
    """Differences to the base with their intervals, one line per arm, zero marked.

    effects: arm -> (mean, low, high, smallest detectable difference, significant); NaN ends are not drawn. The grey bar
    spans what so many seeds would probably have missed.
    """
    figure, panel = named_rows(effects, label)
    for row, (mean, low, high, detectable, significant) in enumerate(effects.values()):
        if np.isfinite(detectable):
            panel.barh(row, 2 * detectable, left=-detectable, height=0.62, color="#eceff2", zorder=0)
        colour = COLOURS[1] if significant else COLOURS[0]
        if np.isfinite([low, high]).all():
            panel.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        inside = colour if significant else "white"
        panel.plot(mean, row, marker="o", color=colour, markersize=6, markerfacecolor=inside)
    panel.axvline(0, color="black", linewidth=0.8)
    _spread(panel, np.array([effect[:3] for effect in effects.values()]))
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)
    return figure


def _spread(panel: Axes, intervals: np.ndarray) -> None:
    """A scale on which small differences can be told beside large ones: linear about zero, logarithmic beyond.

    intervals: [arms, (mean, low, high)].
    """
    sizes = np.abs(intervals[:, 0])
    small, large = np.median(sizes), sizes.max()
    linear = np.nanmax(np.abs(intervals[sizes <= small])) if small else 0
    if linear and large > 8 * linear:
        panel.set_xscale("symlog", linthresh=linear, linscale=1.2)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_xlim(*(1.6 * end for end in panel.get_xlim()))


def differences_figure(arms: Sequence[Mapping[str, Any]]) -> Figure | None:
    """The paired differences of the `arms` of a `summary.json`, those whose p < LEVEL marked; None without any."""
    lines = {}
    for arm in arms:
        if (effect := arm["effect"]) is not None:
            points = (math.nan if x is None else 100 * x for x in (*effect["difference"], effect["detectable"]))
            lines[arm["arm"]] = (*points, effect["p_holm"] is not None and effect["p_holm"] < LEVEL)
    label = f"test accuracy − that of {ticks([arms[0]['arm']])[0]}, in percentage points"
    return forest(lines, label) if lines else None


def interaction(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], names: tuple[str, str]) -> Figure:
    """Mean scores [rows, columns] in percent as a heat map; NaN (no cell) is grey. names: of the two factors."""
    height = max(1.5 + 0.5 * len(rows), 2.5)  # the least that the label of the colours needs
    figure = Figure(figsize=(2.4 + 0.95 * len(columns), height), layout="constrained")
    panel = figure.subplots()
    colours = matplotlib.colormaps["viridis"].with_extremes(bad=MISSING)
    image = panel.imshow(values, cmap=colours, aspect="auto")
    texts = np.vectorize(lambda value: f"{value:.2f}" if np.isfinite(value) else "", otypes=[object])(values)
    write_cells(panel, texts, values < (np.nanmin(values) + np.nanmax(values)) / 2, 9)
    labels = ticks(columns)
    matrix_ticks(panel, ticks(rows), labels, angle=30 if max(map(len, labels)) > 9 else 0)
    row_name, column_name = ticks(names)
    panel.set(xlabel=column_name, ylabel=row_name)
    figure.colorbar(image, ax=panel, label="test accuracy in %")
    return figure


def costs(seconds: Mapping[str, np.ndarray], label: str) -> Figure:
    """Points per arm: arm -> [seeds]; the bar ends at the median."""
    figure, panel = named_rows(seconds, label)
    for row, values in enumerate(seconds.values()):
        median = float(np.median(values))
        panel.barh(row, median, height=0.55, color="#cfe3f1")
        panel.plot(values, np.full(len(values), row), linestyle="", marker="o", markersize=3.5, color=COLOURS[0])
        panel.text(1.01, row, f"{median:.3g}", transform=panel.get_yaxis_transform(), va="center", fontsize=9)
    panel.set_xlim(0, 1.05 * max(values.max() for values in seconds.values()))
    return figure
