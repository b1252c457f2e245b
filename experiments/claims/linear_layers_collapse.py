"""What do more layers bring where nothing between them bends?

    python experiments/claims/linear_layers_collapse.py        60 seconds

One matrix, exactly: stacks of dense layers and of unpadded convolutions equal one layer to 1e-15; only zero padding
between two convolutions breaks that, at the borders. Without an activation no start of 100 fits XOR. With 8 hidden
units 92 % do with relu and all with tanh; two units are enough in principle, yet 17 % of the starts find it with relu,
and, as it is not monotone, a single gelu unit does in 94 %. Depth alone changes how a linear network learns: one layer
learns all modes at once, two wait and then jump, the larger singular values first, as the formula says to 0.6 %.
"""

from __future__ import annotations

import sys
from functools import reduce
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from convnet import HAND, initializers
from convnet.claims import Claim, Effort, Evidence, Finding, counted, exact, run_claim
from convnet.claims.descent import descend
from convnet.report import Picture
from convnet.report.figures.panels import bare, colour, matrix_ticks, write_cells

CLAIM = Claim(
    number=3,
    title="Linear layers in a stack are one linear layer",
    says="Layers without a non-linearity between them compute what one layer computes, so no stack of them fits XOR, "
    "which a hidden layer that bends does; what depth changes is the way of learning, with plateaus and sudden steps.",
    source="Minsky & Papert, 'Perceptrons', MIT Press 1969; Saxe et al., ICLR 2014, 'Exact solutions to the nonlinear "
    "dynamics of learning in deep linear neural networks'",
)
ROUNDING = 1e-12
"""Relative, of sums of some hundred terms in float64."""
WIDTHS = (1, 2, 3, 4, 8)
BENDS = {"none": lambda x: x, "relu": HAND.relu, "tanh": HAND.tanh, "sigmoid": HAND.sigmoid, "gelu": HAND.gelu}
MODES, SMALL, RATE = (4.0, 2.0, 1.0), 1e-3, 2e-3
"""Singular values of the map to be learned; the strength that each begins with; the step in time."""


# --- the collapse ---------------------------------------------------------------------------------------------------


def relative(found, expected) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def dense_collapse(seed: int) -> float:
    """Two to six dense layers with biases beside the product of their matrices."""
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=ends), rng.normal(size=ends[1])) for ends in pairwise(rng.integers(2, 40, 3 + seed % 5))]
    x = rng.normal(size=(20, len(layers[0][0])))
    matrix, bias = reduce(lambda one, two: (one[0] @ two[0], one[1] @ two[0] + two[1]), layers)
    return relative(jax.jit(lambda x: reduce(lambda h, layer: HAND.dense(h, *layer), layers, x))(x), x @ matrix + bias)


def conv_collapse(seed: int, padding: str) -> float:
    """Two convolutions beside the one whose kernel is the convolution of theirs; the second's has gaps as wide as the
    first one's stride, and the strides multiply."""
    rng = np.random.default_rng(seed)
    (a, b), (c, m, k) = rng.integers(1, 5, 2), rng.integers(1, 5, 3)
    s, t = map(int, rng.integers(1, 3, 2) if padding == "VALID" else (1, 1))
    first, second, x = (rng.normal(size=n) for n in ((a, a, c, m), (b, b, m, k), (2, 24, 24, c)))

    @jax.jit
    def both(first, second, x):
        one = HAND.convolve2d(first.transpose(2, 0, 1, 3), second, padding=int(b - 1) * s, dilation=s)
        stack = HAND.conv2d(HAND.conv2d(x, first, stride=s, padding=padding), second, stride=t, padding=padding)
        return HAND.conv2d(x, one.transpose(1, 2, 0, 3), stride=s * t, padding=padding), stack

    return relative(*both(first, second, x))


# --- XOR ------------------------------------------------------------------------------------------------------------


