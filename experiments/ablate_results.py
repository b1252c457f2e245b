"""What the finished cells of an ablation come to: arm by arm, and row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from convnet.experiments.ablate_cells import Done

from convnet.ablation import Effect, Interval, bootstrap_interval, divergence_p, paired_effects

COLUMNS = (
    "arm", "seed", "status", "score", "test_accuracy", "test_loss", "validation_accuracy", "best_epoch", "epochs",
    "diverged_at_step", "train_seconds", "compile_seconds", "replicates", "parameter_hash", "cell",
)  # fmt: skip
"""Of results.csv, besides a column for each factor: no factor may be called by one of these names."""


@dataclass(frozen=True)
class ArmResult:
    """An arm's finished cells, and what they say. effect: against the base, None for the base itself and where no
    seed is shared."""

    name: str
    levels: dict[str, str]
    cells: tuple[Done, ...]
    score: Interval
    effect: Effect | None
    divergence_p: float

    @property
    def diverged(self) -> int:
        return sum(done.diverged for done in self.cells)

    @property
    def survivors(self) -> list[Done]:
        return [done for done in self.cells if not done.diverged]

    def summary(self) -> dict[str, Any]:
        seconds = [done.facts["train_seconds"] for done in self.survivors]
        return _plain(
            {
                "arm": self.name,
                "levels": self.levels,
                "seeds": len(self.cells),
                "diverged": self.diverged,
                "divergence_p": self.divergence_p,
                "test_accuracy": self.score.mean,
                "interval95": self.score[1:],
                "effect": self.effect and asdict(self.effect) | {"difference": self.effect.difference},
                "parameters": self.cells[0].facts["parameters"],
                "epochs": self.cells[0].cell.config.train.epochs,
                "train_seconds": float(np.median(seconds)) if seconds else None,
                "compile_seconds": float(np.median([done.facts["compile_seconds"] for done in self.cells])),
            }
        )


def analyse(plan: dict[str, Any], done: Sequence[Done]) -> list[ArmResult]:
    """The arms of `plan` that have finished cells, in its order; each beside the plan's first, paired by seed."""
    cells = {arm["name"]: tuple(d for d in done if d.cell.arm.name == arm["name"]) for arm in plan["arms"]}
    scores = {name: {d.cell.seed: score(d) for d in found} for name, found in cells.items()}
    diverged = {name: {d.cell.seed: d.diverged for d in found} for name, found in cells.items()}
    base = plan["arms"][0]["name"]
    found = paired_effects(scores[base], {name: by_seed for name, by_seed in scores.items() if name != base})
    results = []
    for arm in plan["arms"]:
        name = arm["name"]
        if not cells[name]:
            continue
        shared = sorted(diverged[base].keys() & diverged[name].keys())
        pairs = [[diverged[which][seed] for seed in shared] for which in (base, name)]
        interval = bootstrap_interval(list(scores[name].values()))
        results.append(ArmResult(name, arm["levels"], cells[name], interval, found.get(name), divergence_p(*pairs)))
    return results


def score(done: Done) -> float:
    """Test accuracy; that of guessing where training diverged, so that no arm gains by losing its bad runs."""
    return 1 / done.facts["classes"] if done.diverged else done.facts["test_accuracy"]


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
                score(done),
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
