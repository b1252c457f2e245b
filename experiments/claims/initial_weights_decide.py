"""What do initial weights decide: whether units can part, and how far a signal gets?

    python experiments/claims/initial_weights_decide.py        15 seconds

Both. Filters that begin equal are equal to the last bit after each of 300 steps. Through 20 layers the variance of
activations and gradients is multiplied per layer by 0.87 and 0.84 with tanh and Glorot's weights, by 0.99 with relu
and He's; relu under Glorot's halves it (0.495), uniform weights within ±1/√n leave a third, a normal distribution of
0.01 a fortieth. "Keeps" has a limit: tanh saturates, so under Glorot's 7 % of the variance are left after 20 layers.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from convnet import HAND, data, initializers, models
from convnet.analysis.signal_propagation import factor_per_layer, variances_through
from convnet.claims import Claim, Effort, Evidence, at_least, at_most, descend, mean_of, run_claim, within
from convnet.report import Picture, figures
from convnet.report.tiles import signed_rgb

CLAIM = Claim(
    number=11,
    title="Initial weights decide whether a deep network can learn",
    says="Equal weights keep all filters of a layer equal for ever. Random ones break the symmetry, and their scale "
    "decides whether signal and gradient live through depth: Glorot's keeps their variance with tanh, He's with relu.",
    source="Glorot & Bengio, AISTATS 2010, 'Understanding the difficulty of training deep feedforward neural "
    "networks'; He et al., ICCV 2015, 'Delving deep into rectifiers'",
)
AMPLIFIED = 1e-9  # relative: rounding in float64, 2·10⁻¹⁶, and room for the training steps to amplify it
KEPT, HALVED, TEN = (0.8, 1.25), (0.4, 0.625), 0.1
"""Factors of the variance per layer that count as one and as a half, and the ratio in all that counts as kept."""
WIDTH, DEPTH = 256, 20
SCHEMES = {
    "Glorot": ("glorot_normal", None), "He": ("he_normal", None), "uniform ±1/√n": ("uniform", WIDTH**-0.5),
    "normal 0.01": ("normal", 0.01), "normal 0.2": ("normal", 0.2),
}  # fmt: skip
SLOPES = {"tanh": HAND.tanh, "relu": HAND.relu}


def trained_filters(steps: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By the name of the initial weights: how far the filters of a layer differ from its first before each step,
    relative to the largest weight; and the first layer's filters in the end, [K, 3, 3, 1].

    A small CNN on digits, in float64, by plain descent on 500 images at once.
    """
    digits = data.load("digits")
    few, normal = digits.first(train=500).train, lambda images: (images - digits.mean) / digits.std
    model = models.build("cnn", num_classes=10, widths=(8,), head_width=16, precision="float64")
    with jax.enable_x64(True):
        images, labels = jnp.asarray(normal(few.images), float), jnp.asarray(few.labels)
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


@jax.jit
def drawn(keys: jax.Array) -> dict[str, jax.Array]:
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
            for slope, activation in SLOPES.items():
                found[slope, scheme].append(variances_through(weights, activation, x, g))
    return {name: np.asarray(values) for name, values in found.items()}


def pictures(found: dict[tuple[str, str], np.ndarray], filters: dict[str, np.ndarray], steps: int) -> list[Picture]:
    panels, count = [], len(next(iter(found.values())))
    for kind, name in enumerate(("variance of activations", "variance of gradients")):
        for slope in SLOPES:
            lines, layers = {}, np.arange(1, DEPTH + 1)
            for scheme in SCHEMES:
                values = found[slope, scheme][:, kind]
                values = np.where(values > 0, values, np.nan)  # below what float32 holds
                seeds = figures.Line(layers, values.T, look={"linewidth": 0.6, "alpha": 0.4})
                lines[scheme] = [(layers, np.exp(np.log(values).mean(axis=0))), seeds]
            axes = {"yscale": "log", "ylim": (1e-20, 1e15), "xticks": range(0, 21, 5)}  # below, a line only goes on
            axes |= {"ylabel": name} if slope == "tanh" else {}
            panels.append(figures.Panel(lines, axes | ({"xlabel": "layer"} if kind else {"title": slope})))
    rows = {name: signed_rgb(kernels) for name, kernels in filters.items()}
    return [
        Picture(
            "variance through depth", figures.chart(panels, size=(8.5, 6), columns=2, share="row"),
            alt="Lines of variance over the number of the layer. Some are level, Glorot's with tanh and He's with "
            "relu; others fall or rise by the same factor in every layer.",
            caption=f"Dense networks of {WIDTH} units a layer before any training, {count} seeds, thick: geometric "
            "mean. Gradients begin at the last layer. If the scale did not matter, all lines would be level.",
        ),
        Picture(
            "filters after training", figures.labelled_images(rows, {}), of_images=True,
            alt="Two rows of eight filters of 3×3 weights: in the first all are the same, in the second all differ.",
            caption=f"The first layer's filters after {steps} steps, from constant weights and from Glorot's. If "
            "symmetry broke by itself, the filters of the first row would differ, too.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    steps = effort.pick(300, 10)
    spread, filters = trained_filters(steps)
    found = through_depth(effort.starts(10))
    forward = lambda *of: mean_of(factor_per_layer(found[of][:, 0]))  # noqa: E731
    backward = lambda *of: mean_of(factor_per_layer(found[of][:, 1], backward=True))  # noqa: E731
    total = found["tanh", "Glorot"][:, 0, -1] / found["tanh", "Glorot"][:, 0, 0]
    findings = [
        *at_most(AMPLIFIED, {f"filters that begin equal are equal after every one of {steps} steps: largest relative "
                             "difference": spread["constant"].max()}),
        *within(*KEPT, {
            "tanh, Glorot: factor of the variance of activations, per layer": forward("tanh", "Glorot"),
            "tanh, Glorot: of gradients": backward("tanh", "Glorot"),
            "relu, He: of activations": forward("relu", "He"),
            "relu, He: of gradients": backward("relu", "He"),
        }),
        *within(*HALVED, {"relu, Glorot: relu halves that of activations": forward("relu", "Glorot")}),
        *at_most(0.1, {"tanh, normal 0.01: activations die": forward("tanh", "normal 0.01")}),
        *at_most(0.5, {"tanh, uniform ±1/√n, usual before: activations fade": forward("tanh", "uniform ±1/√n")}),
        *at_least(2, {"relu, normal 0.2: activations explode": forward("relu", "normal 0.2")}),
        *at_least(TEN, {"tanh, Glorot: variance of the last layer's activations over the first's, in all":
                        mean_of(total)}, condition=True),
    ]  # fmt: skip
    text = "docs/ablations.md has what becomes of such networks in training."
    return Evidence(findings, pictures(found, filters, steps), text=text)


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
