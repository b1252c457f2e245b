"""Write the README's table of results from stored comparisons.

python scripts/update_readme.py                                  the table again, from docs/results/
python scripts/update_readme.py runs/compare/digits [...]        store these comparisons first
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from convnet.cli import run_command
from convnet.record import write_atomically
from convnet.report import comparison_table

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "docs" / "results"
ORDER = ("digits", "mnist", "cifar10")
START, END = "<!-- results: written by scripts/update_readme.py -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Update:
    """Store comparisons under docs/results/ and write the README's table of results from all that are stored."""

    comparisons: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Directories that experiments/compare.py wrote."""


def store(comparison: Path) -> None:
    summary = json.loads((comparison / "summary.json").read_text())
    target = STORE / summary["families"][0]["config"]["data"]["name"]
    target.mkdir(parents=True, exist_ok=True)
    for name in ("summary.json", "results.csv"):
        shutil.copy(comparison / name, target)
    for figure in (comparison / "figures").glob("*.png"):
        shutil.copy(figure, target)


def section(path: Path) -> str:
    """One comparison as a Markdown table, with the facts that its numbers depend on."""
    summary = json.loads((path / "summary.json").read_text())
    families, where = summary["families"], summary["environment"]
    head, *rows = comparison_table(families)
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    train = families[-1]["config"]["train"]
    return (
        f"**{path.name}**, {families[0]['seeds']} seeds, {train['epochs']} epochs of batch {train['batch_size']}; "
        f"`python {where['command']}`\n\n{table}\n\n"
        f"{where['device']}, {where['cpus']} CPU cores; JAX {where['packages']['jax']}, "
        f"Python {where['python']}; {where['started'][:10]}.\n"
    )


def update(settings: Update) -> None:
    for comparison in settings.comparisons:
        store(comparison)
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(START)
    _, after = rest.split(END)
    sections = [section(STORE / name) for name in ORDER if (STORE / name / "summary.json").exists()]
    write_atomically(readme, f"{before}{START}\n\n" + "\n".join(sections) + f"\n{END}{after}")
    print(f"{readme.name}: {len(sections)} tables")


if __name__ == "__main__":
    sys.exit(run_command(Update, update))
