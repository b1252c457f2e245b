"""Does each filter make one map out of all channels, and do filters become edges by training?

    python experiments/claims/filters_make_maps.py        60 seconds

Yes: 20 filters make 20 maps, each the sum over the channels to 10⁻¹⁵. On 5,000 images of CIFAR-10 filters become
oriented (by 0.19 of a measure from 0 to 1; 62 % of them more than 95 % are at the start) and smooth (33 points more of
their energy is in waves of 3 pixels and longer), in eight epochs. Needs CIFAR-10; --quick needs no files.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from skimage import data as photographs

from convnet import HAND, data
from convnet.ablation import Replicates
from convnet.analysis.weights import band_energy, orientation
from convnet.architectures import CNN, shapes
from convnet.architectures.layers import Conv
from convnet.claims import Claim, Effort, Evidence, Finding, exact, mean_of, run_claim
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.recipes import RECIPES
from convnet.report import Picture
from convnet.report.figures.panels import bare, colour
from convnet.report.tiles import grid, heat_rgb, signed_rgb

CLAIM = Claim(
    number=12,
    title="Each filter sums over channels into one map, and becomes an edge",
    says="20 filters on an image of three channels give 20 feature maps, each a sum over the channels; in training, "
    "filters of a first layer become edges and blobs: of one direction, and smooth.",
    source="Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, section 7.4; Krizhevsky, "
    "Sutskever & Hinton, NeurIPS 2012, 'ImageNet classification with deep convolutional neural networks', figure 3",
)
ROUNDING = 1e-12
"""Relative, of sums of some hundred terms in float64."""
FILTERS, SIDE = 20, 5


def maps_findings() -> list[Finding]:
    rng = np.random.default_rng(0)
    images, kernel = rng.normal(size=(4, 32, 32, 3)), rng.normal(size=(SIDE, SIDE, 3, FILTERS))
    with jax.enable_x64(True):
        together = np.asarray(HAND.conv2d(images, kernel))
        channels = [HAND.conv2d(images[..., c : c + 1], kernel[:, :, c : c + 1]) for c in range(3)]
        alone = [HAND.conv2d(images, kernel[..., k : k + 1]) for k in range(FILTERS)]
    size = np.abs(together).max()
    layer = (Conv("conv1", FILTERS, SIDE),)
    return [
        Finding("maps that 20 filters make of three channels", exact(together.shape[-1]), least=FILTERS, most=FILTERS),
        Finding("a map is the sum of what its filter makes of each channel: largest relative difference",
                exact(np.abs(together - sum(map(np.asarray, channels))).max() / size), most=ROUNDING),
        Finding("a map is the same without the other filters: largest relative difference",
                exact(np.abs(together - np.concatenate(alone, axis=-1)).max() / size), most=ROUNDING),
        Finding("weights and biases of 20 filters of 5×5 on three channels, (5·5·3 + 1)·20",
                exact(shapes.count_parameters(layer, (32, 32, 3))), least=1520, most=1520),
    ]  # fmt: skip


def trained_filters(effort: Effort) -> tuple[np.ndarray, np.ndarray]:
    """The first layer's filters [seeds, K, KH, KW, C] at the start and at the end."""
    name = effort.pick("cifar10", "digits")
    recipe = RECIPES[name].runs["cnn"]
    config = RunConfig(
        DataConfig(name, limit=effort.pick(5000, 200), flip=recipe.data.flip),
        CNN(widths=effort.pick((FILTERS, 32), (FILTERS,)), first_kernel=SIDE, stride=2),
        recipe.optim,
        TrainConfig(epochs=effort.pick(8, 1), batch_size=32),
    )
    runs = Replicates(config, data.load(name, limit=config.data.limit))
    found = []
    for each, result in runs.run_all([replace(config, seed=seed) for seed in effort.starts(6)]):
        start = runs.trainer.programs().init(*runs.trainer.inputs([each]))
        found.append([first_filters(start.params), first_filters(result.variables["params"])])
    return tuple(np.swapaxes(found, 0, 1))


def first_filters(params: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(params["conv1"]["kernel"]), -1, 0)


