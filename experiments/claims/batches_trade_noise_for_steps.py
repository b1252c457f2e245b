"""What does the size of a batch decide: how noisy a gradient is, and how fast training gets where it goes?

    python experiments/claims/batches_trade_noise_for_steps.py        40 seconds

The noise falls with the exponent −0.501 (−0.502 to −0.499) before training and −0.49 after it; before, one image's
gradient is off by five times the gradient's length. Where each image is drawn once, it falls faster near the whole set
(−0.54 in all). To 95 % validation accuracy the whole set takes 29 epochs more than batches of 32, and those 7 more than
single images. In seconds the whole set takes 3.7 times as long (3.0 to 4.6). With so small a network single images are
nearly as fast, 1.3 times as slow (1.02 to 1.7), which another or a busy machine may turn round; in two runs on a busy
one it was not decided.
"""

import sys

import jax
import numpy as np

from convnet import data, models
from convnet.analysis import batch_noise, gradient_products
from convnet.architectures import MLP, Linear
from convnet.claims import Claim, Effort, Evidence, at_least, mean_of, run_claim, within
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.recipes import RECIPES
from convnet.report import Picture, figures
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
HALF = (-0.55, -0.45)  # exponents that count as minus one half
SIZES = 2 ** np.arange(10)
MODELS = MLP(widths=(64,)), Linear()  # the usual one, and a quick run's
TARGET = RECIPES["digits"].target
ARMS = {"one image": (1, 0.01, 40), "mini-batch of 32": (32, 0.05, 60), "whole set": ("full", 0.4, 200)}
"""Batch size, learning rate (larger batches bear larger steps: docs/ablations.md), and epochs, enough for TARGET."""
BEFORE, AFTER, ONCE = "before training", "after training", "each image once"


def noises(runs: list[RunResult], dataset: Dataset, effort: Effort) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By where and how batches are drawn: noise [seeds, sizes]. And that of one image over the gradient's length in the
    beginning: [seeds]."""
    model, train, found, ratio = models.build(effort.pick(*MODELS), num_classes=10), dataset.train, {}, []
    images, start, count = (train.images - dataset.mean) / dataset.std, jax.jit(model.init), effort.pick(200, 50)
    for seed, run in enumerate(runs):
        rng = np.random.default_rng(seed)
        for place, variables in ((BEFORE, start(jax.random.key(seed), images[:1])), (AFTER, run.variables)):
            products, length = map(np.asarray, gradient_products(model, variables, images, train.labels))
            for name in [place, *([ONCE] if place == BEFORE else [])]:
                curve = [batch_noise(products, size, rng, count=count, again=name != ONCE) for size in SIZES]
                found.setdefault(name, []).append(curve)
                ratio += [curve[0] / length] if name == BEFORE else []
    return {name: np.array(found[name]) for name in (BEFORE, AFTER, ONCE)}, np.array(ratio)


def trained(dataset: Dataset, effort: Effort) -> dict[str, list[RunResult]]:
    """One run at a time, as they are timed, and the sizes in turn, so that what else the machine does meets all."""
    trainers, found = {}, {name: [] for name in ARMS}
    for name, (size, rate, epochs) in ARMS.items():
        optim = OptimConfig("sgd", learning_rate=rate, schedule="constant")
        train = TrainConfig(epochs=effort.pick(epochs, 3), batch_size=size)
        trainers[name] = Trainer(RunConfig(model=effort.pick(*MODELS), optim=optim, train=train), dataset)
    for seed in effort.starts(10):
        for name, trainer in trainers.items():
            found[name].append(trainer.run(seed))
    return found


def to_target(runs: list[RunResult]) -> tuple[np.ndarray, np.ndarray]:
    """Epochs of training until the validation accuracy first reaches TARGET, and seconds, each epoch counted as the
    run's median one: [seeds] each. A run that never does counts with all that it had, which is too few."""
    epochs = [next((r.epoch for r in run.records if r.validation_accuracy >= TARGET), len(run.records)) for run in runs]
    return np.array(epochs), epochs * np.array([np.median([r.seconds for r in run.records]) for run in runs])


