"""Matplotlib figures of arrays that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from convnet.report.picture import legend, shown, ticks
from convnet.report.tiles import grid, signed_rgb

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito: safe for colour-blind eyes
STYLES = ("-", "--", ":", "-.")
IMAGES_A_ROW = 12
NUMBERED = 30
"""Up to so many classes the cells of a confusion matrix are wide enough for numbers."""


def learning_curves(curves: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, str]) -> Figure:
    """One panel per quantity, one colour per model: thin lines are seeds, the thick one is their mean.

    curves: model -> quantity -> [seeds, epochs]; labels: quantity -> axis label, in the order of the panels. A label
    ending in "(log)" gets a logarithmic axis.
    """
    figure = Figure(figsize=(4.4 * len(labels), 3.4), layout="constrained")
    panels, names = figure.subplots(1, len(labels), squeeze=False)[0], shown(curves)
    for panel, (quantity, label) in zip(panels, labels.items(), strict=True):
        lines = {}
        for i, (model, values) in enumerate(curves.items()):
            look = dict(color=COLOURS[i % len(COLOURS)], linestyle=STYLES[i // len(COLOURS) % len(STYLES)])
            epochs, mean = np.arange(1, values[quantity].shape[1] + 1), values[quantity].mean(axis=0)
            panel.plot(epochs, values[quantity].T, alpha=0.3, linewidth=0.8, **look)
            (lines[names[model]],) = panel.plot(epochs, mean, linewidth=2, marker=".", **look)
        if label.endswith("(log)"):
            panel.set_yscale("log")
        panel.set(xlabel="epoch", ylabel=label.removesuffix(" (log)"))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        legend(figure, lines, loc="outside upper center", ncols=min(6, len(lines)), fontsize=9)
    return figure


def confusion_matrices(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """One matrix [K, K] per model: colour is the share of the true class, numbers are counts, zeros stay empty."""
    classes, names = len(class_names), ticks(class_names)
    side = 4.5 if classes <= NUMBERED else min(0.11 * classes, 16)
    figure = Figure(figsize=((side + 0.1) * len(matrices), side), layout="constrained")
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    turned = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 2 else {}
    size = np.clip(8 * 18 * side / 4.5 / classes, 3, 8)
    for panel, (model, matrix) in zip(panels, matrices.items(), strict=True):
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        # The square root keeps rare confusions visible beside the diagonal.
        panel.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(matrix) if classes <= NUMBERED else ():
            if count:
                colour = "white" if share[i, j] > 0.4 else "black"
                panel.text(j, i, f"{count}", ha="center", va="center", fontsize=min(7, size), color=colour)
        panel.set(title=ticks([model])[0], xlabel="predicted", ylabel="true")
        panel.set_xticks(range(classes), names, fontsize=size, **turned)
        panel.set_yticks(range(classes), names, fontsize=size)
    return figure


def labelled_images(rows: Mapping[str, np.ndarray], titles: Mapping[str, Sequence[str]]) -> Figure:
    """Rows of images: row name -> RGB [K, H, W, 3], with titles of the same keys (a missing key: no titles).

    What is longer than `IMAGES_A_ROW` goes on below, all rows in turn.
    """
    longest = max(len(images) for images in rows.values())
    columns = min(longest, IMAGES_A_ROW)
    lines = [(name, at) for at in range(0, longest, columns) for name, images in rows.items() if at < len(images)]
    high = 1.15 + 0.15 * max((text.count("\n") + 1 for texts in titles.values() for text in texts), default=2)
    figure = Figure(figsize=(max(1.15 * columns, 2.5), high * len(lines)), layout="constrained")
    axes, names = figure.subplots(len(lines), columns, squeeze=False), shown(rows)
    for panels, (name, at) in zip(axes, lines, strict=True):
        for panel in panels:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        for i, image in enumerate(rows[name][at : at + columns], start=at):
            panels[i - at].imshow(image, interpolation="nearest")
            if name in titles:
                panels[i - at].set_title(titles[name][i], fontsize=7.5)
        panels[0].set_ylabel(names[name], fontsize=9)
    return figure


def filters(weights: np.ndarray, *, columns: int = 16) -> Figure:
    """First-layer kernels [K, KH, KW, C] twice: on one scale for all, and on one scale each."""
    own = np.abs(weights).max(axis=(1, 2, 3))
    panels = {"one scale for all": signed_rgb(weights), "one scale each": signed_rgb(weights, own)}
    rows = -(-len(weights) // columns)
    figure = Figure(figsize=(min(columns, len(weights)) * 0.5, 2 * (rows * 0.5 + 0.5)), layout="constrained")
    for panel, (title, tiles) in zip(figure.subplots(2, 1), panels.items(), strict=True):
        panel.imshow(grid(tiles, columns=min(columns, len(tiles))), interpolation="nearest")
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_axis_off()
    return figure


def heat_map(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str, *, failed: float) -> Figure:
    """A matrix [rows, columns] on a logarithmic scale from 10⁻⁴ to 1; NaN is grey, and `failed` and more is red."""
    figure = Figure(figsize=(1.6 + 0.85 * len(columns), 1.2 + 0.27 * len(rows)), layout="constrained")
    panel = figure.subplots()
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#e6e6e6", over="#d62728")
    scale = LogNorm(1e-4, failed)
    image = panel.imshow(
        np.where(np.isnan(values), np.nan, np.maximum(values, 1e-4)), cmap=colours, norm=scale, aspect="auto"
    )
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            text = "0" if value == 0 else f"{value:.2g}"
            dark = value > 0.03 * failed
            panel.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "black")
    panel.set_xticks(range(len(columns)), ticks(columns), fontsize=8, rotation=30, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(rows)), ticks(rows), fontsize=8)
    figure.colorbar(image, ax=panel, label=label, extend="max", shrink=0.6)
    return figure


def distributions(groups: Mapping[str, Mapping[str, np.ndarray]], label: str) -> Figure:
    """Cumulative shares, one panel per group, one line per class: group -> class -> non-negative values."""
    columns = min(5, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    names = sorted({name for classes in groups.values() for name in classes})
    lines, labels = {}, shown(names)
    for panel, (group, classes) in zip(panels, groups.items(), strict=False):
        for name, values in classes.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            shares = np.linspace(0, 1, len(values))
            (lines[labels[name]],) = panel.step(np.sort(values), shares, color=colour, where="post")
        panel.set_title(ticks([group])[0], fontsize=8)
        panel.set_xscale("symlog", linthresh=0.1)
        panel.set_xlim(left=0)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    legend(figure, lines, loc="outside upper center", ncols=min(6, len(lines)), fontsize=8)
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
        panel.barh(range(len(names)), values, color=COLOURS[i % len(COLOURS)])
        for row, (count, total) in enumerate(counts.values()):
            panel.text(1.02, row, f"{count} of {total}", va="center", fontsize=8)
        panel.set(xlim=(0, 1.3), title=quantity)
        panel.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        panel.set_yticks(range(len(names)), ticks(names), fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    return figure


def ratio_bars(ratios: Mapping[str, Mapping[str, tuple[float, float, float]]], label: str) -> Figure:
    """Horizontal bars around 1 on a logarithmic axis: line -> name -> (ratio, low, high); names may be missing."""
    names = list(dict.fromkeys(name for line in ratios.values() for name in line))
    height = 0.8 / max(len(names), 1)
    figure = Figure(figsize=(7.5, 1.2 + 0.16 * (len(names) + 1) * len(ratios)), layout="constrained")
    panel, bars, labels = figure.subplots(), {}, shown(names)
    for i, name in enumerate(names):
        rows = [row for row, line in enumerate(ratios.values()) if name in line]
        values = np.array([line[name] for line in ratios.values() if name in line])
        # Bars start at 1, so those to the left of it are where `name` is faster. The quartiles of the rounds need not
        # enclose the ratio of medians.
        spread = np.maximum([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0)
        bars[labels[name]] = panel.barh(
            np.array(rows) + (i - (len(names) - 1) / 2) * height,
            values[:, 0] - 1,
            left=1,
            height=height,
            color=COLOURS[i % len(COLOURS)],
            xerr=spread,
            error_kw=dict(linewidth=0.7),
        )
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else range(1, 10)))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_yticks(range(len(ratios)), ticks(ratios, longest=60), fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel(label)
    panel.grid(axis="x", alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    if bars:
        legend(figure, bars, loc="outside upper center", ncols=len(names), fontsize=8)
    return figure


def scaling(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str) -> Figure:
    """Points joined by lines, both axes logarithmic to base 2 and 10: name -> (sizes, values)."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    panel, lines, labels = figure.subplots(), {}, shown(curves)
    for i, (name, (sizes, values)) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        (lines[labels[name]],) = panel.plot(sizes, values, color=colour, marker="o", markersize=4)
    sizes = sorted({size for sizes, _ in curves.values() for size in sizes})
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
    panel.set(xlabel=xlabel, ylabel=ylabel)
    panel.grid(which="both", alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    legend(panel, lines, fontsize=8)
    return figure
