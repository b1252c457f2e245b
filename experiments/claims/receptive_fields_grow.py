"""What part of the image does a unit see, how does that grow, and how much of it counts?

    python experiments/claims/receptive_fields_grow.py        60 seconds

The measured field is the theoretical one in all of 40 networks drawn at random, and grows by the formulas. What counts
in it grows as depth to the power of 0.46: from 5 to 40 layers of 3×3 it becomes 14 pixels wider, but its share of the
field's side falls from 79 to 28 %.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convnet import models
from convnet.analysis import View, effective_receptive_field, effective_size, receptive_field_box, receptive_fields
from convnet.analysis.receptive_field import effective_deviation
from convnet.architectures import Table
from convnet.architectures.layers import Activation, Conv, GlobalAvgPool, Layer, Pool
from convnet.claims import Claim, Effort, Evidence, Finding, exact, mean_of, run_claim
from convnet.report import Picture, Section
from convnet.report.figures.panels import bare, colour

CLAIM = Claim(
    number=9,
    title="Units see a small part of the image, which grows with depth",
    says="A unit depends on the pixels of its receptive field only, which grows in proportion to depth with plain "
    "layers, and exponentially with strides, pooling or dilation; what counts in it grows as the root of depth.",
    source="Luo et al., NeurIPS 2016, 'Understanding the effective receptive field in deep convolutional neural "
    "networks'; Araujo et al., Distill 2019, 'Computing receptive fields of convolutional neural networks'; "
    "Yu & Koltun, ICLR 2016, 'Multi-scale context aggregation by dilated convolutions'",
)
ROUNDING = 1e-5
"""Relative, of sums in float32, whose ε is 10⁻⁷, of some hundred terms that are all positive."""


def network(layers: Sequence[Layer], side: int, seed: int | None = None) -> View:
    """On grey images of side×side. seed: of Gaussian weights; None: all weights 1, so that nothing cancels out."""
    scale = {"initializer": "he_normal"} if seed is not None else {"initializer": "constant", "initializer_scale": 1.0}
    model = models.build(Table((*layers, GlobalAvgPool())), num_classes=2, **scale)
    image = np.zeros((1, side, side, 1), np.float32)
    return View.of_module(model, model.init(jax.random.key(seed or 0), image), image.shape[1:])


def measured_field(view: View, layer: str) -> np.ndarray:
    """[H, W]: the slope of the centre position of a layer with each pixel of one image of noise."""
    image = np.random.default_rng(0).uniform(size=(1, *view.image_shape)).astype(np.float32)
    return effective_receptive_field(view, image, layer)


# --- theory against measurement -------------------------------------------------------------------------------------


def drawn_layers(seed: int) -> list[Layer]:
    """Two to four layers of random kernels, strides, dilations and paddings."""
    rng = np.random.default_rng(seed)
    found: list[Layer] = []
    for i in range(rng.integers(2, 5)):
        kernel, stride, dilation = (int(rng.integers(1, high)) for high in (5, 3, 4))
        if rng.random() < 0.25:
            found.append(Pool(f"layer{i}", "avg", max(kernel, 2), stride))
        else:
            found.append(Conv(f"layer{i}", 2, kernel, stride, str(rng.choice(["SAME", "VALID"])), dilation))
    return found


def extent(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first row, first column) and (last row, last column) of the pixels that count at all."""
    found = np.argwhere(field)
    return found.min(axis=0), found.max(axis=0)


