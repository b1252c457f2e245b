"""What each class looks like to the network."""

from __future__ import annotations

from convnet import analysis
from convnet.report.look.subject import Look, photo, signed
from convnet.report.look.weights import class_means
from convnet.report.page import Cell, Section

SHOWN = 10
"""So many classes at most."""


def classes(look: Look) -> Section:
    """The image of each class with and without the price of ink, beside the mean image and the linear template."""
    chosen = range(min(SHOWN, len(look.classes)))
    settings = dict(seeds=(look.seed,), steps=look.effort.steps)
    images, labels = look.held_out(256) if look.dataset else (look.images, look.labels)
    usual = analysis.usual_ink(look.view, images, labels)
    found = {ink: analysis.maximize_classes(look.view, chosen, ink=ink, **settings) for ink in (usual, 0.0)}
    means = class_means(look) if look.dataset else None
    templates = look.linear_templates if look.dataset else None
    rows: list[list[Cell]] = [["", *map(look.class_name, chosen)]]
    if means is not None:
        rows.append(["mean image", *(photo(means[k], f"Mean training image of {look.class_name(k)}") for k in chosen)])
    if templates is not None:
        rows.append(["template", *(signed(templates[k], f"Linear template of {look.class_name(k)}") for k in chosen)])
    for ink, said in ((usual, "paying for ink"), (0.0, "ink being free")):
        rows.append([said, *(photo(found[ink].images[k, 0], f"What excites the class {look.class_name(k)}, {said}",
                                   _reached(found[ink], k)) for k in chosen)])  # fmt: skip
    return Section(
        "Classes",
        "Gradient ascent on the image: what would the network like to see, to be sure of a class? Without a price on "
        "ink the answer is a pattern that nobody would take for the class, and the network is sure of it.",
        table=rows,
        caption=f"{look.effort.steps} steps of Adam on the class's logit from noise, pixels kept in 0 … 1, seed "
        f"{look.seed}; with the penalty, a wholly white pixel costs {usual:.2g} of the logit (Lee, 2016). Below each: "
        "the logit that was reached and the probability. "
        + ("" if templates is None else "The template is that of a linear classifier of the same images. ")
        + "A wrong picture: two classes with one image, or a logit that is no higher than that of real images.",
        arrays={"with_ink_penalty": found[usual].images[:, 0], "without": found[0.0].images[:, 0],
                **({} if means is None else {"means": means})},
    )  # fmt: skip


def _reached(found: analysis.Maximized, k: int) -> str:
    return f"{found.logits[k, 0, k]:.1f}, {found.probabilities[k, 0, k]:.0%}"
