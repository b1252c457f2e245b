"""Photographs through the network: what its layers see in them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from convnet import analysis
from convnet.analysis import View
from convnet.data.files import read_photograph
from convnet.report.look.subject import Look, photo, spread
from convnet.report.page import Cell, Section

WIDTH = 320


def dreams(look: Look) -> Section | None:
    """One photograph as layers of several depths dream it; None where the network takes images of its own size only."""
    picture = photograph("china.jpg", look, look.effort.side)
    try:
        trunk = View.of(look.network, image_shape=picture.shape)
    except ValueError:
        return None
    maps = [name for name, shape in trunk.layers.items() if len(shape) == 3]
    layers = spread([name for name in look.candidates if name in maps] or maps, 3)
    row: list[Cell] = [photo(picture, "A photograph of a Chinese temple", "the photograph", WIDTH)]
    found = {}
    for layer in layers:
        dreamt = analysis.deep_dream(look.network, picture[None], layer, iterations=look.effort.iterations,
                                     smooth=0.5, step=0.006, seed=look.seed)  # fmt: skip
        found[layer.replace("/", ".")] = dreamt.images[0]
        row.append(photo(dreamt.images[0], f"The photograph as {layer} dreams it", layer, WIDTH))
    octaves = f"{look.effort.iterations} steps at each of {len(dreamt.sizes)} sizes"
    return Section(
        "Dreams",
        "Each layer changes the photograph so that it sees more of what it sees in it.",
        table=[["", *layers], row],
        caption=f"Deep dream (Mordvintsev et al., 2015): {octaves}, each 1.4 times as large as the one before, up to "
        f"{picture.shape[0]}×{picture.shape[1]} pixels; seed {look.seed}. Larger, and of your own photographs: "
        "experiments/dream.py. A wrong picture: fine "
        "noise of one scale, or the photograph unchanged.",
        arrays=found,
    )


def photograph(name: str, look: Look, longest: int) -> np.ndarray:
    """One of scikit-learn's photographs in the network's colours: float32 [H, W, C] in 0 … 1."""
    with resources.as_file(resources.files("sklearn.datasets.images") / name) as path:
        pixels, _ = read_photograph(Path(path), channels=look.network.image_shape[2], longest=longest)
    return pixels.astype(np.float32) / 255
