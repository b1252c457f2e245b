"""What is written down of an ablation, in `summary.json` and `results.csv`: the statistics for it, and out of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from convnet.ablation.outcomes import ArmSummary, Outcome, summarize_arms
from convnet.settings import differences, require


def summarize_plan(plan: Mapping[str, Any], runs: Mapping[str, Mapping[int, Outcome]]) -> dict[str, ArmSummary]:
    """What `summarize_arms` says of the arms of `plan`; a remark names the settings that turned out to do nothing."""
    configs = {arm["name"]: arm["config"] for arm in plan["arms"]}
    found = summarize_arms(runs)
    for name, said in found.items():
        if said.same_as is not None:
            paths = list(differences(configs[said.same_as], configs[name]))
            have = "has" if len(paths) == 1 else "have"
            remark = f"the same run as {said.same_as}, bit for bit: {' and '.join(paths)} {have} no effect here"
            found[name] = replace(said, remarks=(remark, *said.remarks))
    return found


def recomputed(summary: dict[str, Any], rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    """`summary` with its statistics computed again from the `rows` of its results.csv.

    Raises ValueError for rows without counts of hits, which older versions wrote.
    """
    runs: dict[str, dict[int, Outcome]] = {arm["arm"]: {} for arm in summary["arms"]}
    twins = {arm["arm"]: arm.get("same_as") or arm["arm"] for arm in summary["arms"]}
    for row in rows:
        require("test_hits" in row, "columns of results.csv", ", ".join(row), "test_hits among them; write it again")
        runs[row["arm"]][int(row["seed"])] = _stored_outcome(row, twins[row["arm"]])
    found = summarize_plan(summary["plan"], runs)
    arms = [arm | arm_statistics(found[arm["arm"]]) for arm in summary["arms"]]
    return summary | {"arms": arms}


def _stored_outcome(row: dict[str, str], twin: str) -> Outcome:
    """twin: the arm that the row's has been found to be the same as: what diverged has left nothing to tell it by."""
    if row["status"] == "diverged":
        marks = frozenset([(row["seed"], "diverged", twin)])
        return Outcome(Fraction(1, round(1 / float(row["score"]))), diverged=True, fingerprints=marks)
    marks = tuple(row[name] for name in ("seed", "parameter_hash", "test_loss", "test_hits"))
    return Outcome(Fraction(int(row["test_hits"]), int(row["test_images"])), fingerprints=frozenset([marks]))


def arm_statistics(said: ArmSummary) -> dict[str, Any]:
    """What an arm's runs say, as a part of the summary."""
    return _plain(
        {
            "divergence_p": said.divergence_p,
            "test_accuracy": said.score.mean,
            "interval95": said.score[1:],
            "effect": said.effect and asdict(said.effect) | {"difference": said.effect.difference},
            "same_as": said.same_as,
            "remarks": said.remarks,
        }
    )


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def answers(folder: Path, names: Sequence[str]) -> list[list[str]]:
    """Of the stored ablations folder/NAME/summary.json, those that are there: name, arm, test accuracy in %, and its
    difference to the first arm, in percentage points, with its interval."""
    rows = []
    for name in names:
        if (path := folder / name / "summary.json").exists():
            for arm in json.loads(path.read_text(encoding="utf-8"))["arms"]:
                effect = arm["effect"] and [100 * value for value in arm["effect"]["difference"]]
                told = "{:+.2f} ({:+.2f} … {:+.2f})".format(*effect) if effect else "compared with"
                rows.append([name, arm["arm"], f"{100 * arm['test_accuracy']:.2f}", told])
    return rows
