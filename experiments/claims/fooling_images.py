"""Is what a network recognises what people would recognise?

    python experiments/claims/fooling_images.py        25 seconds

No. Of digits, each of 10 networks is more than 99 % sure of an image made for each class, and these lie 3.5 times as
far from the nearest training image as unseen digits do; 2.9 times with a price of ink. Networks of other seeds agree
with 87 % on average (85 % with ink, no difference that 10 networks show): what fools one mostly fools all, so it is no
accident of a seed. The price of ink makes the images sparser and brings them nearer, but no network less sure.
"""

import sys
from dataclasses import replace

import numpy as np

from convnet import data
from convnet.analysis import Maximized, maximize_classes, nearest_images, usual_ink
from convnet.architectures import CNN
from convnet.claims import Claim, Effort, Evidence, Finding, at_least, counted, mean_of, run_claim
from convnet.claims.networks import networks, recipe
from convnet.data import Split
from convnet.report import Picture, Section, figures
from convnet.trained import Trained

CLAIM = Claim(
    number=18,
    title="A network is sure of images that are nothing",
    says="There are images of which a network is almost certain, and which are unlike anything that it was shown: what "
    "it recognises need not be what people recognise.",
    source="Nguyen, Yosinski & Clune, CVPR 2015, 'Deep neural networks are easily fooled'; the price of ink: Lee, "
    "Machine Learning 2016",
)
SURE = 0.99  # probability from which a network counts as almost certain; Nguyen et al. have 99.12 % and more
MEASURES = ("own probability, %", "that of others, %", "way to real images", "nearest is of the class, %")
"""Of a made image; the way is to the nearest real one, over that of unseen real ones."""


def rated(found: list[Maximized], raters: list[Trained], real: Split, usual: float) -> np.ndarray:
    """[networks, measures, classes] of each network's images. usual: the mean way from an unseen real image to the
    nearest, in which others are measured."""
    table = []
    for own, images in enumerate(one.images[:, 0] for one in found):
        classes = np.arange(len(images))
        sure = np.array([rater.probabilities(images)[classes, classes] for rater in raters])
        index, way = nearest_images(images, real.images)
        others = np.delete(sure, own, axis=0).mean(axis=0)
        table.append((100 * sure[own], 100 * others, way / usual, 100 * (real.labels[index] == classes)))
    return np.array(table)


def findings(free: np.ndarray, paid: np.ndarray) -> list[Finding]:
    """free, paid: [networks, measures, classes], of images without and with a price of ink."""
    own, others, distance, right = range(len(MEASURES))
    sure = lambda of: counted(int((of[:, own].min(axis=1) >= 100 * SURE).sum()), len(of), "networks")  # noqa: E731
    mean = lambda values: mean_of(values.mean(axis=1), "networks")  # noqa: E731
    every, way = f"is at least {SURE:.0%} sure of its image of each class", "way to the nearest real image"
    return [
        *at_least(0.5, {f"share of networks of which one {every}": sure(free)}),
        *at_least(1, {f"{way}, over that of unseen real images": mean(free[:, distance])}),
        *at_least(0, {"probability: own network minus the others, percentage points":
                      mean(free[:, own] - free[:, others])}),
        *at_least(0.5, {f"with ink: share of networks of which one {every}": sure(paid)}, condition=True),
        *at_least(1, {f"with ink: {way}, over that of unseen ones": mean(paid[:, distance])}, condition=True),
        *at_least(0, {
            f"{way}: without ink minus with": mean(free[:, distance] - paid[:, distance]),
            "the other networks' probability: with ink minus without, percentage points":
                mean(paid[:, others] - free[:, others]),
            "the nearest real image is of the class: with ink minus without, percentage points":
                mean(paid[:, right] - free[:, right]),
        }, condition=True),
    ]  # fmt: skip


