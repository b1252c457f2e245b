"""Write docs/ablations.md, the table of answers, from stored ablations.

python -m scripts.update_ablations                                     the page again, from docs/results/
python -m scripts.update_ablations --recompute                         and its statistics, from the stored results.csv
python -m scripts.update_ablations runs/ablate/initializers [...]      store these first
python -m scripts.update_ablations --run [--presets depth width]       run presets first (finished cells are kept)
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from convnet.ablation import COVERAGE, recomputed
from convnet.cli import run_command
from convnet.record import write_atomically, write_json
from convnet.report import ABLATION_HEAD, ablation_cells, differences_figure, png, remark_lines
from convnet.settings import require
from scripts.coverage import table as coverage_table

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ROOT / "experiments" / "presets"
FIGURES = ("paired-differences.png", "interaction.png")
KEPT = ("summary.json", "results.csv")

HEAD = f"""# Ablations: what changes when one thing changes

Written by `python -m scripts.update_ablations` from stored runs of `python experiments/ablate.py --preset NAME`, whose
settings stand in [experiments/presets/](../experiments/presets). All arms of a table share their seeds.

- **test accuracy**: mean over all seeds with its 95 % interval by Student's t. A run that diverged counts as guessing.
- **difference**: to the first arm, paired by seed and subtracted in whole images, with its 95 % interval by Student's
  t; **p** is the paired t test's, corrected for the number of arms (Holm).
- **detectable**: the smallest true difference that one test of so many pairs would find at 5 % in four of five
  ablations. A smaller one may well exist.
- **—**: no interval and no p, for all runs or all differences are equal. A few accuracies, which come in steps of one
  image, may be equal by chance; they do not tell by how much the next would differ.

{textwrap.fill(COVERAGE + " [Measured](#coverage) for 2 to 20 seeds.", 120)}
"""


@dataclass(frozen=True)
class Update:
    """Store ablations under docs/results/ablations/ and write docs/ablations.md from all that are stored."""

    ablations: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Directories that experiments/ablate.py wrote."""
    run: bool = False
    """Run the presets first, each into runs/ablate/NAME, and store them."""
    presets: tuple[str, ...] = ()
    """Which presets to run; none: all."""
    recompute: bool = False
    """Compute the statistics of all that are stored again, from their results.csv, and draw their differences."""
    docs: Path = ROOT / "docs"
    """Where the page and the stored results are."""


def store(ablation: Path, docs: Path) -> None:
    """Raises ValueError for a directory without a summary, and for one that is no preset's as it stands."""
    require((ablation / "summary.json").exists(), "ablation", str(ablation), "a directory that ablate.py wrote")
    stored = json.loads((ablation / "summary.json").read_text(encoding="utf-8"))["plan"]
    name = stored["name"]
    require(not stored.get("changed"), "ablation", str(ablation), f"the preset {name} as it stands")
    target = docs / "results" / "ablations" / name
    target.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copy(ablation / file, target)
    for figure in FIGURES:
        if (ablation / "figures" / figure).exists():
            shutil.copy(ablation / "figures" / figure, target)


def recompute(stored: Path) -> None:
    """Statistics of a stored ablation by the methods of today. Raises ValueError for what tells of no counts."""
    summary = json.loads((stored / "summary.json").read_text(encoding="utf-8"))
    with (stored / "results.csv").open(encoding="utf-8", newline="") as file:
        summary = recomputed(summary, list(csv.DictReader(file)))
    write_json(stored / "summary.json", summary)
    if (figure := differences_figure(summary["arms"])) is not None:
        write_atomically(stored / FIGURES[0], png(figure))


def run_preset(name: str) -> Path:
    out = ROOT / "runs" / "ablate" / name
    command = [sys.executable, str(ROOT / "experiments" / "ablate.py"), "--preset", name, "--out", str(out)]
    done = subprocess.run(command, check=False)
    require(done.returncode == 0, f"exit code of preset {name}", done.returncode, "0")
    return out


def page(docs: Path) -> str:
    parts = [HEAD]
    for path in sorted(PRESETS.glob("*.toml")):
        preset = tomllib.loads(path.read_text(encoding="utf-8"))
        stored = docs / "results" / "ablations" / path.stem
        parts.append(section(path.stem, preset, stored if (stored / "summary.json").exists() else None))
    return "\n".join([*parts, *_coverage(docs / "results" / "coverage.json")])


