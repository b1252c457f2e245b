"""Matplotlib figures of arrays that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from convnet.report.tiles import grid, signed_rgb

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito: safe for colour-blind eyes


def learning_curves(curves: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, str]) -> Figure:
    """One panel per quantity, one colour per model: thin lines are seeds, the thick one is their mean.

    curves: model -> quantity -> [seeds, epochs]; labels: quantity -> axis label, in the order of the panels. A label
    ending in "(log)" gets a logarithmic axis.
    """
    figure = Figure(figsize=(4.4 * len(labels), 3.4), layout="constrained")
    panels = figure.subplots(1, len(labels), squeeze=False)[0]
    for panel, (quantity, label) in zip(panels, labels.items(), strict=True):
        for colour, (model, values) in zip(COLOURS, curves.items(), strict=False):
            epochs = np.arange(1, values[quantity].shape[1] + 1)
            panel.plot(epochs, values[quantity].T, color=colour, alpha=0.3, linewidth=0.8)
            panel.plot(epochs, values[quantity].mean(axis=0), color=colour, linewidth=2, label=model, marker=".")
        if label.endswith("(log)"):
            panel.set_yscale("log")
        panel.set(xlabel="epoch", ylabel=label.removesuffix(" (log)"))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    return figure


def confusion_matrices(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """One matrix [K, K] per model: colour is the share of the true class, numbers are counts, zeros stay empty."""
    figure = Figure(figsize=(4.6 * len(matrices), 4.5), layout="constrained")
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    turned = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if max(map(len, class_names)) > 2 else {}
    for panel, (model, matrix) in zip(panels, matrices.items(), strict=True):
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        # The square root keeps rare confusions visible beside the diagonal.
        panel.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if share[i, j] > 0.4 else "black"
                panel.text(j, i, f"{count}", ha="center", va="center", fontsize=7, color=colour)
        panel.set(title=model, xlabel="predicted", ylabel="true")
        panel.set_xticks(range(len(class_names)), class_names, fontsize=8, **turned)
        panel.set_yticks(range(len(class_names)), class_names, fontsize=8)
    return figure


def labelled_images(rows: Mapping[str, np.ndarray], titles: Mapping[str, Sequence[str]]) -> Figure:
    """Rows of images: row name -> RGB [K, H, W, 3], with titles of the same keys (a missing key: no titles)."""
    columns = max(len(images) for images in rows.values())
    figure = Figure(figsize=(1.15 * columns, 1.45 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for panel in line:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        for i, (panel, image) in enumerate(zip(line, images, strict=False)):
            panel.imshow(image, interpolation="nearest")
            if name in titles:
                panel.set_title(titles[name][i], fontsize=7.5)
        line[0].set_ylabel(name, fontsize=9)
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
