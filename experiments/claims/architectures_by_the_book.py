"""Are the networks that made the field what was published of them, and how many kernels does a layer need?

    python experiments/claims/architectures_by_the_book.py        150 seconds

The tables are the published networks: parameters of 7, multiply-adds of 4 and receptive fields of 3 are those of the
sources, to the last digit given. Small variants learn from 600 images of CIFAR-10 (14 to 32 %, guessing: 10 %); there
the oldest is the best: LeNet-5 is 5.0 points ahead of a ResNet-8 of a quarter of its width (1.3 to 8.7).

How many kernels: the first layer's first 8 matter (90.5 % of digits with 1, 96.7 % with 8, 10 seeds), and between 16
and 32 there is no difference of more than 0.7 points either way. None are dead; but 32 learned filters are more alike
than random ones (|cosine| to the nearest 0.76 instead of 0.71), so some say nearly the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from convnet import data, models
from convnet.analysis import View, filter_statistics, receptive_fields, unit_statistics
from convnet.analysis.weights import filter_cosines
from convnet.architectures import CNN, VGG, AlexNet, LeNet5, ResNet, ZFNet, shapes
from convnet.architectures.published import PUBLISHED, Published
from convnet.claims import Claim, Effort, Evidence, Finding, exact, mean_of, run_claim
from convnet.claims.networks import curve, networks
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset, Split
from convnet.report import Picture, Section
from convnet.report.figures import bands
from convnet.report.figures.panels import bare, legend_above, stroke

CLAIM = Claim(
    number=14,
    title="Architectures by the book",
    says="LeNet-5, AlexNet, ZFNet, VGG and ResNet have the parameters, the arithmetic and the receptive fields that "
    "are published, learn also when they are small, and of how many kernels a layer needs there is no rule but to try.",
    source="LeCun et al., Proceedings of the IEEE 1998; Krizhevsky et al., NeurIPS 2012; Zeiler & Fergus, ECCV 2014; "
    "Simonyan & Zisserman, ICLR 2015; He et al., CVPR 2016",
)
SHOWN = ("lenet5", "alexnet", "zfnet", "vgg11", "vgg16", "resnet18", "resnet34")
SMALL = {
    "LeNet-5": (LeNet5(), 1), "AlexNet": (AlexNet(width=1 / 8), 2), "ZFNet": (ZFNet(width=1 / 8), 2),
    "VGG-11": (VGG("vgg11", norm="batch", width=1 / 16), 1), "ResNet-8": (ResNet("resnet8", width=1 / 4), 1),
}  # fmt: skip
"""What is trained, and how many pixels a side each of CIFAR-10's becomes: AlexNet and ZFNet do not fit 32."""
KERNELS = (1, 2, 4, 8, 16, 32)
MEASURES = {
    "accuracy": "test accuracy, %", "dead": "dead filters, %", "alike": "|cosine| to the nearest",
    "chance": "at random",
}  # fmt: skip
ABLATIONS = Path(__file__).resolve().parents[2] / "docs" / "results" / "ablations"
QUESTIONS = ("depth", "width", "normalization", "batch-equal-epochs", "batch-equal-updates")


# --- as published -----------------------------------------------------------------------------------------------------


def view_of(entry: Published) -> View:
    model = models.build(entry.architecture, num_classes=entry.classes)
    return View.of_module(model, {}, entry.image_shape, class_names=map(str, range(entry.classes)))


def layers_of(entry: Published) -> list[tuple[str, shapes.Shape, int, int, int]]:
    """Of each layer with weights: name, shape of the result, receptive field, parameters, multiply-adds."""
    view = view_of(entry)
    fields = receptive_fields(view)
    return [
        (p.name, p.output, fields[p.name][0].size, sum(map(prod, shapes.parameter_shapes(p).values())), adds)
        for p in view.placed
        if (adds := shapes.multiply_adds(p))
    ]


