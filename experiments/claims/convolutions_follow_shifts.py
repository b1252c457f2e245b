"""Does a convolutional network know a digit again that has moved, and find one anywhere in a large image?

    python experiments/claims/convolutions_follow_shifts.py        90 seconds

With conditions: a convolution follows a shift exactly, and with stride 2 only a shift of 2. Where digits moved by 2
pixels, CNNs are 22 (dense head) to 50 points (global average) more accurate than an MLP, but with pooling shifts that
are no multiple of its stride still cost up to 38 points; without, they cost 7 of 55. A detector trained on windows of
8×8 finds the digit in 96 % of canvases of 96×96 full of fragments.
"""

import sys
from dataclasses import replace

import jax
import numpy as np

from convnet import data
from convnet.analysis.shift_response import equivariance_error
from convnet.analysis.sliding import hottest, slid_logits
from convnet.architectures import CNN, Own
from convnet.architectures.layers import Activation, Conv, Flatten
from convnet.claims import Claim, Effort, Evidence, Finding, at_least, at_most, counted, mean_of, run_claim
from convnet.claims.networks import curve, recipe, shifted_accuracies, trained_table
from convnet.data import Split, cluttered, crops, windows_with_and_without
from convnet.recipes import RECIPES
from convnet.report import Picture, figures

CLAIM = Claim(
    number=8,
    title="Convolutions follow what moves",
    says="A convolution of a shifted image is the shifted convolution of the image, up to borders and strides; so a "
    "convolutional network knows a digit again where a dense one does not, and slides over any image as a detector.",
    source="LeCun et al., Proceedings of the IEEE 1998, 'Gradient-based learning applied to document recognition'; "
    "Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, section 7.1",
)
SIDE, MARGIN, AT, NEAR = 8, 4, 2, 2
"""Pixels: of a digit, of the empty border around it, of the shift that decides, and of a detector that still hits."""
DETECTOR = (
    *(Conv("conv1", 24, 3, padding="VALID"), Activation("relu1")),
    *(Conv("conv2", 64, 6, padding="VALID"), Activation("relu2"), Flatten()),
)
"""Brings a window of 8×8 down to one place."""
MODELS = {
    "linear": RECIPES["digits"].runs["linear"].model,
    "MLP": RECIPES["digits"].runs["mlp"].model,
    "CNN, dense head": CNN(widths=(16, 32)),
    "CNN, global average": CNN(widths=(16, 32), head="global_avg"),
    "CNN, global average, no pooling": CNN(widths=(8, 16), kernel=5, head="global_avg", pool="none"),
}
QUICK = {"linear": MODELS["linear"]}  # A CNN is compiled for the detector already


def equivariance(seeds: range) -> list[Finding]:
    cases, found = ((1, 1), (1, 3), (2, 2), (2, 1)), []
    for rng in map(np.random.default_rng, seeds):
        noise, kernel = rng.normal(size=(2, 40, 40, 3)), rng.normal(size=(5, 5, 3, 8))
        with jax.enable_x64(True):
            found.append([equivariance_error(noise, kernel, stride=stride, shift=shift) for stride, shift in cases])
    once, thrice, same, other = np.transpose(found)
    off = "largest relative difference"
    return [
        *at_most(1e-12, {
            f"shift by 1 or 3, then convolve = convolve, then shift: {off}": max(*once, *thrice),
            f"at stride 2, a shift of 2 pixels moves the map by 1: {off}": max(same),
        }),
        *at_least(0.1, {"at stride 2, the map of a shift of 1 pixel is no shift of the map: relative difference, on "
                        "noise": mean_of(other, "draws")}),
    ]  # fmt: skip