def _coverage(stored: Path) -> list[str]:
    """How often the intervals hold the true mean, where that was measured."""
    if not stored.exists():
        return []
    found = json.loads(stored.read_text(encoding="utf-8"))
    cases = [f"- **{name}**: {description}" for name, description in found["cases"].items()]
    explained = (
        f"Of {found['results'][0]['repeats']:,} intervals each, the share in % that holds the true mean, and the exact "
        "95 % interval of that share. Without: ablations whose values were all equal, which have no interval."
    )
    where = found["environment"]
    command = f"`python -m scripts.coverage`: Python {where['python']}, SciPy {where['packages']['scipy']}"
    rows = _markdown(coverage_table(found["results"]))
    lines = ["## Coverage", "", textwrap.fill(explained, 120), "", *cases, "", *rows, ""]
    return [*lines, f"{command}; {where['started'][:10]}.", ""]


def section(name: str, preset: dict[str, Any], stored: Path | None) -> str:
    """Question, answer, table and picture of one preset."""
    lines = [f"## {name}", "", f"**{preset['question']}**", ""]
    if stored is None:
        return "\n".join([*lines, f"Not measured yet: `python experiments/ablate.py --preset {name}`.", ""])
    summary = json.loads((stored / "summary.json").read_text(encoding="utf-8"))
    if preset.get("answer"):
        lines += [preset["answer"].strip(), ""]
    lines += [*_table(summary), "", _circumstances(summary), ""]
    for figure in FIGURES:
        if (stored / figure).exists():
            lines += [f"![{figure.removesuffix('.png').replace('-', ' ')}](results/ablations/{name}/{figure})", ""]
    return "\n".join(lines)


def _table(summary: dict[str, Any]) -> list[str]:
    rows = [["arm", *ABLATION_HEAD, "diverged", "s per run"]]
    for arm in summary["arms"]:
        seconds = "" if arm["train_seconds"] is None else f"{arm['train_seconds']:.2g}"
        rows.append([arm["arm"], *ablation_cells(arm), f"{arm['diverged']} of {arm['seeds']}", seconds])
    remarks = remark_lines({arm["arm"]: arm["remarks"] for arm in summary["arms"]})
    return [*_markdown(rows), *([""] if remarks else []), *(f"- {remark}" for remark in remarks)]


def _markdown(table: list[list[str]]) -> list[str]:
    head, *rows = table
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] + ["---:"] * (len(head) - 1), *rows]]


def _circumstances(summary: dict[str, Any]) -> str:
    where, plan, cells = summary["environment"], summary["plan"], summary["cells"]
    command = f"`python experiments/ablate.py --preset {plan['name']}`"
    unfinished = f" ({cells['finished']} of {cells['planned']} cells)" if cells["finished"] < cells["planned"] else ""
    return (
        f"{command}: {plan['base']['data']['name']}, {plan['seeds']} seeds{unfinished}, "
        f"{sum(a['seeds'] * (a['train_seconds'] or 0) for a in summary['arms']):.0f} s of training; "
        f"{where['device']}, {where['cpus']} CPU cores; JAX {where['packages']['jax']}, Python {where['python']}; "
        f"{where['started'][:10]}."
    )


def update(settings: Update) -> None:
    ablations = list(settings.ablations)
    if settings.run:
        known = sorted(path.stem for path in PRESETS.glob("*.toml"))
        for name in settings.presets:
            require(name in known, "presets", name, f"one of {', '.join(known)}")
        ablations += [run_preset(name) for name in settings.presets or known]
    for ablation in ablations:
        store(ablation, settings.docs)
    if settings.recompute:
        for summary in sorted((settings.docs / "results").glob("ablations/*/summary.json")):
            recompute(summary.parent)
    write_atomically(settings.docs / "ablations.md", page(settings.docs))
    print(f"docs/ablations.md: {len(list((settings.docs / 'results').glob('ablations/*/summary.json')))} ablations")


if __name__ == "__main__":
    sys.exit(run_command(Update, update))