def published_findings() -> list[Finding]:
    known = lambda name: [e for e in PUBLISHED.values() if getattr(e, name) is not None]  # noqa: E731
    fields = [receptive_fields(view_of(e))["pool5"][0].size - e.field for e in known("field")]
    return [
        Finding(f"parameters of {len(known('parameters'))} networks: largest difference to the published number",
                exact(max(abs(e.counted - e.parameters) for e in known("parameters"))), most=0),
        Finding(f"10⁹ multiply-adds of {len(known('billions'))} networks, to three digits: largest difference",
                exact(max(abs(round(e.multiply_adds / 1e9, 3) - e.billions) for e in known("billions"))), most=0),
        Finding(f"receptive field of the last pooling in {len(fields)} networks, pixels: largest difference",
                exact(max(map(abs, fields))), most=0),
    ]  # fmt: skip


def published_picture() -> Picture:
    labels = ("receptive field, pixels", "parameters of the layer", "multiply-adds of the layer")
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels, lines = figure.subplots(1, 3), {}
    for i, name in enumerate(SHOWN):
        layers = [row for row in layers_of(PUBLISHED[name]) if not row[0].endswith("shortcut")]
        for panel, label, column in zip(panels, labels, (2, 3, 4), strict=True):
            values = [row[column] for row in layers]
            (lines[name],) = panel.plot(range(1, len(values) + 1), values, linewidth=1.6, **stroke(i))
            panel.set(xlabel="layer with weights", ylabel=label, yscale="log")
            bare(panel)
    legend_above(figure, lines, 7)
    return Picture(
        "layer by layer", figure,
        alt="Three panels over the number of the layer: receptive fields rise to hundreds of pixels; parameters lie in "
        "the first dense layer, arithmetic in the first convolutions.",
        caption="Counted from the tables of layers; nothing is computed. A dense layer sees all of the image that its "
        "map reaches. Most parameters are in the first dense layer (the peaks); the only one of a ResNet is small.",
    )  # fmt: skip


# --- trained ----------------------------------------------------------------------------------------------------------


def enlarged(dataset: Dataset, times: int) -> Dataset:
    """Every pixel as a square of `times` by `times`; few validation and test images, as all would take long."""

    def of(split: Split, count: int) -> Split:
        few = split.take(np.arange(min(count, len(split))))
        return Split(few.images.repeat(times, axis=1).repeat(times, axis=2), few.labels)

    splits = {"train": of(dataset.train, len(dataset.train)), "validation": of(dataset.validation, 500)}
    return Dataset(dataset.name, **splits, test=of(dataset.test, 1000), class_names=dataset.class_names)


def small_accuracies(effort: Effort) -> dict[str, np.ndarray]:
    """[seeds] of each small network."""
    source = data.load("digits", limit=100) if effort.quick else data.load("cifar10", limit=600)
    found = {}
    for name in effort.pick(list(SMALL), ["LeNet-5"]):
        model, times = SMALL[name]
        config = RunConfig(
            model=model, optim=OptimConfig(learning_rate=0.02, warmup=0.1),
            train=TrainConfig(epochs=effort.pick(8, 1), batch_size=32),
        )  # fmt: skip
        runs = networks(config, enlarged(source, effort.pick(times, 4)), effort.starts(5))
        found[name] = np.array([100 * result.test_accuracy for _, result in runs])
    return found


def likeness(filters: np.ndarray) -> float:
    """|cosine| of the angle between a filter [K, …] and the nearest other, mean of all; 0 of a single one."""
    others = np.abs(filter_cosines(filters)) * (1 - np.eye(len(filters)))
    return float(others.max(axis=1).mean())


def kernels_needed(effort: Effort) -> dict[int, np.ndarray]:
    """[seeds, measures] for each number of kernels in the first layer, all else being equal."""
    digits, found = data.load("digits", limit=effort.pick(None, 200)), {}
    for count in effort.pick(KERNELS, KERNELS[:2]):
        config = RunConfig(
            model=CNN(widths=(count, 16), head_width=0), optim=OptimConfig(learning_rate=0.05, warmup=0.1),
            train=TrainConfig(epochs=effort.pick(12, 1), batch_size=32),
        )  # fmt: skip
        rows = []
        for seed, (network, result) in enumerate(networks(config, digits, effort.starts(10))):
            first = filter_statistics(network)
            units = unit_statistics(network, digits.test.images, "conv1_relu", bins=1)
            random = np.random.default_rng(seed).uniform(-1, 1, first.filters.shape)  # as they start
            dead = 100 * (first.dead | units.dead).mean()
            rows.append([100 * result.test_accuracy, dead, likeness(first.filters), likeness(random)])
        found[count] = np.array(rows)
    return found


