"""What does pooling absorb, what does it lose, and is a smaller image still the same object?

    python experiments/claims/pooling_absorbs_shifts.py        120 seconds

Pooling over 2×2 absorbs a little: a shift by one pixel takes the first layer's maps as far as to another image (1.01 of
that way, 6 networks), maps of which every second place is kept as well, and pooled ones 0.87 of it, maximum or average.
A linear probe then tells the row of a digit nearly as well as before (98 instead of 100 %), after 4×4 in 88 %.

An image of half the size is the same object to a network that has seen both sizes: of the CNN it costs 1.2 points (0.4
to 2.0), of the others nothing. To one that has seen full size only it is not: 12 to 16 % are right of some 96. To be
told the size, in another channel, does not help: MLP and CNN lose 1.9 and 1.5 points by it.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
from matplotlib.figure import Figure

from convnet import HAND, data
from convnet.analysis import View
from convnet.analysis.handmade import linear_accuracy
from convnet.architectures import CNN, MLP
from convnet.claims import Claim, Effort, Evidence, Finding, mean_of, run_claim
from convnet.claims.networks import curve, networks
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset, Split
from convnet.recipes import RECIPES
from convnet.report import Picture, Section
from convnet.report.figures import bands
from convnet.report.figures.panels import bare, colour
from convnet.trained import Trained

CLAIM = Claim(
    number=16,
    title="Pooling absorbs small shifts, and a smaller image is the same object",
    says="Pooled features change less than others where the image moves by a pixel, at the price of where a feature "
    "was; and an image of half the size shows the same object, so little is lost.",
    source="Boureau, Ponce & LeCun, ICML 2010, 'A theoretical analysis of feature pooling in visual recognition'; Lee, "
    "Machine Learning 2016, who names subsampling as the third property of images",
)
SIDE = 16
SIZES = (4, 6, 8, 12, 16)
"""Pixels of a digit on a canvas of SIDE: the last is full, the third half."""
FULL, HALF = -1, 2
FAMILIES = {
    "linear": RECIPES["digits"].runs["linear"].model, "MLP": MLP(widths=(128,)), "CNN": CNN(widths=(8, 32)),
    "CNN, global average": CNN(widths=(8, 32), head="global_avg"),
}  # fmt: skip
OPTIM = {name: run.optim for name, run in RECIPES["digits"].runs.items()}
TRAINING = {"one": "trained on full size", "all": "trained on all sizes", "told": "on all, and told the size"}
REDUCTIONS = {
    "not pooled": lambda maps: maps,
    "every second place": lambda maps: maps[:, ::2, ::2],
    "average of 2×2": lambda maps: HAND.avg_pool(maps, 2),
    "maximum of 2×2": lambda maps: HAND.max_pool(maps, 2),
    "maximum of 4×4": lambda maps: HAND.max_pool(maps, 4),
    "maximum of the map": lambda maps: HAND.max_pool(maps, SIDE),
}
REACH = 4
"""Pixels by which a digit of half size can move."""


# --- sizes ------------------------------------------------------------------------------------------------------------


def resized(images: np.ndarray, size: int, told: bool = False) -> np.ndarray:
    """[N, 8, 8, 1] as digits of `size` pixels in the middle of the canvas. told: another channel holds the size."""
    small = jax.image.resize(images.astype(np.float32), (len(images), size, size, 1), "linear")
    before, after = (SIDE - size) // 2, (SIDE - size + 1) // 2
    canvas = np.pad(np.clip(np.rint(small), 0, 255), ((0, 0), (before, after), (before, after), (0, 0)))
    channel = np.full_like(canvas, 255 * size / SIDE)
    return np.concatenate([canvas, channel] if told else [canvas], axis=-1).astype(np.uint8)


def mixed(split: Split, sizes: tuple[int, ...], told: bool) -> Split:
    """Every image once, at one of the `sizes`."""
    chosen = np.random.default_rng(0).integers(0, len(sizes), len(split))
    every = np.stack([resized(split.images, size, told) for size in sizes])
    return Split(every[chosen, np.arange(len(split))], split.labels)


def trained(family: str, training: str, digits: Dataset, effort: Effort) -> tuple[list[Trained], np.ndarray]:
    """Networks, and their accuracies [seeds, sizes]."""
    sizes, told = SIZES[-1:] if training == "one" else SIZES, training == "told"
    dataset = Dataset(TRAINING[training], **{n: mixed(s, sizes, told) for n, s in digits.splits.items()},
                      class_names=digits.class_names)  # fmt: skip
    model, train = FAMILIES[family], TrainConfig(epochs=effort.pick(20, 1), batch_size=32)
    # A global average learns slowly, and more slowly from several sizes.
    rate = OptimConfig(learning_rate=0.05, warmup=0.1) if model.name == "cnn" else OPTIM[model.name]
    config = RunConfig(model=model, optim=rate, train=train)
    found, test = [network for network, _ in networks(config, dataset, effort.starts(6))], digits.test
    shown = [resized(test.images, size, told) for size in SIZES]
    return found, np.array([[(n.predict(images) == test.labels).mean() for images in shown] for n in found])


# --- shifts -----------------------------------------------------------------------------------------------------------


@jax.jit
def reduced(view: View, images: jax.Array) -> dict[str, jax.Array]:
    """The first layer's maps after each reduction, flat."""
    maps = view.at("conv1_relu", images)
    return {name: reduce(maps).reshape(len(maps), -1) for name, reduce in REDUCTIONS.items()}


