"""The tables and the page of `compare`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convnet import analysis
from convnet.ablation import COVERAGE
from convnet.ablation.family import Family
from convnet.config import RunConfig
from convnet.data import Dataset
from convnet.identity import environment
from convnet.report import comparison_table, figures, remark_lines, study, text_table, ticks, tiles
from convnet.report.page import Page, Part, Section, write_report
from convnet.result import RunResult

ERRORS_SHOWN = 10
LABEL = 18
"""Characters of a class's name for which there is room above an image."""


def write_comparison(out: Path, families: list[Family], dataset: Dataset) -> tuple[str, list[str]]:
    """Write results.csv, summary.json and report.html; the table, as text, and what could not be made."""
    rows = [row for family in families for row in family.rows()]
    study.write_results(out, "summary.json", {"families": _summaries(families)}, environment(), rows)
    missing = write_report(out / "report.html", *comparison_page(families, dataset))
    return "\n".join([text_table(comparison_table(_summaries(families))), *_remarks(families)]), missing


def _summaries(families: list[Family]) -> list[dict[str, Any]]:
    return [family.summary() for family in families]


def _remarks(families: list[Family]) -> list[str]:
    return remark_lines({family.name: family.remarks for family in families})


# --- the page ---------------------------------------------------------------------------------------------------------


def comparison_page(families: list[Family], dataset: Dataset, title: str = "") -> Page:
    """Table, curves, confusions, weights, errors, settings."""
    trained = [family for family in families if family.results]
    parts: list[Section | Part] = [_results(families)]
    if trained:
        parts += [
            Part("Learning curves", lambda: _curves(trained)),
            Part("Confusion matrices", lambda: _confusions(trained, dataset)),
            *(Part(f"Weights of {family.name}", partial(_weights, family, dataset)) for family in trained),
            Part("Most confident errors", lambda: _errors(trained, dataset)),
        ]
    parts.append(Part("Settings", lambda: study.settings_sections({family.name: family.config for family in families})))
    return Page(title or _title(families, dataset), _facts(families, dataset), parts)


def _title(families: list[Family], dataset: Dataset) -> str:
    names = [{"mlp": "MLP", "cnn": "CNN"}.get(family.name, family.name) for family in families]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    return f"{listed[0].upper()}{listed[1:]} on {dataset.name}"


def _single(families: list[Family]) -> bool:
    """Whether there is one run of each, and nothing to take a mean of."""
    return all(len(family.runs) == 1 for family in families)


def _facts(families: list[Family], dataset: Dataset) -> dict[str, str]:
    height, width, channels = dataset.image_shape
    sizes = {family.name: family.config.data.limit or len(dataset.train) for family in families}
    training = f"{next(iter(sizes.values())):,} training"
    if len(set(sizes.values())) > 1:
        training = f"training: {', '.join(f'{size:,} ({name})' for name, size in sizes.items())}"
    gradients = {f.name: {"hand": "derived by hand", "auto": "JAX autodiff"}[f.config.gradient] for f in families}
    seeds = f"seed {families[0].runs[0].seed}" if _single(families) else f"{len(families[0].runs)} seeds"
    budget = (
        ", ".join(f"{f.name} {_budget(f.config)}" for f in families) if families[1:] else _budget(families[0].config)
    )
    return {
        "data": f"{dataset.name}, {height} × {width} × {channels}; {training}, {len(dataset.validation):,} validation, "
        f"{len(dataset.test):,} test images",
        "gradients": ", ".join(dict.fromkeys(gradients.values())),
        "budget": f"{seeds}; {budget}",
        **study.circumstances(environment()),
    }


def _budget(config: RunConfig) -> str:
    augmentation = [f"shifted by up to {config.data.shift} pixels"] if config.data.shift else []
    augmentation += ["mirrored"] if config.data.flip else []
    augmentation += [f"cropped to {config.data.crop} pixels"] if config.data.crop else []
    return ", ".join(
        [
            f"{config.train.epochs} epochs of batch {config.train.batch_size}",
            f"{config.optim.name} {config.optim.learning_rate:g}",
            *augmentation,
        ]
    )


def _results(families: list[Family]) -> Section:
    if len(families) == 1 and _single(families):
        return _one_result(families[0])
    single = _single(families)
    accuracy = "of one run each" if single else "mean over seeds with its 95 % interval by Student's t"
    looked = "the test images were looked at once per run, with the parameters of the epoch that was best on validation"
    epochs, target = ("epochs", "") if single else ("epochs and seeds", ", median over the seeds that did")
    covers = "" if single else f" {COVERAGE}"
    return Section(
        "Results",
        text="" if single else "; ".join(_remarks(families)),
        table=comparison_table(_summaries(families)),
        caption=f"Test accuracy: {accuracy}; {looked}. FLOPs: one image's forward pass, as XLA counts it. Seconds per "
        f"epoch: median over {epochs}, training only. Seconds to the target: training time until the validation "
        f"accuracy first reached it{target}.{covers}",
    )


