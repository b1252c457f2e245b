"""Are the networks that made the field what was published of them, and how many kernels does a layer need?

    python experiments/claims/architectures_by_the_book.py        150 seconds

The tables are the published networks: parameters of 7, multiply-adds of 4 and receptive fields of 3 are those of the
sources, to the last digit given. Small variants learn from 600 images of CIFAR-10 (14 to 32 %, guessing: 10 %); there
the oldest is the best: LeNet-5 is 5.0 points ahead of a ResNet-8 of a quarter of its width (1.3 to 8.7).

How many kernels: the first layer's first 8 matter (90.5 % of digits with 1, 96.7 % with 8, 10 seeds), and between 16
and 32 there is no difference of more than 0.7 points either way. None are dead; but 32 learned filters are more alike
than random ones (|cosine| to the nearest 0.76 instead of 0.71), so some say nearly the same.
"""

import sys
from pathlib import Path

import numpy as np

from convnet import data
from convnet.ablation.summary import answers
from convnet.analysis import filter_statistics, layer_table, mean_likeness, receptive_fields, unit_statistics
from convnet.analysis.layer_table import published_view
from convnet.architectures import CNN, VGG, AlexNet, LeNet5, ResNet, ZFNet
from convnet.architectures.published import PUBLISHED
from convnet.claims import Claim, Effort, Evidence, Finding, at_least, at_most, mean_of, run_claim
from convnet.claims.networks import curve, networks, recipe
from convnet.data import Split
from convnet.report import Picture, Section, figures

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
VIEWS = {name: published_view(entry) for name, entry in PUBLISHED.items()}


def published_findings() -> list[Finding]:
    known = lambda what: {n: e for n, e in PUBLISHED.items() if getattr(e, what) is not None}  # noqa: E731
    parameters = [abs(e.counted - e.parameters) for e in known("parameters").values()]
    adds = [abs(round(e.multiply_adds / 1e9, 3) - e.billions) for e in known("billions").values()]
    fields = [abs(receptive_fields(VIEWS[n])["pool5"][0].size - e.field) for n, e in known("field").items()]
    return at_most(0, {
        f"parameters of {len(parameters)} networks: largest difference to the published number": max(parameters),
        f"10⁹ multiply-adds of {len(adds)} networks, to three digits: largest difference": max(adds),
        f"receptive field of the last pooling in {len(fields)} networks, pixels: largest difference": max(fields),
    })  # fmt: skip


def published_picture() -> Picture:
    labels, panels = ("receptive field, pixels", "parameters of the layer", "multiply-adds of the layer"), []
    tables = {n: [row for row in layer_table(VIEWS[n]) if not row.name.endswith("shortcut")] for n in SHOWN}
    for column, label in enumerate(labels, start=2):
        lines = {n: (range(1, len(table) + 1), [row[column] for row in table]) for n, table in tables.items()}
        panels.append(figures.Panel(lines, {"xlabel": "layer with weights", "ylabel": label, "yscale": "log"}))
    return Picture(
        "layer by layer", figures.chart(panels, size=(12, 3.8)),
        alt="Three panels over the number of the layer: receptive fields rise to hundreds of pixels; parameters lie in "
        "the first dense layer, arithmetic in the first convolutions.",
        caption="Counted from the tables of layers; nothing is computed. A dense layer sees all of the image that its "
        "map reaches. Most parameters are in the first dense layer (the peaks); the only one of a ResNet is small.",
    )  # fmt: skip


def small_accuracies(effort: Effort) -> dict[str, np.ndarray]:
    """[seeds] of each small network, on images with every pixel enlarged to a square."""
    source = data.load("digits", limit=100) if effort.quick else data.load("cifar10", limit=600)
    few, found = source.first(validation=500, test=1000), {}
    for name in effort.pick(list(SMALL), ["LeNet-5"]):
        model, times = SMALL[name]
        side = effort.pick(times, 4)
        large = few.mapped(lambda s, n=side: Split(s.images.repeat(n, axis=1).repeat(n, axis=2), s.labels))
        runs = networks(recipe(model, effort.pick(8, 1), rate=0.02), large, effort.starts(5))
        found[name] = np.array([100 * result.test_accuracy for _, result in runs])
    return found


