"""Does a convolutional network know a digit again that has moved, and find one anywhere in a large image?

    python experiments/claims/convolutions_follow_shifts.py        90 seconds

With conditions: a convolution follows a shift exactly, and with stride 2 only a shift of 2. Where digits moved by 2
pixels, CNNs are 22 (dense head) to 50 points (global average) more accurate than an MLP, but with pooling shifts that
are no multiple of its stride still cost up to 38 points; without, they cost 7 of 55. A detector trained on windows of
8×8 finds the digit in 96 % of canvases of 96×96 full of fragments.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convnet import HAND, data, models
from convnet.ablation import Replicates
from convnet.analysis import View
from convnet.architectures import CNN, Own, Table
from convnet.architectures.layers import Activation, Conv, Flatten
from convnet.claims import Claim, Effort, Evidence, Finding, counted, exact, mean_of, run_claim
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset, Split
from convnet.recipes import RECIPES
from convnet.report import Picture, figures
from convnet.run import Trainer
from convnet.task import Facts, make_task
from convnet.trained import Trained

CLAIM = Claim(
    number=8,
    title="Convolutions follow what moves",
    says="A convolution of a shifted image is the shifted convolution of the image, up to borders and strides; so a "
    "convolutional network knows a digit again where a dense one does not, and slides over any image as a detector.",
    source="LeCun et al., Proceedings of the IEEE 1998, 'Gradient-based learning applied to document recognition'; "
    "Zhang et al., 'Dive into Deep Learning', Cambridge University Press 2023, section 7.1",
)
ROUNDING = 1e-12
"""Relative, of sums of some hundred terms in float64."""
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
QUICK = {"linear": MODELS["linear"]}
"""A CNN is compiled for the detector already."""


# --- exact shifts ---------------------------------------------------------------------------------------------------


def broken(images: np.ndarray, kernel: np.ndarray, stride: int, shift: int) -> float:
    """How far the map of shifted images is from the nearest shift of their map, away from borders, relative."""
    conv = lambda x: np.asarray(HAND.conv2d(x, kernel, stride=stride))  # noqa: E731
    still, moved = conv(images), conv(np.roll(images, shift, axis=2))
    edge = slice(len(kernel) + shift, -len(kernel) - shift)
    found = [np.abs(np.roll(still, s, axis=2) - moved)[:, edge, edge].max() for s in range(shift + 1)]
    return float(min(found) / np.abs(still).max())


def equivariance(seeds: Sequence[int]) -> list[Finding]:
    found, cases = [], ((1, 1), (1, 3), (2, 2), (2, 1))
    for seed in seeds:
        rng = np.random.default_rng(seed)
        images, kernel = rng.normal(size=(2, 40, 40, 3)), rng.normal(size=(5, 5, 3, 8))
        with jax.enable_x64(True):
            found.append([broken(images, kernel, *case) for case in cases])
    *same, other = np.transpose(found)
    return [
        Finding("shift by 1 or 3, then convolve = convolve, then shift: largest relative difference",
                exact(np.max(same[:2])), most=ROUNDING),
        Finding("at stride 2, a shift of 2 pixels moves the map by 1: largest relative difference",
                exact(same[2].max()), most=ROUNDING),
        Finding("at stride 2, the map of a shift of 1 pixel is no shift of the map: relative difference, on noise",
                mean_of(other, "draws"), least=0.1),
    ]  # fmt: skip


# --- accuracy of what was shifted -----------------------------------------------------------------------------------


def with_margin(split: Split) -> Split:
    border = (MARGIN, MARGIN)
    return Split(np.pad(split.images, ((0, 0), border, border, (0, 0))), split.labels)


def accuracies(model, dataset: Dataset, effort: Effort) -> np.ndarray:
    """[seeds, shifts]: on test images that were shifted by 0, 1, … pixels, mean over the four directions; training
    never shifts."""
    optim = RECIPES["digits"].runs[model.name].optim
    config = RunConfig(model=model, optim=optim, train=TrainConfig(epochs=effort.pick(20, 1), batch_size=32))
    runs, test = Replicates(config, dataset), dataset.test
    found = []
    for _, result in runs.run_all([replace(config, seed=seed) for seed in effort.starts(6)]):
        right = partial(hits_of, runs.trainer.programs().test, result.variables, test)
        hits = [[right(sign * n, axis) for axis in (1, 2) for sign in (-1, 1)] for n in range(MARGIN + 1)]
        found.append(np.mean(hits, axis=1) / len(test))
    return np.array(found)


def hits_of(program, variables, test: Split, shift: int, axis: int) -> int:
    return int(program(variables, {}, np.roll(test.images, shift, axis), test.labels)[0]["hits"])


def compared(found: dict[str, np.ndarray]) -> list[Finding]:
    """Each CNN beside the best that does not convolve, and heads beside each other."""
    without, convolving = [[n for n in found if (n in list(MODELS)[2:]) == kind] for kind in (False, True)]
    pairs = [*((one, without[-1]) for one in convolving), *zip(convolving[1:2], convolving, strict=False)]
    return [
        Finding(f"accuracy at a shift of {AT}: {a} minus {b}", mean_of((found[a] - found[b])[:, AT]), least=0)
        for a, b in pairs
    ]


def kept(found: dict[str, np.ndarray]) -> list[Finding]:
    """What the worst shift costs, of each seed."""
    lost = {name: values[:, 0] - values[:, 1:].min(axis=1) for name, values in found.items() if "global" in name}
    return [
        Finding(f"accuracy that the worst shift costs: {name}", mean_of(cost), most=0.05, condition=True)
        for name, cost in lost.items()
    ]


def accuracy_picture(found: dict[str, np.ndarray]) -> Picture:
    ends = {name: np.transpose([mean_of(column)[:3] for column in 100 * values.T]) for name, values in found.items()}
    curves = {name: {"accuracy": (np.arange(MARGIN + 1), *each)} for name, each in ends.items()}
    figure = figures.bands(curves, {"accuracy": "test accuracy in %"}, "shift of the test images in pixels")
    figure.set_size_inches(7, 4.2)
    seeds = len(next(iter(found.values())))
    return Picture(
        "accuracy of shifted digits", figure,
        alt="Curves of linear, MLP and a CNN with a dense head fall to chance. With a global average they stay high, "
        "with pooling before it only at shifts of 0 and 4.",
        caption=f"Digits of 8×8 pixels in the middle of {SIDE + 2 * MARGIN}×{SIDE + 2 * MARGIN}, trained without "
        f"shifts; mean of four directions, {seeds} seeds, bands are 95 % intervals. If convolutions did not help, all "
        "curves would fall alike.",
    )  # fmt: skip


# --- a detector -----------------------------------------------------------------------------------------------------


def cluttered(digits: np.ndarray, count: int, side: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Canvases [count, side, side, 1] of fragments of digits, in each of which one digit is whole; its places."""
    canvases = np.zeros((count, side, side, 1), np.uint8)
    places = rng.integers(0, side - SIDE + 1, (count, 2))

    def paint(canvas, piece, y, x):
        window = canvas[y : y + len(piece), x : x + piece.shape[1]]
        np.maximum(window, piece, out=window)

    for canvas, place in zip(canvases, places, strict=True):
        for _ in range(side * side // 60):
            h, w = rng.integers(2, 5, 2)
            top, left = rng.integers(0, SIDE + 1 - h), rng.integers(0, SIDE + 1 - w)
            piece = digits[rng.integers(len(digits))][top : top + h, left : left + w]
            paint(canvas, piece, *rng.integers(0, (side - h + 1, side - w + 1)))
        paint(canvas, digits[rng.integers(len(digits))], *place)
    return canvases, places


def crops(canvases: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.stack([c[y : y + SIDE, x : x + SIDE] for c, (y, x) in zip(canvases, places, strict=True)])


def examples(digits: np.ndarray, count: int, rng) -> Dataset:
    """Windows that hold a whole digit, and four times as many that lie elsewhere on the same small canvases."""
    canvases, places = (np.repeat(a, 4, axis=0) for a in cluttered(digits, count, 3 * SIDE, rng))
    others = rng.integers(0, 2 * SIDE + 1, places.shape)
    far = np.abs(others - places).max(axis=1) > NEAR
    images = np.concatenate([crops(canvases[::4], places[::4]), crops(canvases[far], others[far])])
    labels = np.repeat([1, 0], [count, far.sum()])
    return data.from_arrays("digit or clutter", images, labels, class_names=("clutter", "digit"))


def detector(dataset: Dataset, epochs: int) -> Trained:
    optim, train = OptimConfig(learning_rate=0.02, warmup=0.1), TrainConfig(epochs=epochs)
    config = RunConfig(model=Own(label="detector"), optim=optim, train=train)
    task = make_task(config, Facts.of(dataset))
    task = replace(task, model=models.build(Table(DETECTOR), num_classes=2))
    result = Trainer(config, dataset, task=task).run()
    return Trained(task, result.variables, result.best_epoch)


def heat_maps(network: Trained, canvases: np.ndarray) -> np.ndarray:
    """[N, H − 7, W − 7]: the score for a digit in each window; the dense layer is a convolution of 1×1."""
    view = View.of(network, image_shape=canvases.shape[1:])
    logits = network.variables["params"]["logits"]
    kernel, bias = logits["kernel"][None, None], logits["bias"]
    heat = jax.jit(lambda images: HAND.conv2d(view.at("relu2", images), kernel, bias))
    scores = np.concatenate([heat(view.images(chunk)) for chunk in np.split(canvases, len(canvases) // 10)])
    return scores[..., 1] - scores[..., 0]


def waldo(effort: Effort) -> tuple[list[Finding], Picture]:
    rng, digits = np.random.default_rng(0), data.load("digits")
    network = detector(examples(digits.train.images, effort.pick(8000, 300), rng), effort.pick(8, 1))
    side = effort.pick(96, 32)
    canvases, places = cluttered(digits.test.images, effort.pick(300, 10), side, rng)
    heat = heat_maps(network, canvases)
    best = np.stack(np.unravel_index(heat.reshape(len(heat), -1).argmax(axis=1), heat.shape[1:]), axis=1)
    hits = np.abs(best - places).max(axis=1) <= NEAR
    alone = network.logits(crops(canvases, best))
    slid = np.abs(alone[:, 1] - alone[:, 0] - heat.max(axis=(1, 2))).max() / np.abs(heat).max()
    chance = (2 * NEAR + 1) ** 2 / heat[0].size
    findings = [
        Finding("one pass over a canvas gives what the network says of a window alone: largest relative difference",
                exact(slid), most=1e-5),
        Finding(f"the hottest of {heat[0].size:,} windows is the digit, within {NEAR} pixels (guessing: {chance:.2%})",
                counted(hits.sum(), len(hits), "canvases"), least=0.9),
    ]  # fmt: skip
    return findings, waldo_picture(canvases[0, ..., 0], heat[0], best[0], hits.mean())


def waldo_picture(canvas: np.ndarray, heat: np.ndarray, best: np.ndarray, rate: float) -> Picture:
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(canvas, cmap="gray_r", interpolation="nearest")
    left.add_patch(Rectangle(best[::-1] - 0.5, SIDE, SIDE, fill=False, color="#d55e00", linewidth=2))
    left.set_title("canvas, and the hottest window", fontsize=10)
    shown = right.imshow(heat, cmap="inferno", interpolation="nearest")
    right.set_title("score of the window that begins here", fontsize=10)
    figure.colorbar(shown, ax=right, label="logit of a digit − logit of clutter", shrink=0.8)
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    return Picture(
        "where is the digit", figure,
        alt="A field of fragments with one frame around a whole digit, and a dark map with one bright spot there.",
        caption=f"{len(canvas)}×{len(canvas)} pixels of fragments, and one whole digit, of test images that training "
        f"has not seen; of all canvases {rate:.0%} are hits. A network that did not know digits everywhere would have "
        "bright spots all over, or none.",
        of_images=True,
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    digits = data.load("digits")
    centred = replace(digits, name="digits in the middle", **{n: with_margin(s) for n, s in digits.splits.items()})
    found = {name: accuracies(model, centred, effort) for name, model in effort.pick(MODELS, QUICK).items()}
    detections, picture = waldo(effort)
    return Evidence(
        findings=[*equivariance(range(effort.pick(20, 2))), *compared(found), *detections, *kept(found)],
        pictures=[accuracy_picture(found), picture],
        text="A dense head undoes what convolutions keep: it learns where a feature was. Two poolings of stride 2 know "
        "again only what moved by 4 pixels; without them a network keeps what it knows, but learns less as quickly.",
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
