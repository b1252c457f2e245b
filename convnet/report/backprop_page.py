"""What a trial of back-propagation by hand shows: two tables and the curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convnet.identity import environment
from convnet.report import Page, Part, Section, figures, study, write_report

WAYS = ("by hand", "jax.grad")
PRECISIONS = ("float64", "float32")


@dataclass(frozen=True)
class Run:
    """One model from one start in one precision, both ways; the keys of losses and seconds are `WAYS`."""

    differences: dict[str, float]
    """Parameter -> relative difference of its two gradients, the larger of those before and after training."""
    losses: dict[str, np.ndarray]
    """Of every step: [epochs, steps]."""
    seconds: dict[str, np.ndarray]
    """Per step, of every epoch: [epochs]."""

    @property
    def drift(self) -> np.ndarray:
        """Largest difference between the two losses of one step, in each epoch: [epochs]."""
        return np.abs(self.losses["by hand"] - self.losses["jax.grad"]).max(axis=1)


@dataclass(frozen=True)
class Outcome:
    """All runs of one model: precision -> one `Run` per seed."""

    name: str
    shapes: dict[str, tuple[int, ...]]
    runs: dict[str, list[Run]]

    def difference(self, parameter: str, precision: str) -> float:
        """The worst over the seeds."""
        return float(np.max([run.differences[parameter] for run in self.runs[precision]]))

    def worst(self, precision: str) -> float:
        return float(np.max([self.difference(parameter, precision) for parameter in self.shapes]))

    def drift(self, precision: str) -> float:
        """Largest difference between the losses of one step."""
        return float(np.max([run.drift for run in self.runs[precision]]))

    def seconds(self, way: str) -> float:
        """Per step, in float32: median over epochs and seeds."""
        return float(np.median([run.seconds[way] for run in self.runs["float32"]]))

    def loss(self, epoch: int) -> float:
        """The mean over that epoch's steps and over the seeds, in float32, by hand."""
        return float(np.mean([run.losses["by hand"][epoch] for run in self.runs["float32"]]))

    def summary(self) -> dict[str, Any]:
        """As values: `gradients` and `losses` are differences."""
        return {
            "model": self.name,
            "seeds": len(self.runs["float32"]),
            "gradients": {p: {name: self.difference(name, p) for name in self.shapes} for p in PRECISIONS},
            "losses": {p: self.drift(p) for p in PRECISIONS},
            "loss": {"first epoch": self.loss(0), "last epoch": self.loss(-1)},
            "seconds_per_step": {way: self.seconds(way) for way in WAYS},
        }


def results_table(outcomes: list[Outcome]) -> list[list[str]]:
    """One line per model."""
    table = [["model", "parameters", *(f"Δ gradient, {p}" for p in PRECISIONS), "loss, first → last epoch"]]
    table[0] += [*(f"Δ loss, {p}" for p in PRECISIONS), *(f"ms / step, {way}" for way in WAYS)]
    for o in outcomes:
        count = sum(int(np.prod(shape)) for name, shape in o.shapes.items() if name != "images")
        cells = [o.name, f"{count:,}", *(f"{o.worst(p):.1e}" for p in PRECISIONS)]
        cells += [f"{o.loss(0):.3f} → {o.loss(-1):.3f}", *(f"{o.drift(p):.1e}" for p in PRECISIONS)]
        table.append(cells + [f"{1e3 * o.seconds(way):.3g}" for way in WAYS])
    return table


def gradients_table(outcomes: list[Outcome]) -> list[list[str]]:
    """One line per parameter, and one for the images."""
    table = [["model", "gradient in", "shape", *PRECISIONS]]
    for o in outcomes:
        for name, shape in o.shapes.items():
            cells = [o.name, name, " × ".join(map(str, shape))]
            table.append(cells + [f"{o.difference(name, p):.1e}" for p in PRECISIONS])
    return table


def write_trial(path: Path, outcomes: list[Outcome], facts: dict[str, str]) -> list[str]:
    """The page; what of it could not be made."""
    return write_report(path, *trial_page(outcomes, facts | study.circumstances(environment())))


def trial_page(outcomes: list[Outcome], facts: dict[str, str]) -> Page:
    sections = [
        Section(
            "Results",
            table=results_table(outcomes),
            caption="Δ gradient: the largest relative difference in any parameter. Δ loss: the largest difference "
            "between the two losses of one step. Milliseconds: inside a compiled epoch, both ways in turn, median "
            "over epochs and seeds, float32.",
        ),
        Section(
            "Gradients",
            text="The gradient of the mean cross-entropy of a batch, by hand (a) and by jax.grad (b): max |a − b| / "
            "max |b|, the largest over the starts, before and after training.",
            table=gradients_table(outcomes),
            caption="Rounding is 1e-16 per operation in float64 and 6e-8 in float32. A wrong formula shows in both "
            "columns, and in no layer above its own.",
        ),
        Part("Training curves", lambda: _curves(outcomes)),
    ]
    return Page("Back-propagation by hand", facts, sections)


def _curves(outcomes: list[Outcome]) -> Section:
    curves: dict[str, dict[str, np.ndarray]] = {}
    for o in outcomes:
        for way in reversed(WAYS):
            losses = [run.losses[way].mean(axis=1) for run in o.runs["float32"]]
            curves.setdefault(way, {})[o.name] = np.array(losses)
        for p in reversed(PRECISIONS):
            drift = np.array([run.drift for run in o.runs[p]])
            curves.setdefault(f"difference, {p}", {})[o.name] = np.maximum(drift, 1e-18)
    several = any(len(o.runs["float32"]) > 1 for o in outcomes)
    return Section.of(
        "Training curves",
        figures.learning_curves(curves, {o.name: f"{o.name}: loss (log)" for o in outcomes}),
        f"Loss of {', '.join(o.name for o in outcomes)} by hand and by jax.grad over the epochs, and the difference.",
        "Plain gradient descent from the same weights over the same batches: the mean loss of each epoch by "
        "hand lies on that of jax.grad. Below, the largest difference between the two losses of one step. "
        + ("Thin lines are seeds, thick lines their mean. " if several else "")
        + "A difference of 0 is drawn as 1e-18. Where a float32 difference climbs, rounding has moved a number across "
        "a kink, a relu's zero or the winner of a max pool, and from there on two networks learn; without kinks "
        "(cnn_smooth: tanh, average pooling) none climbs. A wrong picture: a float64 difference that comes near the "
        "float32 one.",
    )
