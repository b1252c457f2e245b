"""Write docs/ablations.md, the table of answers, from stored ablations.

python scripts/update_ablations.py                                     the page again, from docs/results/ablations/
python scripts/update_ablations.py runs/ablate/initializers [...]      store these first
python scripts/update_ablations.py --run [--presets depth width]       run presets first (finished cells are kept)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from convnet.cli import run_command
from convnet.config import require
from convnet.record import write_atomically

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ROOT / "experiments" / "presets"
FIGURES = ("paired-differences.png", "interaction.png")
KEPT = ("summary.json", "results.csv")

HEAD = """# Ablations: what changes when one thing changes

Written by `python scripts/update_ablations.py` from stored runs of `python experiments/ablate.py --preset NAME`, whose
settings stand in [experiments/presets/](../experiments/presets). All arms of a table share their seeds.

- **test accuracy**: mean over all seeds with its 95 % bootstrap interval (BCa). A run that diverged counts as guessing.
- **difference**: to the first arm, paired by seed, with Student's 95 % interval; **p** is the paired t test's,
  corrected for the number of arms (Holm).
- **detectable**: the smallest true difference that one test of so many pairs would find at 5 % in four of five
  ablations. A smaller one may well exist.
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
    return "\n".join(parts)


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
    head = ["arm", "test accuracy %", "95 %", "difference", "95 %", "p", "detectable", "diverged", "s per run"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for arm in summary["arms"]:
        effect = arm["effect"]
        row = [arm["arm"], _points(arm["test_accuracy"]), _ends(*arm["interval95"])]
        if effect is None:
            row += [""] * 4
        else:
            mean, low, high = effect["difference"]
            row += [_points(mean, "+"), _ends(low, high, "+"), _p(effect["p_holm"]), _points(effect["detectable"])]
        seconds = arm["train_seconds"]
        row += [f"{arm['diverged']} of {arm['seeds']}", "" if seconds is None else f"{seconds:.2g}"]
        rows.append(row)
    return ["| " + " | ".join(row) + " |" for row in rows]


def _points(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{100 * value:{sign}.2f}"


def _ends(low: float | None, high: float | None, sign: str = "") -> str:
    return "" if low is None else f"{_points(low, sign)} … {_points(high, sign)}"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


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
    write_atomically(settings.docs / "ablations.md", page(settings.docs))
    print(f"docs/ablations.md: {len(list((settings.docs / 'results').glob('ablations/*/summary.json')))} ablations")


if __name__ == "__main__":
    sys.exit(run_command(Update, update))
