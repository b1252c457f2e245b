"""`live.html`: one file that holds a network, what computes it, and what shows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

import jax
import jinja2
import numpy as np
from matplotlib import colormaps

from convnet.analysis import View
from convnet.analysis.grid import Grid
from convnet.record import write_atomically
from convnet.report.live.pen import Pen
from convnet.report.live.preprocess import Preprocess
from convnet.report.live.table import Weights, table
from convnet.settings import require
from convnet.trained import Trained

ENGINE = ("layers.js", "engine.js", "serve.js")
"""What computes, in the page and in its worker."""

SCRIPTS = (
    "reach.js", "maps.js", "explore.js", "pad.js", "pictures.js",
    "page.js", "scores.js", "lenses.js", "inside.js", "draw.js", "start.js",
)  # fmt: skip

WINDOWS_ACROSS = 14
"""About how many windows of the occlusion map there are along the shorter side."""


def write_live_page(path: Path, network: Trained | View, images: Any, labels: Any) -> None:
    """Write `path`: a page, complete in itself, that runs the network on what is drawn there.

    It shows the results of all layers, the scores, the gradient of a class's logit, occlusion and receptive fields, and
    computes them itself, in single precision whatever the model's: forward, and backward to the image.

    images: examples to choose from, [N, H, W, C] in 0 … 1 or uint8, with their labels [N]; N may be 0. What is drawn is
    made to look like them, as thick and as large.

    Raises ValueError, and writes nothing, for a network that the page cannot compute: a module that has no table of
    layers, a layer or an op that is not the library's, a preprocess that does more than crop, scale and shift, one that
    ends in no logits, images of neither one nor three channels; and for examples that are not its images.
    """
    view = View.of(network)
    channels = view.image_shape[2]
    require(channels in (1, 3), "channels", channels, "1 or 3, for what is drawn")
    examples = np.zeros((0, *view.image_shape)) if len(images) == 0 else np.asarray(view.images(images), np.float32)
    named = view.labels(labels, len(examples)).tolist() if len(examples) else []
    weights, preprocess = Weights(), Preprocess.of(view)
    layers = table(view, preprocess, weights)
    described = {
        "title": _title(network),
        "image_shape": view.image_shape,
        "class_names": view.class_names,
        "parameters": _parameters(view),
        "layers": layers,
        "occlusion": _occlusion(view.image_shape) | {"fill": weights.add(preprocess.grey)},
        "pen": asdict(Pen.like(examples)),
        "examples": {"labels": named, "pixels": _base64(np.round(255 * examples).astype(np.uint8))},
        "palettes": {name: _base64(colormaps[name](np.arange(256), bytes=True)) for name in ("viridis", "RdBu_r")},
    }
    write_atomically(Path(path), _page(described, weights))


def _title(network: Trained | View) -> str:
    if isinstance(network, Trained):
        return f"{network.config.model.name} on {network.config.data.name}"
    return type(network.model).__name__


def _parameters(view: View) -> int:
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(view.variables["params"]))


def _occlusion(image_shape: tuple[int, int, int]) -> dict[str, tuple[int, int]]:
    """Windows as `analysis.occlusion` has them, further apart on large images."""
    window = Grid.over(image_shape).window
    stride = max(1, round(min(image_shape[:2]) / WINDOWS_ACROSS))
    grid = Grid.over(image_shape, stride=min(stride, *window))
    return {"window": grid.window, "stride": grid.stride, "counts": grid.counts}


def _base64(values: np.ndarray | bytes) -> str:
    return base64.b64encode(values if isinstance(values, bytes) else values.tobytes()).decode()


def _page(described: dict[str, Any], weights: Weights) -> str:
    folder = resources.files("convnet.report.live")

    def read(names: Iterable[str]) -> str:
        return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(read(["live.html"])).render(
        network=described,
        # In a script element nothing is escaped but what would end it.
        described=json.dumps(described, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        weights=_base64(weights.bytes),
        style=read(["style.css"]),
        engine=read(ENGINE),
        scripts=read(SCRIPTS),
    )