def _one_result(family: Family) -> Section:
    """Of one run, quantity by quantity."""
    line = family.summary()
    (names, values) = comparison_table([line])
    table = [["quantity", "value"], *zip(names[1:], values[1:], strict=True)]
    if family.results:
        (result,) = family.results
        best = result.records[result.best_epoch - 1]
        table[2:2] = [
            ("test loss", f"{result.test_loss:.4f}"),
            ("validation accuracy", f"{best.validation_accuracy:.2%}"),
            ("best epoch", f"{result.best_epoch} of {line['config']['train']['epochs']}"),
        ]
    return Section(
        "Result",
        table=table,
        caption="The test images were looked at once, with the parameters of the epoch that was best on the validation "
        "images. FLOPs: one image's forward pass, as XLA counts it. Seconds per epoch: median, training only. One run "
        "does not tell how far another would be from it: experiments/compare.py trains several.",
    )


def _curves(families: list[Family]) -> Section:
    curves = {family.name: study.histories([result.records for result in family.results]) for family in families}
    return Section.of(
        "Learning curves",
        figures.learning_curves(curves, study.CURVES),
        f"Training loss, validation loss and validation error of {', '.join(curves)} over the epochs.",
        ("" if _single(families) else "Thin lines are seeds, thick lines their mean. ")
        + "The training loss is the mean over an epoch's steps, "
        "with augmentation and dropout, so it can lie above the validation loss. A wrong picture: a training loss that "
        "falls while the validation loss rises from the first epoch on.",
    )


def _confusions(families: list[Family], dataset: Dataset) -> Section:
    matrices = {
        family.name: sum(analysis.confusion_matrix(r.test_logits, dataset.test.labels) for r in family.results)
        for family in families
    }
    return Section.of(
        "Confusion matrices",
        figures.confusion_matrices(matrices, dataset.class_names),
        f"How often {', '.join(matrices)} took each class (rows) for each other (columns).",
        ("Test images. " if _single(families) else "Test images, counts added up over the seeds. ")
        + "Colour: square root of the share of the true class.",
    )


def _weights(family: Family, dataset: Dataset) -> Section | None:
    result = family.results[0]
    if family.config.model.name == "linear":
        return _templates(family, result, dataset)
    return _filters(family, result) if "conv1" in result.variables["params"] else None


def _templates(family: Family, result: RunResult, dataset: Dataset) -> Section:
    height, width, channels = dataset.image_shape
    crop, title = family.config.data.crop, f"Templates of the {_called(family)}"
    weights = analysis.templates(result.variables, (crop or height, crop or width, channels))
    rows = {
        "template": tiles.signed_rgb(weights),
        "class mean": tiles.pixel_rgb(analysis.class_means(dataset.train, dataset.num_classes)),
    }
    return Section.of(
        title,
        figures.labelled_images(rows, {"template": ticks(dataset.class_names, longest=LABEL)}),
        "What the linear model looks for in an image of each class, above the mean image of that class.",
        of_images=True,
        caption="Weights per class, zero in the middle of the scale (one scale for all, "
        f"± {np.abs(weights).max():.3g}; where images are grey, red speaks for the class and blue against it), "
        f"above the mean training image of the class. Seed {result.config.seed}. Noise without any structure would "
        "mean that the model did not train.",
    )


def _filters(family: Family, result: RunResult) -> Section:
    weights, title = analysis.first_layer_filters(result.variables), f"First-layer filters of the {_called(family)}"
    return Section.of(
        title,
        figures.filters(weights),
        f"The {len(weights)} kernels of the first convolution, on one scale for all and on one scale each.",
        of_images=True,
        caption=f"{len(weights)} kernels of {weights.shape[1]} × {weights.shape[2]}, largest norm first, zero "
        f"in the middle of the scale (above: ± {np.abs(weights).max():.3g}). Seed {result.config.seed}. Many filters "
        "that only show on their own scale would be filters that did not learn.",
    )


def _called(family: Family) -> str:
    """The family in a heading: by its kind where it has no other name."""
    kind = {"linear": "linear model", "cnn": "CNN"}.get(family.config.model.name, family.config.model.name)
    return kind if family.name == family.config.model.name else f"{kind} {family.name}"


def _errors(families: list[Family], dataset: Dataset) -> Section | None:
    rows, titles, names = {}, {}, ticks(dataset.class_names, longest=LABEL)
    arrow = " → " if max(map(len, names)) < LABEL // 2 else "\n→ "
    for family in families:
        mistakes = analysis.confident_errors(family.results[0].test_logits, dataset.test.labels, ERRORS_SHOWN)
        if not mistakes:
            continue
        rows[family.name] = tiles.pixel_rgb(dataset.test.images[[m.index for m in mistakes]])
        titles[family.name] = [f"{names[m.label]}{arrow}{names[m.predicted]}\n{m.probability:.0%}" for m in mistakes]
    if not rows:
        return None
    who = "the run" if _single(families) else "the first seed"
    return Section.of(
        "Most confident errors",
        figures.labelled_images(rows, titles),
        f"Test images that {', '.join(rows)} got wrong, each with its true class, the answer and its probability.",
        of_images=True,
        caption=f"Test images that {who} got wrong with the highest probability: true class → answer, and the softmax "
        "probability of that answer.",
    )
