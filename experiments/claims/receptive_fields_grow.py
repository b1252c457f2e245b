"""What part of the image does a unit see, how does that grow, and how much of it counts?

    python experiments/claims/receptive_fields_grow.py        60 seconds

The measured field is the theoretical one in all of 40 networks drawn at random, and grows by the formulas. What counts
in it grows as depth to the power of 0.46: from 5 to 40 layers of 3×3 it becomes 14 pixels wider, but its share of the
field's side falls from 79 to 28 %.
"""

import sys

import jax
import numpy as np

from convnet import models
from convnet.analysis import View, field_extent, receptive_field_box, receptive_fields
from convnet.analysis.receptive_field import (
    effective_deviation,
    effective_receptive_field,
    effective_size,
    uniform_deviation,
)
from convnet.architectures import Table
from convnet.architectures.layers import Activation, Conv, GlobalAvgPool, Layer, Pool
from convnet.claims import Claim, Effort, Evidence, at_least, at_most, mean_of, run_claim, within
from convnet.report import Picture, Section, figures

CLAIM = Claim(
    number=9,
    title="Units see a small part of the image, which grows with depth",
    says="A unit depends on the pixels of its receptive field only, which grows in proportion to depth with plain "
    "layers, and exponentially with strides, pooling or dilation; what counts in it grows as the root of depth.",
    source="Luo et al., NeurIPS 2016, 'Understanding the effective receptive field in deep convolutional neural "
    "networks'; Araujo et al., Distill 2019, 'Computing receptive fields of convolutional neural networks'; "
    "Yu & Koltun, ICLR 2016, 'Multi-scale context aggregation by dilated convolutions'",
)
ROUNDING = 1e-5  # relative, of sums in float32, whose ε is 10⁻⁷, of some hundred terms that are all positive
FAMILIES = {  # name -> the layers of a step, the side of the field by formula
    "3×3": (lambda i: [Conv(f"conv{i}", 1)], lambda depth: 2 * depth + 1),
    "5×5": (lambda i: [Conv(f"conv{i}", 1, 5)], lambda depth: 4 * depth + 1),
    "3×3, dilation 2ⁱ": (lambda i: [Conv(f"conv{i}", 1, dilation=2**i)], lambda depth: 2 ** (depth + 1) - 1),
    "3×3, stride 2": (lambda i: [Conv(f"conv{i}", 1, stride=2)], lambda depth: 2 ** (depth + 1) - 1),
    "3×3, then 2×2 pooling": (lambda i: [Conv(f"conv{i}", 1), Pool(f"pool{i}", "avg")], lambda depth: 3 * 2**depth - 2),
}


def network(layers: list[Layer], side: int, seed: int | None = None) -> View:
    """On grey images of side×side. seed: of Gaussian weights; None: all weights 1, so that nothing cancels out."""
    scale = {"initializer": "he_normal"} if seed is not None else {"initializer": "constant", "initializer_scale": 1.0}
    model = models.build(Table((*layers, GlobalAvgPool())), num_classes=2, **scale)
    image = np.zeros((1, side, side, 1), np.float32)
    return View.of_module(model, model.init(jax.random.key(seed or 0), image), image.shape[1:])


def measured_field(view: View, layer: str) -> np.ndarray:
    """[H, W]: the slope of the centre position of a layer with each pixel of one image of noise."""
    image = np.random.default_rng(0).uniform(size=(1, *view.image_shape)).astype(np.float32)
    return effective_receptive_field(view, image, layer)


