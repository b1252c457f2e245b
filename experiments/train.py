"""How well does one network do, trained once, and can the run be killed and taken up again?

    python experiments/train.py --model.name cnn --train.epochs 40 --seed 3 --out runs/train/cnn
    python experiments/train.py --model.name cnn --train.epochs 40 --seed 3 --out runs/train/cnn --resume
    python experiments/train.py --quick                                        two epochs: does everything run?

The second line goes on where the first was stopped, killed or out of disk, and ends with the very parameters and
metrics that it would have ended with: compare the hash that it prints. A run leaves manifest.json, metrics.jsonl,
checkpoints/, result.npz and report.html; `python scripts/reproduce.py RUN` trains it again and says whether every bit
agrees.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from convnet.experiments.compare_report import Family, write_comparison
from convnet.experiments.recipes import RECIPES
from tqdm import tqdm

from convnet import data
from convnet.cli import run_command
from convnet.config import RunConfig, content_hash, require
from convnet.record import check_writable, parameter_hash
from convnet.run import RunResult, Trainer
from convnet.train import NonFiniteLoss

QUICK_LIMIT, QUICK_EPOCHS = 2000, 2


@dataclass(frozen=True)
class Train:
    """Train one network: progress with loss and accuracy, checkpoints, test accuracy, parameter hash, report.html."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    out: Path | None = None
    """Directory of the run. Default: runs/train/<hash of the config>."""
    resume: bool = False
    """Go on with the run that this directory holds. One of another config is refused."""
    every_epoch: bool = False
    """Save a checkpoint after every epoch, whatever it costs, instead of as often as 5 % of the time allows."""
    quick: bool = False
    """Two epochs, at most 2,000 training examples: a check that everything runs, not a result."""

    @property
    def config(self) -> RunConfig:
        """What is trained: `run`, or less of it where it is to be quick."""
        if not self.quick:
            return self.run
        images, training = self.run.data, self.run.train
        limit = QUICK_LIMIT if images.limit is None and images.name != "digits" else images.limit
        training = replace(training, epochs=min(training.epochs, QUICK_EPOCHS))
        return replace(self.run, data=replace(images, limit=limit), train=training)


def train(settings: Train) -> int:
    """Train and write the run's directory. Returns 0, or 1 where training diverged.

    Raises ValueError for settings that do not fit each other or the data, and for a directory that holds a run already
    (without `resume`) or another one (with it): before anything is written. OSError when the disk is full.
    """
    config = settings.config
    require(config.data.name in RECIPES, "data.name", config.data.name, f"one of {', '.join(RECIPES)}")
    out = settings.out or Path("runs", "train", content_hash(config))
    if not settings.resume and any((out / name).exists() for name in ("manifest.json", "metrics.jsonl", "checkpoints")):
        raise ValueError(f"out is {str(out)!r}: holds a run already; go on with it (--resume) or choose another")
    check_writable(out)
    dataset = data.load(config.data.name, limit=config.data.limit)
    trainer = Trainer(config, dataset)
    try:
        with tqdm(total=config.train.epochs, unit="epoch", file=sys.stderr, dynamic_ncols=True) as bar:
            result = _train(trainer, out, settings, bar)
    except NonFiniteLoss as diverged:
        print(f"diverged: {diverged}", file=sys.stderr)
        return 1
    family = Family.of(config.model.name, trainer, (Family.Run(config.seed, result),), RECIPES[config.data.name].target)
    title = f"One run of {config.model.name} on {dataset.name}"
    write_comparison(out / "report.html", [family], dataset, title=title)
    print(f"test accuracy   {result.test_accuracy:.4%} (loss {result.test_loss:.4f}; epoch {result.best_epoch}'s)")
    print(f"parameter hash  {parameter_hash(result.variables)}")
    print(f"report          {out / 'report.html'}")
    return 0


def _train(trainer: Trainer, out: Path, settings: Train, bar: tqdm) -> RunResult:
    def show(record):
        bar.set_postfix(loss=f"{record.train_loss:.4f}", validation=f"{record.validation_accuracy:.2%}")
        bar.update()

    return trainer.run(on_epoch=show, directory=out, resume=settings.resume, every_epoch=settings.every_epoch)


def main(args: list[str] | None = None) -> int:
    return run_command(Train, train, args, going_on="--resume")


if __name__ == "__main__":
    sys.exit(main())
