"""Weights as images, and a first layer's filters in numbers.

Zeiler & Fergus ("Visualizing and understanding convolutional networks", ECCV 2014, section 4.1) saw in AlexNet's first
layer "a mix of extremely high and low frequency information, with little coverage of the mid frequencies", and aliasing
from its stride of 4: `filter_statistics` has both as shares of energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from convnet import models
from convnet.analysis.view import View
from convnet.architectures.layers import Conv
from convnet.data import Split
from convnet.ops.window import Pair, pair
from convnet.settings import require
from convnet.trained import Trained

BANDS = (1 / 6, 1 / 3)
"""Cycles per pixel that divide low, middle and high: waves longer than 6 pixels, than 3, and shorter."""

POINTS = 64
"""Of the discrete Fourier transform along an axis, at least; filters are padded with zeros to so many pixels."""

FIRST = ("whiten", "conv1")
"""What the library's networks call their first convolution."""

DEAD = 0.01
"""Share of the largest norm up to which a filter counts as dead."""


def templates(variables: Any, image_shape: tuple[int, int, int]) -> np.ndarray:
    """The linear classifier's weights as one image per class: [K, H, W, C].

    Raises ValueError where the variables are not those of a linear model on images of that shape.
    """
    params = variables["params"]
    kernel = np.asarray(params["logits"]["kernel"])
    if set(params) != {"logits"} or kernel.shape[0] != np.prod(image_shape):
        raise ValueError(f"variables have layers {sorted(params)}: expected those of a linear model on {image_shape}")
    return kernel.T.reshape(-1, *image_shape)


def first_layer_filters(variables: Any) -> np.ndarray:
    """The first convolution's kernels, those of the largest norm first: [K, KH, KW, C].

    variables: those of a network whose first convolution is called conv1, as in this library, or whiten, before that.
    For any network and in the order of its units: `first_convolution`.

    Raises ValueError where there is no first convolution.
    """
    found = models.flatten(variables)
    kernel = next((found[name] for layer in FIRST for name in _kernels(layer) if name in found), None)
    if kernel is None:
        raise ValueError(f"variables have layers {sorted(variables['params'])}: expected a first convolution, conv1")
    filters = np.moveaxis(np.asarray(kernel), -1, 0)
    return filters[np.argsort(-_norms(filters), kind="stable")]


def class_means(split: Split, num_classes: int) -> np.ndarray:
    """Mean image of each class, in raw pixel units: float32 [K, H, W, C]; NaN for a class without examples."""
    means = np.full((num_classes, *split.images.shape[1:]), np.nan, np.float32)
    for label in np.unique(split.labels):
        means[label] = split.images[split.labels == label].mean(axis=0, dtype=np.float64)
    return means


# --- a first layer's filters in numbers -------------------------------------------------------------------------------


class Likeness(NamedTuple):
    """Two filters, and the cosine of the angle between them."""

    one: int
    other: int
    cosine: float


@dataclass(frozen=True, eq=False)
class FilterStatistics:
    """Of the K filters of the first convolution, in the order of its units.

    layer: its name. filters: [K, KH, KW, C]. norms: [K]. dead: bool [K], at most 1 % of the largest norm.
    bands: [K, 3], the shares of a filter's energy at low, middle and high frequencies, as `band_energy`.
    aliased: [K], the share that the stride folds into other frequencies, as `aliased_energy`; None for a module of
    one's own, whose stride is not known.
    cosines: [K, K]. alike: the two filters of the largest cosine, near 1 where they are nearly the same; parallel:
    those of the largest magnitude of it, which may be opposites. Both are None where there is one filter.
    """

    layer: str
    filters: np.ndarray
    norms: np.ndarray
    dead: np.ndarray
    bands: np.ndarray
    aliased: np.ndarray | None
    cosines: np.ndarray
    alike: Likeness | None
    parallel: Likeness | None