def absorbed(network: Trained, digits: Dataset) -> np.ndarray:
    """[reductions, 2]: how far a shift by 1 pixel takes the features, over the way to another image; and how often a
    linear probe tells by how many rows the digit was moved."""
    view, rng = View.of(network), np.random.default_rng(0)
    images = resized(digits.test.images, SIZES[HALF])
    still = reduced(view, view.images(images))
    moved = [reduced(view, view.images(np.roll(images, by, axis))) for axis in (1, 2) for by in (-1, 1)]
    rows, seen = [], []
    for split in (digits.train, digits.test):
        by = rng.integers(-REACH, REACH + 1, (2, len(split)))
        canvases = zip(resized(split.images, SIZES[HALF]), *by, strict=True)
        rows.append(by[0] + REACH)
        seen.append(reduced(view, view.images(np.stack([np.roll(c, (y, x), (0, 1)) for c, y, x in canvases]))))
    found = []
    for name in REDUCTIONS:  # jit sorts what it returns
        values = still[name]
        way = lambda a, b: float(np.linalg.norm(a - b, axis=1).mean())  # noqa: E731
        step = np.mean([way(values, other[name]) for other in moved]) / way(values, np.roll(values, 1, axis=0))
        probe = linear_accuracy(seen[0][name], rows[0], seen[1][name], rows[1], strengths=(0.01,)).accuracy
        found.append((step, probe))
    return np.array(found)


# --- what follows -----------------------------------------------------------------------------------------------------


def shift_findings(found: np.ndarray) -> list[Finding]:
    """found: [seeds, reductions, 2]."""
    at = {name: found[:, i] for i, name in enumerate(REDUCTIONS)}
    pairs = [("change by a shift of 1 pixel", 0, one, f"{kind} of 2×2", False)
             for one in ("not pooled", "every second place") for kind in ("average", "maximum")]  # fmt: skip
    pairs += [("a probe for the row", 1, "not pooled", f"maximum of {side}", side != "4×4") for side in ("4×4", "2×2")]
    return [
        Finding(f"{what}: {one} minus {other}", mean_of(at[one][:, i] - at[other][:, i]), least=0, condition=condition)
        for what, i, one, other, condition in pairs
    ]


def size_findings(found: dict[str, dict[str, np.ndarray]]) -> list[Finding]:
    """found: family -> training -> [seeds, sizes]."""
    findings = []
    for training in ("all", "one"):
        for family, of in found.items():
            lost, core = of[training][:, HALF] - of[training][:, FULL], training == "all" and family.startswith("CNN")
            statement = f"{family}, {TRAINING[training]}: accuracy at half size minus full"
            findings.append(Finding(statement, mean_of(lost), least=-0.02, condition=not core))
    for family, of in found.items():
        gained = mean_of((of["told"] - of["all"]).mean(axis=1))
        statement = f"{family}: told the size minus not told, mean of all sizes"
        findings.append(Finding(statement, gained, least=0, condition=True))
    return findings


def shift_picture(found: np.ndarray) -> Picture:
    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    labels = (
        "change by a shift of 1 pixel, as a share\nof the way to another image",
        "accuracy of a probe for the row, %",
    )
    for i, (panel, label, scale) in enumerate(zip(panels, labels, (1, 100), strict=True)):
        values, low, high = np.transpose([mean_of(scale * column)[:3] for column in found[..., i].T])
        ends = (values - low, high - values)
        panel.barh(range(len(values)), values, xerr=ends, color=colour(i), height=0.6, capsize=3)
        panel.set(xlabel=label, xlim=(0, None))
        bare(panel, "x")
    panels[1].axvline(100 / (2 * REACH + 1), color="black", linestyle=":")
    panels[0].set_yticks(range(len(REDUCTIONS)), REDUCTIONS)
    panels[0].invert_yaxis()
    return Picture(
        "what pooling absorbs and loses", figure,
        alt="Bars for six ways to reduce a map: the larger the pooling window, the less a shift changes, and the less "
        "a probe can tell the position.",
        caption=f"Maps of the first convolution of {len(found)} networks, for digits of 8×8 pixels on 16×16. "
        "The probe is a linear classifier of nine rows (dotted: guessing). If pooling absorbed nothing, all "
        "bars on the left would be alike; if it lost nothing, those on the right.",
    )  # fmt: skip


def sizes_picture(found: dict[str, dict[str, np.ndarray]]) -> Picture:
    curves = {f: {t: curve(SIZES, 100 * values) for t, values in of.items()} for f, of in found.items()}
    labels = {training: f"test accuracy, {name}, %" for training, name in TRAINING.items()}
    figure = bands(curves, labels, "pixels of the digit")
    for panel in figure.axes:
        panel.set_ylim(0, 101)
    return Picture(
        "accuracy against size", figure,
        alt="Three panels of accuracy over the size of the digit: trained on one size all curves fall steeply.",
        caption="Digits of 4 to 16 pixels a side in the middle of a canvas of 16×16: means and 95 % intervals. If size "
        "did not matter, the curves of all panels would be flat.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    digits = data.load("digits", limit=effort.pick(None, 200))
    found, cnns = {}, []
    for family in effort.pick(list(FAMILIES), ["CNN"]):
        runs = {training: trained(family, training, digits, effort) for training in TRAINING}
        found[family] = {training: accuracies for training, (_, accuracies) in runs.items()}
        cnns = runs["all"][0] if family == "CNN" else cnns
    shifts = np.array([absorbed(network, digits) for network in cnns])
    rows = [[f, *(str(mean_of(100 * of[t][:, HALF])) for t in TRAINING)] for f, of in found.items()]
    return Evidence(
        findings=[*shift_findings(shifts), *size_findings(found)],
        pictures=[shift_picture(shifts), sizes_picture(found)],
        tables=[Section("Test accuracy at half size, %", table=[["", *TRAINING.values()], *rows])],
        text="A smaller image is the same object only to a network that has seen smaller ones.",
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
