"""Which family of models reads images best, and at what cost: a linear classifier, an MLP or a CNN?

    python experiments/compare.py                          digits, five seeds each: about a minute on two cores
    python experiments/compare.py --data.name mnist        needs the data set prepared for TFDS
    python experiments/compare.py --quick                  two seeds, two epochs: does everything run?

Measured answers stand in the README; `results.csv` and `report.html` of a run hold all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from convnet import data
from convnet.ablation.family import Family
from convnet.architectures import MODELS
from convnet.cli import run_command
from convnet.config import RunConfig
from convnet.journal import can_go_on, take_threads
from convnet.progress import progress
from convnet.recipes import QUICK_SEEDS, RECIPES, Recipe, quick, usual_run
from convnet.report import study
from convnet.report.comparison_page import write_comparison
from convnet.run import Trainer
from convnet.settings import apply, content_hash, from_dict, read_file, require, suggestion, to_dict
from convnet.train import NonFiniteLoss


@dataclass(frozen=True)
class Data:
    name: str | None = None
    """digits (embedded), mnist or cifar10 (prepared for TFDS, found through TFDS_DATA_DIR). Default: the config file's,
    else digits."""
    limit: int | None = None
    """Train on this many examples only, the same fraction of each class. Default: the config file's, else all."""


@dataclass(frozen=True)
class Train:
    epochs: int | None = None
    """Epochs of every run. Default: the config file's, else each recipe's own."""


@dataclass(frozen=True)
class Compare:
    """Compare a linear classifier, an MLP and a CNN on real images: accuracy with a 95 % interval over seeds, size,
    cost, and pictures of what they learned and where they err. Writes results.csv and a self-contained report.html."""

    data: Data = field(default_factory=Data)
    train: Train = field(default_factory=Train)
    models: tuple[str, ...] = ("linear", "mlp", "cnn")
    """Models to compare: linear, mlp, cnn, or any other that train.py knows, which is trained as the CNN is."""
    seeds: int = 5
    """Runs per family, with seeds 0, 1, …; each seed has its own weights, order, augmentation and dropout."""
    gradient: Literal["hand", "auto"] | None = None
    """Gradients derived by hand, or by JAX's autodiff from the same forward pass (slow on CPUs). Default: the config
    file's, else by hand."""
    target: float | None = None
    """Validation accuracy that training is timed to. Default: the data set's."""
    config: Path | None = None
    """TOML or JSON file of settings that differ from the recipes: for all families, such as [optim] with name = "adam",
    and for one, such as [cnn.optim]. A family's win over those for all, and the command line over either."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings is refused. Default: runs/compare/DATA, and for
    other settings than the recipes' a directory of their own beside it."""
    resume: bool = False
    """Take over finished runs that this directory holds for the same config, code and versions, and go on with
    unfinished ones."""
    deterministic: bool = True
    """Compile for equal bits at every run on GPUs, where steps then took 1.03 to 1.25 times as long (docs/speed.md). On
    CPUs bits are equal anyway, and it changes nothing. What XLA_FLAGS says of it goes first."""
    quick: bool = False
    """Two seeds, two epochs, at most 2,000 training examples: a check that everything runs, not a result."""


@dataclass(frozen=True)
class Plan:
    """What is trained: the runs, seed by seed, and what they are timed to."""

    recipe: Recipe
    seeds: int

    @property
    def data(self) -> str:
        return next(iter(self.recipe.runs.values())).data.name

    @property
    def settings(self) -> dict[str, Any]:
        """All that the results depend on, but for versions and machine."""
        runs = {family: to_dict(run) for family, run in self.recipe.runs.items()}
        return {"seeds": self.seeds, "target": self.recipe.target, "runs": runs}


def plan_of(settings: Compare) -> Plan:
    """What `settings` ask for, checked as far as it can be without data.

    Raises ValueError for an unknown data set or family, a number out of range, an unknown key in the config file.
    """
    require(settings.seeds >= 1, "seeds", settings.seeds, "1 or more")
    epochs = settings.train.epochs
    require(epochs is None or epochs >= 1, "train.epochs", epochs, "1 or more")
    require(len(set(settings.models)) == len(settings.models) > 0, "models", settings.models, "distinct families")
    target = settings.target
    require(target is None or 0 < target <= 1, "target", target, "an accuracy in (0, 1]")
    file = read_file(settings.config) if settings.config else {}
    shared = {section: file.pop(section) for section in get_type_hints(RunConfig) if section in file}
    name = _data_name(settings, [shared, *file.values()])
    runs = {}
    for family in dict.fromkeys((*settings.models, *file)):  # also what is not compared is to be right
        if family not in MODELS:
            known = [*MODELS, *(() if family in settings.models else get_type_hints(RunConfig))]
            raise ValueError(f"there is no model or setting {family!r}: {suggestion(family, known)}")
        run = from_dict(RunConfig, shared, base=usual_run(name, family))
        run = from_dict(RunConfig, file.get(family, {}), base=run, path=family)
        seed = (shared | file.get(family, {})).get("seed")
        require(seed is None, f"{family}.seed", seed, "none in the config file, for --seeds says which there are")
        runs[family] = _adapt(run, settings, name)
        folder = runs[family].data.folder
        require(folder is None, "data.folder", folder, "none, for models are compared on data that have recipes")
    runs = {family: runs[family] for family in settings.models}
    seeds = min(settings.seeds, QUICK_SEEDS) if settings.quick else settings.seeds
    return Plan(Recipe(target=RECIPES[name].target if target is None else target, runs=runs), seeds)


