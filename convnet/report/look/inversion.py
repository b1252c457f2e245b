"""What a layer still knows of an image: images that it cannot tell from it."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.report.look.subject import Look, photo
from convnet.report.page import Cell, Section

WEIGHTS = (0.05, 0.5, 5.0)
"""Of the total variation: a tenth of those published, for small images are rougher."""
SHOWN = 2
"""Images."""


def inversion(look: Look) -> Section:
    """For each layer and weight of the total variation, images that the layer takes for the first ones."""
    images = look.images[:SHOWN]
    layers = [*look.chosen_layers, *(["logits"] if "logits" in look.view.layers else [])]
    found = analysis.invert(look.view, images, layers, total_variation=WEIGHTS, steps=look.effort.steps,
                            seeds=(look.seed,))  # fmt: skip
    shown, errors = np.clip(found.images[:, :, :, 0], 0, 1), found.feature_errors[:, :, :, 0]
    compared = len(images) > 1
    if not compared:
        errors = found.relative_errors[:, :, :, 0]
    table: list[list[Cell]] = [["layer", *(f"λ = {w:g}" for _ in images for w in WEIGHTS)]]
    gap = [""] * (len(WEIGHTS) - 1)
    originals = [photo(image, title, title) for image, title in zip(images, look.titles[:SHOWN], strict=True)]
    table.append(["the image", *(cell for original in originals for cell in (original, *gap))])
    for at, layer in enumerate(layers):
        table.append([layer, *(photo(shown[at, i, w], f"{look.titles[i]} from {layer}, λ = {weight:g}",
                                     f"{errors[at, i, w]:.0%}") for i in range(len(images))
                               for w, weight in enumerate(WEIGHTS))])  # fmt: skip
    against = "the length of those asked for"
    if compared:
        against = f"the distance between the two images' ({', '.join(f'{d:.3g}' for d in found.distances)})"
    return Section(
        "Inversion",
        "Images that begin as noise and are changed until a layer answers as it does to the image above. What they "
        "keep is what the layer still knows; what they lose it cannot tell.",
        table=table,
        caption=f"{look.effort.steps} steps downhill with momentum, the step a tenth after half and three quarters of "
        f"them (Mahendran & Vedaldi, 2015), seed {look.seed}; λ weighs the total variation. Below each: how far the "
        f"features are from those asked for, over {against}; the optimiser has failed where that is near 100 %. A "
        "wrong picture: a first layer that does not give the image back at the smallest λ.",
        arrays={layer.replace("/", "."): found.images[at, :, :, 0] for at, layer in enumerate(layers)},
    )