def numbers(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of filters [seeds, K, …]: orientation, and the share of energy in waves of 3 pixels and longer; [seeds, K]."""
    flat = filters.reshape(-1, *filters.shape[2:])
    return tuple(v.reshape(filters.shape[:2]) for v in (orientation(flat), band_energy(flat)[:, :2].sum(axis=1)))


def training_findings(start: np.ndarray, end: np.ndarray) -> list[Finding]:
    (oriented, smooth), (oriented_now, smooth_now) = numbers(start), numbers(end)
    usual = np.quantile(oriented, 0.95)
    return [
        Finding("orientation of a filter, 0 … 1: after training minus before",
                mean_of(oriented_now.mean(axis=1) - oriented.mean(axis=1)), least=0),
        Finding("share of a filter's energy in waves of 3 pixels and longer: after training minus before",
                mean_of(smooth_now.mean(axis=1) - smooth.mean(axis=1)), least=0),
        Finding("share of filters that are more oriented than 95 % are before training",
                mean_of((oriented_now > usual).mean(axis=1)), least=0.5, condition=True),
    ]  # fmt: skip


# --- pictures -------------------------------------------------------------------------------------------------------


def maps_picture(start: np.ndarray, end: np.ndarray) -> Picture:
    """start, end: the filters of one seed, [K, KH, KW, C]."""
    photograph = photographs.astronaut()[0:240:3, 90:330:3] / 255
    image = photograph if end.shape[-1] == 3 else photograph.mean(axis=-1, keepdims=True)
    kernel = np.moveaxis(end, 0, -1).astype(np.float64)
    maps = np.moveaxis(np.asarray(HAND.conv2d(image[None].astype(np.float32), kernel.astype(np.float32)))[0], -1, 0)
    maps = np.stack([(each - each.min()) / (np.ptp(each) + 1e-9) for each in maps[:, 2:-2, 2:-2]])
    own = {name: signed_rgb(each, np.abs(each).max(axis=(1, 2, 3))) for name, each in (("start", start), ("end", end))}
    figure = Figure(figsize=(9, 6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.35))
    for axes, (name, tiles) in zip(above.subplots(1, 2), own.items(), strict=True):
        axes.imshow(grid(tiles, columns=7), interpolation="nearest")
        axes.set_title(f"the {len(tiles)} filters at the {name} of training", fontsize=9)
        axes.set_axis_off()
    left, right = below.subplots(1, 2, width_ratios=(1, 3.4))
    left.imshow(photograph)
    left.set_title("image of 3 channels", fontsize=9)
    right.imshow(grid(heat_rgb(maps, 0, 1), columns=7, gap=3), interpolation="nearest")
    right.set_title(f"{len(maps)} maps", fontsize=9)
    for axes in (left, right):
        axes.set_axis_off()
    return Picture(
        "filters and maps", figure,
        alt="Speckled squares at the start; stripes and blobs of colour at the end; a portrait as each filter sees it.",
        caption="Filters of one seed, each on a scale of its own, and what the trained ones make of scikit-image's "
        "photograph of Eileen Collins, an astronaut. If training did not make edges, the filters on the right would be "
        "as speckled as on the left.",
        of_images=True,
    )  # fmt: skip


def numbers_picture(start: np.ndarray, end: np.ndarray) -> Picture:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for i, (name, filters) in enumerate({"start": start, "end": end}.items()):
        oriented, smooth = numbers(filters)
        axes.scatter(oriented, 100 * smooth, s=14, color=colour(i), alpha=0.7, label=f"{name} of training")
    axes.set(xlabel="orientation: 0 of all directions alike, 1 of one", xlim=(0, 1), ylim=(0, 100))
    axes.set_ylabel("% of energy in waves of 3 pixels and longer")
    axes.legend(frameon=False)
    bare(axes)
    return Picture(
        "filters in numbers", figure,
        alt="A cloud of points for filters at the start of training, and one for those at its end.",
        caption=f"All filters of {len(start)} seeds. Edges lie at the top right, blobs at the top left, noise below. "
        "If training did nothing, the clouds would be one.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    start, end = trained_filters(effort)
    return Evidence(
        findings=[*maps_findings(), *training_findings(start, end)],
        pictures=[maps_picture(start[0], end[0]), numbers_picture(start, end)],
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