def _data_name(settings: Compare, stored: list[Any]) -> str:
    """The data set: the command line's, else the config file's, else digits. stored: what the file has of runs."""
    sections = [run["data"] for run in stored if isinstance(run, dict) and isinstance(run.get("data"), dict)]
    named = list(dict.fromkeys(str(section["name"]) for section in sections if "name" in section)) or ["digits"]
    if settings.data.name is None and len(named) > 1:
        raise ValueError(
            f"data.name is {' and '.join(named)} in the config file: expected one data set for all families"
        )
    name = settings.data.name or named[0]
    require(name in RECIPES, "data.name", name, f"one of {', '.join(RECIPES)}")
    return name


def _adapt(run: RunConfig, settings: Compare, name: str) -> RunConfig:
    """What the command line says of all families."""
    said = {"data.limit": settings.data.limit, "train.epochs": settings.train.epochs, "gradient": settings.gradient}
    run = apply(run, {"data.name": name} | {path: value for path, value in said.items() if value is not None})
    return quick(run) if settings.quick else run


def directory_of(settings: Compare, plan: Plan) -> Path:
    usual = Path("runs", "compare", plan.data + ("-quick" if settings.quick else ""))
    standard = plan_of(Compare(Data(plan.data), quick=settings.quick))
    return settings.out or study.directory(usual, plan.settings, standard.settings)


def run_family(family: str, trainer: Trainer, seeds: int, out: Path, resume: bool, bar: Any) -> Iterator[Family.Run]:
    """Train every seed, each in a run directory of its own; a diverged run is a result too."""
    for seed in range(seeds):
        bar.set_postfix_str(f"{family}, seed {seed}")
        config, before = replace(trainer.config, seed=seed), bar.n
        path = out / content_hash(config)
        # What would have other bits now is not gone on with: one run, one environment.
        go_on = resume and can_go_on(path, trainer.identity(config))
        try:
            result = trainer.run(seed, lambda record: bar.update(), directory=path, resume=go_on)
            yield Family.Run(seed, result)
        except NonFiniteLoss as diverged:
            bar.update(config.train.epochs - (bar.n - before))
            yield Family.Run(seed, None, str(diverged))


def compare(settings: Compare) -> int:
    """Run the comparison and write its directory. Returns 0, or 1 where a part of the report could not be made.

    Raises ValueError before anything is written if input is bad, or the directory holds something else.
    """
    plan = plan_of(settings)
    out, runs = directory_of(settings, plan), plan.recipe.runs
    study.check_same(out, "compare", plan.settings)
    if settings.resume:
        take_threads(out)
    datasets = {limit: data.load(plan.data, limit=limit) for limit in {run.data.limit for run in runs.values()}}
    families = []
    with progress(plan.seeds * sum(run.train.epochs for run in runs.values()), "epoch") as bar:
        # All programs are compiled first: a setting that does not fit shows before hours are spent on the others.
        trainers = {}
        for family, run in runs.items():
            bar.set_postfix_str(f"compiling {family}")
            trainers[family] = Trainer(run, datasets[run.data.limit], deterministic=settings.deterministic)
        study.reserve(out, "compare", plan.settings)
        for family, trainer in trainers.items():
            trained = tuple(run_family(family, trainer, plan.seeds, out, settings.resume, bar))
            families.append(Family.of(family, trainer, trained, plan.recipe.target))
    text, missing = write_comparison(out, families, max(datasets.values(), key=lambda d: len(d.train)))
    for family in families:
        for run in family.runs:
            if run.result is None:
                print(f"{family.name}, seed {run.seed}: diverged: {run.reason}", file=sys.stderr)
    return study.conclude(out, text, missing)


def main(args: list[str] | None = None) -> int:
    return run_command(Compare, compare, args, going_on="--resume")


if __name__ == "__main__":
    sys.exit(main())