def filter_statistics(network: Trained | View) -> FilterStatistics:
    """Norms, frequencies and likeness of the first convolution's filters.

    Raises ValueError for a network without convolutions, and for weights that are not finite.
    """
    view = View.of(network)
    layer, filters = first_convolution(view)
    norms, cosines = _norms(filters), filter_cosines(filters)
    stride = _stride(view, layer)
    return FilterStatistics(
        layer=layer,
        filters=filters,
        norms=norms,
        dead=norms <= DEAD * norms.max(),
        bands=band_energy(filters),
        aliased=None if stride is None else aliased_energy(filters, stride),
        cosines=cosines,
        alike=_nearest(cosines, cosines),
        parallel=_nearest(cosines, np.abs(cosines)),
    )


def first_convolution(network: Trained | View) -> tuple[str, np.ndarray]:
    """The name of the first layer, in the order of the network, that has a kernel of four axes; and its filters
    [K, KH, KW, C], in the order of its units.

    Raises ValueError where there is none.
    """
    view = View.of(network)
    variables = models.flatten(view.variables)
    for layer in view.layers:
        kernel = next((variables[name] for name in _kernels(layer) if name in variables), None)
        if kernel is not None and np.ndim(kernel) == 4:
            return layer, np.moveaxis(np.asarray(kernel), -1, 0)
    raise ValueError(f"network has layers {', '.join(view.layers)}: expected a convolution, with a kernel of four axes")


def band_energy(filters: np.ndarray, bands: tuple[float, ...] = BANDS, *, points: int | None = None) -> np.ndarray:
    """[K, B + 1]: the shares of a filter's energy in bands of the radial frequency, from low to high; a row adds up to
    1, and is 0 for a filter of zeros.

    filters: [K, KH, KW, C]; the energy |F|² of the 2-D Fourier transform, added up over channels. bands: B rising
    frequencies √(fy² + fx²), in cycles per pixel, that divide the bands; the mean (frequency 0) is in the lowest, the
    corners beyond ½ in the highest. points: of the transform along each axis; None: 64, or four times the filter's side
    where that is more. The filter is padded with zeros to so many, which samples its spectrum finely and adds nothing.
    White noise has 9, 26 and 65 %, as the areas. A filter of k pixels does not tell frequencies apart that are less
    than 1/k away: of a 3×3 mean 55, 34 and 12 % are found.

    Raises ValueError for filters of another rank or that are not finite, bands that do not rise, and too few points.
    """
    filters = _checked(filters)
    rising = len(bands) > 0 and bands[0] > 0 and bool((np.diff(bands) > 0).all())
    require(rising, "bands", bands, "rising frequencies above 0")
    fy, fx, energy = _spectrum(filters, points)
    band = np.digitize(np.hypot(fy, fx), bands)
    return _shares(np.stack([(energy * (band == b)).sum(axis=(1, 2)) for b in range(len(bands) + 1)], axis=1), energy)


def aliased_energy(filters: np.ndarray, stride: Pair, *, points: int | None = None) -> np.ndarray:
    """[K]: the share of a filter's energy at frequencies that a map read in steps of `stride` cannot have: above
    1 / (2·stride) cycles per pixel along rows or columns. Of an image of white noise it is the share of the answer that
    comes out at a wrong frequency.

    filters, points: as of `band_energy`. Raises ValueError as that does, and for a stride below 1.
    """
    rows, columns = pair(stride, "stride")
    fy, fx, energy = _spectrum(_checked(filters), points)
    folded = (np.abs(fy) > 1 / (2 * rows)) | (np.abs(fx) > 1 / (2 * columns))
    return _shares((energy * folded).sum(axis=(1, 2))[:, None], energy)[:, 0]


def folded_share(maps: np.ndarray, stride: int) -> float:
    """Of maps [N, S, S, K], square and read at every place: the share of their variation, without the mean of each, at
    frequencies that a map read in steps of `stride` cannot have. `aliased_energy` is that of the filters alone, as if
    images were white noise; this is of the answers to real ones."""
    window = np.hanning(maps.shape[1] + 2)[1:-1]  # so that the borders of the map are no edges
    maps = (maps - maps.mean(axis=(1, 2), keepdims=True)) * (window[:, None] * window)[:, :, None]
    energy = (np.abs(np.fft.fft2(maps, axes=(1, 2))) ** 2).sum(axis=(0, 3))
    beyond = np.abs(np.fft.fftfreq(len(window))) > 1 / (2 * stride)
    return float(energy[beyond[:, None] | beyond].sum() / energy.sum())


