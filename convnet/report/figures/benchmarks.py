"""Figures of benchmarks: times beside one another, and how they grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from convnet.report.figures.panels import bare, colour, legend_above
from convnet.report.picture import legend, shown, ticks


def ratio_bars(ratios: Mapping[str, Mapping[str, tuple[float, float, float]]], label: str) -> Figure:
    """Horizontal bars around 1 on a logarithmic axis: line -> name -> (ratio, low, high); names may be missing."""
    names = list(dict.fromkeys(name for line in ratios.values() for name in line))
    height = 0.8 / max(len(names), 1)
    figure = Figure(figsize=(7.5, 1.2 + 0.16 * (len(names) + 1) * len(ratios)), layout="constrained")
    panel, bars, labels = figure.subplots(), {}, shown(names)
    for i, name in enumerate(names):
        rows = np.array([row for row, line in enumerate(ratios.values()) if name in line])
        values = np.array([line[name] for line in ratios.values() if name in line])
        # Bars start at 1, so those to the left of it are where `name` is faster. The quartiles of the rounds need not
        # enclose the ratio of medians.
        spread = np.maximum([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0)
        place = rows + (i - (len(names) - 1) / 2) * height
        look = dict(height=height, color=colour(i), error_kw=dict(linewidth=0.7))
        bars[labels[name]] = panel.barh(place, values[:, 0] - 1, left=1, xerr=spread, **look)
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else range(1, 10)))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_yticks(range(len(ratios)), ticks(ratios, longest=60), fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel(label)
    bare(panel, "x")
    if bars:
        legend_above(figure, bars, len(bars))
    return figure


def scaling(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str) -> Figure:
    """Points joined by lines, both axes logarithmic to base 2 and 10: name -> (sizes, values)."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    panel, lines, labels = figure.subplots(), {}, shown(curves)
    for i, (name, (sizes, values)) in enumerate(curves.items()):
        (lines[labels[name]],) = panel.plot(sizes, values, color=colour(i), marker="o", markersize=4)
    sizes = sorted({size for sizes, _ in curves.values() for size in sizes})
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
    panel.set(xlabel=xlabel, ylabel=ylabel)
    bare(panel)
    panel.grid(which="minor", alpha=0.25)
    legend(panel, lines, fontsize=8)
    return figure
