"""Figures of ablations: what changed, by how much, how surely, at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from convnet.report.figures import COLOURS, STYLES
from convnet.report.picture import legend, shown, ticks

Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bands(curves: Mapping[str, Mapping[str, Curve]], labels: Mapping[str, str], xlabel: str) -> Figure:
    """One panel per quantity, one line per arm, and a band about it.

    curves: arm -> quantity -> (x, middle, low, high), each [points]; labels: quantity -> axis label, in the order of
    the panels. A label ending in "(log)" gets a logarithmic axis.
    """
    names = shown(curves)
    columns = max(1, min(4, len(curves), 160 // max(map(len, names.values()))))
    height = 3.6 + 0.2 * -(-len(curves) // columns)
    figure = Figure(figsize=(4.6 * len(labels), height), layout="constrained")
    panels = figure.subplots(1, len(labels), squeeze=False)[0]
    for panel, (quantity, label) in zip(panels, labels.items(), strict=True):
        lines = {}
        for i, (arm, quantities) in enumerate(curves.items()):
            x, middle, low, high = quantities[quantity]
            colour = COLOURS[i % len(COLOURS)]
            style = STYLES[i // len(COLOURS) % len(STYLES)]
            (lines[names[arm]],) = panel.plot(x, middle, color=colour, linestyle=style, linewidth=1.8)
            panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        if label.endswith("(log)"):
            panel.set_yscale("log")
        panel.set(xlabel=xlabel, ylabel=label.removesuffix(" (log)"))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    legend(figure, lines, loc="outside upper center", ncols=columns, fontsize=9)
    return figure


def forest(effects: Mapping[str, tuple[float, float, float, float, bool]], label: str) -> Figure:
    """Differences to the base with their intervals, one line per arm, zero marked.

    effects: arm -> (mean, low, high, smallest detectable difference, significant); NaN ends are not drawn. The grey bar
    spans what so many seeds would probably have missed.
    """
    figure = Figure(figsize=(7.5, 1.3 + 0.36 * len(effects)), layout="constrained")
    panel = figure.subplots()
    for row, (mean, low, high, detectable, significant) in enumerate(effects.values()):
        if np.isfinite(detectable):
            panel.barh(row, 2 * detectable, left=-detectable, height=0.62, color="#eceff2", zorder=0)
        colour = COLOURS[1] if significant else COLOURS[0]
        if np.isfinite([low, high]).all():
            panel.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        panel.plot(
            mean, row, marker="o", color=colour, markersize=6, markerfacecolor=colour if significant else "white"
        )
    panel.axvline(0, color="black", linewidth=0.8)
    _spread(panel, np.array([effect[:3] for effect in effects.values()]))
    panel.set_yticks(range(len(effects)), ticks(effects), fontsize=9)
    panel.set_ylim(len(effects) - 0.5, -0.5)
    panel.set_xlabel(label, loc="right")  # a long one reaches to the left, under the names
    panel.grid(axis="x", alpha=0.25)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    return figure


def _spread(panel, intervals: np.ndarray) -> None:
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


def interaction(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], names: tuple[str, str]) -> Figure:
    """Mean scores [rows, columns] in percent as a heat map; NaN (no cell) is grey. names: of the two factors."""
    figure = Figure(figsize=(2.4 + 0.95 * len(columns), 1.5 + 0.5 * len(rows)), layout="constrained")
    panel = figure.subplots()
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#e6e6e6")
    image = panel.imshow(values, cmap=colours, aspect="auto")
    low, high = np.nanmin(values), np.nanmax(values)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = value < (low + high) / 2
            panel.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black", fontsize=9)
    labels = ticks(columns)
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels)) > 9 else {}
    panel.set_xticks(range(len(columns)), labels, **turned)
    panel.set_yticks(range(len(rows)), ticks(rows))
    row_name, column_name = ticks(names)
    panel.set(xlabel=column_name, ylabel=row_name)
    figure.colorbar(image, ax=panel, label="test accuracy in %")
    return figure


def costs(seconds: Mapping[str, np.ndarray], label: str) -> Figure:
    """Points per arm: arm -> [seeds]; the bar ends at the median."""
    figure = Figure(figsize=(7.5, 1.3 + 0.36 * len(seconds)), layout="constrained")
    panel = figure.subplots()
    for row, values in enumerate(seconds.values()):
        median = float(np.median(values))
        panel.barh(row, median, height=0.55, color="#cfe3f1")
        panel.plot(values, np.full(len(values), row), linestyle="", marker="o", markersize=3.5, color=COLOURS[0])
        panel.text(1.01, row, f"{median:.3g}", transform=panel.get_yaxis_transform(), va="center", fontsize=9)
    panel.set_xlim(0, 1.05 * max(values.max() for values in seconds.values()))
    panel.set_yticks(range(len(seconds)), ticks(seconds), fontsize=9)
    panel.set_ylim(len(seconds) - 0.5, -0.5)
    panel.set_xlabel(label, loc="right")  # a long one reaches to the left, under the names
    panel.grid(axis="x", alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    return figure