def agrees(seed: int, pixels: int = 96) -> bool | None:
    """Whether those are what theory says; None where the field reaches beyond the image."""
    layers = drawn_layers(seed)
    view, name = network(layers, pixels), layers[-1].name
    place = tuple(side // 2 for side in view.layers[name][:2])
    first, last = np.transpose(receptive_field_box(receptive_fields(view)[name], place))
    if first.min() < 0 or last.max() >= pixels:
        return None
    found = extent(measured_field(view, name))
    return bool((found[0] == first).all() and (found[1] == last).all())


def conv(i: int, **options) -> Conv:
    return Conv(f"conv{i}", 1, **options)


FAMILIES = {
    "3×3": lambda depth: [conv(i) for i in range(depth)],
    "5×5": lambda depth: [conv(i, kernel=5) for i in range(depth)],
    "3×3, dilation 2ⁱ": lambda depth: [conv(i, dilation=2**i) for i in range(depth)],
    "3×3, stride 2": lambda depth: [conv(i, stride=2) for i in range(depth)],
    "3×3, then 2×2 pooling": lambda depth: [f for i in range(depth) for f in (conv(i), Pool(f"pool{i}", "avg"))],
}
FORMULAS = {
    "3×3": lambda depth: 2 * depth + 1,
    "5×5": lambda depth: 4 * depth + 1,
    "3×3, dilation 2ⁱ": lambda depth: 2 ** (depth + 1) - 1,
    "3×3, stride 2": lambda depth: 2 ** (depth + 1) - 1,
    "3×3, then 2×2 pooling": lambda depth: 3 * 2**depth - 2,
}


def growth(names: Sequence[str], depth: int) -> tuple[dict[str, np.ndarray], float]:
    """Name -> for depths 1, 2, … the side of the field by formula, by the library and as measured, [depth, 3]; and how
    far deviations are from those of uniform kernels at most, relative."""
    found, worst = {}, 0.0
    for name in names:
        family, sides, variance, jump = FAMILIES[name], [], 0.0, 1
        view = network(family(depth), 128)
        for number in range(1, depth + 1):
            for layer in family(number)[len(family(number - 1)) :]:
                side, stride = (layer.window,) * 2 if isinstance(layer, Pool) else (layer.kernel, layer.stride)
                variance += (jump * getattr(layer, "dilation", 1)) ** 2 * (side**2 - 1) / 12
                jump *= stride
            field = measured_field(view, layer.name)
            first, last = extent(field)
            theory = receptive_fields(view)[layer.name][0].size
            sides.append((FORMULAS[name](number), theory, (last - first).max() + 1))
            worst = max(worst, abs(effective_deviation(field)[0] / np.sqrt(variance) - 1))
        found[name] = np.array(sides)
    return found, worst


def growth_picture(found: dict[str, np.ndarray]) -> Picture:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for i, (name, sides) in enumerate(found.items()):
        depths = np.arange(1, len(sides) + 1)
        axes.plot(depths, sides[:, 0], color=colour(i), label=name)
        axes.plot(depths, sides[:, 2], "o", color=colour(i), markersize=4 + 2 * (len(found) - i), fillstyle="none")
    axes.set(yscale="log", xlabel="layers", ylabel="side of the receptive field in pixels", xticks=depths)
    axes.set_yticks([3, 10, 30, 100], ["3", "10", "30", "100"])
    axes.legend(frameon=False, fontsize=9)
    bare(axes)
    return Picture(
        "growth of receptive fields", figure,
        alt="Straight rising lines for strides, pooling and dilation, flatter and flatter ones for plain layers.",
        caption="Lines: by formula. Circles: from the first to the last pixel with a slope, as measured. Where theory "
        "were wrong, circles would lie off their lines. Stride 2 and dilation 2ⁱ grow alike.",
    )  # fmt: skip


# --- what counts ----------------------------------------------------------------------------------------------------


def effective(seeds: Sequence[int], depths: Sequence[int], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Sides of what counts [seeds, depths], in networks of 3×3 convolutions and ReLUs with random weights; and the
    fields of the last, [depths, H, W]."""
    layers = [f for i in range(max(depths)) for f in (Conv(f"conv{i}", channels), Activation(f"relu{i}"))]
    views = [network(layers, 2 * max(depths) + 1, seed) for seed in seeds]
    fields = np.array([[measured_field(view, f"conv{depth - 1}") for depth in depths] for view in views])
    return np.array([[effective_size(field) for field in of_seed] for of_seed in fields]), fields[-1]


def effective_findings(sizes: np.ndarray, depths: np.ndarray) -> list[Finding]:
    shares = sizes / (2 * depths + 1)
    slopes = np.polyfit(np.log(depths), np.log(sizes).T, 1)[0]
    return [
        Finding(f"side of what counts over that of the field: at {depths[-1]} layers minus at {depths[0]}",
                mean_of(shares[:, -1] - shares[:, 0]), most=0),
        Finding(f"side of what counts at {depths[-1]} layers minus that at {depths[0]}, in pixels",
                mean_of(sizes[:, -1] - sizes[:, 0]), least=0),
        Finding("it grows as depth to the power of ½, within a tenth", mean_of(slopes), least=0.4, most=0.6,
                condition=True),
    ]  # fmt: skip


def effective_picture(fields: np.ndarray, depths: np.ndarray, sizes: np.ndarray) -> Picture:
    figure = Figure(figsize=(2.6 * len(depths), 3), layout="constrained")
    for axes, field, depth, size in zip(figure.subplots(1, len(depths)), fields, depths, sizes.T, strict=True):
        axes.imshow(np.sqrt(field / field.max()), cmap="gray_r", vmin=0, vmax=1)
        corner = len(field) // 2 - depth - 0.5
        axes.add_patch(Rectangle((corner, corner), 2 * depth + 1, 2 * depth + 1, fill=False, color=colour(1)))
        axes.set_title(f"{depth} layers: {2 * depth + 1} pixels wide,\n{size.mean():.1f} count", fontsize=9)
        axes.set(xticks=[], yticks=[])
    return Picture(
        "what counts in a receptive field", figure,
        alt="Grey blobs inside of frames; the deeper the network, the smaller the blob is in its frame.",
        caption="How much one unit changes with each pixel (root of the slope, black: most), in one network of random "
        "3×3 kernels and ReLUs; the frame is the receptive field. Counting: pixels above 4.55 % of the largest slope. "
        "If all pixels counted alike, the frames would be filled.",
        of_images=True,
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    drawn = [found for found in map(agrees, range(effort.pick(40, 3))) if found is not None]
    sides, deviation = growth(list(FAMILIES)[:: effort.pick(1, 3)], effort.pick(5, 2))
    depths = np.array(effort.pick((5, 10, 20, 40), (2, 4)))
    sizes, fields = effective(effort.starts(10), depths, effort.pick(16, 2))
    off = sum(int((found != found[:, :1]).sum()) for found in sides.values())
    measured = np.stack([found[:, 2] for found in sides.values()], axis=1)
    rows = [["layers", *sides], *([str(i), *map(str, row)] for i, row in enumerate(measured, start=1))]
    return Evidence(
        findings=[
            Finding(f"networks, of {len(drawn)} drawn, whose measured field is not the theoretical one",
                    exact(len(drawn) - sum(drawn)), most=0),
            Finding("2L + 1 and 4L + 1 with 3×3 and 5×5 kernels, 2ᴸ⁺¹ − 1 with stride 2 or dilation 2ⁱ, 3·2ᴸ − 2 with "
                    "pooling: sides that differ", exact(off), most=0),
            Finding("deviation of a field of uniform kernels is √(Σ j²(k² − 1) / 12): largest relative difference",
                    exact(deviation), most=ROUNDING),
            *effective_findings(sizes, depths),
        ],
        pictures=[growth_picture(sides), effective_picture(fields, depths, sizes)],
        tables=[Section("Sides of receptive fields, measured", table=rows)],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