def xor_fitted(seeds: range, steps: int) -> np.ndarray:
    """Whether a network gives all four labels a probability above 0.9 in the end: [activations, widths, seeds]."""
    x, y = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), jnp.array([0, 1, 1, 0])

    def fitted(bend: Array, width: Array, seed: Array) -> Array:
        # One program for all widths: the units beyond `width` are nought and stay so; Glorot's scale is of the others.
        there, bound = jnp.arange(max(WIDTHS)) < width, jnp.sqrt(6 / (2 + width))
        one, two = jax.random.uniform(jax.random.key(seed), (2, 2, max(WIDTHS)), minval=-bound, maxval=bound)

        def loss(params):
            hidden = jax.lax.switch(bend, list(BENDS.values()), HAND.dense(x, *params[:2])) * there[None]
            return HAND.softmax_cross_entropy(HAND.dense(hidden, *params[2:]), y)

        start = one, jnp.zeros(max(WIDTHS)), two.T, jnp.zeros(2)
        end, _ = descend(lambda params: loss(params).mean(), start, rate=0.5, steps=steps)
        return jnp.all(jnp.exp(-loss(end)) > 0.9)

    by_width = jax.vmap(jax.vmap(fitted, (None, None, 0)), (None, 0, None))
    every = jax.jit(jax.vmap(by_width, (0, None, None)))
    return np.asarray(every(jnp.arange(len(BENDS)), jnp.array(WIDTHS), jnp.array(seeds)))


# --- learning of deep linear networks -------------------------------------------------------------------------------


def strengths(depth: int, seeds: range, time: float) -> np.ndarray:
    """How much of each mode a linear network has learned, over time: [starts, steps, modes]. All matrices are the
    depth-th root of SMALL times the identity at the first start, times random orthonormal ones at the others."""
    sizes, each = [len(MODES), *[2 * len(MODES)] * (depth - 1), len(MODES)], SMALL ** (1 / depth)
    rotation, shapes = initializers.build("orthogonal", each), list(pairwise(sizes))
    keys = [jax.random.split(jax.random.key(seed), depth) for seed in seeds]
    starts = [jnp.stack([each * jnp.eye(*shape), *[rotation(row[i], shape) for row in keys]])
              for i, shape in enumerate(shapes)]  # fmt: skip
    loss = lambda stack: jnp.sum((reduce(HAND.dense, stack) - jnp.diag(jnp.array(MODES))) ** 2) / 2  # noqa: E731
    modes = lambda stack: jnp.diag(reduce(HAND.dense, stack))  # noqa: E731
    learn = lambda start: descend(loss, start, rate=RATE, steps=int(time / RATE), note=modes)[1]  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(learn))(starts))


def by_formula(times: np.ndarray) -> np.ndarray:
    """Of two layers that start aligned: the logistic curve da/dt = 2a(s − a) (Saxe et al., equation 8)."""
    s = np.array(MODES)
    return s / (1 + (s / SMALL - 1) * np.exp(-2 * s * times[:, None]))


def reached(paths: np.ndarray, share: float) -> np.ndarray:
    """When each mode first has `share` of its singular value, infinity if never: [..., modes]."""
    there = paths >= share * np.array(MODES)
    return np.where(there.any(axis=-2), there.argmax(axis=-2) * RATE, np.inf)


# --- pictures -------------------------------------------------------------------------------------------------------


