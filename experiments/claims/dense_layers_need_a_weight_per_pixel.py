"""How many weights, how much arithmetic and memory do dense and convolutional layers need on large images?

    python experiments/claims/dense_layers_need_a_weight_per_pixel.py        5 seconds

With conditions: a megapixel and 1,000 units make 10⁹ weights, for which XLA plans 4.01 GB, and 100×100×3 with 100 units
3,000,000; 100 filters of 10×10 have 10,000 on images of any size. What they save is weights: on a megapixel they take
ten times as many multiply-adds as the dense layer, and their maps fill 400 MB.
"""

import sys
import time
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from convnet import models
from convnet.architectures.layers import Conv, Dense, Flatten
from convnet.architectures.shapes import cost
from convnet.claims import Claim, Effort, Evidence, at_least, at_most, run_claim, within
from convnet.report import Picture, Section, figures

CLAIM = Claim(
    number=4,
    title="A dense layer needs a weight for every pixel and unit",
    says="An image of 10⁶ pixels and 1,000 hidden units make 10⁹ weights, and one of 100×100×3 with 100 units "
    "3,000,000; a convolution needs the same few on images of any size, and less arithmetic for each value.",
    source="Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, section 7.1; LeCun et al., "
    "Proceedings of the IEEE 1998, 'Gradient-based learning applied to document recognition', section II",
)
DENSE = "dense, 1,000 units"
LAYERS = {
    DENSE: (Flatten(), Dense("hidden", 1000, bias=False)),
    "100 filters of 10×10": (Conv("maps", 100, 10, bias=False),),
    "32 filters of 3×3": (Conv("maps", 32, 3, bias=False),),
}


def milliseconds(layers, side: int) -> float:
    """Of a forward pass of a grey image, the median of five, all weights 0.01."""
    model, image, times = models.Trunk(layers=layers), jnp.full((1, side, side, 1), 0.01), []
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    weights, apply = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01), shapes), jax.jit(model.apply)
    for _ in range(6):
        start = time.perf_counter()
        jax.block_until_ready(apply(weights, image))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[1:]))


def picture(planned: dict[str, dict[int, int]]) -> Picture:
    sides = np.geomspace(20, 1000, 20).round().astype(int).tolist()
    axes = {"xscale": "log", "yscale": "log", "xlabel": "side of a grey image in pixels"}
    weights, memory = {}, {}
    for name, layers in LAYERS.items():
        costs = [cost(layers, (side, side, 1)) for side in sides]
        weights[name] = sides, [c.weights for c in costs]
        circles = figures.Line(list(planned[name]), list(planned[name].values()), look=figures.CIRCLES)
        memory[name] = [(sides, [c.bytes for c in costs]), circles]
    left = figures.Panel(weights, axes | {"ylabel": "weights"}, legend={})
    right = figures.Panel(memory, axes | {"ylabel": "bytes of weights and results"})
    return Picture(
        "weights and memory", figures.chart([left, right], size=(10, 4)),
        alt="Left, one line rises by four powers of ten while two stay level; right, all rise, the dense one above.",
        caption="Lines: computed. Circles: what XLA plans for a forward pass. If a convolution's weights depended on "
        "the image, its line on the left would rise; on the right it does, by the feature maps.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    planned: dict[str, dict[int, int]] = {name: {} for name in LAYERS}
    sides = effort.pick((50, 100, 200, 500), (20, 40))
    for name, side in [*product(LAYERS, sides), (DENSE, 1000)]:
        planned[name][side] = models.planned_bytes(models.Trunk(layers=LAYERS[name]), (side, side, 1))
    over = [size / cost(LAYERS[n], (side, side, 1)).bytes for n, of in planned.items() for side, size in of.items()]
    full, filters, few = mega = [cost(layers, (1000, 1000, 1)) for layers in LAYERS.values()]
    moved = max(abs(large.weights - cost(LAYERS[name], (100, 100, 1)).weights)
                for name, large in zip(LAYERS, mega, strict=True) if name != DENSE)  # fmt: skip
    coloured = cost((Flatten(), Dense("hidden", 100, bias=False)), (100, 100, 3)).weights
    each = (full.multiply_adds / full.values) / (filters.multiply_adds / filters.values)
    found = [
        *within(1e9, 1e9, {"weights from 1,000×1,000 pixels to 1,000 units": full.weights}),
        *within(3e6, 3e6, {"weights from 100×100×3 to 100 units": coloured}),
        *at_least(1000, {"weights on 1,000×1,000 pixels, dense over 100 filters": full.weights / filters.weights}),
        *at_most(0, {"weights of convolutions on 1,000×1,000 pixels minus those on 100×100": moved}),
        *at_least(1000, {"multiply-adds for each value, dense over 100 filters": each}),
        *at_least(4, {"GB that XLA plans for the dense layer, in float32": planned[DENSE][1000] / 1e9}),
        *at_most(1.05, {"bytes planned over those of weights and results, the most of layers of all sizes": max(over)}),
        *at_least(1, {
            "multiply-adds for the image, dense over 100 filters": full.multiply_adds / filters.multiply_adds,
            "values that come out, and are kept for the gradient, dense over 32 filters of 3×3":
                full.values / few.values,
        }, condition=True),
    ]  # fmt: skip
    rows = [["layer", "weights", "multiply-adds", "values", "MB of weights", "MB of values", f"ms at {sides[-1]}²"]]
    for name, c in zip(LAYERS, mega, strict=True):
        megabytes = [f"{4 * v / 1e6:,.4g}" for v in (c.weights, c.values)]
        rows.append([name, *(f"{v:,}" for v in c), *megabytes, f"{milliseconds(LAYERS[name], sides[-1]):.3g}"])
    text = "What a convolution saves is weights, not results: its feature maps are as large as the image."
    return Evidence(found, [picture(planned)], [Section("One grey image of 1,000×1,000 pixels", table=rows)], text)


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
