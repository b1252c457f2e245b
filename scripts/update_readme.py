"""Write the README's tables of results from stored runs.

python -m scripts.update_readme                                        the tables again, from docs/results/
python -m scripts.update_readme runs/compare/digits [...]              store these comparisons first
python -m scripts.update_readme --audit runs/audit --checkers runs/checkers    store these, too
python -m scripts.update_readme --false-alarms runs/false_alarms [...]         and these
python -m scripts.update_readme --boards runs/audit_jax                        and the board of a release of JAX
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from convnet.board import board as boards
from convnet.cli import run_command
from convnet.record import write_atomically, write_json
from convnet.report import comparison_table, remark_lines
from convnet.report.board_tables import by_release, release_table
from convnet.report.markdown import markdown_table

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "docs" / "results"
ORDER = ("digits", "mnist", "cifar10")
GRADIENTS = STORE / "gradients"
BOARDS = STORE / "board"
MARKS = "<!-- {0}: written by scripts/update_readme.py -->", "<!-- end of {0} -->"


@dataclass(frozen=True)
class Update:
    """Store runs under docs/results/ and write the README's tables of results from all that are stored."""

    comparisons: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Directories that experiments/compare.py wrote."""
    audit: Path | None = None
    """Directory that experiments/audit_gradients.py wrote."""
    checkers: Path | None = None
    """Directory that experiments/compare_checkers.py wrote."""
    false_alarms: tuple[Path, ...] = ()
    """Directories that experiments/false_alarms.py wrote; together they replace those of before."""
    boards: tuple[Path, ...] = ()
    """Directories that experiments/audit_jax.py wrote, each of another release of JAX."""


def store(comparison: Path) -> None:
    summary = json.loads((comparison / "summary.json").read_text(encoding="utf-8"))
    target = STORE / summary["families"][0]["config"]["data"]["name"]
    target.mkdir(parents=True, exist_ok=True)
    for name in ("summary.json", "results.csv"):
        shutil.copy(comparison / name, target)
    for figure in (comparison / "figures").glob("*.png"):
        shutil.copy(figure, target)


def section(path: Path) -> str:
    """One comparison as a Markdown table, with the facts that its numbers depend on."""
    summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    families, where = summary["families"], summary["environment"]
    table = markdown_table(comparison_table(families))
    train = families[-1]["config"]["train"]
    # Those that older versions stored have no remarks.
    remarks = remark_lines({family["family"]: family.get("remarks", ()) for family in families})
    below = "".join(f"- {line}\n" for line in remarks) + ("\n" if remarks else "")
    return (
        f"**{path.name}**, {families[0]['seeds']} seeds, {train['epochs']} epochs of batch {train['batch_size']}; "
        f"`python {where['command']}`\n\n{table}\n\n"
        f"{below}{_circumstances(where)}\n"
    )


def _read(path: Path) -> dict:
    """A stored result, whose command is the one to repeat it: wherever its directory was."""
    found = json.loads(path.read_text(encoding="utf-8"))
    where = found["environment"]
    return {**found, "environment": {**where, "command": _repeated(where["command"])}}


def _repeated(command: str) -> str:
    return re.sub(r" --out \S+", "", command)


def store_gradients(audit: Path | None, checkers: Path | None) -> None:
    """The verdicts, without the thousands of single checks behind them."""
    GRADIENTS.mkdir(parents=True, exist_ok=True)
    if audit is not None:
        found = _read(audit / "audit.json")
        kept = (
            "environment",
            "level",
            "seconds",
            "verdict",
            "audits_of_right_rules",
            "condemned",
            "survivors",
            "planted",
        )
        write_json(GRADIENTS / "audit.json", {key: found[key] for key in kept})
        shutil.copy(audit / "figures" / "ops-and-stages.png", GRADIENTS)
    if checkers is not None:
        found = _read(checkers / "checkers.json")
        where = {"environment": found["environment"]}
        if found["verdicts"]:
            write_json(GRADIENTS / "checkers.json", where | {key: found[key] for key in ("table", "misjudged")})
        if found["board"]:
            write_json(GRADIENTS / "defects.json", where | found["board"])


def store_false_alarms(directories: Sequence[Path]) -> None:
    found = [_read(path / "false_alarms.json") for path in directories]
    if found:
        write_json(GRADIENTS / "false_alarms.json", {"runs": found})


def _false_alarms(runs: Sequence[dict]) -> str:
    """The rows of all runs in one table, which all came from one version of the referee."""
    heads, rows = zip(*((run["counts"][0], run["counts"][1:-1]) for run in runs), strict=True)
    rows = [row for part in rows for row in part]
    audits, alarms = (sum(int(row[heads[0].index(name)]) for row in rows) for name in ("audits", "alarms"))
    commands = "; ".join(f"`python {run['environment']['command']}`" for run in runs)
    return (
        f"Does it reject what is right? {audits} audits of functions that nobody doubts, {alarms} with an alarm; "
        f"{commands}:\n\n{markdown_table([heads[0], *rows])}\n\n{_circumstances(runs[-1]['environment'])}\n"
    )


def gradients_section() -> str:
    """What the referee found, and the checkers beside it."""
    parts = []
    if (GRADIENTS / "audit.json").exists():
        found = json.loads((GRADIENTS / "audit.json").read_text(encoding="utf-8"))
        lines = "\n".join(f"- {line}" for line in found["verdict"])
        where = found["environment"]
        parts.append(f"`make audit`, here `python {where['command']}`:\n\n{lines}\n\n{_circumstances(where)}\n")
    if (GRADIENTS / "checkers.json").exists():
        found = json.loads((GRADIENTS / "checkers.json").read_text(encoding="utf-8"))
        parts.append(
            f"The same rules before the checkers that people use; `python {found['environment']['command']}`:\n\n"
            f"{markdown_table(found['table'])}\n\n{_circumstances(found['environment'])}\n"
        )
    if (GRADIENTS / "defects.json").exists():
        found = json.loads((GRADIENTS / "defects.json").read_text(encoding="utf-8"))
        parts.append(
            "The defects of JAX that the board below has, each at its point, before the same checkers, which are told "
            "nothing else: how many a checker saw, of those that it answered for. One that rejects what is right at "
            "that point, too (the identity, or the function's mathematics with exact derivatives), has seen nothing; "
            f"`python {found['environment']['command']}`:\n\n"
            f"{markdown_table(found['table'])}\n\n{_circumstances(found['environment'])}\n"
        )
    if (GRADIENTS / "false_alarms.json").exists():
        parts.append(_false_alarms(json.loads((GRADIENTS / "false_alarms.json").read_text(encoding="utf-8"))["runs"]))
    return "\n".join(parts)


def store_boards(directories: Sequence[Path]) -> None:
    """One file for each release; that of before is replaced."""
    for path in directories:
        board = boards.read(path / "board.json")
        BOARDS.mkdir(parents=True, exist_ok=True)
        where = {**board.environment, "command": _repeated(board.environment["command"])}
        boards.write(BOARDS / f"{board.version}.json", replace(board, environment=where))


def board_section() -> str:
    """How many defects each release has."""
    stored = by_release(map(boards.read, BOARDS.glob("*.json")))
    if not stored:
        return ""
    where = stored[-1].environment
    return (
        "Functions with a defect of each kind, which [docs/board.md](docs/board.md) lists; "
        f"`python {where['command']}`:"
        f"\n\n{markdown_table(release_table(*stored))}\n\n{_circumstances(where)}\n"
    )


def _circumstances(where: dict) -> str:
    packages = where["packages"]
    return (
        f"{where['device']}, {where['cpus']} CPU cores; JAX {packages['jax']}, Python {where['python']}; "
        f"{where['started'][:10]}."
    )


def replaced(text: str, name: str, content: str) -> str:
    """`text` with what stands between the marks of `name` exchanged."""
    start, end = (mark.format(name) for mark in MARKS)
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n\n{content}\n{end}{after}"


def update(settings: Update) -> None:
    for comparison in settings.comparisons:
        store(comparison)
    store_gradients(settings.audit, settings.checkers)
    store_false_alarms(settings.false_alarms)
    store_boards(settings.boards)
    readme = ROOT / "README.md"
    sections = [section(STORE / name) for name in ORDER if (STORE / name / "summary.json").exists()]
    text = replaced(readme.read_text(encoding="utf-8"), "results", "\n".join(sections))
    text = replaced(text, "gradients", gradients_section())
    write_atomically(readme, replaced(text, "board", board_section()))
    print(f"{readme.name}: {len(sections)} comparisons")


if __name__ == "__main__":
    sys.exit(run_command(Update, update))
