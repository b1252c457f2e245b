"""Figures of trained networks: their curves, their confusions, their weights and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from convnet.report.figures.panels import legend_above, matrix_ticks, quantity_panels, stroke, write_cells
from convnet.report.picture import shown, ticks
from convnet.report.tiles import grid, signed_rgb

IMAGES_A_ROW = 12
NUMBERED = 30
"""Up to so many classes the cells of a confusion matrix are wide enough for numbers."""


def learning_curves(curves: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, str]) -> Figure:
    """One panel per quantity, one colour per model: thin lines are seeds, the thick one is their mean.

    curves: model -> quantity -> [seeds, epochs]; labels: as of `quantity_panels`.
    """
    figure, panels = quantity_panels(labels, "epoch", 3.4)
    names, lines = shown(curves), {}
    for quantity, panel in panels.items():
        for i, (model, quantities) in enumerate(curves.items()):
            values, look = quantities[quantity], stroke(i)
            epochs = np.arange(1, values.shape[1] + 1)
            panel.plot(epochs, values.T, alpha=0.3, linewidth=0.8, **look)
            (lines[names[model]],) = panel.plot(epochs, values.mean(axis=0), linewidth=2, marker=".", **look)
    if len(curves) > 1:
        legend_above(figure, lines)
    return figure


def confusion_matrices(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """One matrix [K, K] per model: colour is the share of the true class, numbers are counts, zeros stay empty."""
    classes, names = len(class_names), ticks(class_names)
    side = 4.5 if classes <= NUMBERED else min(0.11 * classes, 16)
    figure = Figure(figsize=((side + 0.1) * len(matrices), side), layout="constrained")
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    angle = 60 if max(map(len, names)) > 2 else 0
    size = float(np.clip(8 * 18 * side / 4.5 / classes, 3, 8))
    for panel, (model, matrix) in zip(panels, matrices.items(), strict=True):
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        # The square root keeps rare confusions visible beside the diagonal.
        panel.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
        if classes <= NUMBERED:
            write_cells(panel, np.where(matrix, matrix.astype(str), ""), share > 0.4, min(7, size))
        panel.set(title=ticks([model])[0], xlabel="predicted", ylabel="true")
        matrix_ticks(panel, names, names, angle=angle, fontsize=size)
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
    figure = Figure(figsize=(max(min(columns, len(weights)) * 0.5, 2), 2 * (rows * 0.5 + 0.5)), layout="constrained")
    for panel, (title, tiles) in zip(figure.subplots(2, 1), panels.items(), strict=True):
        panel.imshow(grid(tiles, columns=min(columns, len(tiles))), interpolation="nearest")
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_axis_off()
    return figure
