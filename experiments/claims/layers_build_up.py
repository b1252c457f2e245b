"""Do layers build up from edges to parts to whole objects, and is that learned?

    python experiments/claims/layers_build_up.py        45 seconds

Yes, on MNIST. From the first of three layers to the last a linear probe rises from 63 to 91 % (10 seeds), the class
selectivity index from 12 to 37 %, and the deviation of the effective receptive field from 0.8 to 4.2 pixels. With
random weights the field grows as much, for that is the architecture's doing; the probe rises by 6 points instead of 28,
and the selectivity by 2 instead of 25. So not all of it is learned, but most is.
"""

import sys

import jax
import numpy as np

from convnet import analysis, data
from convnet.analysis import View, class_selectivity
from convnet.architectures import CNN
from convnet.claims import Claim, Effort, Estimate, Evidence, at_least, at_most, mean_of, run_claim
from convnet.claims.networks import curve, networks, recipe
from convnet.data import Dataset, Split
from convnet.report import Picture, Section, figures, tiles
from convnet.trained import Trained

CLAIM = Claim(
    number=17,
    title="Layers build up from edges to parts to objects",
    says="From layer to layer units see more of the image, answer to fewer classes, and tell more about the class; "
    "this is learned, as units of random weights do not.",
    source="Zeiler & Fergus, ECCV 2014, 'Visualizing and understanding convolutional networks'; Alain & Bengio, ICLR "
    "workshop 2017, 'Understanding intermediate layers using linear classifier probes'",
)
LAYERS = ("conv1_relu", "conv2_relu", "conv3_relu")  # of as many units each, so that nothing but depth tells them apart
MEASURES = (
    "accuracy of a linear probe, %", "class selectivity of a unit, %", "deviation of the effective field, pixels",
)  # fmt: skip
UNITS, PATCHES = 4, 6  # shown of a layer, and of a unit


@jax.jit
def features(view: View, images: np.ndarray) -> list[jax.Array]:
    """What a probe sees of each layer: the mean of each unit over all places, [N, 16]."""
    results = view.results(images)
    return [results[layer].mean(axis=(1, 2)) for layer in LAYERS]


def measured(view: View, dataset: Dataset) -> np.ndarray:
    """[measures, layers] of one network."""
    train, test = dataset.train, dataset.test
    seen = [features(view, view.images(split.images)) for split in (train, test)]
    probes = [analysis.linear_accuracy(a, train.labels, b, test.labels, strengths=(1.0,)).accuracy
              for a, b in zip(*seen, strict=True)]  # fmt: skip
    selective = [np.nanmean(class_selectivity(view, test.images, test.labels, layer).index) for layer in LAYERS]
    fields = [analysis.effective_receptive_field(view, test.images[:50], layer) for layer in LAYERS]
    deviations = [np.mean(analysis.effective_deviation(field)) for field in fields]
    return np.array([100 * np.array(probes), 100 * np.array(selective), deviations])


def curves_picture(found: dict[str, np.ndarray]) -> Picture:
    numbers = range(1, len(LAYERS) + 1)
    panels = [
        figures.Panel({name: curve(numbers, of[:, i]) for name, of in found.items()},
                      {"xlabel": "layer", "ylabel": measure, "xticks": numbers}) for i, measure in enumerate(MEASURES)
    ]  # fmt: skip
    return Picture(
        "what grows with depth", figures.chart(panels, size=(13.5, 3.8)),
        alt="Three panels over the number of the layer, trained against random: probe, selectivity, effective field.",
        caption=f"Means and 95 % intervals of {len(found['trained'])} seeds. The probe is a linear classifier on the "
        "mean of each of 16 units over all places. If nothing of this were learned, both curves of a panel would rise "
        "alike, as those of the field do, which the architecture gives.",
    )  # fmt: skip


def patches_picture(network: Trained, shown: Split) -> Picture:
    columns = []
    for number, layer in enumerate(LAYERS, start=1):
        selective = class_selectivity(network, shown.images, shown.labels, layer)
        strength = selective.means.max(axis=1)  # weak units answer to an empty corner
        order = np.argsort(-np.where(strength >= np.median(strength), selective.index, 0), kind="stable")
        _, first = np.unique(selective.classes[order], return_index=True)
        units = order[np.sort(first)][:UNITS]
        found = analysis.top_patches(network, shown.images, layer, units, count=PATCHES)
        side = analysis.receptive_fields(network)[layer][0].size
        columns.append([
            figures.Image(tiles.grid(tiles.pixel_rgb(255 - 255 * patches), columns=PATCHES), framed=False,
                          title="" if i else f"layer {number}: {side}×{side} pixels",
                          axes={"ylabel": selective.classes[unit]})
            for i, (patches, unit) in enumerate(zip(found.patches, units, strict=False))
        ])  # fmt: skip
    rows = [list(row) for row in zip(*columns, strict=False)]
    return Picture(
        "what excites units most", figures.images(rows, size=(11, 3.3)), of_images=True,
        alt="Rows of patches: specks and edges for the first layer, strokes and corners for the second, most of a "
        "digit for the third.",
        caption=f"Selective units of each layer, a row each, with the class that they answer to most, and the patches "
        f"of {PATCHES} test images that excite each most; grey is beyond the border. If the last layer did not know "
        "digits, its rows would mix them.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    few = {"validation": 1000, "test": 1000}  # of MNIST, as digits of 8×8 pixels are too small to have parts
    dataset = data.load("digits", limit=200) if effort.quick else data.load("mnist", limit=2000).first(**few)
    found = networks(recipe(CNN(widths=(16, 16, 16), head="global_avg"), effort.pick(8, 1)), dataset, effort.starts(10))
    trained = np.array([measured(View.of(network), dataset) for network, _ in found])
    random = np.array([measured(analysis.randomized(n, key=i), dataset) for i, (n, _) in enumerate(found)])
    step = np.diff(trained).min(axis=-1)
    rise, chance = (of[..., -1] - of[..., 0] for of in (trained, random))

    def each(told: str, values: np.ndarray, count: int = len(MEASURES)) -> dict[str, Estimate]:
        return {f"{name}: {told}": mean_of(values[:, i]) for i, name in enumerate(MEASURES[:count])}

    findings = [
        *at_least(0, each("the smaller of the two steps up", step)),
        *at_least(0, each("rise from the first layer to the last, trained minus random", rise - chance, 2)),
        *at_most(0, each("does not rise where weights are random", chance, 2), condition=True),
    ]
    values = {"trained": trained, "random weights": random}
    rows = [[f"{name}, layer {layer + 1}", *(str(mean_of(of[:, i, layer])) for i in range(len(MEASURES)))]
            for name, of in values.items() for layer in range(len(LAYERS))]  # fmt: skip
    accuracy = mean_of([100 * result.test_accuracy for _, result in found])
    return Evidence(
        findings, [curves_picture(values), patches_picture(found[0][0], dataset.test)],
        [Section("Layers", table=[["", *MEASURES], *rows])],
        f"The networks themselves reach {accuracy} % of {len(dataset.test):,} test images.",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