def orientation(filters: np.ndarray, *, points: int | None = None) -> np.ndarray:
    """[K]: how far the energy of a filter lies in one direction, whichever that is: 0 of one that is the same in all, 1
    of a grating. With θ the direction of a frequency f, it is |Σ |F(f)|² e^{2iθ}| / Σ |F(f)|² over f ≠ 0, the length of
    the mean of doubled angles (Mardia & Jupp, "Directional statistics", Wiley 2000); 0 for a filter of zeros.

    filters, points: as of `band_energy`, whose errors it raises. Of three 3×3 filters: a Laplacian of four neighbours
    has 0, Sobel's 0.6, and one of white noise about 0.4.
    """
    fy, fx, energy = _spectrum(_checked(filters), points)
    energy = energy * (np.hypot(fy, fx) > 0)
    doubled = np.exp(2j * np.arctan2(fy, fx))
    doubled = np.where(np.minimum(fy, fx) == -0.5, doubled.real, doubled)  # −½ is ½, too: of both directions
    return np.abs(_shares((energy * doubled).sum(axis=(1, 2))[:, None], energy)[:, 0])


def filter_cosines(filters: np.ndarray) -> np.ndarray:
    """[K, K]: the cosine of the angle between two filters [K, …], 0 where one is zero. Their mean is not taken off.

    Raises ValueError for filters of another rank or that are not finite.
    """
    flat = _checked(filters).reshape(len(filters), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.where(norms > 0, norms, 1)
    return np.clip(unit @ unit.T, -1, 1)


def mean_likeness(filters: np.ndarray) -> float:
    """|cosine| of the angle between a filter [K, …] and the nearest other, mean of all; 0 of a single one."""
    others = np.abs(filter_cosines(filters)) * (1 - np.eye(len(filters)))
    return float(others.max(axis=1).mean())


def _kernels(layer: str) -> tuple[str, str]:
    """Where its kernel may be: among what is trained, or frozen."""
    return f"params/{layer}/kernel", f"batch_stats/{layer}/kernel"


def _stride(view: View, layer: str) -> Pair | None:
    if not hasattr(view.model, "table"):
        return None
    found = {placed.name: placed.layer for placed in view.placed}[layer]
    return found.stride if isinstance(found, Conv) else None


def _nearest(cosines: np.ndarray, score: np.ndarray) -> Likeness | None:
    if len(cosines) < 2:
        return None
    rows, columns = np.triu_indices(len(cosines), 1)
    best = int(score[rows, columns].argmax())
    one, other = int(rows[best]), int(columns[best])
    return Likeness(one, other, float(cosines[one, other]))


def _spectrum(filters: np.ndarray, points: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies [PY, 1] and [1, PX] in cycles per pixel, and energy [K, PY, PX] at each."""
    sides = filters.shape[1:3]
    counts = [max(POINTS, 4 * side) for side in sides] if points is None else [points] * 2
    require(all(n >= side for n, side in zip(counts, sides, strict=True)), "points", points, f"{max(sides)} or more")
    energy = (np.abs(np.fft.fft2(filters, s=counts, axes=(1, 2))) ** 2).sum(axis=-1)
    fy, fx = (np.fft.fftfreq(count) for count in counts)
    return fy[:, None], fx[None], energy


def _shares(parts: np.ndarray, energy: np.ndarray) -> np.ndarray:
    total = energy.sum(axis=(1, 2))[:, None]
    return parts / np.where(total > 0, total, 1)


def _norms(filters: np.ndarray) -> np.ndarray:
    return np.sqrt((filters.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))


def _checked(filters: np.ndarray) -> np.ndarray:
    filters = np.asarray(filters, np.float64)
    if filters.ndim != 4 or not filters.size:
        raise ValueError(f"filters have shape {list(filters.shape)}: expected [K, KH, KW, C], none of them 0")
    if not np.isfinite(filters).all():
        raise ValueError("filters hold what is no finite number: expected finite ones")
    return filters
