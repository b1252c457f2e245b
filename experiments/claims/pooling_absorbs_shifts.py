"""What does pooling absorb, what does it lose, and is a smaller image still the same object?

    python experiments/claims/pooling_absorbs_shifts.py        120 seconds

Pooling over 2×2 absorbs a little: a shift by one pixel takes the first layer's maps as far as to another image (1.01 of
that way, 6 networks), maps of which every second place is kept as well, and pooled ones 0.87 of it, maximum or average.
A linear probe then tells the row of a digit nearly as well as before (98 instead of 100 %), after 4×4 in 88 %.

An image of half the size is the same object to a network that has seen both sizes: of the CNN it costs 1.2 points (0.4
to 2.0), of the others nothing. To one that has seen full size only it is not: 12 to 16 % are right of some 96. To be
told the size, in another channel, does not help: MLP and CNN lose 1.9 and 1.5 points by it.
"""

import sys
from dataclasses import replace

import numpy as np

from convnet import HAND, data
from convnet.analysis import View
from convnet.analysis.shift_response import shift_response
from convnet.architectures import CNN, MLP
from convnet.claims import Claim, Effort, Evidence, Finding, at_least, mean_of, run_claim
from convnet.claims.networks import curve, networks, recipe
from convnet.data import Dataset, mixed_sizes, on_canvas
from convnet.recipes import RECIPES
from convnet.report import Picture, Section, figures
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
SIZES = (4, 6, 8, 12, 16)  # pixels of a digit on a canvas of SIDE: the last is full, the third half
FULL, HALF = -1, 2
FAMILIES = {
    "linear": RECIPES["digits"].runs["linear"].model, "MLP": MLP(widths=(128,)), "CNN": CNN(widths=(8, 32)),
    "CNN, global average": CNN(widths=(8, 32), head="global_avg"),
}  # fmt: skip
TRAINING = {"one": "trained on full size", "all": "trained on all sizes", "told": "on all, and told the size"}
REDUCTIONS = {
    "not pooled": lambda maps: maps,
    "every second place": lambda maps: maps[:, ::2, ::2],
    "average of 2×2": lambda maps: HAND.avg_pool(maps, 2),
    "maximum of 2×2": lambda maps: HAND.max_pool(maps, 2),
    "maximum of 4×4": lambda maps: HAND.max_pool(maps, 4),
    "maximum of the map": lambda maps: HAND.max_pool(maps, SIDE),
}
REACH = 4  # pixels by which a digit of half size can move


def trained(family: str, training: str, digits: Dataset, effort: Effort) -> tuple[list[Trained], np.ndarray]:
    """Networks, and their accuracies [seeds, sizes]."""
    sizes, told = SIZES[-1:] if training == "one" else SIZES, training == "told"
    model, test = FAMILIES[family], digits.test
    config = recipe(model, effort.pick(20, 1))
    if model.name != "cnn":  # a global average learns slowly, and more slowly from several sizes
        config = replace(config, optim=RECIPES["digits"].runs[model.name].optim)
    found = networks(config, digits.mapped(lambda s: mixed_sizes(s, sizes, SIDE, told=told)), effort.starts(6))
    shown = [on_canvas(test.images, size, SIDE, told=told) for size in SIZES]
    return [n for n, _ in found], np.array([[(n.predict(x) == test.labels).mean() for x in shown] for n, _ in found])


def shift_findings(found: np.ndarray) -> list[Finding]:
    """found: [seeds, reductions, 2]."""
    at = {name: found[:, i] for i, name in enumerate(REDUCTIONS)}
    minus = lambda i, one, other: mean_of(at[one][:, i] - at[other][:, i])  # noqa: E731
    change = {f"change by a shift of 1 pixel: {one} minus {kind} of 2×2": minus(0, one, f"{kind} of 2×2")
              for one in ("not pooled", "every second place") for kind in ("average", "maximum")}  # fmt: skip
    probe = {side: {f"a probe for the row: not pooled minus maximum of {side}":
                    minus(1, "not pooled", f"maximum of {side}")} for side in ("4×4", "2×2")}  # fmt: skip
    return [*at_least(0, change | probe["4×4"]), *at_least(0, probe["2×2"], condition=True)]


