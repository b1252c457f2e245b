"""How well does one network do, trained once, and can the run be killed and taken up again?

    python experiments/train.py --model.name cnn --train.epochs 40 --seed 3 --out runs/train/cnn
    python experiments/train.py --model.name cnn --train.epochs 40 --seed 3 --out runs/train/cnn --resume
    python experiments/train.py --data.folder pictures --data.size 64          a folder with a subfolder per class
    python experiments/train.py --quick                                        two epochs: does everything run?

Settings that are given neither here nor in a file (--config) are those of the comparison's recipe
(convnet/recipes.py) for the data set and the model, so the CNN trained here is the CNN of the README's table; where
a model has none, as with `--model.name resnet18`, they are the CNN's. The second line goes on where the first was
stopped, killed or out of disk, and ends with the very parameters and metrics that it would have ended with: compare
the hash that it prints. A run leaves manifest.json, metrics.jsonl, checkpoints/, result.npz and report.html;
`python experiments/reproduce.py RUN` trains it again and says whether every bit agrees.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from convnet import data, hosts
from convnet.ablation.family import Family
from convnet.cli import run_command, run_config
from convnet.config import MeshConfig, RunConfig, RunMesh
from convnet.journal import take_threads
from convnet.progress import progress
from convnet.recipes import RECIPES, quick, usual_run
from convnet.record import check_writable, parameter_hash
from convnet.report import study, write_report
from convnet.report.comparison_page import comparison_page
from convnet.run import RunResult, Trainer
from convnet.settings import content_hash
from convnet.train import NonFiniteLoss

OURS = ("manifest.json", "metrics.jsonl", "checkpoints")


@dataclass(frozen=True)
class Train:
    """Train one network: progress with loss and accuracy, checkpoints, test accuracy, parameter hash, report.html.
    Settings that are not given are those that compare.py trains this model with on this data set, if it does. What is
    listed below, and its defaults, follow --data.name, --model.name and --config."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    config: Path | None = None
    """TOML or JSON file of settings under the same names, such as [optim] with learning_rate = 0.1. What is given on
    the command line wins over it."""
    out: Path | None = None
    """Directory of the run. Default: runs/train/<hash of the config>."""
    resume: bool = False
    """Go on with the run that this directory holds, with as many threads. Another one is refused, and one that would
    have other bits now."""
    accept_changes: bool = False
    """Go on although code, versions or machine are others than they were. Bits may differ, as the manifest says."""
    feed: Literal["auto", "resident", "streamed"] = "auto"
    """Images are in memory, on the device; or stay in their files, from where batches are read (auto: where those of a
    folder would take more than a quarter of the memory). Results are the same, bit for bit."""
    mesh: RunMesh = field(default_factory=RunMesh)
    deterministic: bool = True
    """Compile for equal bits at every run on GPUs, where steps then took 1.03 to 1.25 times as long (docs/speed.md). On
    CPUs bits are equal anyway, and it changes nothing. What XLA_FLAGS says of it goes first."""
    every_epoch: bool = False
    """Save a checkpoint after every epoch, whatever it costs, instead of as often as 5 % of the time allows."""
    quick: bool = False
    """Two epochs, at most 2,000 training examples: a check that everything runs, not a result."""

    @property
    def trained(self) -> RunConfig:
        """What is trained: `run`, or less of it where it is to be quick."""
        return quick(self.run) if self.quick else self.run


def train(settings: Train) -> int:
    """Train and write the run's directory. Returns 0, or 1 where training diverged.

    Raises ValueError for settings that do not fit each other or the data, and for a directory that holds a run already
    (without `resume`) or another one (with it): before anything is written. OSError when the disk is full.
    """
    config = settings.trained
    out = settings.out or Path("runs", "train", content_hash(config))
    if settings.resume:
        take_threads(out)
    hosts.shared(lambda: _check_directory(out, settings.resume))
    dataset = hosts.everywhere(lambda: data.for_training(config.data, settings.feed))
    mesh = MeshConfig(batch=settings.mesh.batch)
    how = dict(mesh=mesh, deterministic=settings.deterministic)
    trainer = hosts.everywhere(lambda: Trainer(config, dataset, compiled=False, **how))
    hosts.agree(lambda: trainer.common(config))
    trainer.programs()
    try:
        with progress(config.train.epochs, "epoch") as bar:
            result = _train(trainer, out, settings, bar)
    except NonFiniteLoss as diverged:
        if hosts.is_first():
            print(f"diverged: {diverged}", file=sys.stderr)
        return 1
    return report(result, trainer, out) if hosts.is_first() else 0


def report(result: RunResult, trainer: Trainer, out: Path) -> int:
    """Write report.html and print what the run came to: 0, or 1 where a part of the report could not be made."""
    config, dataset = trainer.config, trainer.dataset
    target = RECIPES[config.data.name].target if config.data.name in RECIPES else None
    family = Family.of(config.model.name, trainer, (Family.Run(config.seed, result),), target)
    title = f"One run of {config.model.name} on {dataset.name}"
    missing = write_report(out / "report.html", *comparison_page([family], dataset, title))
    print(f"test accuracy   {result.test_accuracy:.4%} (loss {result.test_loss:.4f}; epoch {result.best_epoch}'s)")
    print(f"parameter hash  {parameter_hash(result.variables)}")
    print(f"report          {out / 'report.html'}")
    return study.report_missing(missing)


def _check_directory(out: Path, resume: bool) -> None:
    """ValueError where `out` holds a run that is not to be resumed, or something else, or cannot be written."""
    check_writable(out)
    if not any((out / name).exists() for name in OURS):
        study.check_empty(out)
    elif not resume:
        raise ValueError(f"out is {str(out)!r}: holds a run already; go on with it (--resume) or choose another")


def _train(trainer: Trainer, out: Path, settings: Train, bar: Any) -> RunResult:
    def show(record):
        bar.set_postfix(loss=f"{record.train_loss:.4f}", validation=f"{record.validation_accuracy:.2%}")
        bar.update()

    options = dict(resume=settings.resume, accept_changes=settings.accept_changes, every_epoch=settings.every_epoch)
    return trainer.run(on_epoch=show, directory=out, **options)


def defaults(args: Sequence[str]) -> Train:
    """Settings that are not given are those of a comparison."""
    return Train(run=run_config(args, lambda data_set, model: usual_run(data_set or "digits", model or "cnn")))


def main(args: list[str] | None = None) -> int:
    return run_command(Train, train, args, going_on="--resume", defaults=defaults)


if __name__ == "__main__":
    sys.exit(main())
