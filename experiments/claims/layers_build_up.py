"""Do layers build up from edges to parts to whole objects, and is that learned?

    python experiments/claims/layers_build_up.py        45 seconds

Yes, on MNIST. From the first of three layers to the last a linear probe rises from 63 to 91 % (10 seeds), the class
selectivity index from 12 to 37 %, and the deviation of the effective receptive field from 0.8 to 4.2 pixels. With
random weights the field grows as much, for that is the architecture's doing; the probe rises by 6 points instead of 28,
and the selectivity by 2 instead of 25. So not all of it is learned, but most is.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import jax
import numpy as np
from matplotlib.figure import Figure

from convnet import data
from convnet.analysis import (
    View,
    class_selectivity,
    effective_receptive_field,
    randomized,
    receptive_fields,
    top_patches,
)
from convnet.analysis.handmade import linear_accuracy
from convnet.analysis.receptive_field import effective_deviation
from convnet.architectures import CNN
from convnet.claims import Claim, Effort, Evidence, Finding, mean_of, run_claim
from convnet.claims.networks import curve, networks
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.report import Picture, Section, tiles
from convnet.report.figures import bands
from convnet.trained import Trained

CLAIM = Claim(
    number=17,
    title="Layers build up from edges to parts to objects",
    says="From layer to layer units see more of the image, answer to fewer classes, and tell more about the class; "
    "this is learned, as units of random weights do not.",
    source="Zeiler & Fergus, ECCV 2014, 'Visualizing and understanding convolutional networks'; Alain & Bengio, ICLR "
    "workshop 2017, 'Understanding intermediate layers using linear classifier probes'",
)
LAYERS = ("conv1_relu", "conv2_relu", "conv3_relu")
"""Of as many units each, so that nothing but depth tells them apart."""
MEASURES = {
    "probe": "accuracy of a linear probe, %",
    "selectivity": "class selectivity of a unit, %",
    "field": "deviation of the effective field, pixels",
}
UNITS, PATCHES = 4, 6
"""Shown of a layer, and of a unit."""


def images(effort: Effort) -> Dataset:
    """Digits of MNIST, as those of 8×8 pixels are too small to have parts."""
    if effort.quick:
        return data.load("digits", limit=200)
    found = data.load("mnist", limit=2000)
    few = {name: getattr(found, name).take(np.arange(1000)) for name in ("validation", "test")}
    return replace(found, name="mnist, few", **few)


@jax.jit
def features(view: View, images: np.ndarray) -> list[jax.Array]:
    """What a probe sees of each layer: the mean of each unit over all places, [N, 16]."""
    results = view.results(images)
    return [results[layer].mean(axis=(1, 2)) for layer in LAYERS]


def measured(view: View, dataset: Dataset) -> np.ndarray:
    """[measures, layers] of one network."""
    splits = (dataset.train, dataset.test)
    seen = [features(view, view.images(split.images)) for split in splits]
    train, test = (split.labels for split in splits)
    probes = [linear_accuracy(a, train, b, test, strengths=(1.0,)).accuracy for a, b in zip(*seen, strict=True)]
    shown = dataset.test.images, dataset.test.labels
    selective = [np.nanmean(class_selectivity(view, *shown, layer).index) for layer in LAYERS]
    fields = [np.mean(effective_deviation(effective_receptive_field(view, shown[0][:50], la))) for la in LAYERS]
    return np.array([100 * np.array(probes), 100 * np.array(selective), fields])


def findings(trained: np.ndarray, random: np.ndarray) -> list[Finding]:
    """trained, random: [seeds, measures, layers]."""
    grown = {"trained": trained[..., -1] - trained[..., 0], "random": random[..., -1] - random[..., 0]}
    step, found = np.diff(trained).min(axis=-1), []
    for i, name in enumerate(MEASURES.values()):
        found.append(Finding(f"{name}: the smaller of the two steps up", mean_of(step[:, i]), least=0))
    for i, name in list(enumerate(MEASURES.values()))[:2]:
        more = grown["trained"][:, i] - grown["random"][:, i]
        found.append(
            Finding(f"{name}: rise from the first layer to the last, trained minus random", mean_of(more), least=0)
        )
    for i, name in list(enumerate(MEASURES.values()))[:2]:
        rise = mean_of(grown["random"][:, i])
        found.append(Finding(f"{name}: does not rise where weights are random", rise, most=0, condition=True))
    return found


def curves_picture(found: dict[str, np.ndarray]) -> Picture:
    numbers = range(1, len(LAYERS) + 1)
    curves = {
        name: {measure: curve(numbers, values[:, i]) for i, measure in enumerate(MEASURES)}
        for name, values in found.items()
    }
    return Picture(
        "what grows with depth", bands(curves, MEASURES, "layer"),
        alt="Three panels over the number of the layer, trained against random: probe, selectivity, effective field.",
        caption=f"Means and 95 % intervals of {len(found['trained'])} seeds. The probe is a linear classifier "
        "on the mean of each of 16 units over all places. If nothing of this were learned, both curves of a panel "
        "would rise alike, as those of the field do, which the architecture gives.",
    )  # fmt: skip


def patches_picture(network: Trained, shown: np.ndarray, labels: np.ndarray) -> Picture:
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    panels = figure.subplots(UNITS, len(LAYERS))
    for column, layer in enumerate(LAYERS):
        selective = class_selectivity(network, shown, labels, layer)
        strength = selective.means.max(axis=1)  # weak units answer to an empty corner
        order = np.argsort(-np.where(strength >= np.median(strength), selective.index, 0), kind="stable")
        _, first = np.unique(selective.classes[order], return_index=True)
        units = order[np.sort(first)][:UNITS]
        found = top_patches(network, shown, layer, units, count=PATCHES)
        side = receptive_fields(network)[layer][0].size
        panels[0, column].set_title(f"layer {column + 1}: {side}×{side} pixels")
        for panel in panels[:, column]:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        for panel, patches, unit in zip(panels[:, column], found.patches, units, strict=False):
            panel.imshow(tiles.grid(tiles.pixel_rgb(255 - 255 * patches), columns=PATCHES), interpolation="nearest")
            panel.set_ylabel(selective.classes[unit], rotation=0, labelpad=8, va="center")
    return Picture(
        "what excites units most", figure,
        alt="Rows of patches: specks and edges for the first layer, strokes and corners for the second, most of a "
        "digit for the third.",
        caption=f"Selective units of each layer, a row each, with the class that they answer to most, and the patches "
        f"of {PATCHES} test images that excite each most; grey is beyond the border. If the last layer did not know "
        "digits, its rows would mix them.",
        of_images=True,
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    dataset = images(effort)
    config = RunConfig(
        model=CNN(widths=(16, 16, 16), head="global_avg"), optim=OptimConfig(learning_rate=0.05, warmup=0.1),
        train=TrainConfig(epochs=effort.pick(8, 1), batch_size=32),
    )  # fmt: skip
    found = networks(config, dataset, effort.starts(10))
    values = {
        "trained": np.array([measured(View.of(network), dataset) for network, _ in found]),
        "random weights": np.array(
            [measured(randomized(network, key=i), dataset) for i, (network, _) in enumerate(found)]
        ),
    }
    rows = [
        [f"{name}, layer {layer + 1}", *(str(mean_of(of_all[:, i, layer])) for i in range(len(MEASURES)))]
        for name, of_all in values.items() for layer in range(len(LAYERS))
    ]  # fmt: skip
    accuracy = mean_of([100 * result.test_accuracy for _, result in found])
    test = dataset.test
    return Evidence(
        findings=findings(*values.values()),
        pictures=[curves_picture(values), patches_picture(found[0][0], test.images, test.labels)],
        tables=[Section("Layers", table=[["", *MEASURES.values()], *rows])],
        text=f"The networks themselves reach {accuracy} % of {len(test):,} test images.",
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
