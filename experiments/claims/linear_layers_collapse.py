"""What do more layers bring where nothing between them bends?

    python experiments/claims/linear_layers_collapse.py        60 seconds

One matrix, exactly: stacks of dense layers and of unpadded convolutions equal one layer to 1e-15; only zero padding
between two convolutions breaks that, at the borders. Without an activation no start of 100 fits XOR. With 8 hidden
units 92 % do with relu and all with tanh; two units are enough in principle, yet 17 % of the starts find it with relu,
and, as it is not monotone, a single gelu unit does in 94 %. Depth alone changes how a linear network learns: one layer
learns all modes at once, two wait and then jump, the larger singular values first, as the formula says to 0.6 %.
"""

import sys
from functools import reduce
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from convnet import HAND
from convnet.analysis import composed_kernel, deep_linear
from convnet.analysis.few_points import fitted_starts
from convnet.claims import Claim, Effort, Evidence, apart, at_least, at_most, counted, descend, run_claim
from convnet.report import Picture, figures

CLAIM = Claim(
    number=3,
    title="Linear layers in a stack are one linear layer",
    says="Layers without a non-linearity between them compute what one layer computes, so no stack of them fits XOR, "
    "which a hidden layer that bends does; what depth changes is the way of learning, with plateaus and sudden steps.",
    source="Minsky & Papert, 'Perceptrons', MIT Press 1969; Saxe et al., ICLR 2014, 'Exact solutions to the nonlinear "
    "dynamics of learning in deep linear neural networks'",
)
ROUNDING = 1e-12  # relative, of sums of some hundred terms in float64
WIDTHS = (1, 2, 3, 4, 8)
BENDS = {"none": lambda x: x, "relu": HAND.relu, "tanh": HAND.tanh, "sigmoid": HAND.sigmoid, "gelu": HAND.gelu}
MODES, SMALL, RATE, TIME = (4.0, 2.0, 1.0), 1e-3, 2e-3, 15.0
"""Singular values of the map to be learned; the strength that each begins with; the step in time; how long."""


def dense_collapse(seed: int) -> float:
    """Two to six dense layers with biases beside the product of their matrices."""
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=ends), rng.normal(size=ends[1])) for ends in pairwise(rng.integers(2, 40, 3 + seed % 5))]
    x = rng.normal(size=(20, len(layers[0][0])))
    matrix, bias = reduce(lambda one, two: (one[0] @ two[0], one[1] @ two[0] + two[1]), layers)
    return apart(jax.jit(lambda x: reduce(lambda h, layer: HAND.dense(h, *layer), layers, x))(x), x @ matrix + bias)


def conv_collapse(seed: int, padding: str) -> float:
    """Two convolutions beside the one of their composed kernel; the strides multiply."""
    rng = np.random.default_rng(seed)
    (a, b), (c, m, k) = rng.integers(1, 5, 2), rng.integers(1, 5, 3)
    s, t = map(int, rng.integers(1, 3, 2) if padding == "VALID" else (1, 1))
    first, second, x = (rng.normal(size=n) for n in ((a, a, c, m), (b, b, m, k), (2, 24, 24, c)))

    @jax.jit
    def both(first, second, x):
        stack = HAND.conv2d(HAND.conv2d(x, first, stride=s, padding=padding), second, stride=t, padding=padding)
        return HAND.conv2d(x, composed_kernel(first, second, stride=s), stride=s * t, padding=padding), stack

    return apart(*both(first, second, x))


def strengths(depth: int, seeds: range) -> np.ndarray:
    """How much of each mode a linear network has learned, over time: [starts, steps, modes]."""
    loss, steps = deep_linear.mode_error(MODES), int(TIME / RATE)
    learn = lambda start: descend(loss, start, rate=RATE, steps=steps, note=deep_linear.mode_strengths)[1]  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(learn))(deep_linear.linear_starts(len(MODES), depth, SMALL, seeds)))


def reached(paths: np.ndarray, share: float) -> np.ndarray:
    """When each mode first has `share` of its singular value."""
    return deep_linear.first_reached(paths, share * np.array(MODES)) * RATE