def size_findings(found: dict[str, dict[str, np.ndarray]]) -> list[Finding]:
    """found: family -> training -> [seeds, sizes]."""
    findings = []
    for training in ("all", "one"):
        for family, of in found.items():
            lost, core = of[training][:, HALF] - of[training][:, FULL], training == "all" and family.startswith("CNN")
            statement = f"{family}, {TRAINING[training]}: accuracy at half size minus full"
            findings += at_least(-0.02, {statement: mean_of(lost)}, condition=not core)
    told = {f"{family}: told the size minus not told, mean of all sizes": mean_of((of["told"] - of["all"]).mean(axis=1))
            for family, of in found.items()}  # fmt: skip
    return findings + at_least(0, told, condition=True)


def pictures(shifts: np.ndarray, found: dict[str, dict[str, np.ndarray]]) -> list[Picture]:
    probe = "accuracy of a probe for the row, %"
    labels = "change by a shift of 1 pixel, as a share\nof the way to another image", probe
    scaled = shifts * (1, 100)
    bars = {label: dict(zip(REDUCTIONS, scaled[..., i].T, strict=True)) for i, label in enumerate(labels)}
    curves = {t: {family: curve(SIZES, 100 * of[t]) for family, of in found.items()} for t in TRAINING}
    panels = [figures.Panel(lines, {"xlabel": "pixels of the digit", "ylabel": f"test accuracy, {TRAINING[t]}, %",
                                    "ylim": (0, 101)}) for t, lines in curves.items()]  # fmt: skip
    guess = {probe: 100 / (2 * REACH + 1)}
    return [
        Picture(
            "what pooling absorbs and loses", figures.interval_bars(bars, size=(9, 3), guess=guess),
            alt="Bars for six ways to reduce a map: the larger the pooling window, the less a shift changes, and the "
            "less a probe can tell the position.",
            caption=f"Maps of the first convolution of {len(shifts)} networks, for digits of 8×8 pixels on 16×16. The "
            "probe is a linear classifier of nine rows (dotted: guessing). If pooling absorbed nothing, all bars on "
            "the left would be alike; if it lost nothing, those on the right.",
        ),
        Picture(
            "accuracy against size", figures.chart(panels, size=(13.5, 3.8)),
            alt="Three panels of accuracy over the size of the digit: trained on one size all curves fall steeply.",
            caption="Digits of 4 to 16 pixels a side in the middle of a canvas of 16×16: means and 95 % intervals. If "
            "size did not matter, the curves of all panels would be flat.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    digits, found, cnns = data.load("digits", limit=effort.pick(None, 200)), {}, []
    for family in effort.pick(list(FAMILIES), ["CNN"]):
        runs = {training: trained(family, training, digits, effort) for training in TRAINING}
        found[family] = {training: accuracies for training, (_, accuracies) in runs.items()}
        cnns = runs["all"][0] if family == "CNN" else cnns
    half = digits.mapped(lambda split: mixed_sizes(split, [SIZES[HALF]], SIDE))
    shifts = [shift_response(View.of(n), "conv1_relu", REDUCTIONS, half.train, half.test, reach=REACH) for n in cnns]
    rows = [[f, *(str(mean_of(100 * of[t][:, HALF])) for t in TRAINING)] for f, of in found.items()]
    table = Section("Test accuracy at half size, %", table=[["", *TRAINING.values()], *rows])
    text = "A smaller image is the same object only to a network that has seen smaller ones."
    return Evidence(
        [*shift_findings(np.array(shifts)), *size_findings(found)], pictures(np.array(shifts), found), [table], text
    )


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
