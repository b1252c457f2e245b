"""What do checkpoints and hashes cost, as a share of the training time?

    python -m scripts.checkpoint_cost          two networks, about two minutes on two cores

Whole runs take turns: without a run directory, with one but no checkpoint (manifest, metrics and result cost the same
however long the run), and with checkpoints. Their medians are compared.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import jax
import numpy as np

from convnet import data, journal
from convnet.architectures import CNN
from convnet.cli import run_command
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.record import parameter_hash
from convnet.run import Trainer
from convnet.settings import require

LIKE_MNIST = 10_000
"""Images of the second data set, a sixth of MNIST: shorter epochs make checkpoints cost more, not less."""


@dataclass(frozen=True)
class Cost:
    """Measure what a run directory with checkpoints adds to the training time."""

    rounds: int = 3
    """Runs of each kind."""


def cases() -> dict[str, tuple[RunConfig, Dataset]]:
    """Short epochs and longer ones."""
    digits = RunConfig(
        DataConfig("digits", shift=1),
        CNN(widths=(32,), depth=2, dropout=0.5),
        OptimConfig(learning_rate=0.02, warmup=0.1),
        TrainConfig(epochs=60, batch_size=32),
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (LIKE_MNIST, 28, 28, 1)).astype(np.uint8)
    noise = data.from_arrays("noise like MNIST", images, np.arange(LIKE_MNIST) % 10)
    larger = RunConfig(
        model=CNN(widths=(32, 64)),
        optim=OptimConfig(learning_rate=1e-3),
        train=TrainConfig(epochs=3, batch_size=128),
    )
    return {"the CNN on digits": (digits, data.load("digits")), "a CNN on noise like MNIST": (larger, noise)}


KINDS = {
    "never": "a run directory without checkpoints",
    "auto": "checkpoints as by default, over that",
    "every": "a checkpoint after every epoch, over that",
}


def seconds_of(trainer: Trainer, kind: str) -> float:
    """Of a whole run; kind: "plain" or one of KINDS."""
    never = patch.object(journal, "FIRST_COST", math.inf) if kind == "never" else nullcontext()
    with never, tempfile.TemporaryDirectory() as folder:
        where = {} if kind == "plain" else dict(directory=Path(folder) / "run", every_epoch=kind == "every")
        start = time.perf_counter()
        trainer.run(**where)
        return time.perf_counter() - start


def measure(config: RunConfig, dataset: Dataset, rounds: int) -> dict[str, float]:
    """Median seconds of a whole run of each kind, and seconds of one hash."""
    trainer = Trainer(config, dataset)
    times: dict[str, list[float]] = {kind: [] for kind in ("plain", *KINDS)}
    seconds_of(trainer, "every")  # imports what saves
    for _ in range(rounds):
        for kind, samples in times.items():
            samples.append(seconds_of(trainer, kind))
    found = {name: median(values) for name, values in times.items()}
    params = jax.tree.map(np.array, trainer.run().variables)
    start = time.perf_counter()
    parameter_hash(params)
    return found | {"hash": time.perf_counter() - start}


def print_costs(rounds: int = 3) -> None:
    for name, (config, dataset) in cases().items():
        found = measure(config, dataset, rounds)
        epoch = found["plain"] / config.train.epochs
        print(f"{name}: epochs of {epoch:.3g} s ({config.train.epochs}, median of {rounds} runs)")
        for kind, text in KINDS.items():
            added = found[kind] - found["plain" if kind == "never" else "never"]
            print(f"  {text}: {added:+.2f} s, {added / found['plain']:+.1%} of the time of training")
        print(f"  parameter hash: {1e3 * found['hash']:.2g} ms per epoch, {found['hash'] / epoch:.2%}")


def main(args: list[str] | None = None) -> int:
    def run(settings: Cost) -> None:
        require(settings.rounds >= 1, "rounds", settings.rounds, "1 or more")
        print_costs(settings.rounds)

    return run_command(Cost, run, args)


if __name__ == "__main__":
    sys.exit(main())
