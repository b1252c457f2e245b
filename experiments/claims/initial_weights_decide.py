"""What do initial weights decide: whether units can part, and how far a signal gets?

    python experiments/claims/initial_weights_decide.py        15 seconds

Both. Filters that begin equal are equal to the last bit after each of 300 steps. Through 20 layers the variance of
activations and gradients is multiplied per layer by 0.87 and 0.84 with tanh and Glorot's weights, by 0.99 with relu
and He's; relu under Glorot's halves it (0.495), uniform weights within ±1/√n leave a third, a normal distribution of
0.01 a fortieth. "Keeps" has a limit: tanh saturates, so under Glorot's 7 % of the variance are left after 20 layers.
"""

from __future__ import annotations

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from convnet import HAND, data, initializers, models
from convnet.claims import Claim, Effort, Evidence, Finding, exact, mean_of, run_claim
from convnet.claims.descent import descend
from convnet.report import Picture, figures
from convnet.report.figures.panels import bare, legend_above, stroke
from convnet.report.tiles import signed_rgb

CLAIM = Claim(
    number=11,
    title="Initial weights decide whether a deep network can learn",
    says="Equal weights keep all filters of a layer equal for ever. Random ones break the symmetry, and their scale "
    "decides whether signal and gradient live through depth: Glorot's keeps their variance with tanh, He's with relu.",
    source="Glorot & Bengio, AISTATS 2010, 'Understanding the difficulty of training deep feedforward neural "
    "networks'; He et al., ICCV 2015, 'Delving deep into rectifiers'",
)
AMPLIFIED = 1e-9
"""Relative: rounding in float64, 2·10⁻¹⁶, and room for the training steps to amplify it."""
KEPT, HALVED, TEN = (0.8, 1.25), (0.4, 0.625), 0.1
"""Factors of the variance per layer that count as one and as a half, and the ratio in all that counts as kept."""
WIDTH, DEPTH = 256, 20
SCHEMES = {
    "Glorot": ("glorot_normal", None), "He": ("he_normal", None), "uniform ±1/√n": ("uniform", WIDTH**-0.5),
    "normal 0.01": ("normal", 0.01), "normal 0.2": ("normal", 0.2),
}  # fmt: skip
SLOPES = {"tanh": HAND.tanh, "relu": HAND.relu}


# --- symmetry -------------------------------------------------------------------------------------------------------


