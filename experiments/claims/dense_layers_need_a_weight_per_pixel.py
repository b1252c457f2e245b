"""How many weights, how much arithmetic and memory do dense and convolutional layers need on large images?

    python experiments/claims/dense_layers_need_a_weight_per_pixel.py        5 seconds

With conditions: a megapixel and 1,000 units make 10⁹ weights, for which XLA plans 4.01 GB, and 100×100×3 with 100 units
3,000,000; 100 filters of 10×10 have 10,000 on images of any size. What they save is weights: on a megapixel they take
ten times as many multiply-adds as the dense layer, and their maps fill 400 MB.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from convnet import models
from convnet.architectures import shapes
from convnet.architectures.layers import Conv, Dense, Flatten, Layer
from convnet.claims import Claim, Effort, Evidence, Finding, exact, run_claim
from convnet.report import Picture, Section
from convnet.report.figures.panels import bare, colour

CLAIM = Claim(
    number=4,
    title="A dense layer needs a weight for every pixel and unit",
    says="An image of 10⁶ pixels and 1,000 hidden units make 10⁹ weights, and one of 100×100×3 with 100 units "
    "3,000,000; a convolution needs the same few on images of any size, and less arithmetic for each value.",
    source="Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, section 7.1; LeCun et al., "
    "Proceedings of the IEEE 1998, 'Gradient-based learning applied to document recognition', section II",
)
FLOAT = 4
"""Bytes of a float32."""


def dense(units: int) -> tuple[Layer, ...]:
    return Flatten(), Dense("hidden", units, bias=False)


def conv(filters: int, kernel: int = 10) -> tuple[Layer, ...]:
    return (Conv("maps", filters, kernel, bias=False),)


LAYERS = {"dense, 1,000 units": dense(1000), "100 filters of 10×10": conv(100), "32 filters of 3×3": conv(32, 3)}


class Cost(NamedTuple):
    """Of one image: trained weights, multiply-adds, values that come out."""

    weights: int
    arithmetic: int
    values: int

    @property
    def bytes(self) -> int:
        return FLOAT * (self.weights + self.values)


def cost(layers: Sequence[Layer], shape: tuple[int, int, int]) -> Cost:
    placed = list(shapes.walk(layers, shape))
    arithmetic = sum(map(shapes.multiply_adds, placed))
    return Cost(shapes.count_parameters(layers, shape), arithmetic, prod(placed[-1].output))


class Run(NamedTuple):
    """Bytes that XLA plans for weights, image, results and what it keeps between; and the median seconds of five
    forward passes, NaN where it was compiled only."""

    bytes: int
    seconds: float


def run(layers: Sequence[Layer], side: int, *, only_compiled: bool = False) -> Run:
    """The layers on a grey image of side×side, all weights 0.01."""
    model, image = models.Trunk(layers=tuple(layers)), jax.ShapeDtypeStruct((1, side, side, 1), np.float32)
    held = (jax.eval_shape(model.init, jax.random.key(0), image), image)
    program = jax.jit(model.apply).lower(*held).compile()
    plan = program.memory_analysis()
    planned = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    if only_compiled:
        return Run(planned, np.nan)
    given, times = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), held), []
    for _ in range(6):
        start = time.perf_counter()
        jax.block_until_ready(program(*given))
        times.append(time.perf_counter() - start)
    return Run(planned, float(np.median(times[1:])))


def picture(sides: Sequence[int], ran: dict[str, dict[int, Run]]) -> Picture:
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, layers) in enumerate(LAYERS.items()):
        costs = [cost(layers, (side, side, 1)) for side in sides]
        left.plot(sides, [c.weights for c in costs], color=colour(i), label=name)
        right.plot(sides, [c.bytes for c in costs], color=colour(i))
        right.plot(ran[name].keys(), [r.bytes for r in ran[name].values()], "o", color=colour(i), fillstyle="none")
    left.set(ylabel="weights")
    right.set(ylabel="bytes of weights and results")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="side of a grey image in pixels")
        bare(axes)
    left.legend(frameon=False, fontsize=9)
    return Picture(
        "weights and memory", figure,
        alt="Left, one line rises by four powers of ten while two stay level; right, all rise, the dense one above.",
        caption="Lines: computed. Circles: what XLA plans for a forward pass. If a convolution's weights depended on "
        "the image, its line on the left would rise; on the right it does, by the feature maps.",
    )  # fmt: skip


def findings_of(mega: dict[str, Cost], small: dict[str, Cost], ran: dict[str, dict[int, Run]]) -> list[Finding]:
    full, filters, few = mega.values()
    moved = [abs(mega[name].weights - small[name].weights) for name in list(LAYERS)[1:]]
    colour_weights = cost(dense(100), (100, 100, 3)).weights
    each = (full.arithmetic / full.values) / (filters.arithmetic / filters.values)
    planned = ran[next(iter(LAYERS))][1000].bytes
    over = [run.bytes / cost(LAYERS[name], (side, side, 1)).bytes for name in ran for side, run in ran[name].items()]
    return [
        Finding("weights from 1,000×1,000 pixels to 1,000 units", exact(full.weights), least=1e9, most=1e9),
        Finding("weights from 100×100×3 to 100 units", exact(colour_weights), least=3e6, most=3e6),
        Finding("weights on 1,000×1,000 pixels, dense over 100 filters", exact(full.weights / filters.weights),
                least=1000),
        Finding("weights of convolutions on 1,000×1,000 pixels minus those on 100×100", exact(max(moved)), most=0),
        Finding("multiply-adds for each value, dense over 100 filters", exact(each), least=1000),
        Finding("GB that XLA plans for the dense layer, in float32", exact(planned / 1e9), least=4),
        Finding("bytes planned over those of weights and results, the most of layers of all sizes", exact(max(over)),
                most=1.05),
        Finding("multiply-adds for the image, dense over 100 filters", exact(full.arithmetic / filters.arithmetic),
                least=1, condition=True),
        Finding("values that come out, and are kept for the gradient, dense over 32 filters of 3×3",
                exact(full.values / few.values), least=1, condition=True),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    mega, small = ({name: cost(layers, (side,) * 2 + (1,)) for name, layers in LAYERS.items()} for side in (1000, 100))
    sides = effort.pick((50, 100, 200, 500), (20, 40))
    ran = {name: {side: run(layers, side) for side in sides} for name, layers in LAYERS.items()}
    dense_name, largest = next(iter(LAYERS)), sides[-1]
    ran[dense_name][1000] = run(LAYERS[dense_name], 1000, only_compiled=True)
    rows = [["layer", "weights", "multiply-adds", "values", "MB of weights", "MB of values", f"ms at {largest}²"]]
    for name, c in mega.items():
        numbers = [f"{v:,}" for v in c] + [f"{FLOAT * v / 1e6:,.4g}" for v in (c.weights, c.values)]
        rows.append([name, *numbers, f"{1e3 * ran[name][largest].seconds:.3g}"])
    return Evidence(
        findings=findings_of(mega, small, ran),
        pictures=[picture(np.geomspace(20, 1000, 20).round().astype(int).tolist(), ran)],
        tables=[Section("One grey image of 1,000×1,000 pixels", table=rows)],
        text="What a convolution saves is weights, not results: its feature maps are as large as the image.",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
