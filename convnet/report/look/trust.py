"""Are the explanations true? Each method beside chance, and beside a network that has learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from convnet import analysis
from convnet.analysis import View
from convnet.report.look.subject import Look, heat
from convnet.report.page import Cell, Section

ALIKE = ((0.5, "FAILS: hardly changes"), (0.25, "changes in part"), (-1.0, "changes with the weights"))
"""By the larger of rank correlation and SSIM: what is said of maps that are as alike as that, or more. A convention."""

CONTROL = "contrast of the image (control)"

Method = Callable[[View], np.ndarray]
"""A network -> maps [N, H, W] of the images, larger where more depends on the pixel."""


def methods(look: Look, images: np.ndarray, labels: np.ndarray) -> dict[str, Method]:
    """The explanations of this page, by name. Only those that the network allows."""

    def magnitude(rule: str, view: View) -> np.ndarray:
        return np.abs(analysis.saliency(view, images, labels, rule=rule)).sum(axis=-1)

    def smooth(view: View) -> np.ndarray:
        return np.abs(analysis.smoothgrad(view, images, labels, samples=look.effort.samples, key=look.seed)).sum(
            axis=-1
        )

    def integrated(view: View) -> np.ndarray:
        return analysis.integrated_gradients(view, images, labels, baseline=look.mean_pixel).attributions.sum(axis=-1)

    def occluded(view: View) -> np.ndarray:
        found = analysis.occlusion(view, images, labels, baseline=look.mean_pixel)
        return found.grid.per_pixel(found.logit_drop)

    found: dict[str, Method] = {"gradient": partial(magnitude, "gradient"), "SmoothGrad": smooth}
    if look.has_relu:
        found |= {"guided back-propagation": partial(magnitude, "guided"), "deconvnet": partial(magnitude, "deconvnet")}
    found["integrated gradients"] = integrated
    if look.maps:
        found["Grad-CAM"] = lambda view: analysis.grad_cam(view, images, labels)
    return found | {"occlusion": occluded}


def trust(look: Look) -> list[Section]:
    """Two tables: whether each method's maps depend on what was learned, and whether they point at what counts."""
    images, labels = look.held_out(look.effort.trusted) if look.dataset else (look.images, look.labels)
    images, labels = np.concatenate([look.images[:1], images]), np.concatenate([look.labels[:1], labels])
    chosen = {**methods(look, images, labels), CONTROL: partial(_contrast, images, look.mean_pixel)}
    trained = {name: method(look.view) for name, method in chosen.items()}
    return [_of_weights(look, chosen, trained), _of_pixels(look, images, labels, trained)]


def _contrast(images: np.ndarray, mean: np.ndarray, view: View) -> np.ndarray:
    """What no network has to do with: how far each pixel is from the mean."""
    del view
    return np.abs(images - mean).sum(axis=-1)


def _of_weights(look: Look, chosen: dict[str, Method], trained: dict[str, np.ndarray]) -> Section:
    """Maps of the trained network, of one whose logits were drawn anew, and of one at random (Adebayo et al., 2018)."""
    last = analysis.weighted_layers(look.view)[-1]
    others = {f"{last} anew": analysis.randomized(look.view, [last], key=look.seed), "all at random": look.at_random}
    table: list[list[Cell]] = [["method", "trained", *others, "rank", "rank, signed", "SSIM", "verdict"]]
    arrays = {}
    for name, method in chosen.items():
        maps = {said: method(view) for said, view in others.items()}
        alike = analysis.similarity(trained[name], maps["all at random"])
        shown = {"trained": trained[name], **maps}
        arrays |= {f"{name}, {said}": found[0] for said, found in shown.items()}
        table.append([
            name,
            *(heat(np.abs(found[0]), f"{name} of {look.titles[0]}, {said}") for said, found in shown.items()),
            *(f"{values.mean():.2f}" for values in (alike.absolute, alike.signed, alike.ssim)),
            _verdict(max(alike.absolute.mean(), alike.ssim.mean())),
        ])  # fmt: skip
    count = len(trained[CONTROL])
    return Section(
        "Can these pictures be trusted?",
        "An explanation that is the same for a network that has learned nothing explains the image, not the network.",
        table=table,
        caption=f"Magnitudes of the maps of {look.titles[0]}, each on its own scale. Rank: Spearman's correlation "
        "between the trained network's maps and those of its twin at random, of the magnitudes and signed; SSIM: of "
        f"the magnitudes; means over {count} test images (Adebayo et al., 2018). A method changes in part where the "
        f"larger of rank and SSIM is {ALIKE[1][0]} or more, and fails from {ALIKE[0][0]} on: a convention. What is "
        "multiplied by the image, or follows its edges, as guided back-propagation does, keeps much of it whatever "
        "the weights. The control does not look at the network at all. A wrong picture: a control that changes.",
        arrays=arrays,
    )


def _verdict(alike: float) -> str:
    return next(said for least, said in ALIKE if alike >= least)


def _of_pixels(look: Look, images: np.ndarray, labels: np.ndarray, trained: dict[str, np.ndarray]) -> Section:
    """Deletion and insertion, beside random orders."""
    table = [["method", "deletion AUC", "less than random", "insertion AUC", "more than random", "verdict"]]
    arrays, gains = {}, {}
    for name, maps in sorted(
        trained.items(), key=lambda item: item[0] != CONTROL
    ):  # which the others are compared with
        steps = min(32, maps[0].size)
        found = analysis.deletion_insertion(look.view, images, maps, labels, baseline=look.mean_pixel, steps=steps,
                                            seed=look.seed)  # fmt: skip
        less = found.random_deletion.auc.mean(axis=0) - found.deletion.auc
        more = found.insertion.auc - found.random_insertion.auc.mean(axis=0)
        chance = (found.random_deletion.auc.mean(), found.random_insertion.auc.mean())
        arrays |= {f"{name}, deletion": found.deletion.probability, f"{name}, insertion": found.insertion.probability}
        gains[name] = less + more
        table.append([
            name, f"{found.deletion.auc.mean():.3f}", _interval(less), f"{found.insertion.auc.mean():.3f}",
            _interval(more), _standing(gains[name], gains[CONTROL]),
        ])  # fmt: skip
    table.append(["random order", f"{chance[0]:.3f}", "", f"{chance[1]:.3f}", "", ""])
    return Section(
        "Do they point at what counts?",
        "Pixels are replaced by the mean of the training images, those first that the map calls the most important: "
        "if it is right, the class is soon gone. And the other way round, it is soon back.",
        table=table,
        caption="Area under the probability of the class over the share of replaced pixels (Petsiuk et al., 2018), "
        f"means over {len(images)} test images; deletion is good where it is low, insertion where it is high. Beside "
        "it the difference to eight random orders of the same images, with its 95 % interval by Student's t. Better: "
        "by both areas together, where the interval of that lies above 0. A wrong picture: a random order with a low "
        "deletion and a high insertion.",
        arrays=arrays,
    )


def _standing(gain: np.ndarray, control: np.ndarray) -> str:
    """What is said of a method that gains so much over chance on each image."""
    if _ends(gain)[0] <= 0:
        return "FAILS: no better than chance"
    return "better than the control" if _ends(gain - control)[0] > 0 else "better than chance, not than the control"


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Of the mean, with 95 %, by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _interval(values: np.ndarray) -> str:
    low, high = _ends(values)
    return f"{values.mean():+.3f} ({low:+.3f} … {high:+.3f})"