def agrees(seed: int, pixels: int = 96) -> bool | None:
    """Whether the pixels that count, in two to four layers of random kernels, strides, dilations and paddings, are
    those of theory; None where the field reaches beyond the image."""
    rng, layers = np.random.default_rng(seed), []
    for i in range(rng.integers(2, 5)):
        kernel, stride, dilation = (int(rng.integers(1, high)) for high in (5, 3, 4))
        if rng.random() < 0.25:
            layers.append(Pool(f"layer{i}", "avg", max(kernel, 2), stride))
        else:
            layers.append(Conv(f"layer{i}", 2, kernel, stride, str(rng.choice(["SAME", "VALID"])), dilation))
    view, name = network(layers, pixels), layers[-1].name
    place = tuple(side // 2 for side in view.layers[name][:2])
    box = np.transpose(receptive_field_box(receptive_fields(view)[name], place))
    if box.min() < 0 or box.max() >= pixels:
        return None
    return bool((np.array(field_extent(measured_field(view, name))) == box).all())


def growth(name: str, depth: int) -> tuple[np.ndarray, float]:
    """For depths 1, 2, … the side of the field by formula, by the library and as measured, [depth, 3]; and how far
    deviations are from those of uniform kernels at most, relative."""
    (step, formula), layers, sides, worst = FAMILIES[name], [], [], 0.0
    view = network([layer for i in range(depth) for layer in step(i)], 128)
    for number in range(depth):
        layers += step(number)
        field, last = measured_field(view, layers[-1].name), layers[-1].name
        low, high = field_extent(field)
        sides.append((formula(number + 1), receptive_fields(view)[last][0].size, (high - low).max() + 1))
        worst = max(worst, abs(effective_deviation(field)[0] / uniform_deviation(layers) - 1))
    return np.array(sides), worst


def effective(seeds: range, depths: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Sides of what counts [seeds, depths], in networks of 3×3 convolutions and ReLUs with random weights; and the
    fields of the last, [depths, H, W]."""
    layers = [f for i in range(max(depths)) for f in (Conv(f"conv{i}", channels), Activation(f"relu{i}"))]
    views = [network(layers, 2 * max(depths) + 1, seed) for seed in seeds]
    fields = np.array([[measured_field(view, f"conv{depth - 1}") for depth in depths] for view in views])
    return np.array([[effective_size(field) for field in of_seed] for of_seed in fields]), fields[-1]


def pictures(sides: dict[str, np.ndarray], fields: np.ndarray, depths: np.ndarray, sizes: np.ndarray) -> list[Picture]:
    lines, numbers, row = {}, np.arange(1, len(next(iter(sides.values()))) + 1), []
    for i, (name, values) in enumerate(sides.items()):
        circles = figures.CIRCLES | {"markersize": 4 + 2 * (len(sides) - i)}
        lines[name] = [(numbers, values[:, 0]), figures.Line(numbers, values[:, 2], look=circles)]
    axes = {"yscale": "log", "xlabel": "layers", "ylabel": "side of the receptive field in pixels", "xticks": numbers,
            "yticks": [3, 10, 30, 100]}  # fmt: skip
    for field, depth, size in zip(fields, depths, sizes.T, strict=True):
        corner, side = len(field) // 2 - depth - 0.5, 2 * depth + 1
        title = f"{depth} layers: {side} pixels wide,\n{size.mean():.1f} count"
        frame = (corner, corner, side, side)
        row.append(figures.Image(np.sqrt(field / field.max()), title, low=0, high=1, frame=frame))
    return [
        Picture(
            "growth of receptive fields", figures.chart([figures.Panel(lines, axes, legend={})], size=(7, 4)),
            alt="Straight rising lines for strides, pooling and dilation, flatter and flatter ones for plain layers.",
            caption="Lines: by formula. Circles: from the first to the last pixel with a slope, as measured. Where "
            "theory were wrong, circles would lie off their lines. Stride 2 and dilation 2ⁱ grow alike.",
        ),
        Picture(
            "what counts in a receptive field", figures.images([row], size=(2.6 * len(depths), 3)), of_images=True,
            alt="Grey blobs inside of frames; the deeper the network, the smaller the blob is in its frame.",
            caption="How much one unit changes with each pixel (root of the slope, black: most), in one network of "
            "random 3×3 kernels and ReLUs; the frame is the receptive field. Counting: pixels above 4.55 % of the "
            "largest slope. If all pixels counted alike, the frames would be filled.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    drawn = [found for found in map(agrees, range(effort.pick(40, 3))) if found is not None]
    grown = {name: growth(name, effort.pick(5, 2)) for name in list(FAMILIES)[:: effort.pick(1, 3)]}
    sides, depths = {name: found for name, (found, _) in grown.items()}, np.array(effort.pick((5, 10, 20, 40), (2, 4)))
    sizes, fields = effective(effort.starts(10), depths, effort.pick(16, 2))
    shares, slopes = sizes / (2 * depths + 1), np.polyfit(np.log(depths), np.log(sizes).T, 1)[0]
    ends = f"at {depths[-1]} layers minus"
    found = [
        *at_most(0, {
            f"networks, of {len(drawn)} drawn, whose measured field is not the theoretical one": drawn.count(False),
            "2L + 1 and 4L + 1 with 3×3 and 5×5 kernels, 2ᴸ⁺¹ − 1 with stride 2 or dilation 2ⁱ, 3·2ᴸ − 2 with "
            "pooling: sides that differ": sum(int((found != found[:, :1]).sum()) for found in sides.values()),
        }),
        *at_most(ROUNDING, {"deviation of a field of uniform kernels is √(Σ j²(k² − 1) / 12): largest relative "
                            "difference": max(worst for _, worst in grown.values())}),
        *at_most(0, {f"side of what counts over that of the field: {ends} at {depths[0]}":
                     mean_of(shares[:, -1] - shares[:, 0])}),
        *at_least(0, {f"side of what counts {ends} that at {depths[0]}, in pixels":
                      mean_of(sizes[:, -1] - sizes[:, 0])}),
        *within(0.4, 0.6, {"it grows as depth to the power of ½, within a tenth": mean_of(slopes)}, condition=True),
    ]  # fmt: skip
    measured = np.stack([found[:, 2] for found in sides.values()], axis=1)
    rows = [["layers", *sides], *([str(i), *map(str, row)] for i, row in enumerate(measured, start=1))]
    table = Section("Sides of receptive fields, measured", table=rows)
    return Evidence(found, pictures(sides, fields, depths, sizes), [table])


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
