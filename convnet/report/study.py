"""What the reports of all studies have alike, and whose directory one is.

A study is one question with its settings: a comparison, an ablation, a trial. Its directory holds `plan.json`, which
says what was asked, so that no other study's results are written over these.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convnet.config import RunConfig
from convnet.record import check_writable, write_atomically, write_json
from convnet.report.page import Section
from convnet.report.tables import csv_text
from convnet.settings import content_hash, differences, to_dict

if TYPE_CHECKING:  # which would load all that training needs
    from convnet.train import EpochRecord

PLAN = "plan.json"
NAMED = 3
"""So many of the files or settings that stand in the way are listed."""


# --- the directory ----------------------------------------------------------------------------------------------------


def read_plan(out: Path, study: str) -> dict[str, Any] | None:
    """What the `study` in `out` asked; None where `out` is new or empty.

    Raises ValueError where `out` cannot be written, holds files that no plan accounts for, or another kind of study.
    """
    check_writable(out)
    name, path = f"out is {str(out)!r}", out / PLAN
    if not path.exists():
        check_empty(out)
        return None
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        plan = None
    if not isinstance(plan, dict):
        raise ValueError(f"{name}: its {PLAN} cannot be read; choose another --out")
    if (other := plan.get("study", study)) != study:
        raise ValueError(f"{name}: holds results of another command ({other}); choose another --out")
    return plan


def check_empty(out: Path) -> None:
    """ValueError where `out` holds any file that can be seen: it may be somebody's."""
    found = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []
    if found:
        listed = ", ".join([*found[:NAMED], *(["…"] if len(found) > NAMED else [])])
        raise ValueError(f"out is {str(out)!r}: holds files of something else ({listed}); choose another --out")


def check_same(out: Path, study: str, settings: dict[str, Any]) -> None:
    """ValueError unless results of `study` with these `settings` may be written to `out`: naming what differs."""
    plan = read_plan(out, study)
    if plan is None or not (found := differences(plan.get("settings"), settings)):
        return
    listed = [f"{name} ({_brief(theirs)} there, {_brief(ours)} here)" for name, (theirs, ours) in found.items()]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    raise ValueError(
        f"out is {str(out)!r}: holds results of other settings: {', '.join(listed[:NAMED])}{more}; choose another --out"
    )


def _brief(value: Any) -> str:
    return "none" if value is None else "some" if isinstance(value, dict) else repr(value)


def reserve(out: Path, study: str, settings: dict[str, Any]) -> None:
    """Make `out` the directory of these results. Raises ValueError as `check_same` does."""
    check_same(out, study, settings)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / PLAN, {"study": study, "settings": settings})


def directory(usual: Path, settings: dict[str, Any], standard: dict[str, Any]) -> Path:
    """Where results of `settings` go that were told no place: `usual` for the `standard` ones, else beside it."""
    same = settings == standard
    return usual if same else usual.with_name(f"{usual.name}-{content_hash(settings)}")


def write_results(
    out: Path, file: str, values: Mapping[str, Any], where: Mapping[str, Any], rows: Sequence[dict[str, Any]] = ()
) -> None:
    """Write `values` for programs, with the environment `where` they were found, and `rows` as results.csv."""
    out.mkdir(parents=True, exist_ok=True)
    if rows:
        write_atomically(out / "results.csv", csv_text(rows))
    write_json(out / file, {"environment": where, **values})


def conclude(out: Path, text: str, missing: Sequence[str]) -> int:
    """Print `text` and where the report is. Returns the exit code that `report_missing` does."""
    print(f"{text}\n\nreport: {out / 'report.html'}")
    return report_missing(missing)


def report_missing(missing: Sequence[str]) -> int:
    """Say on standard error what a report lacks. Returns the exit code: 1 if anything, else 0."""
    for line in missing:
        print(f"the report is not complete: {line}", file=sys.stderr)
    return 1 if missing else 0


# --- the page ---------------------------------------------------------------------------------------------------------


def circumstances(where: Mapping[str, Any], device: str | None = None) -> dict[str, str]:
    """Facts of an `environment` for the card. device: instead of its own."""
    return {
        "machine": f"{device or where['device']}, {where['cpus']} CPU cores, {where['platform']}",
        "versions": f"Python {where['python']}, JAX {where['packages']['jax']}",
        "date": where["started"][:10],
        "command": where["command"],
    }


CURVES = {
    "train_loss": "training loss (log)",
    "validation_loss": "validation loss (log)",
    "validation_error": "validation error (log)",
}
"""Quantities of `histories`, and the labels of their axes."""


def histories(runs: Sequence[Sequence[EpochRecord]]) -> dict[str, np.ndarray]:
    """Quantity -> its values in the records of some runs, [runs, epochs]."""

    def values(name: str) -> np.ndarray:
        return np.array([[getattr(record, name) for record in records] for records in runs])

    # One example less than the resolution of the split keeps an error of zero on a logarithmic axis.
    error = np.maximum(1 - values("validation_accuracy"), 1e-4)
    return {"train_loss": values("train_loss"), "validation_loss": values("validation_loss"), "validation_error": error}


def settings_sections(configs: Mapping[str, RunConfig]) -> list[Section]:
    """What each of `configs` was trained with: where they differ, then what they have in common."""
    listed = {name: _listed(config) for name, config in configs.items()}
    paths = list(dict.fromkeys(path for values in listed.values() for path in values))
    differing = [path for path in paths if len({values.get(path) for values in listed.values()}) > 1]
    shared = [path for path in paths if path not in differing]
    common = [["setting", "value"], *([path, next(iter(listed.values()))[path]] for path in shared)]
    if not differing:
        return [Section("Settings", table=common)]
    table = [["", *differing], *([name, *(listed[name].get(path, "") for path in differing)] for name in listed)]
    caption = "Empty: the model has no such setting." if any("" in row[1:] for row in table[1:]) else ""
    if len(differing) > len(listed):  # the longer side goes down the page
        table = [["setting", *listed], *(list(column) for column in list(zip(*table, strict=True))[1:])]
    return [
        Section("Settings", table=table, caption=caption),
        Section("Settings in common", table=common),
    ]


def _listed(config: RunConfig) -> dict[str, str]:
    """Path -> value in words; without the seed."""
    found = {}
    for section, values in to_dict(config).items():
        if isinstance(values, dict):
            found |= {f"{section}.{name}": _in_words(value) for name, value in values.items()}
        elif section != "seed":
            found[section] = _in_words(values)
    return found


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)
