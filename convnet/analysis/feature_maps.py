"""One image on its way through a network: the maps of each layer, those that answer most first.

for layer, found in feature_maps(network, image).items():
    found.maps, found.units, found.dead         # [K, H', W'], [K], [K]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from convnet.analysis.view import View
from convnet.settings import require
from convnet.trained import Trained


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The K maps of a layer for one image, sorted by their maximum, the largest first.

    maps: [K, H', W']. units: int [K], their channels; of equal maxima the lower channel comes first. dead: bool [K],
    a map of one value: zeros after a relu that opens nowhere, say (a map of one place: zero). low, high: what all maps
    of the layer are drawn between: its least and largest value, and always 0.
    """

    layer: str
    maps: np.ndarray
    units: np.ndarray
    dead: np.ndarray
    low: float
    high: float


def feature_maps(network: Trained | View, image: Any, layers: Iterable[str] | None = None) -> dict[str, FeatureMaps]:
    """The maps of each layer for one image, in the order of the network.

    image: [H, W, C], or [H, W] where there is one channel; uint8, or floats from 0 to 1. layers: names; None: all that
    have maps. A map is dead for this image: over a data set see `unit_statistics`.

    Raises ValueError for an image that the network does not take, a layer that does not exist or has no maps, and where
    none has.
    """
    view = View.of(network)
    shapes = view.layers
    with_maps = [name for name, shape in shapes.items() if len(shape) == 3]
    if not with_maps:
        raise ValueError(f"network has layers {', '.join(shapes)}: expected one with maps [H, W, K]")
    names = with_maps if layers is None else list(layers)
    for name in names:
        require(name in with_maps, "layer", name, f"one with maps: {', '.join(with_maps)}")
    with view.precision():
        results = _results(view, view.images(np.asarray(image)[None]))
        return {name: _sorted(name, np.asarray(results[name][0])) for name in names}


@jax.jit
def _results(view: View, images: Array) -> dict[str, Array]:
    return view.results(images)


def _sorted(layer: str, values: np.ndarray) -> FeatureMaps:
    """values: [H', W', K]."""
    values = values.astype(np.promote_types(values.dtype, np.float32))
    low, high = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    units = np.argsort(-high, kind="stable").astype(np.int32)
    dead = (low == high) & ((high == 0) | (values[..., 0].size > 1))
    maps = np.moveaxis(values, -1, 0)[units]
    return FeatureMaps(layer, maps, units, dead[units], min(float(low.min()), 0.0), max(float(high.max()), 0.0))