def trained_filters(steps: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By the name of the initial weights: how far the filters of a layer differ from its first before each step,
    relative to the largest weight; and the first layer's filters in the end, [K, 3, 3, 1].

    A small CNN on digits, in float64, by plain descent on 500 images at once.
    """
    dataset = data.load("digits")
    few = dataset.train.take(np.arange(500))
    model = models.build("cnn", num_classes=10, widths=(8,), head_width=16, precision="float64")
    with jax.enable_x64(True):
        images, labels = jnp.asarray((few.images - dataset.mean) / dataset.std, float), jnp.asarray(few.labels)
        glorot = jax.jit(model.init)(jax.random.key(0), images[:1])
        constant = jax.tree.map(lambda p: jnp.full_like(p, 0.1) if p.ndim > 1 else p, glorot)

        def loss(variables):
            return HAND.softmax_cross_entropy(model.apply(variables, images), labels).mean()

        def spread(variables):
            kernels = [variables["params"][layer]["kernel"] for layer in ("conv1", "dense1")]
            return jnp.stack([jnp.abs(k - k[..., :1]).max() / jnp.abs(k).max() for k in kernels]).max()

        learn = jax.jit(lambda start: descend(loss, start, rate=0.1, steps=steps, note=spread))
        ends = {"constant": learn(constant), "Glorot": learn(glorot)}
    filters = {
        name: np.moveaxis(np.asarray(end["params"]["conv1"]["kernel"]), -1, 0) for name, (end, _) in ends.items()
    }
    return {name: np.asarray(spread) for name, (_, spread) in ends.items()}, filters


# --- variance -------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames="slope")
def variances(weights: Array, x: Array, g: Array, *, slope: str) -> tuple[Array, Array]:
    """Of the activations of each layer of a stack [depth, n, n], and of the gradients in what it is before the
    non-linearity, where g is the gradient in the last activation: [depth] each."""

    def activations(nudges: Array) -> tuple[Array, Array]:
        def layer(h: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            w, nudge = given
            h = SLOPES[slope](HAND.dense(h, w) + nudge)
            return h, h

        return jax.lax.scan(layer, x, (weights, nudges))

    _, pull, every = jax.vjp(activations, jnp.zeros((len(weights), *x.shape)), has_aux=True)
    return jnp.var(every, axis=(1, 2)), jnp.var(pull(g)[0], axis=(1, 2))


@jax.jit
def drawn(keys: Array) -> dict[str, Array]:
    """By scheme: a matrix for each key."""
    schemes = {scheme: initializers.build(*named) for scheme, named in SCHEMES.items()}
    return {scheme: jax.vmap(lambda key, d=draw: d(key, (WIDTH, WIDTH)))(keys) for scheme, draw in schemes.items()}


def through_depth(seeds: range) -> dict[tuple[str, str], np.ndarray]:
    """(activation, scheme) -> [seeds, 2, layers]: variances of activations and of gradients."""
    found: dict[tuple[str, str], list] = {(slope, scheme): [] for slope in SLOPES for scheme in SCHEMES}
    for seed in seeds:
        keys = jax.random.split(jax.random.key(seed), DEPTH + 1)
        x, g = jax.random.normal(keys[0], (2, 128, WIDTH))
        for scheme, weights in drawn(keys[1:]).items():
            for slope in SLOPES:
                found[slope, scheme].append(variances(weights, x, g, slope=slope))
    return {name: np.asarray(values) for name, values in found.items()}


def per_layer(found: np.ndarray, kind: int) -> np.ndarray:
    """By how much a layer multiplies the variance, the geometric mean over depth: [seeds]. kind 0: of activations, from
    the first layer to the last; 1: of gradients, from the last to the first."""
    first, last = found[:, kind, 0], found[:, kind, -1]
    ratio = last / first if kind == 0 else first / last
    return ratio ** (1 / (found.shape[2] - 1))


# --- pictures -------------------------------------------------------------------------------------------------------


def variance_picture(found: dict[tuple[str, str], np.ndarray]) -> Picture:
    figure, lines = Figure(figsize=(8.5, 6), layout="constrained"), {}
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, slope in enumerate(SLOPES):
        for kind, name in enumerate(("variance of activations", "variance of gradients")):
            panel = panels[kind, column]
            for i, scheme in enumerate(SCHEMES):
                values = found[slope, scheme][:, kind]
                values = np.where(values > 0, values, np.nan)  # below what float32 holds
                layers = np.arange(1, values.shape[1] + 1)
                panel.plot(layers, values.T, linewidth=0.6, alpha=0.4, **stroke(i))
                (lines[scheme],) = panel.plot(layers, np.exp(np.log(values).mean(axis=0)), linewidth=2, **stroke(i))
            panel.set(yscale="log", ylim=(1e-20, 1e15))  # below, a line only goes on
            panel.xaxis.get_major_locator().set_params(integer=True)
            bare(panel)
            panels[kind, 0].set_ylabel(name)
        panels[0, column].set_title(slope)
        panels[1, column].set_xlabel("layer")
    legend_above(figure, lines)
    count = len(next(iter(found.values())))
    return Picture(
        "variance through depth", figure,
        alt="Lines of variance over the number of the layer. Some are level, Glorot's with tanh and He's with relu; "
        "others fall or rise by the same factor in every layer.",
        caption=f"Dense networks of {WIDTH} units a layer before any training, {count} seeds, thick: geometric mean. "
        "Gradients begin at the last layer. If the scale did not matter, all lines would be level.",
    )  # fmt: skip


def filter_picture(filters: dict[str, np.ndarray], steps: int) -> Picture:
    rows = {name: signed_rgb(kernels) for name, kernels in filters.items()}
    return Picture(
        "filters after training", figures.labelled_images(rows, {}), of_images=True,
        alt="Two rows of eight filters of 3×3 weights: in the first all are the same, in the second all differ.",
        caption=f"The first layer's filters after {steps} steps, from constant weights and from Glorot's. If symmetry "
        "broke by itself, the filters of the first row would differ, too.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    seeds, steps = effort.starts(10), effort.pick(300, 10)
    spread, filters = trained_filters(steps)
    found = through_depth(seeds)

    def factor(
        statement: str, slope: str, scheme: str, kind: int, bounds: tuple[float | None, float | None]
    ) -> Finding:
        return Finding(statement, mean_of(per_layer(found[slope, scheme], kind)), *bounds)

    total = found["tanh", "Glorot"][:, 0, -1] / found["tanh", "Glorot"][:, 0, 0]
    return Evidence(
        findings=[
            Finding(f"filters that begin equal are equal after every one of {steps} steps: largest relative difference",
                    exact(spread["constant"].max()), most=AMPLIFIED),
            factor("tanh, Glorot: factor of the variance of activations, per layer", "tanh", "Glorot", 0, KEPT),
            factor("tanh, Glorot: of gradients", "tanh", "Glorot", 1, KEPT),
            factor("relu, He: of activations", "relu", "He", 0, KEPT),
            factor("relu, He: of gradients", "relu", "He", 1, KEPT),
            factor("relu, Glorot: relu halves that of activations", "relu", "Glorot", 0, HALVED),
            factor("tanh, normal 0.01: activations die", "tanh", "normal 0.01", 0, (None, 0.1)),
            factor("tanh, uniform ±1/√n, usual before: activations fade", "tanh", "uniform ±1/√n", 0, (None, 0.5)),
            factor("relu, normal 0.2: activations explode", "relu", "normal 0.2", 0, (2, None)),
            Finding("tanh, Glorot: variance of the last layer's activations over the first's, in all", mean_of(total),
                    least=TEN, condition=True),
        ],
        pictures=[variance_picture(found), filter_picture(filters, steps)],
        text="docs/ablations.md has what becomes of such networks in training.",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
