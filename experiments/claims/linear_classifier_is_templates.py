"""Does a linear classifier compare an image with one template per class, and does its loss matter?

    python experiments/claims/linear_classifier_is_templates.py        15 seconds

Yes. The scores are inner products with the templates to rounding, and each of the ten templates resembles the mean
image of its own class most. On digits the losses cannot be told apart: 95.3 % with softmax, 95.2 % with the hinge
(difference −0.5 to 0.2 points), though 96 % of the training images have no gradient under the hinge in the end and
none under softmax. Mean images as templates get 90.8 %: what was learned is 4.5 points better. (In a CNN the losses
cannot be told apart either: docs/ablations.md.)
"""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from convnet import HAND, data
from convnet.analysis import class_means, nearest_mean_accuracy, recognised_templates, template_scores, templates
from convnet.claims import Claim, Effort, Evidence, apart, at_least, at_most, counted, mean_of, run_claim, within
from convnet.claims.networks import networks
from convnet.recipes import RECIPES
from convnet.report import Picture, Section, figures
from convnet.report.tiles import pixel_rgb, signed_rgb

CLAIM = Claim(
    number=2,
    title="A linear classifier holds one template per class",
    says="Each row of a linear classifier's weights is an image, a template, and a score tells how well both agree. "
    "Softmax and hinge loss learn much the same: the first never rests, the second ignores what is right by a margin.",
    source="Karpathy, Li & Johnson, Stanford CS231n 2015, notes 'Linear classification'; Weston & Watkins, ESANN 1999, "
    "'Support vector machines for multi-class pattern recognition'",
)
LOSSES = {"softmax": HAND.softmax_cross_entropy, "weston_watkins": HAND.weston_watkins_hinge}
ALIKE = 0.02  # accuracies this close count as the same; 0.02 of the test images are 7
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


def pictures(dataset: data.Dataset, found: dict) -> list[Picture]:
    """found: of each loss the variables of a classifier."""
    shown = {
        label: signed_rgb(templates(variables, dataset.image_shape))
        for label, variables in zip(("softmax", "hinge"), found.values(), strict=True)
    }
    rows = {"mean image": pixel_rgb(class_means(dataset.train, dataset.num_classes)), **shown}
    lead = np.linspace(-3, 5, 321)  # of two classes
    logits, labels = np.stack([lead, np.zeros_like(lead)], axis=1), np.zeros(len(lead), int)
    names = dict(zip(LOSSES, ("softmax", "hinge, margin 1"), strict=True))
    values = {names[name]: (lead, loss(jnp.float32(logits), jnp.asarray(labels))) for name, loss in LOSSES.items()}
    slopes = {names[name]: (lead, gradient(name, logits, labels)[:, 0]) for name in LOSSES}
    axes = {"xlabel": "lead of the right score over the other"}
    panels = [figures.Panel(values, axes | {"ylabel": "loss"}, legend={}),
              figures.Panel(slopes, axes | {"ylabel": "its gradient in the right score"})]  # fmt: skip
    return [
        Picture(
            "templates", figures.labelled_images(rows, {"mean image": dataset.class_names}), of_images=True,
            alt="Three rows of ten images: blurred digits, and below each the weights of its class, red where ink "
            "speaks for the class and blue where it speaks against; the two rows of weights resemble each other.",
            caption="Digits: the mean image of each class, and its weights after training with either loss (seed 0; "
            "red: ink counts for the class, blue: against it). If a template were no image of its class, nothing in "
            "the columns would agree.",
        ),
        Picture(
            "two losses", figures.chart(panels, size=(8, 3)),
            alt="Both losses fall with the lead; the hinge is straight and exactly zero from a lead of 1 on, where its "
            "gradient jumps to zero; that of softmax goes to zero smoothly and never arrives.",
            caption="Two classes. The hinge asks for a margin and no more; softmax always asks for more.",
        ),
    ]  # fmt: skip


def measure(effort: Effort) -> Evidence:
    dataset, rng = data.load("digits"), np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(1000, 10)), rng.integers(0, 10, 1000)
    wrong = {loss: np.abs(gradient(loss, logits, labels) - by_formula(loss, logits, labels)).max() for loss in LOSSES}
    usual, found, right, idle, fits = RECIPES["digits"].runs["linear"], {}, {}, {}, []
    for loss in LOSSES:  # the comparison's linear model, which starts from zero
        config = replace(usual, train=replace(usual.train, epochs=effort.pick(40, 3), loss=loss))
        runs = [result for _, result in networks(config, dataset, effort.starts(10))]
        scores = lambda run, split: template_scores(run.variables, dataset, split.images)  # noqa: E731
        slopes = [gradient(loss, scores(run, dataset.train), dataset.train.labels) for run in runs]
        fits += [apart(scores(run, dataset.test), run.test_logits) for run in runs]
        found[loss], right[loss] = runs[0].variables, np.array([run.test_accuracy for run in runs])
        idle[loss] = [(each == 0).all(axis=1).mean() for each in slopes]
    mean_images = nearest_mean_accuracy(dataset)
    recognised = counted(recognised_templates(found["softmax"], dataset), dataset.num_classes, "templates")
    findings = [
        *at_most(ROUNDING_32, {
            "a score is the inner product of image and template, plus a bias: largest relative difference": max(fits)}),
        *at_least(0.5, {"templates look most like their own class's mean image: share (chance: 0.1)": recognised}),
        *at_most(ROUNDING, {
            "gradient of softmax is probability minus one-hot label: largest difference": wrong["softmax"],
            "gradient of the hinge counts the rivals within the margin: largest difference": wrong["weston_watkins"],
        }),
        *within(-ALIKE, ALIKE, {"the losses are equally good: hinge minus softmax, test accuracy":
                                mean_of(right["weston_watkins"] - right["softmax"])}),
        *at_least(0.5, {"the hinge ignores most training images in the end: share without gradient":
                        mean_of(idle["weston_watkins"])}),
        *at_most(0, {"softmax ignores none: share without gradient": max(idle["softmax"])}),
        *at_least(0, {"learned templates beat mean images as templates: softmax minus nearest mean":
                      mean_of(right["softmax"] - mean_images)}, condition=True),
    ]  # fmt: skip
    rows = [*([loss, str(mean_of(right[loss]))] for loss in LOSSES), ["mean images", f"{mean_images:.3g}"]]
    table = Section("Accuracies of linear classifiers", table=[["templates", "test accuracy"], *rows])
    return Evidence(findings, pictures(dataset, found), [table])


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))
