"""What the finished cells of an ablation come to: arm by arm, and row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from convnet.ablation import ArmSummary, Outcome, arm_statistics, summarize_plan
from convnet.ablation.cells import Done

COLUMNS = (
    "arm", "seed", "status", "score", "test_hits", "test_images", "test_accuracy", "test_loss", "validation_accuracy",
    "best_epoch", "epochs", "diverged_at_step", "train_seconds", "compile_seconds", "replicates", "parameter_hash",
    "cell",
)  # fmt: skip
"""Of results.csv, besides a column for each factor: no factor may be called by one of these names."""


@dataclass(frozen=True)
class ArmResult:
    """An arm's finished cells, and what they say."""

    name: str
    levels: dict[str, str]
    cells: tuple[Done, ...]
    said: ArmSummary

    @property
    def diverged(self) -> int:
        return sum(done.diverged for done in self.cells)

    @property
    def survivors(self) -> list[Done]:
        return [done for done in self.cells if not done.diverged]

    def summary(self) -> dict[str, Any]:
        seconds = [done.facts["train_seconds"] for done in self.survivors]
        return {
            "arm": self.name,
            "levels": self.levels,
            "seeds": len(self.cells),
            "diverged": self.diverged,
            **arm_statistics(self.said),
            "parameters": self.cells[0].facts["parameters"],
            "epochs": self.cells[0].cell.config.train.epochs,
            "train_seconds": float(np.median(seconds)) if seconds else None,
            "compile_seconds": float(np.median([done.facts["compile_seconds"] for done in self.cells])),
        }


def analyse(plan: dict[str, Any], done: Sequence[Done]) -> list[ArmResult]:
    """The arms of `plan` that have finished cells, in its order; each beside the plan's first, paired by seed."""
    cells = {arm["name"]: tuple(d for d in done if d.cell.arm.name == arm["name"]) for arm in plan["arms"]}
    found = summarize_plan(plan, {name: {d.cell.seed: outcome(d) for d in of_arm} for name, of_arm in cells.items()})
    levels = {arm["name"]: arm["levels"] for arm in plan["arms"]}
    return [ArmResult(name, levels[name], cells[name], said) for name, said in found.items()]


def outcome(done: Done) -> Outcome:
    """Its score is the test accuracy; that of guessing where training diverged."""
    exact = Fraction(1, done.facts["classes"]) if done.diverged else Fraction(done.test_hits, done.test_images)
    return Outcome(exact, done.diverged, done.fingerprints)


def rows_of(plan: dict[str, Any], results: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """One tidy row per arm and seed; what a diverged run does not have stays empty."""
    rows = []
    for result in results:
        for done in sorted(result.cells, key=lambda d: d.cell.seed):
            facts, best = done.facts, done.facts.get("best_epoch")
            values = (
                result.name,
                done.cell.seed,
                facts["status"],
                float(outcome(done).score),
                done.test_hits,
                done.test_images,
                facts.get("test_accuracy"),
                facts.get("test_loss"),
                best and done.records[best - 1].validation_accuracy,
                best,
                done.cell.config.train.epochs,
                facts.get("at_step"),
                facts.get("train_seconds"),
                facts["compile_seconds"],
                facts["replicates"],
                facts.get("parameter_hash"),
                done.cell.path.name,
            )
            columns = dict(zip(COLUMNS, values, strict=True))
            levels = {name: result.levels.get(name, "") for name in plan["factors"]}
            rows.append({"arm": columns.pop("arm"), **levels, **columns})
    return rows
