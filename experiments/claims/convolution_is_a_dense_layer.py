"""Is a convolution a dense layer from which most weights are removed, and the rest shared?

    python experiments/claims/convolution_is_a_dense_layer.py        20 seconds

Yes, exactly. In 30 layers of random shapes, strides and paddings the outputs of the two differ by at most 7e-16 of
the largest, the gradients in the images by 3e-16, and the kernel's gradient differs from the dense layer's, summed over
the entries that are one weight, by 1e-15: rounding.
"""

import sys
from typing import NamedTuple

import jax
import numpy as np

from convnet import HAND
from convnet.claims import Claim, Effort, Evidence, apart, at_most, run_claim
from convnet.ops import windows
from convnet.report import Picture, Section, figures

CLAIM = Claim(
    number=5,
    title="A convolution is a dense layer with weights removed and shared",
    says="A convolution computes what a dense layer would whose matrix is zero except where an output looks, and whose "
    "remaining entries repeat those of the kernel; its gradient is the dense one, summed over the shared entries.",
    source="LeCun et al., Neural Computation 1989, 'Backpropagation applied to handwritten zip code recognition'",
)
ROUNDING = 1e-12  # relative, of sums of some hundred terms in float64, whose ε is 2·10⁻¹⁶


class Case(NamedTuple):
    size: tuple[int, int]
    kernel: tuple[int, int]
    channels: tuple[int, int]
    stride: int
    padding: str


def cases(count: int) -> list[Case]:
    """Layers with images of 5 to 12 pixels a side, drawn with seed 0."""
    rng = np.random.default_rng(0)
    draw = lambda low, high: tuple(map(int, rng.integers(low, high, 2)))  # noqa: E731
    strides, paddings = rng.integers(1, 4, count), rng.choice(["SAME", "VALID"], count)
    return [Case(draw(5, 13), draw(1, 6), draw(1, 5), int(s), str(p)) for s, p in zip(strides, paddings, strict=True)]


def sources(case: Case) -> np.ndarray:
    """Which entry of the kernel, counted from 1, stands in each place of the dense matrix [H·W·C, OH·OW·K]; 0: none."""
    (height, width), (kh, kw), (c, k) = case.size, case.kernel, case.channels
    rows, cols = windows(case.size, case.kernel, stride=case.stride, padding=case.padding)
    matrix = np.zeros((height, width, c, rows.output, cols.output, k), int)
    number = np.arange(1, kh * kw * c * k + 1).reshape(kh, kw, c, k)
    for y, x, u, v in np.ndindex(rows.output, cols.output, kh, kw):
        i, j = y * case.stride + u - rows.lo, x * case.stride + v - cols.lo
        if 0 <= i < height and 0 <= j < width:
            matrix[i, j, :, y, x] = number[u, v]
    return matrix.reshape(height * width * c, -1)


def differences(case: Case, seed: int) -> list[float]:
    """Of outputs, of gradients in the images and in the kernel, relative to those of the convolution."""
    rng, tied = np.random.default_rng(seed), sources(case)
    kernel, images = rng.normal(size=case.kernel + case.channels), rng.normal(size=(3, *case.size, case.channels[0]))
    matrix = np.concatenate([[0.0], kernel.ravel()])[tied]
    y, convolution = jax.vjp(lambda x, w: HAND.conv2d(x, w, stride=case.stride, padding=case.padding), images, kernel)
    flat, layer = jax.vjp(HAND.dense, images.reshape(3, -1), matrix)
    g = rng.normal(size=y.shape)
    (dx, dw), (dflat, dmatrix) = convolution(g), layer(g.reshape(3, -1))
    summed = np.bincount(tied.ravel(), np.asarray(dmatrix).ravel(), minlength=kernel.size + 1)[1:]
    return [apart(np.ravel(b), np.ravel(a)) for a, b in ((y, flat), (dx, dflat), (dw, summed))]


def measure(effort: Effort) -> Evidence:
    drawn, shown = cases(effort.pick(30, 5)), Case((8, 8), (3, 3), (1, 1), 1, "VALID")
    with jax.enable_x64(True):
        worst = np.max([differences(case, seed) for seed, case in enumerate(drawn)], axis=0)
    tied = sources(shown)
    names = ("outputs are equal", "gradients in the images are equal", "kernel's gradient is the dense one, summed")
    weights = {"dense": tied.size, "after removing": np.count_nonzero(tied), "after sharing": tied.max()}
    axes = {"xlabel": "pixel of the image, row by row", "ylabel": "pixel of the feature map"}
    ticks = {"xticks": range(0, 64, 10), "yticks": range(0, 36, 5)}
    matrix = figures.Image(np.where(tied, tied, np.nan).T, colours="turbo", aspect="auto", axes=axes | ticks)
    picture = Picture(
        "a convolution as a matrix", figures.images([[matrix]], size=(8, 5)),
        alt="A matrix that is white but for diagonal bands; each of the nine colours runs along a diagonal.",
        caption=f"A 3×3 kernel on an image of {shown.size[0]}×{shown.size[1]} pixels, written as a dense layer. White "
        "weights are removed; weights of one colour are one number.",
    )  # fmt: skip
    told = [f"{name}: largest relative difference in {len(drawn)} layers" for name in names]
    rows = [["", "weights"], *([name, f"{count:,}"] for name, count in weights.items())]
    findings = at_most(ROUNDING, dict(zip(told, worst, strict=True)))
    return Evidence(findings, [picture], [Section("Weights of that layer", table=rows)])


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
