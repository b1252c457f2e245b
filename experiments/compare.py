"""Which family of models reads images best, and at what cost: a linear classifier, an MLP or a CNN?

    python experiments/compare.py                          digits, five seeds each: about a minute on two cores
    python experiments/compare.py --data.name mnist        needs the data set prepared for TFDS
    python experiments/compare.py --quick                  two seeds, two epochs: does everything run?

Measured answers stand in the README; `results.csv` and `report.html` of a run hold all of it.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from convnet.experiments.compare_report import Family, summary_table, write_comparison
from convnet.experiments.recipes import RECIPES, Recipe
from tqdm import tqdm

from convnet import data
from convnet.cli import run_command
from convnet.config import RunConfig, content_hash, from_dict, require
from convnet.journal import is_finished
from convnet.record import (
    changed_environment,
    check_writable,
    environment,
    read_manifest,
    write_atomically,
    write_json,
)
from convnet.report import text_table
from convnet.run import RunResult, Trainer, load_result
from convnet.train import NonFiniteLoss

QUICK_LIMIT, QUICK_EPOCHS, QUICK_SEEDS = 2000, 2, 2


@dataclass(frozen=True)
class Data:
    name: str = "digits"
    """digits (embedded), mnist or cifar10 (prepared for TFDS, found through TFDS_DATA_DIR)."""
    limit: int | None = None
    """Train on this many examples only, the same fraction of each class."""


@dataclass(frozen=True)
class Compare:
    """Compare a linear classifier, an MLP and a CNN on real images: accuracy with a 95 % interval over seeds, size,
    cost, and pictures of what they learned and where they err. Writes results.csv and a self-contained report.html."""

    data: Data = field(default_factory=Data)
    models: tuple[str, ...] = ("linear", "mlp", "cnn")
    """Families to compare."""
    seeds: int = 5
    """Runs per family, with seeds 0, 1, …; each seed has its own weights, order, augmentation and dropout."""
    epochs: int | None = None
    """Epochs of every run, instead of each recipe's own."""
    gradient: Literal["hand", "auto"] = "hand"
    """Gradients derived by hand, or by JAX's autodiff from the same forward pass (slow on CPUs)."""
    target: float | None = None
    """Validation accuracy that training is timed to. Default: the data set's."""
    config: Path | None = None
    """JSON or TOML file of settings that differ from the recipes, e.g. {"cnn": {"optim": {"name": "adam"}}}."""
    out: Path | None = None
    """Directory of the results. Default: runs/compare/DATA."""
    resume: bool = False
    """Take over finished runs that this directory holds for the same config, code and versions, and go on with
    unfinished ones."""
    quick: bool = False
    """Two seeds, two epochs, at most 2,000 training examples: a check that everything runs, not a result."""

    @property
    def directory(self) -> Path:
        return self.out or Path("runs", "compare", self.data.name + ("-quick" if self.quick else ""))


def recipe_of(settings: Compare) -> Recipe:
    """The recipe that `settings` ask for, checked as far as it can be without data.

    Raises ValueError for an unknown data set or family, a number out of range, an unknown key in the config file.
    """
    require(settings.data.name in RECIPES, "data.name", settings.data.name, f"one of {', '.join(RECIPES)}")
    require(settings.seeds >= 1, "seeds", settings.seeds, "1 or more")
    require(len(set(settings.models)) == len(settings.models) > 0, "models", settings.models, "distinct families")
    target = settings.target
    require(target is None or 0 < target <= 1, "target", target, "an accuracy in (0, 1]")
    recipe = RECIPES[settings.data.name]
    changes = _read_config(settings.config) if settings.config else {}
    for family in (*settings.models, *changes):
        require(family in recipe.runs, "family", family, f"one of {', '.join(recipe.runs)}")
    runs = {}
    for family in settings.models:
        run = from_dict(RunConfig, changes.get(family, {}), base=recipe.runs[family], path=family)
        runs[family] = _adapt(run, settings)
    return Recipe(target=recipe.target if target is None else target, runs=runs)


