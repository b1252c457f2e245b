"""Does a linear classifier compare an image with one template per class, and does its loss matter?

    python experiments/claims/linear_classifier_is_templates.py        15 seconds

Yes. The scores are inner products with the templates to rounding, and each of the ten templates resembles the mean
image of its own class most. On digits the losses cannot be told apart: 95.3 % with softmax, 95.2 % with the hinge
(difference −0.5 to 0.2 points), though 96 % of the training images have no gradient under the hinge in the end and
none under softmax. Mean images as templates get 90.8 %: what was learned is 4.5 points better. (In a CNN the losses
cannot be told apart either: docs/ablations.md.)
"""

from __future__ import annotations

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from convnet import HAND, data
from convnet.ablation import Replicates
from convnet.analysis import class_means, templates
from convnet.claims import Claim, Effort, Evidence, Finding, counted, exact, mean_of, run_claim
from convnet.data import Dataset
from convnet.recipes import RECIPES
from convnet.report import Picture, Section, figures
from convnet.report.figures.panels import bare, colour
from convnet.report.tiles import pixel_rgb, signed_rgb
from convnet.result import RunResult

CLAIM = Claim(
    number=2,
    title="A linear classifier holds one template per class",
    says="Each row of a linear classifier's weights is an image, a template, and a score tells how well both agree. "
    "Softmax and hinge loss learn much the same: the first never rests, the second ignores what is right by a margin.",
    source="Karpathy, Li & Johnson, Stanford CS231n 2015, notes 'Linear classification'; Weston & Watkins, ESANN 1999, "
    "'Support vector machines for multi-class pattern recognition'",
)
LOSSES = {"softmax": HAND.softmax_cross_entropy, "weston_watkins": HAND.weston_watkins_hinge}
ALIKE = 0.02
"""Accuracies this close count as the same; 0.02 of the test images are 7."""
ROUNDING, ROUNDING_32 = 1e-12, 1e-5
"""Of sums of a hundred terms in float64, whose ε is 2·10⁻¹⁶, and in float32, whose ε is 10⁻⁷."""


