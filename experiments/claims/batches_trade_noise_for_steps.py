"""What does the size of a batch decide: how noisy a gradient is, and how fast training gets where it goes?

    python experiments/claims/batches_trade_noise_for_steps.py        40 seconds

The noise falls with the exponent −0.501 (−0.502 to −0.499) before training and −0.49 after it; before, one image's
gradient is off by five times the gradient's length. Where each image is drawn once, it falls faster near the whole set
(−0.54 in all). To 95 % validation accuracy the whole set takes 29 epochs more than batches of 32, and those 7 more than
single images. In seconds the whole set takes 3.7 times as long (3.0 to 4.6). With so small a network single images are
nearly as fast, 1.3 times as slow (1.02 to 1.7), which another or a busy machine may turn round; in two runs on a busy
one it was not decided.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from convnet import HAND, data, models
from convnet.architectures import MLP, Linear
from convnet.claims import Claim, Effort, Evidence, Finding, mean_of, run_claim
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.recipes import RECIPES
from convnet.report import Picture
from convnet.report.figures.panels import bare, colour
from convnet.result import RunResult
from convnet.run import Trainer

CLAIM = Claim(
    number=13,
    title="Small batches trade noise for steps",
    says="The gradient of a batch of B images is off by a noise that falls as 1/√B, so small batches make many cheap "
    "and noisy steps. Per epoch they get further than the whole set at once; per second, batches of moderate size win.",
    source="Bottou, Curtis & Nocedal, SIAM Review 2018, 'Optimization methods for large-scale machine learning'; LeCun "
    "et al., 'Efficient BackProp', 1998",
)
HALF = (-0.55, -0.45)
"""Exponents that count as minus one half."""
SIZES = 2 ** np.arange(10)
MODELS = MLP(widths=(64,)), Linear()
"""The usual one, and a quick run's."""
TARGET = RECIPES["digits"].target
ARMS = {"one image": (1, 0.01, 40), "mini-batch of 32": (32, 0.05, 60), "whole set": ("full", 0.4, 200)}
"""Batch size, learning rate (larger batches bear larger steps: docs/ablations.md), and epochs, enough for TARGET."""


# --- noise ----------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames="model")
def likeness(model: Any, variables: Any, images: Array, labels: Array) -> tuple[Array, Array]:
    """Of the gradients of single images, each less their mean: all inner products [N, N]; and the mean's length."""

    def loss(variables, image, label):
        return HAND.softmax_cross_entropy(model.apply(variables, image[None]), label[None])[0]

    single = jax.vmap(lambda image, label: ravel_pytree(jax.grad(loss)(variables, image, label))[0])(images, labels)
    apart = single - single.mean(axis=0, keepdims=True)
    return apart @ apart.T, jnp.linalg.norm(single.mean(axis=0))


def noise(products: np.ndarray, size: int, rng, count: int, *, again: bool) -> float:
    """Root of the mean squared distance of a batch's gradient from the whole set's. again: whether an image may be
    drawn more than once."""
    n = len(products)
    if again:
        shares = rng.multinomial(size, np.full(n, 1 / n), count) / size
    else:
        shares = (rng.random((count, n)).argsort(axis=1) < size) / size
    return float(np.sqrt(np.mean(np.sum((shares @ products) * shares, axis=1))))


def exponents(curves: np.ndarray) -> np.ndarray:
    """Slopes of log noise over log batch size: [seeds]."""
    return np.polyfit(np.log(SIZES), np.log(curves).T, 1)[0]


