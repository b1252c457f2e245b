"""Does each filter make one map out of all channels, and do filters become edges by training?

    python experiments/claims/filters_make_maps.py        60 seconds

Yes: 20 filters make 20 maps, each the sum over the channels to 10⁻¹⁵. On 5,000 images of CIFAR-10 filters become
oriented (by 0.19 of a measure from 0 to 1; 62 % of them more than 95 % are at the start) and smooth (33 points more of
their energy is in waves of 3 pixels and longer), in eight epochs. Needs CIFAR-10; --quick needs no files.
"""

import sys
from dataclasses import replace

import jax
import numpy as np
from skimage import data as photographs

from convnet import HAND, data
from convnet.ablation import Replicates
from convnet.analysis import band_energy, orientation
from convnet.architectures import CNN, shapes
from convnet.architectures.layers import Conv
from convnet.claims import Claim, Effort, Evidence, Finding, apart, at_least, at_most, mean_of, run_claim, within
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.recipes import RECIPES
from convnet.report import Picture, figures
from convnet.report.tiles import grid, heat_rgb, signed_rgb

CLAIM = Claim(
    number=12,
    title="Each filter sums over channels into one map, and becomes an edge",
    says="20 filters on an image of three channels give 20 feature maps, each a sum over the channels; in training, "
    "filters of a first layer become edges and blobs: of one direction, and smooth.",
    source="Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, section 7.4; Krizhevsky, "
    "Sutskever & Hinton, NeurIPS 2012, 'ImageNet classification with deep convolutional neural networks', figure 3",
)
ROUNDING = 1e-12  # relative, of sums of some hundred terms in float64
FILTERS, SIDE = 20, 5


def maps_findings() -> list[Finding]:
    rng = np.random.default_rng(0)
    images, kernel = rng.normal(size=(4, 32, 32, 3)), rng.normal(size=(SIDE, SIDE, 3, FILTERS))
    with jax.enable_x64(True):
        together = np.asarray(HAND.conv2d(images, kernel))
        channels = [np.asarray(HAND.conv2d(images[..., c : c + 1], kernel[:, :, c : c + 1])) for c in range(3)]
        alone = [HAND.conv2d(images, kernel[..., k : k + 1]) for k in range(FILTERS)]
    weights = shapes.count_parameters((Conv("conv1", FILTERS, SIDE),), (32, 32, 3))
    off = "largest relative difference"
    return [
        *within(FILTERS, FILTERS, {"maps that 20 filters make of three channels": together.shape[-1]}),
        *at_most(ROUNDING, {
            f"a map is the sum of what its filter makes of each channel: {off}": apart(sum(channels), together),
            f"a map is the same without the other filters: {off}": apart(np.concatenate(alone, axis=-1), together),
        }),
        *within(1520, 1520, {"weights and biases of 20 filters of 5×5 on three channels, (5·5·3 + 1)·20": weights}),
    ]  # fmt: skip


def trained_filters(effort: Effort) -> np.ndarray:
    """The first layer's filters at the start and at the end: [2, seeds, K, KH, KW, C]."""
    name = effort.pick("cifar10", "digits")
    recipe, found = RECIPES[name].runs["cnn"], []
    settings = DataConfig(name, limit=effort.pick(5000, 200), flip=recipe.data.flip)
    model = CNN(widths=effort.pick((FILTERS, 32), (FILTERS,)), first_kernel=SIDE, stride=2)
    config = RunConfig(settings, model, recipe.optim, TrainConfig(epochs=effort.pick(8, 1), batch_size=32))
    runs = Replicates(config, data.load(name, limit=settings.limit))
    for each, result in runs.run_all([replace(config, seed=seed) for seed in effort.starts(6)]):
        start = runs.trainer.programs().init(*runs.trainer.inputs([each]))
        found.append([params["conv1"]["kernel"] for params in (start.params, result.variables["params"])])
    return np.moveaxis(np.swapaxes(found, 0, 1), -1, 2)


def numbers(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of filters [seeds, K, …]: orientation, and the share of energy in waves of 3 pixels and longer; [seeds, K]."""
    flat = filters.reshape(-1, *filters.shape[2:])
    return tuple(v.reshape(filters.shape[:2]) for v in (orientation(flat), band_energy(flat)[:, :2].sum(axis=1)))


def pictures(start: np.ndarray, end: np.ndarray) -> list[Picture]:
    photograph = photographs.astronaut()[0:240:3, 90:330:3] / 255
    image = photograph if end.shape[-1] == 3 else photograph.mean(axis=-1, keepdims=True)
    kernel = np.moveaxis(end[0], 0, -1).astype(np.float64)
    maps = np.moveaxis(np.asarray(HAND.conv2d(image[None].astype(np.float32), kernel.astype(np.float32)))[0], -1, 0)
    maps = np.stack([(each - each.min()) / (np.ptp(each) + 1e-9) for each in maps[:, 2:-2, 2:-2]])
    filters = [
        figures.Image(grid(signed_rgb(each, np.abs(each).max(axis=(1, 2, 3))), columns=7),
                      f"the {len(each)} filters at the {name} of training", framed=False)
        for name, each in (("start", start[0]), ("end", end[0]))
    ]  # fmt: skip
    seen = [
        figures.Image(photograph, "image of 3 channels", framed=False),
        figures.Image(grid(heat_rgb(maps, 0, 1), columns=7, gap=3), f"{len(maps)} maps", framed=False),
    ]
    look, clouds = figures.POINTS | {"alpha": 0.7}, {}
    for name, each in (("start", start), ("end", end)):
        oriented, smooth = numbers(each)
        clouds[f"{name} of training"] = figures.Line(oriented.ravel(), 100 * smooth.ravel(), look=look)
    axes = {"xlabel": "orientation: 0 of all directions alike, 1 of one", "xlim": (0, 1), "ylim": (0, 100),
            "ylabel": "% of energy in waves of 3 pixels and longer"}  # fmt: skip
    mosaic = figures.images([filters, seen], size=(9, 6), widths=[(1, 1), (1, 3.4)], heights=(1, 1.35))
    return [
        Picture(
            "filters and maps", mosaic, of_images=True,
            alt="Speckled squares at the start; stripes and blobs of colour at the end; a portrait as each filter sees "
            "it.",
            caption="Filters of one seed, each on a scale of its own, and what the trained ones make of scikit-image's "
            "photograph of Eileen Collins, an astronaut. If training did not make edges, the filters on the right "
            "would be as speckled as on the left.",
        ),
        Picture(
            "filters in numbers", figures.chart([figures.Panel(clouds, axes, legend={})], size=(6, 4)),
            alt="A cloud of points for filters at the start of training, and one for those at its end.",
            caption=f"All filters of {len(start)} seeds. Edges lie at the top right, blobs at the top left, noise "
            "below. If training did nothing, the clouds would be one.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    start, end = trained_filters(effort)
    (oriented, smooth), (oriented_now, smooth_now) = numbers(start), numbers(end)
    more = (oriented_now > np.quantile(oriented, 0.95)).mean(axis=1)
    rise = lambda before, after: mean_of(after.mean(axis=1) - before.mean(axis=1))  # noqa: E731
    training = at_least(0, {
        "orientation of a filter, 0 … 1: after training minus before": rise(oriented, oriented_now),
        "share of a filter's energy in waves of 3 pixels and longer: after training minus before":
            rise(smooth, smooth_now),
    }) + at_least(0.5, {
        "share of filters that are more oriented than 95 % are before training": mean_of(more),
    }, condition=True)  # fmt: skip
    return Evidence([*maps_findings(), *training], pictures(start, end))


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
