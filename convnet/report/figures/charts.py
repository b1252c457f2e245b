"""Lines and points over two axes, in one panel or several: most of what a study draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convnet.ablation.stats import mean_interval
from convnet.report.figures.panels import bare, colour, legend_above, stroke
from convnet.report.picture import legend, shown, ticks

POINTS = {"linestyle": "", "marker": "o", "markersize": 4}
"""The look of a cloud: points, and nothing between them."""
CIRCLES = {"linestyle": "", "marker": "o", "fillstyle": "none"}
"""The look of what was measured, around lines that were computed."""


class Line(NamedTuple):
    """x: [points]; y: [points], or [points, lines] of one colour. low, high: [points], the ends of a band about it.
    look: what Matplotlib's `plot` takes, such as marker or linestyle."""

    x: Any
    y: Any
    low: Any = None
    high: Any = None
    look: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Panel:
    """lines: name -> a `Line`, or a list of those that share its colour; a line whose name is empty is in no legend.
    axes: what Matplotlib's `Axes.set` takes, such as xlabel, yscale, xlim. level: a height to be marked across. legend:
    options of one that stands in this panel; None: none here."""

    lines: Mapping[str, Line | tuple | list]
    axes: Mapping[str, Any] = field(default_factory=dict)
    level: float | None = None
    legend: Mapping[str, Any] | None = None


def chart(
    panels: Sequence[Panel],
    *,
    size: tuple[float, float],
    columns: int | None = None,
    share: str | bool = False,
    legend_columns: int = 7,
) -> Figure:
    """Panels side by side, each name in one colour in all of them. Where no panel has a legend of its own, and there is
    more than one name, it stands above them.

    size: of the figure, in inches. columns: of panels; None: all in one row. share: whether panels share the axis of y:
    True, "row", False. legend_columns: at most, of the legend above.
    """
    columns = columns or len(panels)
    figure = Figure(figsize=size, layout="constrained")
    drawn = figure.subplots(-(-len(panels) // columns), columns, squeeze=False, sharey=share).ravel()
    names = shown(name for panel in panels for name in panel.lines)
    coloured = [name for name in names if any("color" not in line.look for p in panels for line in _lines(p, name))]
    looks, handles = {name: stroke(i) for i, name in enumerate(coloured)}, {}
    for axes, panel in zip(drawn, panels, strict=True):
        for name in panel.lines:
            for line in _lines(panel, name):
                handle = _draw(axes, line, {"linewidth": 1.8, **looks.get(name, {}), **line.look})
                handles.setdefault(names[name], handle)
        if panel.level is not None:
            axes.axhline(panel.level, color="black", linestyle=":", linewidth=1)
        _set(axes, panel.axes)
        bare(axes)
    told = {name: handle for name, handle in handles.items() if name}
    for axes, panel in zip(drawn, panels, strict=True):
        if panel.legend is not None:
            legend(axes, told, **{"fontsize": 9, **panel.legend})
    if len(told) > 1 and all(panel.legend is None for panel in panels):
        legend_above(figure, told, legend_columns)
    return figure


def _lines(panel: Panel, name: str) -> list[Line]:
    found = panel.lines.get(name, [])
    return [Line(*line) for line in (found if isinstance(found, list) else [found])]


def _draw(axes: Axes, line: Line, look: Mapping[str, Any]) -> object:
    handle, *_ = axes.plot(line.x, line.y, **look)
    if line.low is not None:
        axes.fill_between(line.x, line.low, line.high, color=handle.get_color(), alpha=0.15, linewidth=0)
    return handle


def _set(axes: Axes, settings: Mapping[str, Any]) -> None:
    """Scales first, as they bring ticks and limits of their own; ticks that are given are all there are."""
    scales = {name: scale for name, scale in settings.items() if name.endswith("scale")}
    axes.set(**scales)
    for name in ("x", "y"):
        if f"{name}ticks" in settings:
            getattr(axes, f"set_{name}ticks")([], minor=True)
            settings = {f"{name}ticklabels": [f"{tick:g}" for tick in settings[f"{name}ticks"]], **settings}
    axes.set(**{name: value for name, value in sorted(settings.items(), reverse=True) if name not in scales})
    axes.title.set_fontsize(10)


def interval_bars(
    quantities: Mapping[str, Mapping[str, Iterable[float]]],
    *,
    size: tuple[float, float],
    guess: Mapping[str, float] | None = None,
    bars: bool = True,
    dots: bool = False,
) -> Figure:
    """A panel per quantity and a row per name: the mean of values with its 95 % interval.

    quantities: axis label -> name -> values [n]. guess: axis label -> what is to be marked, such as guessing. bars:
    whether the mean is a bar from zero, instead of a point. dots: whether each value is drawn, too.
    """
    names, guess = list(next(iter(quantities.values()))), guess or {}
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(quantities), squeeze=False, sharey=True)[0]
    for i, (axes, (label, rows)) in enumerate(zip(panels, quantities.items(), strict=True)):
        for row, values in enumerate(np.asarray(list(of), float) for of in rows.values()):
            mean, low, high = mean_interval(values)
            if bars:
                axes.barh(row, mean, color=colour(row if len(quantities) == 1 else i), alpha=0.5, height=0.6)
            ends = np.nan_to_num([[mean - low], [high - mean]])
            axes.errorbar(mean, row, xerr=ends, color="black", marker="" if bars else "o", capsize=3)
            if dots:
                axes.plot(values, np.full(len(values), row), color=colour(row), **POINTS)
        if label in guess:
            axes.axvline(guess[label], color="black", linestyle=":", linewidth=1)
        axes.set_xlabel(label, fontsize=8)
        axes.set_xlim(*((0, None) if bars else (None, None)))
        bare(axes, "x")
    panels[0].set_yticks(range(len(names)), ticks(names))
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure
