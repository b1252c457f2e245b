"""What the network is, how it was trained, and where it errs."""

from __future__ import annotations

import numpy as np

from convnet import analysis
from convnet.architectures.shapes import Placed, multiply_adds, trained_values
from convnet.report import figures, study
from convnet.report.look.subject import Look, photo
from convnet.report.page import Cell, Picture, Section

ERRORS = 12
ACROSS = 6


def layers(look: Look) -> Section:
    """Every layer with what it costs and what it sees."""
    if not look.placed:
        rows = [[name, "×".join(map(str, shape))] for name, shape in look.view.layers.items()]
        return Section("Layers", table=[["layer", "output"], *rows], caption="A module of one's own has no table.")
    fields = analysis.receptive_fields(look.view)
    images, _ = look.held_out()
    dead = {name: analysis.unit_statistics(look.view, images, name, bins=1).dead for name in look.candidates}
    table = [["layer", "kind", "output", "receptive field", "stride", "parameters", "FLOPs", "dead units"]]
    table += [_row(placed, fields, dead) for placed in look.placed if hasattr(placed.layer, "name")]
    total = [["in all", "", "", "", "", f"{_total(look, trained_values):,}", f"{_total(look, _flops):,}", ""]]
    return Section(
        "Layers",
        table=[*table, *total],
        caption="Receptive field and stride in pixels of the image; the field of a unit at the border reaches beyond "
        "it. FLOPs of one image's forward pass, a multiplication and an addition being two, of convolutions and dense "
        f"layers. Dead: zero, or one and the same value, everywhere on {len(images):,} test images. A wrong table: a "
        "receptive field that shrinks, or most units of a layer dead.",
    )


def _row(placed: Placed, fields, dead) -> list[str]:
    field = fields.get(placed.name)
    seen = "×".join(str(axis.size) for axis in field) if field else "all"
    jump = "×".join(str(axis.jump) for axis in field) if field and field[0].jump else ""
    parameters, flops = trained_values(placed), _flops(placed)
    silent = f"{dead[placed.name].sum()} of {len(dead[placed.name])}" if placed.name in dead else ""
    return [
        placed.name,
        type(placed.layer).__name__.lower(),
        "×".join(map(str, placed.output)),
        seen,
        jump,
        f"{parameters:,}" if parameters else "",
        f"{flops:,}" if flops else "",
        silent,
    ]


def _flops(placed: Placed) -> int:
    return 2 * multiply_adds(placed)


def _total(look: Look, quantity) -> int:
    return sum(map(quantity, look.placed))


def training(look: Look) -> Section:
    """Curves, confusions and the most confident errors."""
    if look.result is None:
        return Section("Training and errors", "The run is not finished: its curves and its result are yet to come.")
    result, labels = look.result, look.data.test.labels
    name = look.network.config.model.name
    curves = figures.learning_curves({name: study.histories([result.records])}, study.CURVES)
    matrix = analysis.confusion_matrix(result.test_logits, labels)
    mistakes = analysis.confident_errors(result.test_logits, labels, ERRORS)
    pixels = look.unit_pixels(look.data.test.images)
    shown = [
        photo(pixels[m.index], f"Test image {m.index}, {look.class_name(m.label)} taken for "
              f"{look.class_name(m.predicted)}", f"{look.class_name(m.label)} → {look.class_name(m.predicted)} "
              f"{m.probability:.0%}")
        for m in mistakes
    ]  # fmt: skip
    return Section(
        "Training and errors",
        f"Test accuracy {result.test_accuracy:.2%} ({result.test_hits} of {result.test_images}), with the parameters "
        f"of epoch {result.best_epoch} of {len(result.records)}, which was best on the validation images.",
        table=[[""] * min(ACROSS, len(shown)), *_rows_of(shown)] if shown else None,
        caption=f"The {len(shown)} test images that it got wrong with the highest probability: true class → answer, "
        "and the probability of that answer. A wrong picture: errors that anybody would read rightly at once.",
        pictures=[
            Picture("Learning curves", curves, "Training loss, validation loss and validation error over the epochs.",
                    "A wrong picture: a training loss that falls while the validation loss rises from the start."),
            Picture("Confusion matrix", figures.confusion_matrices({name: matrix}, look.network.class_names),
                    "How often each class (rows) was taken for each other (columns).",
                    "Test images. Colour: square root of the share of the true class."),
        ],
        arrays={"confusions": matrix, "errors": np.array([m.index for m in mistakes], int)},
    )  # fmt: skip


def _rows_of(cells: list[Cell]) -> list[list[Cell]]:
    width = min(ACROSS, len(cells))
    cells = [*cells, *[""] * (-len(cells) % width)]
    return [cells[at : at + width] for at in range(0, len(cells), width)]