def kernels_needed(effort: Effort) -> dict[int, np.ndarray]:
    """[seeds, measures] for each number of kernels in the first layer, all else being equal."""
    digits, found = data.load("digits", limit=effort.pick(None, 200)), {}
    for count in effort.pick(KERNELS, KERNELS[:2]):
        config, rows = recipe(CNN(widths=(count, 16), head_width=0), effort.pick(12, 1)), []
        for seed, (network, result) in enumerate(networks(config, digits, effort.starts(10))):
            first = filter_statistics(network)
            units = unit_statistics(network, digits.test.images, "conv1_relu", bins=1)
            random = np.random.default_rng(seed).uniform(-1, 1, first.filters.shape)  # as they start
            dead = 100 * (first.dead | units.dead).mean()
            rows.append([100 * result.test_accuracy, dead, mean_likeness(first.filters), mean_likeness(random)])
        found[count] = np.array(rows)
    return found


def kernels_picture(values: np.ndarray) -> Picture:
    """values: [seeds, kernels, measures]."""
    kernels, panels = KERNELS[: values.shape[1]], []
    axes = {"xlabel": "kernels of the first layer", "xscale": "log", "xticks": kernels}
    random = figures.Line(kernels, values[..., -1].mean(axis=0), look={"color": "#777777", "linestyle": "--"})
    for i, (name, label) in enumerate(list(MEASURES.items())[:3]):
        lines = {"digits": curve(kernels, values[..., i])} | ({"": random} if name == "alike" else {})
        panels.append(figures.Panel(lines, axes | {"ylabel": label}))
    return Picture(
        "how many kernels", figures.chart(panels, size=(13.5, 3.8)),
        alt="Accuracy rises to some kernels and stays; no filters are dead; the nearest is nearer the more there are.",
        caption=f"The first layer of 3×3 kernels on digits, before a second of 16: means and 95 % intervals of "
        f"{len(values)} seeds; dashed: random filters. If every kernel were needed, accuracy would go on rising.",
    )  # fmt: skip


def tables(kernels: dict[int, np.ndarray]) -> list[Section]:
    rows = [["kernels", *MEASURES.values()], *([str(n), *map(str, map(mean_of, of.T))] for n, of in kernels.items())]
    head = ["layer", "result", "field", "parameters", "multiply-adds"]
    told = ["question", "arm", "test accuracy, %", "difference to the first arm, points"]
    return [
        Section("Kernels of the first layer", table=rows),
        Section("Depth, width, normalisation, batch size", "What the ablations of docs/ablations.md say, on digits.",
                table=[told, *answers(ABLATIONS, QUESTIONS)]),
        *(Section(f"{name}, layer by layer", table=[head, *(
            [layer, "×".join(map(str, shape)), str(field), f"{count:,}", f"{adds:,}"]
            for layer, shape, field, count, adds in layer_table(VIEWS[name]))
        ], caption=f"Parameters in all: {PUBLISHED[name].counted:,}. {PUBLISHED[name].source}") for name in SHOWN),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    small, kernels = small_accuracies(effort), kernels_needed(effort)
    values = np.stack(list(kernels.values()), axis=1)
    few, half, many = (values[:, i] for i in (0, -2, -1))
    most, less, least = (list(kernels)[i] for i in (-1, -2, 0))
    learns = {f"small {name} learns (guessing: 10 %): test accuracy, %": mean_of(of) for name, of in small.items()}
    newer = {f"small {new} minus small {old}: accuracy, percentage points": mean_of(small[new] - small[old])
             for new, old in (("ResNet-8", "LeNet-5"), ("ZFNet", "AlexNet")) if {new, old} <= set(small)}  # fmt: skip
    found = [
        *published_findings(), *at_least(10, learns),
        *at_least(0, {f"accuracy with {most} kernels in the first layer minus with {least}, percentage points":
                      mean_of(many[:, 0] - few[:, 0])}),
        *at_least(0, {
            f"it goes on rising: with {most} minus with {less}, percentage points": mean_of(many[:, 0] - half[:, 0]),
            f"|cosine| to the nearest of {most} filters: learned minus random": mean_of(many[:, 2] - many[:, 3]),
            **newer,
        }, condition=True),
    ]  # fmt: skip
    return Evidence(found, [published_picture(), kernels_picture(values)], tables(kernels))


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