def by_formula(loss: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The gradient in the scores: softmax(z) − onehot(y); and 1 for each rival within the margin, minus their number
    for the label."""
    own = np.eye(logits.shape[1])[labels]
    if loss == "softmax":
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True) - own
    violated = (1 + logits - logits[np.arange(len(labels)), labels][:, None] > 0) & (own == 0)
    return violated - own * violated.sum(axis=1, keepdims=True)


def gradient(loss: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The library's, in float64."""
    with jax.enable_x64(True):
        total = lambda z: LOSSES[loss](z, jnp.asarray(labels)).sum()  # noqa: E731
        return np.asarray(jax.grad(total)(jnp.asarray(logits, float)))


def runs(loss: str, dataset: Dataset, effort: Effort) -> list[RunResult]:
    """Of the comparison's linear model, which starts from zero, one per seed."""
    usual = RECIPES["digits"].runs["linear"]
    config = replace(usual, train=replace(usual.train, epochs=effort.pick(40, 3), loss=loss))
    seeds = [replace(config, seed=seed) for seed in effort.starts(10)]
    return [result for _, result in Replicates(config, dataset).run_all(seeds)]


def fit(run: RunResult, dataset: Dataset, images: np.ndarray) -> np.ndarray:
    """Inner products of normalised images and templates, plus biases, in float64: [N, K]."""
    seen = (images - dataset.mean.astype(float)) / dataset.std
    products = np.einsum("nhwc,khwc->nk", seen, templates(run.variables, dataset.image_shape))
    return products + run.variables["params"]["logits"]["bias"]


def recognised(run: RunResult, dataset: Dataset) -> int:
    """How many of the templates that are more like the mean image of their own class than of any other, by the
    correlation of the templates and the means, each less the mean of all classes."""
    looks = (class_means(dataset.train, dataset.num_classes), templates(run.variables, dataset.image_shape))
    mean, template = ((x - x.mean(axis=0)).reshape(dataset.num_classes, -1) for x in looks)
    likeness = template @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T
    return int((likeness.argmax(axis=1) == np.arange(dataset.num_classes)).sum())


def nearest_mean(dataset: Dataset) -> float:
    """Test accuracy of the mean images as templates: the nearest mean, which is linear, too."""
    means = class_means(dataset.train, dataset.num_classes).reshape(dataset.num_classes, -1)
    scores = dataset.test.images.reshape(len(dataset.test), -1) @ means.T - (means**2).sum(axis=1) / 2
    return float((scores.argmax(axis=1) == dataset.test.labels).mean())


def template_picture(found: dict[str, list[RunResult]], dataset: Dataset) -> Picture:
    rows = {"mean image": pixel_rgb(class_means(dataset.train, dataset.num_classes))}
    for loss, label in (("softmax", "softmax"), ("weston_watkins", "hinge")):
        rows[label] = signed_rgb(templates(found[loss][0].variables, dataset.image_shape))
    return Picture(
        "templates", figures.labelled_images(rows, {"mean image": dataset.class_names}), of_images=True,
        alt="Three rows of ten images: blurred digits, and below each the weights of its class, red where ink speaks "
        "for the class and blue where it speaks against; the two rows of weights resemble each other.",
        caption="Digits: the mean image of each class, and its weights after training with either loss (seed 0; red: "
        "ink counts for the class, blue: against it). If a template were no image of its class, nothing in the columns "
        "would agree.",
    )  # fmt: skip


def loss_picture() -> Picture:
    """Of two classes, over the lead of the right score."""
    lead = np.linspace(-3, 5, 321)
    logits, labels = np.stack([lead, np.zeros_like(lead)], axis=1), np.zeros(len(lead), int)
    figure = Figure(figsize=(8, 3), layout="constrained")
    value, slope = figure.subplots(1, 2)
    for i, (loss, label) in enumerate((("softmax", "softmax"), ("weston_watkins", "hinge, margin 1"))):
        value.plot(lead, LOSSES[loss](jnp.float32(logits), jnp.asarray(labels)), color=colour(i), label=label)
        slope.plot(lead, gradient(loss, logits, labels)[:, 0], color=colour(i))
    for panel, name in ((value, "loss"), (slope, "its gradient in the right score")):
        panel.set(xlabel="lead of the right score over the other", ylabel=name)
        bare(panel)
    value.legend(frameon=False)
    return Picture(
        "two losses", figure,
        alt="Both losses fall with the lead; the hinge is straight and exactly zero from a lead of 1 on, where its "
        "gradient jumps to zero; that of softmax goes to zero smoothly and never arrives.",
        caption="Two classes. The hinge asks for a margin and no more; softmax always asks for more.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    dataset, rng = data.load("digits"), np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(1000, 10)), rng.integers(0, 10, 1000)
    wrong = {loss: np.abs(gradient(loss, logits, labels) - by_formula(loss, logits, labels)).max() for loss in LOSSES}
    found = {loss: runs(loss, dataset, effort) for loss in LOSSES}
    right = {loss: np.array([run.test_accuracy for run in group]) for loss, group in found.items()}
    train, test = dataset.train, dataset.test
    idle = {loss: [(gradient(loss, fit(run, dataset, train.images), train.labels) == 0).all(axis=1).mean()
                   for run in group] for loss, group in found.items()}  # fmt: skip
    fits = [np.abs(fit(run, dataset, test.images) - run.test_logits).max() / np.abs(run.test_logits).max()
            for group in found.values() for run in group]  # fmt: skip
    mean_images = nearest_mean(dataset)
    accuracies = [["templates", "test accuracy"], *([loss, str(mean_of(right[loss]))] for loss in LOSSES),
                  ["mean images", f"{mean_images:.3g}"]]  # fmt: skip
    return Evidence(
        findings=[
            Finding("a score is the inner product of image and template, plus a bias: largest relative difference",
                    exact(max(fits)), most=ROUNDING_32),
            Finding("templates look most like their own class's mean image: share (chance: 0.1)",
                    counted(recognised(found["softmax"][0], dataset), dataset.num_classes, "templates"), least=0.5),
            Finding("gradient of softmax is probability minus one-hot label: largest difference",
                    exact(wrong["softmax"]), most=ROUNDING),
            Finding("gradient of the hinge counts the rivals within the margin: largest difference",
                    exact(wrong["weston_watkins"]), most=ROUNDING),
            Finding("the losses are equally good: hinge minus softmax, test accuracy",
                    mean_of(right["weston_watkins"] - right["softmax"]), least=-ALIKE, most=ALIKE),
            Finding("the hinge ignores most training images in the end: share without gradient",
                    mean_of(idle["weston_watkins"]), least=0.5),
            Finding("softmax ignores none: share without gradient", exact(max(idle["softmax"])), most=0),
            Finding("learned templates beat mean images as templates: softmax minus nearest mean",
                    mean_of(right["softmax"] - mean_images), least=0, condition=True),
        ],
        pictures=[template_picture(found, dataset), loss_picture()],
        tables=[Section("Accuracies of linear classifiers", table=accuracies)],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
