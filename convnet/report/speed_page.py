"""The tables, the JSON and the page of `cifar10_speed`, and of the race that `python -m benchmarks race` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from convnet.ablation.stats import mean_interval
from convnet.report.figures import Line, Panel, chart, interval_bars
from convnet.report.page import Page, Part, Picture, Section
from convnet.report.tables import NO_INTERVAL, Table
from convnet.speed_run import SpeedResult

VIEWS = {"one": "as it is", "mirror": "and mirrored", "mirror_shift": "and moved, six views"}
"""Sets of views as the page calls them."""
PARTS = {"training": "train_seconds", "evaluation": "evaluate_seconds", "both": "seconds"}


@dataclass(frozen=True)
class SpeedRecord:
    """A run as it is kept: seconds of its parts, accuracy by set of views, loss of each step."""

    seed: int
    train_seconds: float
    evaluate_seconds: float
    accuracy: dict[str, float]
    losses: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.evaluate_seconds

    @property
    def best(self) -> float:
        """Accuracy by the largest set of views."""
        return list(self.accuracy.values())[-1]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpeedRecord:
        """The inverse of `dataclasses.asdict`, through JSON, too; other values are left alone."""
        own = {field.name: values[field.name] for field in fields(cls)}
        return cls(**own | {"losses": tuple(own["losses"])})

    @classmethod
    def of(cls, result: SpeedResult) -> SpeedRecord:
        losses = tuple(np.asarray(result.losses, float).tolist())
        return cls(result.seed, result.train_seconds, result.evaluate_seconds, result.accuracy, losses)


def told(values: Sequence[float], form: str) -> list[str]:
    """[mean, its 95 % interval] of what runs came to."""
    mean, low, high = mean_interval(values)
    interval = NO_INTERVAL if np.isnan(low) else f"{low:{form}} to {high:{form}}"
    return [f"{mean:{form}}", interval]


def accuracy_table(runs: Sequence[SpeedRecord]) -> Table:
    """By set of views: mean, interval, the least and the most of the runs, in percent."""
    rows = [["views of an image", "accuracy %", "95 %", "least", "most"]]
    for name in runs[0].accuracy:
        values = [100 * run.accuracy[name] for run in runs]
        rows.append([VIEWS[name], *told(values, ".2f"), f"{min(values):.2f}", f"{max(values):.2f}"])
    return rows


def time_table(runs: Sequence[SpeedRecord]) -> Table:
    rows = [["part", "seconds", "95 %", "least", "most"]]
    for part, name in PARTS.items():
        values = [getattr(run, name) for run in runs]
        rows.append([part, *told(values, ".4g"), f"{min(values):.4g}", f"{max(values):.4g}"])
    return rows


def rate_table(facts: Mapping[str, Any], runs: Sequence[SpeedRecord]) -> Table:
    """What was computed, how fast, and how fast the machine multiplies matrices."""
    rate = facts["flops"] / float(np.median([run.seconds for run in runs]))
    rows = [["", "GFLOP/s", "share"], ["convolutions and products of a run", f"{rate / 1e9:.4g}", ""]]
    for dtype, product in facts["matrix_product"].items():
        rows.append([f"the machine's matrix product, {dtype}", f"{product / 1e9:.4g}", f"{rate / product:.2f}"])
    return rows


def speed_tables(facts: Mapping[str, Any], runs: Sequence[SpeedRecord]) -> dict[str, Table]:
    compiled = [["", "seconds"], ["compiling, or reading what is kept of it", f"{facts['compile_seconds']:.3g}"]]
    return {
        "Accuracy": accuracy_table(runs),
        "Time": time_table(runs),
        "Before the clock starts": compiled,
        "Rate": rate_table(facts, runs),
    }


def speed_page(facts: Mapping[str, Any], runs: Sequence[SpeedRecord], circumstances: dict[str, str]) -> Page:
    tables, what = speed_tables(facts, runs), "held-out" if facts["validation"] else "test"
    known = f"{len(runs)} runs, each a point; the bar across is the 95 % interval of the mean."

    def accuracy() -> Section:
        values = {VIEWS[name]: [100 * run.accuracy[name] for run in runs] for name in runs[0].accuracy}
        figure = interval_bars({f"accuracy of the {what} images, %": values}, size=(7, 2.6), bars=False, dots=True)
        alt = f"Accuracy of the {what} images in each run, by views, with the mean and its interval."
        return Section("Accuracy", table=tables["Accuracy"], pictures=[Picture("Accuracy", figure, alt, known)])

    def seconds() -> Section:
        values = {part: [getattr(run, name) for run in runs] for part, name in PARTS.items()}
        figure = interval_bars({"seconds": values}, size=(7, 2.6), dots=True)
        alt = "Seconds of each run, by part, with the mean and its interval."
        return Section("Time", table=tables["Time"], pictures=[Picture("Time", figure, alt, known)])

    def losses() -> Section:
        curves = Line(np.arange(1, len(runs[0].losses) + 1), np.array([run.losses for run in runs]).T)
        figure = chart([Panel({"": curves}, dict(xlabel="step", ylabel="training loss"))], size=(7, 3))
        return Section.of("Loss", figure, "The training loss at every step.", "A line for each run.")

    parts = [Part("Accuracy", accuracy), Part("Time", seconds), Part("Loss", losses)]
    rest = [Section(name, table=tables[name]) for name in ("Before the clock starts", "Rate")]
    return Page("CIFAR-10 against the clock", circumstances, [*parts, *rest])
