"""The tables and the page of `compare`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convnet import analysis, models
from convnet.ablation import Interval, mean_interval
from convnet.config import RunConfig, content_hash, to_dict
from convnet.data import Dataset
from convnet.record import environment
from convnet.report import Section, comparison_table, figures, tiles, write_report
from convnet.run import RunResult, Trainer

ERRORS_SHOWN = 10


@dataclass(frozen=True)
class Family:
    """One family's runs, one per seed, and what is the same for all of them."""

    @dataclass(frozen=True)
    class Run:
        """`result` is None where training diverged, for the `reason` given."""

        seed: int
        result: RunResult | None
        reason: str = ""

    name: str
    config: RunConfig
    runs: tuple[Run, ...]
    parameters: int
    flops_per_image: float
    compile_seconds: float
    target: float

    @classmethod
    def of(cls, name: str, trainer: Trainer, runs: tuple[Run, ...], target: float) -> Family:
        return cls(
            name=name,
            config=trainer.config,
            runs=runs,
            parameters=trainer.parameters,
            flops_per_image=models.flops_per_image(trainer.model, trainer.image_shape),
            compile_seconds=trainer.compile_seconds,
            target=target,
        )

    @property
    def results(self) -> list[RunResult]:
        """Those that did not diverge."""
        return [run.result for run in self.runs if run.result is not None]

    @property
    def test_accuracy(self) -> Interval | None:
        return mean_interval([result.test_accuracy for result in self.results]) if self.results else None

    def median(self, quantity) -> float | None:
        """Median of `quantity(result)` over the runs where it is not None."""
        values = [value for result in self.results if (value := quantity(result)) is not None]
        return float(np.median(values)) if values else None

    def summary(self) -> dict[str, Any]:
        """The family's line of the table, as values."""
        accuracy = self.test_accuracy
        return {
            "family": self.name,
            "config": to_dict(self.config),
            "seeds": len(self.runs),
            "diverged": len(self.runs) - len(self.results),
            "test_accuracy": accuracy and accuracy.mean,
            "interval95": accuracy and [None if math.isnan(end) else end for end in accuracy[1:]],
            "parameters": self.parameters,
            "flops_per_image": self.flops_per_image,
            "seconds_per_epoch": self.median(lambda result: result.seconds_per_epoch),
            "compile_seconds": self.compile_seconds,
            "target": self.target,
            "seconds_to_target": self.median(lambda result: result.seconds_to(self.target)),
            "reached_target": sum(result.seconds_to(self.target) is not None for result in self.results),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One tidy row per seed; what a diverged run does not have stays empty."""
        rows = []
        for run in self.runs:
            r, config = run.result, to_dict(self.config) | {"seed": run.seed}
            rows.append(
                {
                    "family": self.name,
                    "data": config["data"]["name"],
                    "seed": run.seed,
                    "status": "finished" if r else "diverged",
                    "test_accuracy": r and r.test_accuracy,
                    "test_loss": r and r.test_loss,
                    "validation_accuracy": r and r.records[r.best_epoch - 1].validation_accuracy,
                    "best_epoch": r and r.best_epoch,
                    "epochs": config["train"]["epochs"],
                    "parameters": self.parameters,
                    "flops_per_image": self.flops_per_image,
                    "seconds_per_epoch": r and r.seconds_per_epoch,
                    "compile_seconds": self.compile_seconds,
                    "seconds_to_target": r and r.seconds_to(self.target),
                    "target": self.target,
                    "gradient": config["gradient"],
                    "run": content_hash(r.config) if r else "",
                }
            )
        return rows


def summary_table(families: list[Family]) -> list[list[str]]:
    """The comparison for people, first row headings."""
    return comparison_table([family.summary() for family in families])


def write_comparison(path: Path, families: list[Family], dataset: Dataset, *, title: str = "") -> None:
    """The page: table, curves, confusions, weights, errors."""
    sections = [_results(families)]
    trained = [family for family in families if family.results]
    if trained:
        sections += [_curves(trained), _confusions(trained, dataset)]
    for family in trained:
        sections += _weights(family, dataset)
    if trained:
        sections += _errors(trained, dataset)
    write_report(path, title or f"Linear, MLP and CNN on {dataset.name}", _facts(families, dataset), sections)


def _facts(families: list[Family], dataset: Dataset) -> dict[str, str]:
    where = environment()
    config, sizes = families[0].config, (len(dataset.train), len(dataset.validation), len(dataset.test))
    height, width, channels = dataset.image_shape
    budget = ", ".join(
        f"{f.name} {f.config.train.epochs} epochs of batch {f.config.train.batch_size}" for f in families
    )
    return {
        "data": f"{dataset.name}, {height} × {width} × {channels}; {sizes[0]:,} training, {sizes[1]:,} validation, "
        f"{sizes[2]:,} test images",
        "gradients": {"hand": "derived by hand", "auto": "JAX autodiff"}[config.gradient],
        "budget": f"{len(families[0].runs)} seeds; {budget}",
        "machine": f"{where['device']}, {where['cpus']} CPU cores, {where['platform']}",
        "versions": f"Python {where['python']}, JAX {where['packages']['jax']}",
        "date": where["started"][:10],
        "command": where["command"],
    }


def _results(families: list[Family]) -> Section:
    return Section(
        "Results",
        table=summary_table(families),
        caption="Test accuracy: mean over seeds with Student's 95 % interval; the test images were looked at once per "
        "run, with the parameters of the epoch that was best on the validation images. FLOPs: one image's forward "
        "pass, as XLA counts it. Seconds per epoch: median over epochs and seeds, training only. Seconds to the "
        "target: training time until the validation accuracy first reached it, median over the seeds that did.",
    )


def _curves(families: list[Family]) -> Section:
    quantities = {
        "train_loss": "training loss (log)",
        "validation_loss": "validation loss (log)",
        "validation_error": "validation error (log)",
    }
    curves = {}
    for family in families:
        columns = {
            name: np.array([[getattr(record, name) for record in result.records] for result in family.results])
            for name in ("train_loss", "validation_loss", "validation_accuracy")
        }
        # One example less than the resolution of the split keeps an error of zero on a logarithmic axis.
        columns["validation_error"] = np.maximum(1 - columns.pop("validation_accuracy"), 1e-4)
        curves[family.name] = columns
    return Section(
        "Learning curves",
        figure=figures.learning_curves(curves, quantities),
        caption="Thin lines are seeds, thick lines their mean. The training loss is the mean over an epoch's steps, "
        "with augmentation and dropout, so it can lie above the validation loss. A wrong picture: a training loss that "
        "falls while the validation loss rises from the first epoch on.",
    )


def _confusions(families: list[Family], dataset: Dataset) -> Section:
    matrices = {
        family.name: sum(analysis.confusion_matrix(r.test_logits, dataset.test.labels) for r in family.results)
        for family in families
    }
    return Section(
        "Confusion matrices",
        figure=figures.confusion_matrices(matrices, dataset.class_names),
        caption="Test images, counts added up over the seeds. Colour: square root of the share of the true class.",
    )


def _weights(family: Family, dataset: Dataset) -> list[Section]:
    variables, seed = family.results[0].variables, family.results[0].config.seed
    if family.config.model.name == "linear":
        height, width, channels = dataset.image_shape
        crop = family.config.data.crop
        shape = (crop or height, crop or width, channels)
        weights = analysis.templates(variables, shape)
        rows = {
            "template": tiles.signed_rgb(weights),
            "class mean": tiles.pixel_rgb(analysis.class_means(dataset.train, dataset.num_classes)),
        }
        return [
            Section(
                "Templates of the linear model",
                figure=figures.labelled_images(rows, {"template": dataset.class_names}),
                caption="Weights per class, zero in the middle of the scale (one scale for all, "
                f"± {np.abs(weights).max():.3g}; where images are grey, red speaks for the class and blue against it), "
                f"above the mean training image of the class. Seed {seed}. Noise without any structure would mean that "
                "the model did not train.",
            )
        ]
    if family.config.model.name == "cnn":
        weights = analysis.first_layer_filters(variables)
        return [
            Section(
                "First-layer filters of the CNN",
                figure=figures.filters(weights),
                caption=f"{len(weights)} kernels of {weights.shape[1]} × {weights.shape[2]}, largest norm first, zero "
                f"in the middle of the scale (above: ± {np.abs(weights).max():.3g}). Seed {seed}. Many filters "
                "that only show on their own scale would be filters that did not learn.",
            )
        ]
    return []


def _errors(families: list[Family], dataset: Dataset) -> list[Section]:
    rows, titles = {}, {}
    for family in families:
        mistakes = analysis.confident_errors(family.results[0].test_logits, dataset.test.labels, ERRORS_SHOWN)
        if not mistakes:
            continue
        rows[family.name] = tiles.pixel_rgb(dataset.test.images[[m.index for m in mistakes]])
        names = dataset.class_names
        titles[family.name] = [f"{names[m.label]} → {names[m.predicted]}\n{m.probability:.0%}" for m in mistakes]
    if not rows:
        return []
    return [
        Section(
            "Most confident errors",
            figure=figures.labelled_images(rows, titles),
            caption="Test images that the first seed got wrong with the highest probability: true class → answer, and "
            "the softmax probability of that answer.",
        )
    ]
