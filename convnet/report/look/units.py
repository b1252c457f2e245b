"""Single units: what they weigh, when they answer, to what, and what would excite them most."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.report import tiles
from convnet.report.look.subject import Look, signed, wall
from convnet.report.page import Cell, Section, Tile

TOP = 9
WALL = 3
"""Patches side by side."""


def units(look: Look) -> list[Section]:
    """A section for each layer, a row for each unit."""
    return [_of_layer(look, layer) for layer in look.chosen_layers]


def _of_layer(look: Look, layer: str) -> Section:
    images, labels = look.held_out()
    statistics = analysis.unit_statistics(look.view, images, layer)
    selectivity = analysis.class_selectivity(look.view, images, labels, layer)
    # A unit that hardly ever answers is selective for nothing: by chance, one image is of one class.
    lively = statistics.maximum >= np.median(statistics.maximum) / 2
    chosen = look.chosen_units(layer, lively & ~statistics.dead, selectivity.index)
    rule = "guided" if look.has_relu else "gradient"
    top = analysis.top_patches(look.view, images, layer, chosen, count=TOP, rule=rule)
    seeds = tuple(range(look.seed, look.seed + look.effort.starts))
    maxima = analysis.maximize_units(look.view, layer, chosen, seeds=seeds, steps=look.effort.steps)
    filters = look.first_filters(layer)
    head = ["unit", *(["filter"] if filters is not None else []), f"activations on {len(images):,} test images",
            f"the {TOP} patches that excite it most", "what in them does",
            f"the image that would, {len(seeds)} starts"]  # fmt: skip
    return Section(
        f"Units of {layer}",
        table=[head, *_rows(look, layer, chosen, filters, statistics, selectivity, top, maxima)],
        caption=f"Of {len(statistics.dead)} units, {int(statistics.dead.sum())} are dead; {_caption(look, seeds)}",
        arrays={"units": np.array(chosen), "top_images": top.indices, "activations": top.activations,
                "patches": top.patches, "projections": top.projections, "maximised": maxima.images,
                "histograms": statistics.counts[chosen], "edges": statistics.edges[chosen]},
    )  # fmt: skip


def _rows(look: Look, layer: str, chosen, filters, statistics, selectivity, top, maxima) -> list[list[Cell]]:
    """One for each of the `chosen` units; filters: None where there are none to look at."""
    rows: list[list[Cell]] = []
    for i, unit in enumerate(chosen):
        name, best = f"{layer}:{unit}", int(selectivity.classes[unit])
        index = selectivity.index[unit]
        rows.append([
            f"{name}: class {look.class_name(best)}" + ("" if np.isnan(index) else f" ({index:.2f})"),
            *([signed(filters[unit], f"Filter of {name}")] if filters is not None else []),
            Tile(histogram(statistics.counts[unit]), f"Histogram of the activations of {name}",
                 f"{statistics.minimum[unit]:.2g} … {statistics.maximum[unit]:.2g}, "
                 f"{statistics.zeros[unit]:.0%} zero", 110),
            wall(top.patches[i], f"The {TOP} patches that excite {name} most",
                 f"{top.activations[i, 0]:.2g} … {top.activations[i, -1]:.2g}", columns=WALL),
            Tile(_wall_signed(top.projections[i]), f"What in those patches excites {name}", width=108),
            wall(maxima.images[i], f"Images that would excite {name} most",
                 " · ".join(f"{value:.2g}" for value in maxima.activations[i]), 150, columns=len(maxima.images[i])),
        ])  # fmt: skip
    return rows


def _caption(look: Look, seeds: tuple[int, ...]) -> str:
    shown = "those asked for"
    if not look.units:
        shown = "the most selective of those that reach half of what the median unit does"
    back = "guided back-propagation" if look.has_relu else "the gradient"
    return (
        f"shown are {shown}. After the "
        "name: the class with the largest mean, and the class selectivity index (Morcos et al., 2018), 0 for all "
        "classes alike, 1 for one alone. Histogram: heights are square roots. Patches: the unit's receptive field on "
        "test images, one of each image, the largest first, with the range of activations; light grey lies outside of "
        f"the image. Beside them the same patches by {back}, red for what raises the unit. Last: {look.effort.steps} "
        f"steps of Adam from noise, seeds {seeds[0]} to {seeds[-1]}, and the mean activation that was reached. A "
        "wrong picture: nine patches that have nothing in common, or maximised images below the patches' activation "
        "in a layer of one place."
    )


def _wall_signed(projections: np.ndarray) -> np.ndarray:
    """[K, h, w, C], NaN outside of the image, on one scale."""
    values = projections.sum(axis=-1, keepdims=True)
    shown = tiles.signed_rgb(np.nan_to_num(values))
    shown = np.where(np.isnan(values), tiles.NO_PIXEL / 255, shown)
    return tiles.grid(shown, columns=WALL)


def histogram(counts: np.ndarray, height: int = 28) -> np.ndarray:
    """Counts [bins] as bars of an RGB image [height, 2 · bins, 3]; heights are square roots, so that rare ones show."""
    heights = np.ceil(height * np.sqrt(counts / max(counts.max(), 1)))
    filled = np.arange(height)[::-1, None] < heights
    image = np.where(filled[..., None], np.array([0.0, 0.45, 0.7]), 0.94)
    return np.repeat(image, 2, axis=1)
