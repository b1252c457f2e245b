"""What the network still says where a part of the image is hidden."""

from __future__ import annotations

from collections import Counter

import numpy as np

from convnet import analysis
from convnet.report import tiles
from convnet.report.look.subject import Look, heat, photo, signed
from convnet.report.page import Section, Tile

WIDTH = 120


def occlusion(look: Look) -> Section:
    """The five panels of Zeiler & Fergus' figure 7, a row for each image."""
    stride = max(1, min(look.view.image_shape[:2]) // 32)
    found = analysis.occlusion(look.network, look.images, look.labels, stride=stride)
    table = [["image and window", "total of the strongest map", "what that map sees", "probability of the class",
              "most probable class"]]  # fmt: skip
    projections = None
    if found.layer is not None:
        projections = analysis.backproject_each(look.view, look.images, found.layer, found.unit, rule="deconvnet") \
            if look.has_relu else None  # fmt: skip
    shares = found.grid.per_pixel(found.hidden.probability)
    totals = None if found.layer is None else found.grid.per_pixel(found.hidden.total)
    for i, title in enumerate(look.titles):
        name = look.class_name(look.labels[i])
        table.append([
            photo(_with_window(look.images[i], found.grid.window), f"{title} with a window of grey",
                  f"{title}: {name}", WIDTH),
            "" if totals is None else heat(totals[i], f"{title}: total of the strongest map by what is hidden",
                                           f"{found.layer}:{found.unit[i]}, clean {found.clean.total[i]:.3g}", WIDTH),
            "" if projections is None else signed(projections[i], f"{title}: projection of that map",
                                                  f"± {np.abs(projections[i].sum(-1)).max():.2g}", WIDTH),
            heat(shares[i], f"{title}: probability of {name} by what is hidden",
                 f"{shares[i].min():.0%} … {shares[i].max():.0%}, clean {found.clean.probability[i]:.0%}", WIDTH,
                 low=0.0, high=1.0),
            Tile(tiles.class_rgb(found.hidden.predicted[i][None])[0], f"{title}: most probable class by what is hidden",
                 _said(look, found.hidden.predicted[i]), WIDTH),
        ])  # fmt: skip
    rows, columns = found.grid.window
    return Section(
        "Occlusion",
        "A grey window goes over the image, and each pixel shows what is left of the network's opinion while the "
        "pixel is hidden.",
        table=table,
        caption=f"Windows of {rows}×{columns} pixels, stride {found.grid.stride[0]}, filled with the mean of the "
        "training images (Zeiler & Fergus, 2014, figure 7). Second to fourth column: mean over the windows that hide "
        "the pixel, dark is low; probabilities from 0 to 1. Last column: a colour for each class, by the place of the "
        "window. A wrong picture: a map that is dark where the image is empty, or the same for all images.",
        arrays={"probability": found.hidden.probability, "predicted": found.hidden.predicted,
                "logit_drop": found.logit_drop, **({} if totals is None else {"total": found.hidden.total})},
    )  # fmt: skip


def _with_window(image: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """The image with the first window in grey, to show how large it is."""
    shown = image.copy()
    shown[: window[0], : window[1]] = 0.5
    return shown


def _said(look: Look, predicted: np.ndarray) -> str:
    """The classes, most frequent first, at most three."""
    counts = Counter(map(int, predicted.ravel())).most_common(3)
    return ", ".join(f"{look.class_name(label)} {count / predicted.size:.0%}" for label, count in counts)
