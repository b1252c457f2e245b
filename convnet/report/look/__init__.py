"""A look at a trained network: one page, from its layers to whether its explanations are true."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convnet.identity import environment
from convnet.report import study
from convnet.report.look import (
    classes,
    dreams,
    fields,
    image,
    inversion,
    occlusion,
    styles,
    training,
    trust,
    units,
    weights,
)
from convnet.report.look.subject import Effort, Look
from convnet.report.page import Page, Part, Section

__all__ = ["SECTIONS", "Effort", "Look", "look_page"]

SECTIONS: dict[str, tuple[str, Callable[[Look], Section | Sequence[Section] | None]]] = {
    "layers": ("Layers", training.layers),
    "training": ("Training and errors", training.training),
    "weights": ("Weights", weights.weights),
    "image": ("One image through the network", image.one_image),
    "fields": ("Receptive fields", fields.fields),
    "units": ("Units", units.units),
    "occlusion": ("Occlusion", occlusion.occlusion),
    "inversion": ("Inversion", inversion.inversion),
    "classes": ("Classes", classes.classes),
    "dreams": ("Dreams", dreams.dreams),
    "styles": ("Style", styles.styles),
    "trust": ("Can these pictures be trusted?", trust.trust),
}
"""Name -> title and maker of each part of the page, in its order."""


def look_page(look: Look, sections: Sequence[str], on_section: Callable[[int], object] = lambda done: None) -> Page:
    """The page with these `sections`; on_section is told 1 after each.

    Raises ValueError for a section that does not exist.
    """
    parts = [Part(SECTIONS[name][0], _counted(SECTIONS[name][1], look, on_section)) for name in sections]
    config = look.network.config
    return Page(f"A look at {config.model.name} on {config.data.name}", _facts(look), parts)


def _counted(make, look: Look, on_section):
    def counted():
        try:
            return make(look)
        finally:
            on_section(1)

    return counted


def _facts(look: Look) -> dict[str, str]:
    """The card."""
    config, where = look.network.config, environment()
    height, width, channels = look.network.image_shape
    size = f"{config.data.name}, {height} × {width} × {channels}, {len(look.network.class_names)} classes"
    images = f"; {len(look.data.train):,} training and {len(look.data.test):,} test images" if look.dataset else ""
    result = look.result
    accuracy = {"test accuracy": f"{result.test_accuracy:.2%}, of epoch {result.best_epoch}"} if result else {}
    commit = where["git"]["commit"][:10] + (" and changes" if where["git"]["dirty"] else "") if where["git"] else ""
    return {
        "data": size + images,
        "network": f"{config.model.name}, gradients {'by hand' if config.gradient == 'hand' else 'by autodiff'}",
        **accuracy,
        "seed": f"{config.seed} of training, {look.seed} of this page",
        **({"commit": commit} if commit else {}),
        **study.circumstances(where),
    }