def ablations() -> list[list[str]]:
    """The stored answers on depth, width, normalisation and batch size; none where the results are not there."""
    rows = []
    for name in QUESTIONS:
        if (path := ABLATIONS / name / "summary.json").exists():
            for arm in json.loads(path.read_text(encoding="utf-8"))["arms"]:
                effect = arm["effect"] and [100 * value for value in arm["effect"]["difference"]]
                told = "{:+.2f} ({:+.2f} … {:+.2f})".format(*effect) if effect else "compared with"
                rows.append([name, arm["arm"], f"{100 * arm['test_accuracy']:.2f}", told])
    return rows


def trained_findings(small: dict[str, np.ndarray], kernels: dict[int, np.ndarray]) -> list[Finding]:
    counts, tables = list(kernels), list(kernels.values())
    few, half, many = tables[0], tables[-2], tables[-1]
    pairs = [("ResNet-8", "LeNet-5"), ("ZFNet", "AlexNet")]
    return [
        *(Finding(f"small {name} learns (guessing: 10 %): test accuracy, %", mean_of(values), least=10)
          for name, values in small.items()),
        Finding(f"accuracy with {counts[-1]} kernels in the first layer minus with {counts[0]}, percentage points",
                mean_of(many[:, 0] - few[:, 0]), least=0),
        Finding(f"it goes on rising: with {counts[-1]} minus with {counts[-2]}, percentage points",
                mean_of(many[:, 0] - half[:, 0]), least=0, condition=True),
        Finding(f"|cosine| to the nearest of {counts[-1]} filters: learned minus random",
                mean_of(many[:, 2] - many[:, 3]), least=0, condition=True),
        *(Finding(f"small {new} minus small {old}: accuracy, percentage points", mean_of(small[new] - small[old]),
                  least=0, condition=True) for new, old in pairs if {new, old} <= set(small)),
    ]  # fmt: skip


def kernels_picture(kernels: Iterable[int], values: np.ndarray) -> Picture:
    """values: [seeds, kernels, measures]."""
    shown = dict(list(MEASURES.items())[:3])
    curves = {m: curve(kernels, values[..., i]) for i, m in enumerate(shown)}
    figure = bands({"digits": curves}, shown, "kernels of the first layer")
    for panel in figure.axes:
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(kernels), [str(count) for count in kernels])
    figure.axes[-1].plot(list(kernels), values[..., -1].mean(axis=0), color="#777777", linestyle="--")
    return Picture(
        "how many kernels", figure,
        alt="Accuracy rises to some kernels and stays; no filters are dead; the nearest is nearer the more there are.",
        caption=f"The first layer of 3×3 kernels on digits, before a second of 16: means and 95 % intervals of "
        f"{len(values)} seeds; dashed: random filters. If every kernel were needed, accuracy would go on rising.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    small, kernels = small_accuracies(effort), kernels_needed(effort)
    values = np.stack(list(kernels.values()), axis=1)
    layers = [
        Section(f"{name}, layer by layer", table=[
            ["layer", "result", "field", "parameters", "multiply-adds"],
            *([layer, "×".join(map(str, shape)), str(field), f"{count:,}", f"{adds:,}"]
              for layer, shape, field, count, adds in layers_of(PUBLISHED[name])),
        ], caption=f"Parameters in all: {PUBLISHED[name].counted:,}. {PUBLISHED[name].source}")
        for name in SHOWN
    ]  # fmt: skip
    rows = [[str(n), *map(str, map(mean_of, table.T))] for n, table in kernels.items()]
    head = [["question", "arm", "test accuracy, %", "difference to the first arm, points"]]
    told = Section("Depth, width, normalisation, batch size", "What the ablations of docs/ablations.md say, on digits.",
                   table=[*head, *ablations()])  # fmt: skip
    return Evidence(
        findings=[*published_findings(), *trained_findings(small, kernels)],
        pictures=[published_picture(), kernels_picture(kernels, values)],
        tables=[
            Section("Kernels of the first layer", table=[["kernels", *MEASURES.values()], *rows]),
            told, *layers,
        ],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
