"""What do checkpoints and hashes cost, as a share of the training time?

    python scripts/checkpoint_cost.py          two networks, about two minutes on two cores

Whole runs, without and with a run directory, take turns; their medians are compared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import jax
import numpy as np

from convnet import data
from convnet.cli import run_command
from convnet.config import DataConfig, ModelConfig, OptimConfig, RunConfig, TrainConfig, require
from convnet.data import Dataset
from convnet.record import parameter_hash
from convnet.run import Trainer

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
        ModelConfig("cnn", widths=(32,), depth=2, dropout=0.5),
        OptimConfig(learning_rate=0.02, warmup=0.1),
        TrainConfig(epochs=60, batch_size=32),
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (LIKE_MNIST, 28, 28, 1)).astype(np.uint8)
    noise = data.from_arrays("noise like MNIST", images, np.arange(LIKE_MNIST) % 10)
    larger = RunConfig(
        model=ModelConfig("cnn", widths=(32, 64)),
        optim=OptimConfig(learning_rate=1e-3),
        train=TrainConfig(epochs=3, batch_size=128),
    )
    return {"the CNN on digits": (digits, data.load("digits")), "a CNN on noise like MNIST": (larger, noise)}


def seconds_of(trainer: Trainer, **options) -> float:
    start = time.perf_counter()
    if options:
        with tempfile.TemporaryDirectory() as folder:
            trainer.run(directory=Path(folder) / "run", **options)
            return time.perf_counter() - start
    trainer.run()
    return time.perf_counter() - start


def measure(config: RunConfig, dataset: Dataset, rounds: int) -> dict[str, float]:
    """Seconds of a whole run without a directory and of what is added by one, and of one hash."""
    trainer = Trainer(config, dataset)
    kinds = {"plain": {}, "auto": {"every_epoch": False}, "every": {"every_epoch": True}}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, options in kinds.items():
            times[name].append(seconds_of(trainer, **options))
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
        for kind, text in (("every", "a checkpoint after every epoch"), ("auto", "checkpoints as by default")):
            print(f"  {text}: {found[kind] / found['plain'] - 1:+.1%} of the training time")
        print(f"  parameter hash: {1e3 * found['hash']:.2g} ms per epoch, {found['hash'] / epoch:.2%}")


def main(args: list[str] | None = None) -> int:
    def run(settings: Cost) -> None:
        require(settings.rounds >= 1, "rounds", settings.rounds, "1 or more")
        print_costs(settings.rounds)

    return run_command(Cost, run, args)


if __name__ == "__main__":
    sys.exit(main())