def compared(found: dict[str, np.ndarray]) -> tuple[list[Finding], list[Finding], Picture]:
    """Each CNN beside the best that does not convolve, and heads beside each other; what the worst shift costs, of each
    seed; and the curves."""
    without, convolving = [[n for n in found if n.startswith("CNN") == kind] for kind in (False, True)]
    pairs = [*((one, without[-1]) for one in convolving), *zip(convolving[1:2], convolving, strict=False)]
    better = {f"accuracy at a shift of {AT}: {a} minus {b}": mean_of((found[a] - found[b])[:, AT]) for a, b in pairs}
    cost = {f"accuracy that the worst shift costs: {name}": mean_of(values[:, 0] - values[:, 1:].min(axis=1))
            for name, values in found.items() if "global" in name}  # fmt: skip
    curves = {name: curve(range(MARGIN + 1), 100 * values) for name, values in found.items()}
    axes = {"xlabel": "shift of the test images in pixels", "ylabel": "test accuracy in %", "xticks": range(MARGIN + 1)}
    side, seeds = SIDE + 2 * MARGIN, len(next(iter(found.values())))
    picture = Picture(
        "accuracy of shifted digits", figures.chart([figures.Panel(curves, axes)], size=(7, 4.2), legend_columns=3),
        alt="Curves of linear, MLP and a CNN with a dense head fall to chance. With a global average they stay high, "
        "with pooling before it only at shifts of 0 and 4.",
        caption=f"Digits of 8×8 pixels in the middle of {side}×{side}, trained without shifts; mean of four "
        f"directions, {seeds} seeds, bands are 95 % intervals. If convolutions did not help, all curves would fall "
        "alike.",
    )  # fmt: skip
    return at_least(0, better), at_most(0.05, cost, condition=True), picture


def waldo(effort: Effort) -> tuple[list[Finding], Picture]:
    rng, digits, names = np.random.default_rng(0), data.load("digits"), ("clutter", "digit")
    windows = windows_with_and_without(digits.train.images, effort.pick(8000, 300), rng, near=NEAR, names=names)
    config = recipe(Own(label="detector"), effort.pick(8, 1), rate=0.02, batch_size=64)
    network = trained_table(DETECTOR, windows, config)
    canvases, places = cluttered(digits.test.images, effort.pick(300, 10), effort.pick(96, 32), rng)
    heat = np.diff(slid_logits(network, "relu2", canvases))[..., 0]
    best = hottest(heat)
    hits = np.abs(best - places).max(axis=1) <= NEAR
    alone = network.logits(crops(canvases, best, SIDE))
    slid = np.abs(alone[:, 1] - alone[:, 0] - heat.max(axis=(1, 2))).max() / np.abs(heat).max()
    chance = (2 * NEAR + 1) ** 2 / heat[0].size
    left, top = best[0][::-1] - 0.5
    row = [
        figures.Image(canvases[0, ..., 0], "canvas, and the hottest window", frame=(left, top, SIDE, SIDE)),
        figures.Image(heat[0], "score of the window that begins here", "inferno",
                      scale="logit of a digit − logit of clutter"),
    ]  # fmt: skip
    findings = [
        *at_most(1e-5, {"one pass over a canvas gives what the network says of a window alone: largest relative "
                        "difference": slid}),
        *at_least(0.9, {
            f"the hottest of {heat[0].size:,} windows is the digit, within {NEAR} pixels (guessing: {chance:.2%})":
                counted(hits.sum(), len(hits), "canvases")}),
    ]  # fmt: skip
    return findings, Picture(
        "where is the digit", figures.images([row], size=(9, 4.4)), of_images=True,
        alt="A field of fragments with one frame around a whole digit, and a dark map with one bright spot there.",
        caption=f"{len(canvases[0])}×{len(canvases[0])} pixels of fragments, and one whole digit, of test images that "
        f"training has not seen; of all canvases {hits.mean():.0%} are hits. A network that did not know digits "
        "everywhere would have bright spots all over, or none.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    border = (MARGIN, MARGIN)
    centred = data.load("digits").mapped(lambda s: Split(np.pad(s.images, ((0, 0), border, border, (0, 0))), s.labels))
    found, seeds = {}, effort.starts(6)
    for name, model in effort.pick(MODELS, QUICK).items():  # training never shifts
        config = replace(recipe(model, effort.pick(20, 1)), optim=RECIPES["digits"].runs[model.name].optim)
        found[name] = shifted_accuracies(config, centred, seeds, MARGIN)
    detections, shown = waldo(effort)
    better, kept, curves = compared(found)
    text = (
        "A dense head undoes what convolutions keep: it learns where a feature was. Two poolings of stride 2 know "
        "again only what moved by 4 pixels; without them a network keeps what it knows, but learns less as quickly."
    )
    findings = [*equivariance(range(effort.pick(20, 2))), *better, *detections, *kept]
    return Evidence(findings, [curves, shown], text=text)


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
