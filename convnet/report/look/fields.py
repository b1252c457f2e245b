"""How much of the image a unit can see, and how much of it counts."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.report import tiles
from convnet.report.look.subject import Look, heat
from convnet.report.page import Section, Tile

WIDTH = 132
"""Of a picture: several pixels for each of the image's, so that a box can be drawn around them."""
BORDER = np.array([0.84, 0.37, 0.0])


def fields(look: Look) -> Section:
    """The theoretical field of a layer's centre unit as a box, and the effective one before and after training."""
    boxes = analysis.receptive_fields(look.view)
    layers = [layer for layer in look.chosen_layers if layer in boxes]
    images, _ = look.held_out(min(20, look.effort.examples)) if look.dataset else (look.images, look.labels)
    table = [
        ["layer", "theoretical field of the centre unit", "effective field, at random", "effective field, trained"]
    ]
    found = {}
    for layer in layers:
        rows, columns = boxes[layer]
        centre = tuple(side // 2 for side in look.view.layers[layer][:2])
        box = analysis.receptive_field_box(boxes[layer], centre)
        row = [layer, Tile(with_box(look.images[0], box), f"Field of {layer} on {look.titles[0]}",
                           f"{rows.size}×{columns.size} pixels, every {rows.jump}", WIDTH)]  # fmt: skip
        for name, view in (("at random", look.at_random), ("trained", look.view)):
            map_ = analysis.effective_receptive_field(view, images, layer)
            found[f"{layer.replace('/', '.')}, {name}"] = map_
            size, (down, across) = analysis.effective_size(map_), analysis.effective_deviation(map_)
            label = f"{size:.1f} pixels wide, deviation {down:.1f}×{across:.1f}"
            shares, alt = np.sqrt(map_ / max(map_.max(), 1e-30)), f"Effective field of {layer}, {name}"
            row.append(heat(shares, alt, label, WIDTH, low=0, high=1))
        table.append(row)
    return Section(
        "Receptive fields",
        table=table,
        caption=f"Effective field: how much the centre unit changes with each pixel, mean over {len(images)} images "
        "(Luo et al., 2016), square root of the share of the largest; its width is the root of the number of pixels "
        "above 4.55 % of the largest, and its deviation is that of the field as a distribution, along rows and along "
        "columns. At random: the same network with the weights it could start from. A wrong "
        "picture: an effective field that reaches beyond the theoretical box.",
        arrays=found,
    )


def with_box(image: np.ndarray, box: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """The image enlarged, with the border of `box`: first and last row, first and last column, inside or outside."""
    pixels = tiles.pixel_rgb(255 * image[None])[0]
    scale = max(round(WIDTH / image.shape[1]), 3)
    large = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    (top, bottom), (left, right) = box
    rows, columns = np.arange(large.shape[0]), np.arange(large.shape[1])

    def within(margin: int) -> np.ndarray:
        down = (rows >= scale * top + margin) & (rows < scale * (bottom + 1) - margin)
        across = (columns >= scale * left + margin) & (columns < scale * (right + 1) - margin)
        return down[:, None] & across

    large[within(0) & ~within(2)] = BORDER
    return large