def _adapt(run: RunConfig, settings: Compare) -> RunConfig:
    """The settings that hold for all families."""
    limit, epochs = settings.data.limit, settings.epochs or run.train.epochs
    require(settings.epochs is None or settings.epochs >= 1, "epochs", settings.epochs, "1 or more")
    if settings.quick:
        epochs = min(epochs, QUICK_EPOCHS)
        limit = QUICK_LIMIT if limit is None and settings.data.name != "digits" else limit
    return replace(
        run,
        data=replace(run.data, name=settings.data.name, limit=limit),
        train=replace(run.train, epochs=epochs),
        gradient=settings.gradient,
    )


def _read_config(path: Path) -> dict:
    try:
        text = path.read_text()
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"config is {str(path)!r}: cannot be read ({error})") from None
    require(isinstance(values, dict), "config", str(path), "settings per family")
    return values


def run_family(family: str, trainer: Trainer, seeds: int, out: Path, resume: bool, bar: tqdm) -> Iterator[Family.Run]:
    """Train every seed, each in a run directory of its own; a diverged run is a result too."""
    for seed in range(seeds):
        config = replace(trainer.config, seed=seed)
        path = out / content_hash(config)
        bar.set_postfix_str(f"{family}, seed {seed}")
        if resume and is_finished(path, config):
            bar.update(config.train.epochs)
            yield Family.Run(seed, load_result(config, path))
            continue
        yield Family.Run(seed, *_train(trainer, config, path, bar, resume))


def _train(
    trainer: Trainer, config: RunConfig, path: Path, bar: tqdm, resume: bool = False
) -> tuple[RunResult | None, str]:
    before = bar.n
    # What was begun by other code or versions is not gone on with: one run, one environment.
    resume = resume and not changed_environment(read_manifest(path) or {})
    try:
        result = trainer.run(config.seed, lambda record: bar.update(), directory=path, resume=resume)
    except NonFiniteLoss as diverged:
        bar.update(config.train.epochs - (bar.n - before))
        return None, str(diverged)
    return result, ""


def compare(settings: Compare) -> list[Family]:
    """Run the comparison and write its directory. Raises ValueError before anything is written if input is bad."""
    recipe = recipe_of(settings)
    out = settings.directory
    seeds = min(settings.seeds, QUICK_SEEDS) if settings.quick else settings.seeds
    check_writable(out)
    limit = next(iter(recipe.runs.values())).data.limit
    dataset = data.load(settings.data.name, limit=limit)
    total = seeds * sum(run.train.epochs for run in recipe.runs.values())
    families = []
    with tqdm(total=total, unit="epoch", file=sys.stderr, dynamic_ncols=True) as bar:
        # All programs are compiled first: a setting that does not fit shows before hours are spent on the others.
        trainers = {}
        for family, run in recipe.runs.items():
            bar.set_postfix_str(f"compiling {family}")
            trainers[family] = Trainer(run, dataset)
        out.mkdir(parents=True, exist_ok=True)
        for family, trainer in trainers.items():
            runs = tuple(run_family(family, trainer, seeds, out, settings.resume, bar))
            families.append(Family.of(family, trainer, runs, recipe.target))
    write_atomically(out / "results.csv", _csv(families))
    write_json(out / "summary.json", {"environment": environment(), "families": [f.summary() for f in families]})
    write_comparison(out / "report.html", families, dataset)
    print(text_table(summary_table(families)))
    for family in families:
        for run in family.runs:
            if run.result is None:
                print(f"{family.name}, seed {run.seed}: diverged: {run.reason}", file=sys.stderr)
    print(f"\nreport: {out / 'report.html'}")
    return families


def _csv(families: list[Family]) -> str:
    """One row per family and seed."""
    rows = [row for family in families for row in family.rows()]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main(args: list[str] | None = None) -> int:
    return run_command(Compare, compare, args, going_on="--resume")


if __name__ == "__main__":
    sys.exit(main())