def images_picture(made: dict[str, np.ndarray], tables: dict[str, np.ndarray], real: Split) -> Picture:
    """made: the images of the first network, one for each class."""
    rows = []
    for name, images in made.items():
        (own, others, *_), (index, _) = tables[name][0], nearest_images(images, real.images)
        titles = [f"own {a:.0f} %\nothers {b:.0f} %" for a, b in zip(own, others, strict=True)]
        rows.append([figures.Image(*each, low=0, high=1) for each in zip(images, titles, strict=True)])
        rows.append([figures.Image(real.images[i], f"a {real.labels[i]}", low=0, high=255) for i in index])
        for row, label in zip(rows[-2:], (name, "nearest real"), strict=True):
            row[0] = replace(row[0], axes={"ylabel": label})
    rows[-1] = [replace(image, axes={**image.axes, "xlabel": f"for class {i}"}) for i, image in enumerate(rows[-1])]
    return Picture(
        "images that a network is sure of", figures.images(rows, size=(10, 5.2)), of_images=True,
        alt="Ten noisy images without ink and ten sparse ones with it, each above the nearest real digit.",
        caption="Each image is made to excite one class of the first network, from noise: above at no price, below at "
        "a price for every pixel that is not white here. If the network saw what people do, these would be digits.",
    )  # fmt: skip


def scatter_picture(tables: dict[str, np.ndarray], way: np.ndarray, probability: np.ndarray) -> Picture:
    """way, probability: of unseen real images the way to the nearest, over the usual one, and in % that of their
    class."""
    clouds = {"unseen real digits": figures.Line(way, probability, look=figures.POINTS | {"color": "#999999"})}
    for (name, table), marker in zip(tables.items(), "ox", strict=True):
        look = figures.POINTS | {"marker": marker}
        clouds[f"made, {name}"] = figures.Line(table[:, 2].ravel(), table[:, 1].ravel(), look=look)
    axes = {"xlabel": "way to the nearest training image, over that of unseen digits", "ylim": (-3, 103),
            "ylabel": "probability of the class,\nmean of other networks, %", "xlim": (0, None)}  # fmt: skip
    return Picture(
        "made images and real ones", figures.chart([figures.Panel(clouds, axes)], size=(7, 4.2)),
        alt="Real digits lie at the top left, near training images and recognised by all; the made ones lie to the "
        "right, spread from top to bottom.",
        caption=f"Every image of {len(tables['with ink'])} networks and ten classes, of which its own network is sure, "
        "rated by the others; real digits are rated by all. If a network were sure only of what others recognise, all "
        "would lie among the real ones.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    digits = data.load("digits", limit=effort.pick(None, 200))
    train, test, steps = digits.train, digits.test, effort.pick(256, 4)
    found = networks(recipe(CNN(widths=(16, 32), head_width=64), effort.pick(15, 1)), digits, effort.starts(10))
    raters = [network for network, _ in found]
    ink = float(np.mean([usual_ink(network, train.images, train.labels) for network in raters]))
    made = {name: [maximize_classes(network, ink=price, steps=steps) for network in raters]
            for name, price in (("without ink", 0.0), ("with ink", ink))}  # fmt: skip
    ways = nearest_images(test.images, train.images)[1]
    tables = {name: rated(images, raters, train, ways.mean()) for name, images in made.items()}
    seen = np.mean([rater.probabilities(test.images)[np.arange(len(test)), test.labels] for rater in raters], axis=0)
    rows = [[name, *(str(mean_of(values[:, i].mean(axis=1), "networks")) for i in range(len(MEASURES)))]
            for name, values in tables.items()]  # fmt: skip
    accuracy = mean_of([100 * result.test_accuracy for _, result in found], "networks")
    shown = images_picture({name: images[0].images[:, 0] for name, images in made.items()}, tables, train)
    text = (
        "People are not asked: networks of other seeds and real digits stand in for them. On real test images the "
        f"networks reach {accuracy} %."
    )
    table = Section("Mean over all classes", table=[["", *MEASURES], *rows])
    return Evidence(
        findings(*tables.values()), [shown, scatter_picture(tables, ways / ways.mean(), 100 * seen)], [table], text
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
