"""What an audit found: one `Check` per comparison, a `Report` over the stages. Untested is a verdict of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np

INDEPENDENT = ("elementwise", "differences", "taylor", "kinks", "fuzz", "ops", "parameters")
"""Stages that compare a gradient with an independent one, or with values. The others ask whether it is sane, agrees
with itself, or could have been checked: a zero gradient passes all of those."""

WIDE = 200
"""Columns of a line of a summary: a longer one would fill a terminal."""


@dataclass(frozen=True)
class Check:
    """One comparison of one stage."""

    stage: str
    name: str
    status: str
    """passed, failed or untested."""
    error: float | None = None
    """In the unit of `bound`: ρ, ulps of the result's own conditioning, wherever entries are compared."""
    bound: float | None = None
    worst: str | None = None
    """The worst entry: index, what the rule gave, what was expected."""
    detects: float | None = None
    """The smallest error, relative to the largest gradient, that this check would surely have noticed."""
    rejected: float | None = None
    """Fraction of points that could not be used, because the function has a kink there."""
    note: str = ""


@dataclass
class Report:
    """The verdict on one function at one point."""

    name: str
    level: str
    seed: int
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.status == "failed"]

    @property
    def untested(self) -> list[Check]:
        """What the verdict says nothing about."""
        return [check for check in self.checks if check.status == "untested"]

    @property
    def passed(self) -> bool:
        """Nothing failed, and the gradient was compared with something else than itself."""
        return not self.failures and any(
            check.status == "passed" and check.stage in INDEPENDENT for check in self.checks
        )

    @property
    def stages_failed(self) -> list[str]:
        return [stage for stage, status in self.stages.items() if status == "failed"]

    @property
    def stages(self) -> dict[str, str]:
        """Per stage failed if a check of it failed, passed if one passed and none failed, else untested."""
        status: dict[str, str] = {}
        rank = {"untested": 0, "passed": 1, "failed": 2}
        for check in self.checks:
            status[check.stage] = max(status.get(check.stage, "untested"), check.status, key=rank.__getitem__)
        return status

    def worst(self, stage: str) -> float | None:
        """The largest error of a stage as a fraction of its bound."""
        ratios = [check.error / check.bound for check in self.checks if check.stage == stage and check.bound]
        return max(ratios, default=None)

    def to_dict(self) -> dict:
        """Plain numbers and strings; an infinite error is the string "inf"."""
        checks = [{key: _plain(value) for key, value in asdict(check).items()} for check in self.checks]
        return dict(
            name=self.name,
            level=self.level,
            seed=self.seed,
            passed=self.passed,
            stages=self.stages,
            checks=checks,
            seconds=self.seconds,
        )

    def _told(self) -> Iterator[Check]:
        """What fits on a screen: what failed or was not tested, and the worst check of what passed in each stage."""
        for stage in self.stages:
            checks = [check for check in self.checks if check.stage == stage]
            passed = [check for check in checks if check.status == "passed"]
            if len(passed) > 1:
                worst = max(passed, key=lambda check: (check.error or 0.0) / (check.bound or 1.0))
                notes = dict.fromkeys(check.note for check in passed if check.note)
                yield replace(worst, name=f"{worst.name}, the worst of {len(passed)}", note="; ".join(notes))
                passed = []
            yield from (check for check in checks if check.status != "passed" or check in passed)

    def summary(self, rows: int = 10) -> str:
        """What fits on a screen, however much there is to say: the first checks that failed, of every stage one before
        any second, and how many more there are. Where none failed and yet nothing passed, why nothing could."""
        found = self.failures or [check for check in self.untested if check.stage in INDEPENDENT]
        stages = [check.stage for check in found]
        rank = [stages[:i].count(stage) for i, stage in enumerate(stages)]
        shown = sorted(sorted(range(len(found)), key=rank.__getitem__)[:rows])
        lines = [self._head(), *(_cut(line) for line in _table(found[i] for i in shown))]
        return "\n".join(lines + [f"and {len(found) - rows} more"] * (len(found) > rows))

    def __str__(self) -> str:
        return "\n".join([self._head(), *_table(self._told())])

    def _head(self) -> str:
        stages, failed = self.stages, self.stages_failed
        head = f"{self.name}: {'passed' if self.passed else 'FAILED' if failed else 'NOT TESTED'}"
        head += f" at level {self.level}, seed {self.seed}; {_count(stages, 'passed')} of {len(stages)} stages passed"
        if failed:
            head += f", failed: {', '.join(failed)}"
        if _count(stages, "untested"):
            head += f", {_count(stages, 'untested')} untested"
        return head


def _count(stages: dict[str, str], status: str) -> int:
    return sum(value == status for value in stages.values())


def _table(checks: Iterable[Check]) -> list[str]:
    rows = [("stage", "check", "verdict", "error", "bound", "detects", ""), *map(_row, checks)]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=False)) + "  " + row[6] for row in rows]
    return [line.rstrip() for line in lines]


def _cut(line: str) -> str:
    return line if len(line) <= WIDE else line[: WIDE - 2] + " …"


def _plain(value):
    return "inf" if isinstance(value, float) and not math.isfinite(value) else value


def _row(check: Check) -> tuple[str, ...]:
    def number(value):
        return "" if value is None else f"{value:.2g}"

    notes = [check.worst if check.status == "failed" else None, check.note]
    if check.rejected:
        notes.append(f"{check.rejected:.0%} of the points rejected")
    status = "FAILED" if check.status == "failed" else check.status
    numbers = (number(check.error), number(check.bound), number(check.detects))
    return (check.stage, check.name, status, *numbers, "; ".join(note for note in notes if note))


def describe_wrong(wrong: np.ndarray) -> str:
    """Which entries are wrong, as the narrowest statement that holds for all of them."""
    count, total = int(wrong.sum()), wrong.size
    if count == total:
        return "every entry is wrong"
    where = np.argwhere(wrong)
    places = []
    for axis, size in enumerate(wrong.shape):
        values = np.unique(where[:, axis])
        if size > 1 and len(values) == 1:
            edge = {0: " (the first)", size - 1: " (the last)"}.get(int(values[0]), "")
            places.append(f"axis {axis} = {values[0]}{edge}")
        elif size > 2 and set(values) == {0, size - 1}:
            places.append(f"axis {axis} at both borders")
    confined = f", all with {' and '.join(places)}" if places else ""
    return f"{count} of {total} entries are wrong{confined}"
