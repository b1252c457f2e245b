"""The weights, as pictures."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.report import tiles
from convnet.report.look.subject import Look, photo, signed
from convnet.report.page import Cell, Picture, Section

COLUMNS = 16
SHOWN = 10
"""Classes."""


def weights(look: Look) -> list[Section]:
    """The first layer's filters where it is a convolution; a linear classifier's templates beside the class means."""
    first = [_filters(look.filters)] if look.filters is not None else []
    return [*first, *([_templates(look)] if look.dataset else [])]


def _filters(found: analysis.FilterStatistics) -> Section:
    order = np.argsort(-found.norms, kind="stable")
    kernels, layer = found.filters[order], found.layer
    own = np.abs(kernels).max(axis=(1, 2, 3))
    count, height, width, _ = kernels.shape
    columns = min(COLUMNS, count)
    pictures = [
        Picture("Filters on one scale", tiles.grid(tiles.signed_rgb(kernels), columns=columns),
                f"The {count} kernels of {layer} on one scale for all",
                f"One scale for all, ± {own.max():.3g}, largest norm first."),
        Picture("Filters on a scale each", tiles.grid(tiles.signed_rgb(kernels, own), columns=columns),
                f"The {count} kernels of {layer}, on one scale each",
                "One scale each: what is only seen here has hardly learned."),
    ]  # fmt: skip
    return Section(
        "Weights",
        f"The {count} kernels of {layer}, {height}×{width} pixels each, zero in the middle of the scale.",
        table=[["", "low", "middle", "high", *([] if found.aliased is None else ["folded by the stride"])],
               ["mean over the filters", *(f"{share:.0%}" for share in found.bands.mean(axis=0)),
                *([] if found.aliased is None else [f"{found.aliased.mean():.0%}"])],
               ["white noise", "9%", "26%", "65%"] + ([] if found.aliased is None else [""])],
        caption=f"Energy by frequency, in three rings of equal width. {int(found.dead.sum())} filters are dead (a "
        f"hundredth of the largest norm at most).{_nearest(found)} A wrong picture: noise without any structure, most "
        "of the energy folded, or many copies of one filter.",
        pictures=pictures,
        arrays={"filters": kernels, "units": order, "norms": found.norms[order], "bands": found.bands[order],
                "cosines": found.cosines[np.ix_(order, order)]},
    )  # fmt: skip


def _nearest(found: analysis.FilterStatistics) -> str:
    if found.alike is None:
        return ""
    one, other, cosine = found.alike
    return f" The two most alike are {found.layer}:{one} and :{other}, cosine {cosine:.2f}."


def _templates(look: Look) -> Section:
    """What a linear classifier looks for, and the mean image of each class."""
    chosen = range(min(SHOWN, len(look.classes)))
    means, found = class_means(look), look.linear_templates
    limit = float(np.abs(found).max())
    rows: list[list[Cell]] = [
        ["", *map(look.class_name, chosen)],
        ["template", *(signed(found[k], f"Linear template of {look.class_name(k)}", limit=limit) for k in chosen)],
        ["mean image", *(photo(means[k], f"Mean training image of {look.class_name(k)}") for k in chosen)],
    ]
    whose = (
        "this network" if look.network.config.model.name == "linear" else "a linear classifier, trained here beside it"
    )
    return Section(
        "Linear templates",
        table=rows,
        caption=f"The weights of {whose}, one template per class: red speaks for the class, blue against it, one "
        f"scale for all, ± {limit:.3g}; channels are added up. Below, the mean training image. A wrong picture: "
        "templates that have nothing of the class means.",
        arrays={"templates": found, "means": means},
    )


def class_means(look: Look) -> np.ndarray:
    """[K, H, W, C] in 0 … 1, NaN for a class without examples."""
    return analysis.class_means(look.data.train, look.data.num_classes) / 255