def pictures(rates: np.ndarray, seeds: int, paths: list[np.ndarray]) -> list[Picture]:
    named = {"xticks": range(len(WIDTHS)), "xticklabels": WIDTHS, "yticks": range(len(BENDS)), "yticklabels": BENDS}
    axes = named | {"xlabel": "hidden units", "ylabel": "activation of the hidden layer"}
    table = figures.Image(rates, colours="Blues", low=0, high=1, write="{:.0%}", dark=0.5, axes=axes, aspect="auto")
    panels = []
    for name, path in zip(("1 layer", "2 layers", "3 layers"), paths, strict=True):
        times = np.arange(len(path)) * RATE
        lines = {f"singular value {s:g}": (times, path[:, i]) for i, s in enumerate(MODES)}
        if name == "2 layers":
            dotted = {"color": "black", "linestyle": ":", "linewidth": 1.5}
            lines["formula"] = figures.Line(times, deep_linear.mode_formula(MODES, SMALL, times), look=dotted)
        axes = {"title": name, "xlabel": "time (rate × steps)", "xlim": (0, TIME)}
        axes |= {} if panels else {"ylabel": "strength of the mode"}
        panels.append(figures.Panel(lines, axes))
    return [
        Picture(
            "who learns XOR", figures.images([[table]], size=(6.2, 3.4)),
            alt="A table of success rates: nought in the row without activation, growing to all with width in the "
            "others.",
            caption=f"Share of {seeds} starts after which all four labels have a probability above 0.9. If depth alone "
            "were enough, the first row would look like the others.",
        ),
        Picture(
            "plateaus of deep linear networks", figures.chart(panels, size=(9, 3.4), share=True),
            alt="With one layer all three strengths rise at once; with two and three each waits near nought, then "
            "jumps.",
            caption=f"One linear map of three singular values, learned by stacks that all compute one matrix; each "
            f"mode begins at {SMALL:g}. If depth changed nothing, the three panels would be alike.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    cases, seeds = range(effort.pick(20, 1)), effort.starts(100, 10)
    with jax.enable_x64(True):
        dense = max(map(dense_collapse, cases))
        valid, same = (max(conv_collapse(seed, padding) for seed in cases) for padding in ("VALID", "SAME"))
    one, deep, three = (strengths(depth, seeds if depth == 2 else range(0)) for depth in (1, 2, 3))
    corners, xor = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), jnp.array([0, 1, 1, 0])
    fitted = fitted_starts(corners, xor, list(BENDS.values()), WIDTHS, seeds, steps=effort.pick(3000, 300))
    share = lambda hits: counted(hits.sum(), len(seeds), "starts")  # noqa: E731
    hits = lambda bend, width: share(fitted[list(BENDS).index(bend), WIDTHS.index(width)])  # noqa: E731
    tenth, half = reached(deep[1:], 0.1), reached(deep[1:], 0.5)
    formula = deep_linear.mode_formula(MODES, SMALL, np.arange(len(deep[0])) * RATE)
    waits = (tenth > half / 2).all(axis=1) & np.isfinite(half).all(axis=1)
    found = [
        *at_most(ROUNDING, {
            "a stack of dense layers is the product of its matrices: largest relative difference": dense,
            "two unpadded convolutions are one, strides included: largest relative difference": valid,
        }),
        *at_most(0.05, {"no stack without activation fits XOR: share of starts, 8 units": hits("none", 8)}),
        *at_least(0.5, {"8 hidden units with relu fit XOR: share of starts": hits("relu", 8),
                        "8 hidden units with tanh fit XOR: share of starts": hits("tanh", 8)}),
        *at_most(0.01, {
            "two linear layers learn by Saxe's formula: largest difference, of the largest singular value":
                np.abs(deep[0] - formula).max() / max(MODES)}),
        *at_most(0.5, {"one layer has no plateau: a tenth of a mode takes this share of the time of a half":
                       (reached(one, 0.1) / reached(one, 0.5)).max()}),
        *at_least(0.5, {
            "two layers have: it takes more than half of it, in every mode: share of random starts": share(waits),
            "larger modes are learned first: share of random starts": share((np.diff(half, axis=1) > 0).all(axis=1)),
        }),
        *at_least(0.9, {"two relu units, the fewest that can, learn XOR: share of starts": hits("relu", 2)},
                  condition=True),
        *at_most(ROUNDING, {"two convolutions with padding between them are one, borders included: largest relative "
                            "difference": same}, condition=True),
    ]  # fmt: skip
    text = (
        "GELU falls before it rises, so one unit of it can tell the middle from both ends, which none that only "
        "rises can."
    )
    return Evidence(found, pictures(fitted.mean(axis=2), len(seeds), [one[0], deep[0], three[0]]), text=text)


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
