"""Is what a network recognises what people would recognise?

    python experiments/claims/fooling_images.py        25 seconds

No. Of digits, each of 10 networks is more than 99 % sure of an image made for each class, and these lie 3.5 times as
far from the nearest training image as unseen digits do; 2.9 times with a price of ink. Networks of other seeds agree
with 87 % on average (85 % with ink, no difference that 10 networks show): what fools one mostly fools all, so it is no
accident of a seed. The price of ink makes the images sparser and brings them nearer, but no network less sure.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from convnet import data
from convnet.analysis import Maximized, maximize_classes, usual_ink
from convnet.architectures import CNN
from convnet.claims import Claim, Effort, Evidence, Finding, counted, mean_of, run_claim
from convnet.claims.networks import networks
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Split
from convnet.report import Picture, Section
from convnet.report.figures.panels import bare, colour, legend_above
from convnet.trained import Trained

CLAIM = Claim(
    number=18,
    title="A network is sure of images that are nothing",
    says="There are images of which a network is almost certain, and which are unlike anything that it was shown: what "
    "it recognises need not be what people recognise.",
    source="Nguyen, Yosinski & Clune, CVPR 2015, 'Deep neural networks are easily fooled'; the price of ink: Lee, "
    "Machine Learning 2016",
)
SURE = 0.99
"""Probability from which a network counts as almost certain; Nguyen et al. have 99.12 % and more."""
MEASURES = {  # of a made image; the way is to the nearest real one, over that of unseen real ones
    "own": "own probability, %",
    "others": "that of others, %",
    "distance": "way to real images",
    "right": "nearest is of the class, %",
}


def pixels(images: np.ndarray) -> np.ndarray:
    """[N, D] in 0 … 1."""
    flat = np.asarray(images, float).reshape(len(images), -1)
    return flat / 255 if images.dtype == np.uint8 else flat


def nearest(images: np.ndarray, real: Split) -> tuple[np.ndarray, np.ndarray]:
    """The number of the nearest of the `real` images to each, and its Euclidean distance."""
    ways = np.linalg.norm(pixels(images)[:, None] - pixels(real.images)[None], axis=2)
    return ways.argmin(axis=1), ways.min(axis=1)


def rated(found: Sequence[Maximized], raters: Sequence[Trained], real: Split, usual: float) -> np.ndarray:
    """[networks, measures, classes] of each network's images. usual: the mean way from an unseen real image to the
    nearest, in which others are measured."""
    table = []
    for own, images in enumerate(one.images[:, 0] for one in found):
        classes = np.arange(len(images))
        sure = np.array([rater.probabilities(images)[classes, classes] for rater in raters])
        index, way = nearest(images, real)
        others = np.delete(sure, own, axis=0).mean(axis=0)
        table.append((100 * sure[own], 100 * others, way / usual, 100 * (real.labels[index] == classes)))
    return np.array(table)


def findings(free: np.ndarray, paid: np.ndarray) -> list[Finding]:
    """free, paid: [networks, measures, classes], of images without and with a price of ink."""
    own, others, distance, right = range(len(MEASURES))
    n, sure = len(free), [int((of[:, own].min(axis=1) >= 100 * SURE).sum()) for of in (free, paid)]
    mean = lambda values: mean_of(values.mean(axis=1), "networks")  # noqa: E731
    every = f"is at least {SURE:.0%} sure of its image of each class"
    return [
        Finding(f"share of networks of which one {every}", counted(sure[0], n, "networks"), least=0.5),
        Finding("way to the nearest real image, over that of unseen real images", mean(free[:, distance]), least=1),
        Finding("probability: own network minus the others, percentage points", mean(free[:, own] - free[:, others]),
                least=0),
        Finding(f"with ink: share of networks of which one {every}", counted(sure[1], n, "networks"), least=0.5,
                condition=True),
        Finding("with ink: way to the nearest real image, over that of unseen ones", mean(paid[:, distance]),
                least=1, condition=True),
        Finding("way to the nearest real image: without ink minus with", mean(free[:, distance] - paid[:, distance]),
                least=0, condition=True),
        Finding("the other networks' probability: with ink minus without, percentage points",
                mean(paid[:, others] - free[:, others]), least=0, condition=True),
        Finding("the nearest real image is of the class: with ink minus without, percentage points",
                mean(paid[:, right] - free[:, right]), least=0, condition=True),
    ]  # fmt: skip


def images_picture(found: dict[str, Maximized], tables: dict[str, np.ndarray], real: Split) -> Picture:
    """Of the first network."""
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    panels = figure.subplots(4, 10)
    for row, (name, one) in enumerate(found.items()):
        images = one.images[:, 0]
        index, _ = nearest(images, real)
        for digit in range(10):
            of_digit = tables[name][0, :, digit]
            above, below = panels[2 * row : 2 * row + 2, digit]
            above.imshow(images[digit], cmap="gray_r", vmin=0, vmax=1)
            above.set_title(f"own {of_digit[0]:.0f} %\nothers {of_digit[1]:.0f} %", fontsize=8)
            below.imshow(real.images[index[digit]], cmap="gray_r", vmin=0, vmax=255)
            below.set_title(f"a {real.labels[index[digit]]}", fontsize=8)
        panels[2 * row, 0].set_ylabel(name, fontsize=9)
        panels[2 * row + 1, 0].set_ylabel("nearest real", fontsize=9)
    for digit, panel in enumerate(panels[-1]):
        panel.set_xlabel(f"for class {digit}", fontsize=9)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    return Picture(
        "images that a network is sure of", figure,
        alt="Ten noisy images without ink and ten sparse ones with it, each above the nearest real digit.",
        caption="Each image is made to excite one class of the first network, from noise: above at no price, below at "
        "a price for every pixel that is not white here. If the network saw what people do, these would be digits.",
        of_images=True,
    )  # fmt: skip


def scatter_picture(tables: dict[str, np.ndarray], real: tuple[np.ndarray, np.ndarray]) -> Picture:
    """real: of unseen real images the way to the nearest, over the usual one, and the probability in % of their
    class."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    panel = figure.subplots()
    drawn = {"unseen real digits": panel.scatter(*real, s=8, color="#999999")}
    for i, (name, table) in enumerate(tables.items()):
        drawn[f"made, {name}"] = panel.scatter(table[:, 2], table[:, 1], s=10, color=colour(i), marker="ox"[i])
    panel.set(xlabel="way to the nearest training image, over that of unseen digits", ylim=(-3, 103), xlim=(0, None),
              ylabel="probability of the class,\nmean of other networks, %")  # fmt: skip
    bare(panel)
    legend_above(figure, drawn)
    return Picture(
        "made images and real ones", figure,
        alt="Real digits lie at the top left, near training images and recognised by all; the made ones lie to the "
        "right, spread from top to bottom.",
        caption=f"Every image of {len(table)} networks and ten classes, of which its own network is sure, rated by the "
        "others; real digits are rated by all. If a network were sure only of what others recognise, all would lie "
        "among the real ones.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    digits = data.load("digits", limit=effort.pick(None, 200))
    config = RunConfig(
        model=CNN(widths=(16, 32), head_width=64), optim=OptimConfig(learning_rate=0.05, warmup=0.1),
        train=TrainConfig(epochs=effort.pick(15, 1), batch_size=32),
    )  # fmt: skip
    found = networks(config, digits, effort.starts(10))
    raters, steps, test = [network for network, _ in found], effort.pick(256, 4), digits.test
    ink = float(np.mean([usual_ink(network, digits.train.images, digits.train.labels) for network in raters]))
    made = {
        name: [maximize_classes(network, ink=price, steps=steps) for network in raters]
        for name, price in (("without ink", 0.0), ("with ink", ink))
    }
    ways = nearest(test.images, digits.train)[1]
    tables = {name: rated(images, raters, digits.train, ways.mean()) for name, images in made.items()}
    seen = np.mean([rater.probabilities(test.images)[np.arange(len(test)), test.labels] for rater in raters], axis=0)
    rows = [[name, *(str(mean_of(values[:, i].mean(axis=1), "networks")) for i in range(len(MEASURES)))]
            for name, values in tables.items()]  # fmt: skip
    accuracy = mean_of([100 * result.test_accuracy for _, result in found], "networks")
    return Evidence(
        findings=findings(*tables.values()),
        pictures=[
            images_picture({name: images[0] for name, images in made.items()}, tables, digits.train),
            scatter_picture(tables, (ways / ways.mean(), 100 * seen)),
        ],
        tables=[Section("Mean over all classes", table=[["", *MEASURES.values()], *rows])],
        text="People are not asked: networks of other seeds and real digits stand in for them. On real test images "
        f"the networks reach {accuracy} %.",
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
