"""What processes do that compute one run together; started by tests through `python -m convnet.launch`.

several_processes.py PART DIRECTORY
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np

from convnet import data, hosts
from convnet.architectures import CNN
from convnet.cli import run_command
from convnet.config import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Split, StoredImages, from_arrays
from convnet.record import parameter_hash
from convnet.run import Trainer
from convnet.settings import apply


def dataset(n=160):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 4
    images = rng.integers(0, 100, (n, 8, 9, 3)) + 40 * labels[:, None, None, None]
    return from_arrays("squares", images.astype(np.uint8), labels)


def config(epochs):
    return RunConfig(
        data=DataConfig(shift=1),
        model=CNN(widths=(4,), norm="batch", dropout=0.2, head_width=8, precision="float64"),
        optim=OptimConfig(learning_rate=0.1),
        train=TrainConfig(epochs=epochs, batch_size=16),
    )


class Rows:
    """Images that are read one by one; how many this process read is written down."""

    def __init__(self, images):
        self.images, self.read = images, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.read += 1
        return self.images[i]


def streamed(directory):
    """Prints as `train`, and leaves how many training images each process read."""
    sources = []

    def stored(split):
        sources.append(Rows(split.images))
        return Split(StoredImages(sources[-1], split.images.shape[1:]), split.labels)

    images = dataset().mapped(stored)
    before = [images.digest, sources[0].read][1]
    train(directory, images=images)
    (directory / f"read-{jax.process_index()}").write_text(str(sources[0].read - before))


def train(directory, epochs=3, images=None, **options):
    """Prints every figure of the curve, and the hash."""
    (directory / f"pid-{jax.process_index()}").write_text(str(os.getpid()))
    run = config(epochs)
    trainer = Trainer(run, images or dataset(), mesh=MeshConfig(batch=jax.device_count()))
    result = trainer.run(directory=directory / "run", every_epoch=True, **options)
    print(*(x for r in result.records for x in (r.train_loss, r.grad_norm, r.validation_loss)), result.test_loss)
    print(parameter_hash(result.variables))


def long(directory):
    train(directory, epochs=14, resume=True)


def resumed_elsewhere(directory):
    train(directory, epochs=14, resume=True, accept_changes=True)


def other_seeds(directory):
    """Each process has a config of its own."""
    run = replace(config(2), seed=jax.process_index())
    Trainer(run, dataset(), mesh=MeshConfig(batch=jax.device_count())).run(directory=directory / "run")


def other_data(directory):
    run = config(2)
    mine = dataset(160 + 4 * jax.process_index())
    Trainer(run, mine, mesh=MeshConfig(batch=jax.device_count())).run(directory=directory / "run")


def no_data_on_one(directory):
    hosts.everywhere(lambda: data.load("digits" if jax.process_index() == 0 else "letters"))


def another_run_is_there(directory):
    run = apply(config(3), {"seed": 7})
    Trainer(run, dataset(), mesh=MeshConfig(batch=jax.device_count())).run(directory=directory / "run", resume=True)


def crash_on_one(directory):
    if jax.process_index() == 1:
        raise ZeroDivisionError
    train(directory)


@dataclass(frozen=True)
class Nothing:
    """What there is to settle."""


if __name__ == "__main__":
    part, directory = sys.argv[1], Path(sys.argv[2])
    sys.exit(run_command(Nothing, lambda _: globals()[part](directory), []))
