"""What each class looks like to the network."""

from __future__ import annotations

from convnet import analysis
from convnet.report.look.subject import Look, photo, signed
from convnet.report.look.weights import class_means
from convnet.report.page import Cell, Section

SHARES = {"ink is free": 0.0, "ink costs": 0.5, "ink is dear": 1.0}
"""What a wholly white pixel costs, as a share of the mean slope of a logit over the pixels."""
SHOWN = 10
"""So many classes at most."""


def classes(look: Look) -> Section:
    """The image of each class with and without the price of ink, beside the mean image and the linear template."""
    chosen = range(min(SHOWN, len(look.classes)))
    settings = dict(seeds=(look.seed,), steps=look.effort.steps)
    images, labels = look.held_out(256) if look.dataset else (look.images, look.labels)
    slope = analysis.usual_ink(look.view, images, labels, share=1.0)
    found = {said: analysis.maximize_classes(look.view, chosen, ink=share * slope, **settings)
             for said, share in SHARES.items()}  # fmt: skip
    means = class_means(look) if look.dataset else None
    templates = look.linear_templates if look.dataset else None
    rows: list[list[Cell]] = [["", *map(look.class_name, chosen)]]
    if means is not None:
        rows.append(["mean image", *(photo(means[k], f"Mean training image of {look.class_name(k)}") for k in chosen)])
    if templates is not None:
        rows.append(["template", *(signed(templates[k], f"Linear template of {look.class_name(k)}") for k in chosen)])
    for said, maxima in found.items():
        alt = f"What excites a class most where {said}"
        rows.append([said, *(photo(maxima.images[k, 0], f"{alt}: {look.class_name(k)}", _reached(maxima, k))
                             for k in chosen)])  # fmt: skip
    prices = " and ".join(f"{share * slope:.2g}" for share in SHARES.values() if share)
    return Section(
        "Classes",
        "Gradient ascent on the image: what would the network like to see, to be sure of a class? Without a price on "
        "ink the answer is a pattern that nobody would take for the class, and the network is sure of it.",
        table=rows,
        caption=f"{look.effort.steps} steps of Adam on the class's logit from noise, pixels kept in 0 … 1, seed "
        f"{look.seed}; where ink costs, a wholly white pixel takes {prices} off the logit (Lee, 2016). Below each: the "
        "logit that was reached and the probability. "
        + ("" if templates is None else "The template is that of a linear classifier of the same images. ")
        + "A wrong picture: two classes with one image, or free ink with a logit no higher than that of real images. "
        "Too dear ink leaves nothing but black.",
        arrays={said.replace(" ", "_"): maxima.images[:, 0] for said, maxima in found.items()}
        | ({} if means is None else {"means": means}),
    )  # fmt: skip


def _reached(found: analysis.Maximized, k: int) -> str:
    return f"{found.logits[k, 0, k]:.1f}, {found.probabilities[k, 0, k]:.0%}"
