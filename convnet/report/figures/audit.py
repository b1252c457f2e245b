"""Figures of audited gradients: errors beside their bounds, errors by place, verdicts of checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from convnet.report.figures.panels import MISSING, bare, colour, legend_above, matrix_ticks, write_cells
from convnet.report.picture import shown, ticks


def heat_map(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str, *, failed: float) -> Figure:
    """A matrix [rows, columns] on a logarithmic scale from 10⁻⁴ to 1; NaN is grey, and `failed` and more is red."""
    height = max(1.2 + 0.27 * len(rows), 2.4)  # the least that the label of the colours needs
    figure = Figure(figsize=(1.6 + 0.85 * len(columns), height), layout="constrained")
    panel = figure.subplots()
    colours = matplotlib.colormaps["Blues"].with_extremes(bad=MISSING, over="#d62728")
    drawn = np.where(np.isnan(values), np.nan, np.maximum(values, 1e-4))
    image = panel.imshow(drawn, cmap=colours, norm=LogNorm(1e-4, failed), aspect="auto")
    texts = np.vectorize(lambda value: "" if np.isnan(value) else f"{value:.2g}", otypes=[object])(values)
    write_cells(panel, texts, values > 0.03 * failed, 6.5)
    matrix_ticks(panel, ticks(rows), ticks(columns), angle=30, fontsize=8)
    figure.colorbar(image, ax=panel, label=label, extend="max", shrink=max(0.6, 2 / height))
    return figure


def distributions(groups: Mapping[str, Mapping[str, np.ndarray]], label: str) -> Figure:
    """Cumulative shares, one panel per group, one line per class: group -> class -> non-negative values."""
    columns = min(5, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(max(2.6 * columns, 6.5), max(2.1 * rows, 2.6)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    names = sorted({name for classes in groups.values() for name in classes})
    lines, labels = {}, shown(names)
    for panel, (group, classes) in zip(panels, groups.items(), strict=False):
        for name, values in classes.items():
            levels = np.linspace(0, 1, len(values))
            (lines[labels[name]],) = panel.step(np.sort(values), levels, color=colour(names.index(name)), where="post")
        panel.set_title(ticks([group])[0], fontsize=8)
        panel.set_xscale("symlog", linthresh=0.1)
        panel.set_xlim(-0.02, max(1, panel.get_xlim()[1]))  # errors that are all 0 are a line beside the axis
        panel.tick_params(labelsize=7)
        bare(panel)
    legend_above(figure, lines)
    figure.supxlabel(label, fontsize=9)
    figure.supylabel("share of the entries", fontsize=9)
    return figure


def shares(groups: Mapping[str, Mapping[str, tuple[int, int]]]) -> Figure:
    """Horizontal bars, one panel per quantity, one bar per name: quantity -> name -> (count, of how many)."""
    names = list(next(iter(groups.values())))
    figure = Figure(figsize=(4.6 * len(groups), 0.8 + 0.4 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for i, (panel, (quantity, counts)) in enumerate(zip(panels, groups.items(), strict=True)):
        values = [count / max(total, 1) for count, total in counts.values()]
        panel.barh(range(len(names)), values, color=colour(i))
        for row, (count, total) in enumerate(counts.values()):
            panel.text(1.02, row, f"{count} of {total}", va="center", fontsize=8)
        panel.set(xlim=(0, 1.3), title=quantity)
        panel.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        panel.set_yticks(range(len(names)), ticks(names), fontsize=8)
        bare(panel, None)
    panels[0].invert_yaxis()
    return figure
