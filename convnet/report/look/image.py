"""One image through the network: the maps that every layer makes of it."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.report import tiles
from convnet.report.look.subject import Look, photo, spread
from convnet.report.page import Picture, Section

COLUMNS = 16
MAPS = 64
"""So many maps of a layer at most."""
DEAD = np.array([0.85, 0.25, 0.25])


def one_image(look: Look) -> Section:
    """Layer by layer, the maps with the largest values first."""
    found = analysis.feature_maps(look.view, look.images[0], spread(tuple(look.maps), 3 * look.effort.layers))
    title = look.titles[0]
    pictures = []
    for layer, maps in found.items():
        shown = min(MAPS, len(maps.units))
        dead = int(maps.dead.sum())
        more = f" of {len(maps.units)}" if shown < len(maps.units) else ""
        pictures.append(Picture(
            f"Maps of {layer}", maps_canvas(maps.maps[:shown], maps.dead[:shown], maps.low, maps.high),
            f"The {shown} maps of {layer} for {title}, largest maximum first",
            f"{layer}: {shown}{more} maps of {maps.maps.shape[1]}×{maps.maps.shape[2]}, largest maximum first, one "
            f"scale for all from {maps.low:.3g} (dark) to {maps.high:.3g}; {dead} dead (framed in red).",
        ))  # fmt: skip
    return Section(
        "One image through the network",
        f"{title}: {look.class_name(look.labels[0])}. Each picture is a layer.",
        table=[["image"], [photo(look.images[0], title, look.class_name(look.labels[0]), 120)]],
        caption="A wrong picture: maps that are all alike, or most of a layer dead.",
        pictures=pictures,
        arrays={layer.replace("/", "."): maps.maps for layer, maps in found.items()},
    )


def maps_canvas(maps: np.ndarray, dead: np.ndarray, low: float, high: float) -> np.ndarray:
    """Maps [K, H, W] as one RGB image, those that are dead in a red frame."""
    framed = np.pad(tiles.heat_rgb(maps, low, high), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
    edge = np.ones(framed.shape[1:3], bool)
    edge[1:-1, 1:-1] = False
    framed[dead[:, None, None] & edge] = DEAD
    return tiles.grid(framed, columns=min(COLUMNS, len(framed)), gap=0)
