"""One family of models in a comparison: its runs, and what they come to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from convnet import models
from convnet.ablation import ArmSummary, Interval, Outcome, summarize_arms
from convnet.config import RunConfig
from convnet.run import RunResult, Trainer
from convnet.settings import content_hash, to_dict


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
    target: float | None

    @classmethod
    def of(cls, name: str, trainer: Trainer, runs: tuple[Run, ...], target: float | None) -> Family:
        return cls(
            name=name,
            config=trainer.config,
            runs=runs,
            parameters=trainer.parameters,
            flops_per_image=models.flops_per_image(trainer.model, trainer.task.input_shape),
            compile_seconds=trainer.compile_seconds,
            target=target,
        )

    @property
    def results(self) -> list[RunResult]:
        """Those that did not diverge."""
        return [run.result for run in self.runs if run.result is not None]

    @property
    def test_accuracy(self) -> Interval | None:
        """Over the runs that did not diverge; None where all did."""
        return self._said.score if self._said else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why there is no accuracy, or no interval."""
        return self._said.remarks if self._said else ("every run diverged: there is no accuracy",)

    @property
    def _said(self) -> ArmSummary | None:
        runs = {r.config.seed: Outcome(Fraction(r.test_hits, r.test_images)) for r in self.results}
        return summarize_arms({self.name: runs})[self.name] if runs else None

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
            "remarks": list(self.remarks),
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
                    "test_hits": r and r.test_hits,
                    "test_images": r and r.test_images,
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