def pictures(curves: dict[str, np.ndarray], found: dict[str, list[RunResult]]) -> list[Picture]:
    lines = {name: figures.Line(SIZES, (of / of[:, :1]).mean(axis=0), look={"marker": mark})
             for (name, of), mark in zip(curves.items(), "os^", strict=True)}  # fmt: skip
    lines["1/√B"] = figures.Line(SIZES, SIZES**-0.5, look={"color": "black", "linestyle": ":"})
    logarithmic = {"xscale": "log", "yscale": "log"}
    axes = logarithmic | {"xlabel": "batch size B", "ylabel": "noise of the gradient, of one image's"}
    by_epoch, by_second = {}, {}
    for name, runs in found.items():
        errors = np.array([[100 * (1 - r.validation_accuracy) for r in run.records] for run in runs]).mean(axis=0)
        by_epoch[name] = np.arange(1, len(errors) + 1), errors
        by_second[name] = np.median([np.cumsum([r.seconds for r in run.records]) for run in runs], axis=0), errors
    logarithmic |= {"yticks": [4, 5, 10, 20, 50]}
    left = figures.Panel(by_epoch, logarithmic | {"xlabel": "epoch", "ylabel": "validation error in %"},
                         level=100 * (1 - TARGET), legend={})  # fmt: skip
    right = figures.Panel(by_second, logarithmic | {"xlabel": "seconds of training"}, level=100 * (1 - TARGET))
    return [
        Picture(
            "noise of the gradient", figures.chart([figures.Panel(lines, axes, legend={})], size=(6.5, 4)),
            alt="On logarithmic axes the noise falls along the straight line of 1/√B; where each image is drawn once, "
            "it falls faster when the batch nears the whole set.",
            caption="Root mean square distance of a batch's gradient from that of the whole set, digits, an MLP of 64 "
            f"units, mean of {len(curves[BEFORE])} seeds. If noise did not average out, they would be level.",
        ),
        Picture(
            "descent per epoch and per second", figures.chart([left, right], size=(9, 3.6), share=True),
            alt="Two panels of falling error. Per epoch one image at a time is the fastest and the whole set the "
            "slowest; per second the curves are closer.",
            caption=f"Digits, an MLP of 64 units, plain gradient descent, mean of {len(found['whole set'])} seeds; "
            f"dotted: the target, {TARGET:.0%} accuracy. If a batch's size did not matter, the curves would lie on one "
            "another.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    dataset = data.load("digits")
    found = trained(dataset, effort)
    curves, ratio = noises(found["mini-batch of 32"], dataset, effort)
    (one, one_s), (mini, mini_s), (full, full_s) = map(to_target, found.values())
    exponent = {name: mean_of(np.polyfit(np.log(SIZES), np.log(of).T, 1)[0]) for name, of in curves.items()}
    percent = f"{TARGET:.0%} validation accuracy"
    findings = [
        *within(*HALF, {"noise falls as 1/√B before training: exponent": exponent[BEFORE],
                        "and after training: exponent": exponent[AFTER]}),
        *at_least(1, {"one image's gradient is more noise than gradient, before training: ratio": mean_of(ratio)}),
        *at_least(0, {
            f"epochs to {percent}: whole set minus mini-batch of 32": mean_of(full - mini),
            f"epochs to {percent}: mini-batch minus one image": mean_of(mini - one),
            f"seconds to {percent}, log2: whole set over mini-batch": mean_of(np.log2(full_s / mini_s)),
            f"seconds to {percent}, log2: one image over mini-batch": mean_of(np.log2(one_s / mini_s)),
        }),
        *within(*HALF, {"noise falls so, too, where each image is drawn once, up to half of the set: exponent":
                        exponent[ONCE]}, condition=True),
    ]  # fmt: skip
    text = "docs/ablations.md compares them at equal numbers of updates, too, where larger batches win."
    return Evidence(findings, pictures(curves, found), text=text)


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