def xor_picture(rates: np.ndarray, seeds: int) -> Picture:
    figure = Figure(figsize=(6.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(rates, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    write_cells(axes, np.vectorize("{:.0%}".format)(rates), rates > 0.5, 10)
    matrix_ticks(axes, list(BENDS), list(map(str, WIDTHS)), angle=0)
    axes.set(xlabel="hidden units", ylabel="activation of the hidden layer")
    return Picture(
        "who learns XOR", figure,
        alt="A table of success rates: nought in the row without activation, growing to all with width in the others.",
        caption=f"Share of {seeds} starts after which all four labels have a probability above 0.9. If depth alone "
        "were enough, the first row would look like the others.",
    )  # fmt: skip


def plateau_picture(paths: dict[str, np.ndarray], time: float) -> Picture:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for panel, (name, path) in zip(figure.subplots(1, len(paths), sharey=True), paths.items(), strict=True):
        times = np.arange(len(path)) * RATE
        for i, s in enumerate(MODES):
            panel.plot(times, path[:, i], color=colour(i), label=f"singular value {s:g}")
        if name == "2 layers":
            panel.plot(
                times, by_formula(times), color="black", linestyle=":", linewidth=1.5, label=["formula", None, None]
            )
        panel.set(title=name, xlabel="time (rate × steps)", xlim=(0, time))
        bare(panel)
    figure.axes[0].set_ylabel("strength of the mode")
    figure.axes[1].legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1, 0.75))
    return Picture(
        "plateaus of deep linear networks", figure,
        alt="With one layer all three strengths rise at once; with two and three each waits near nought, then jumps.",
        caption=f"One linear map of three singular values, learned by stacks that all compute one matrix; each mode "
        f"begins at {SMALL:g}. If depth changed nothing, the three panels would be alike.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    cases, steps = range(effort.pick(20, 1)), effort.pick(3000, 300)
    seeds, time = effort.starts(100, 10), 15.0
    with jax.enable_x64(True):
        dense = max(map(dense_collapse, cases))
        conv = {padding: max(conv_collapse(seed, padding) for seed in cases) for padding in ("VALID", "SAME")}
    one, deep, three = (strengths(depth, seeds if depth == 2 else range(0), time) for depth in (1, 2, 3))
    paths = {"1 layer": one[0], "2 layers": deep[0], "3 layers": three[0]}
    fitted = xor_fitted(seeds, steps)
    hits = lambda bend, width: counted(fitted[list(BENDS).index(bend), WIDTHS.index(width)].sum(), len(seeds), "starts")  # noqa: E731
    two, tenth, half = deep[0], reached(deep[1:], 0.1), reached(deep[1:], 0.5)
    formula = np.abs(two - by_formula(np.arange(len(two)) * RATE)).max() / max(MODES)
    ordered = (np.diff(half, axis=1) > 0).all(axis=1)
    waits = (tenth > half / 2).all(axis=1) & np.isfinite(half).all(axis=1)
    shallow = reached(one, 0.1) / reached(one, 0.5)
    return Evidence(
        findings=[
            Finding("a stack of dense layers is the product of its matrices: largest relative difference",
                    exact(dense), most=ROUNDING),
            Finding("two unpadded convolutions are one, strides included: largest relative difference",
                    exact(conv["VALID"]), most=ROUNDING),
            Finding("no stack without activation fits XOR: share of starts, 8 units", hits("none", 8), most=0.05),
            Finding("8 hidden units with relu fit XOR: share of starts", hits("relu", 8), least=0.5),
            Finding("8 hidden units with tanh fit XOR: share of starts", hits("tanh", 8), least=0.5),
            Finding("two linear layers learn by Saxe's formula: largest difference, of the largest singular value",
                    exact(formula), most=0.01),
            Finding("one layer has no plateau: a tenth of a mode takes this share of the time of a half",
                    exact(shallow.max()), most=0.5),
            Finding("two layers have: it takes more than half of it, in every mode: share of random starts",
                    counted(waits.sum(), len(seeds), "starts"), least=0.5),
            Finding("larger modes are learned first: share of random starts",
                    counted(ordered.sum(), len(seeds), "starts"), least=0.5),
            Finding("two relu units, the fewest that can, learn XOR: share of starts", hits("relu", 2),
                    least=0.9, condition=True),
            Finding("two convolutions with padding between them are one, borders included: largest relative difference",
                    exact(conv["SAME"]), most=ROUNDING, condition=True),
        ],
        text="GELU falls before it rises, so one unit of it can tell the middle from both ends, which none that only "
        "rises can.",
        pictures=[xor_picture(fitted.mean(axis=2), len(seeds)), plateau_picture(paths, time)],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