def noises(runs: list[RunResult], dataset: Dataset, effort: Effort) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By where and how batches are drawn: noise [seeds, sizes]. And that of one image over the gradient's length in the
    beginning: [seeds]."""
    model, train = models.build(effort.pick(*MODELS), num_classes=10), dataset.train
    images, count = (train.images - dataset.mean) / dataset.std, effort.pick(200, 50)
    start, found, ratio = jax.jit(model.init), {"before training": [], "after training": [], "each image once": []}, []
    for seed, run in enumerate(runs):
        rng = np.random.default_rng(seed)
        places = {"before training": start(jax.random.key(seed), images[:1]), "after training": run.variables}
        for place, variables in places.items():
            products, length = map(np.asarray, likeness(model, variables, images, train.labels))
            found[place].append([noise(products, size, rng, count, again=True) for size in SIZES])
            if place == "before training":
                ratio.append(found[place][-1][0] / length)
                found["each image once"].append([noise(products, size, rng, count, again=False) for size in SIZES])
    return {name: np.array(values) for name, values in found.items()}, np.array(ratio)


def noise_picture(found: dict[str, np.ndarray]) -> Picture:
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for i, (name, curves) in enumerate(found.items()):
        relative = curves / curves[:, :1]
        axes.plot(SIZES, relative.mean(axis=0), marker="os^"[i], color=colour(i), label=name)
    axes.plot(SIZES, SIZES**-0.5, color="black", linestyle=":", label="1/√B")
    axes.set(xscale="log", yscale="log", xlabel="batch size B", ylabel="noise of the gradient, of one image's")
    axes.legend(frameon=False)
    bare(axes)
    return Picture(
        "noise of the gradient", figure,
        alt="On logarithmic axes the noise falls along the straight line of 1/√B; where each image is drawn once, it "
        "falls faster when the batch nears the whole set.",
        caption=f"Root mean square distance of a batch's gradient from that of the whole set, digits, an MLP of 64 "
        f"units, mean of {len(found['before training'])} seeds. If noise did not average out, they would be level.",
    )  # fmt: skip


# --- descent --------------------------------------------------------------------------------------------------------


def trained(dataset: Dataset, effort: Effort) -> dict[str, list[RunResult]]:
    """One run at a time, as they are timed, and the sizes in turn, so that what else the machine does meets all."""
    trainers = {}
    for name, (size, rate, epochs) in ARMS.items():
        optim = OptimConfig("sgd", learning_rate=rate, schedule="constant")
        train = TrainConfig(epochs=effort.pick(epochs, 3), batch_size=size)
        trainers[name] = Trainer(RunConfig(model=effort.pick(*MODELS), optim=optim, train=train), dataset)
    found: dict[str, list[RunResult]] = {name: [] for name in ARMS}
    for seed in effort.starts(10):
        for name, trainer in trainers.items():
            found[name].append(trainer.run(seed))
    return found


def to_target(runs: list[RunResult]) -> tuple[np.ndarray, np.ndarray]:
    """Epochs of training until the validation accuracy first reaches TARGET, and seconds, each epoch counted as the
    run's median one: [seeds] each. A run that never does counts with all that it had, which is too few."""
    epochs = [next((r.epoch for r in run.records if r.validation_accuracy >= TARGET), len(run.records)) for run in runs]
    return np.array(epochs), epochs * np.array([np.median([r.seconds for r in run.records]) for run in runs])


def descent_picture(found: dict[str, list[RunResult]]) -> Picture:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_epoch, by_second = figure.subplots(1, 2, sharey=True)
    for i, (name, runs) in enumerate(found.items()):
        errors = np.array([[100 * (1 - r.validation_accuracy) for r in run.records] for run in runs]).mean(axis=0)
        seconds = np.median([np.cumsum([r.seconds for r in run.records]) for run in runs], axis=0)
        by_epoch.plot(np.arange(1, len(errors) + 1), errors, color=colour(i), label=name)
        by_second.plot(seconds, errors, color=colour(i))
    for panel, label in ((by_epoch, "epoch"), (by_second, "seconds of training")):
        panel.axhline(100 * (1 - TARGET), color="black", linestyle=":", linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel=label)
        panel.set_yticks([4, 5, 10, 20, 50], ["4", "5", "10", "20", "50"])
        panel.set_yticks([], minor=True)
        bare(panel)
    by_epoch.set_ylabel("validation error in %")
    by_epoch.legend(frameon=False)
    return Picture(
        "descent per epoch and per second", figure,
        alt="Two panels of falling error. Per epoch one image at a time is the fastest and the whole set the slowest; "
        "per second the curves are closer.",
        caption=f"Digits, an MLP of 64 units, plain gradient descent, mean of {len(found['whole set'])} seeds; dotted: "
        f"the target, {TARGET:.0%} accuracy. If a batch's size did not matter, the curves would lie on one another.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    dataset = data.load("digits")
    found = trained(dataset, effort)
    curves, ratio = noises(found["mini-batch of 32"], dataset, effort)
    (one, one_s), (mini, mini_s), (full, full_s) = map(to_target, found.values())
    slopes = {name: exponents(values) for name, values in curves.items()}
    percent = f"{TARGET:.0%} validation accuracy"
    return Evidence(
        findings=[
            Finding("noise falls as 1/√B before training: exponent", mean_of(slopes["before training"]), *HALF),
            Finding("and after training: exponent", mean_of(slopes["after training"]), *HALF),
            Finding("one image's gradient is more noise than gradient, before training: ratio", mean_of(ratio),
                    least=1),
            Finding(f"epochs to {percent}: whole set minus mini-batch of 32", mean_of(full - mini), least=0),
            Finding(f"epochs to {percent}: mini-batch minus one image", mean_of(mini - one), least=0),
            Finding(f"seconds to {percent}, log2: whole set over mini-batch", mean_of(np.log2(full_s / mini_s)),
                    least=0),
            Finding(f"seconds to {percent}, log2: one image over mini-batch", mean_of(np.log2(one_s / mini_s)),
                    least=0),
            Finding("noise falls so, too, where each image is drawn once, up to half of the set: exponent",
                    mean_of(slopes["each image once"]), *HALF, condition=True),
        ],
        pictures=[noise_picture(curves), descent_picture(found)],
        text="docs/ablations.md compares them at equal numbers of updates, too, where larger batches win.",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
