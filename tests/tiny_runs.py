"""Runs of a second for the tests of `convnet.run`: 53 images of 6×6, symmetric left to right.

Trainers are compiled once for each process.
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from convnet import data
from convnet.architectures import CNN, MLP
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.record import parameter_hash
from convnet.run import RunResult, Trainer
from convnet.train import programs
from tests.compiling import quick_compilation

EPOCHS = 4
BASE = RunConfig(
    model=MLP(widths=(6,)),
    optim=OptimConfig(name="nesterov", learning_rate=0.1, schedule="constant"),
    train=TrainConfig(epochs=EPOCHS, batch_size=4),
    seed=2,  # best on validation after its second epoch
    data=DataConfig("tiny"),
)
WITH_CNN = replace(BASE, model=CNN(widths=(2,), head="global_avg"))


def tiny_dataset() -> data.Dataset:
    """Three classes by brightness of a row, under much noise. Validation and test do not divide by a batch of 4."""
    rng = np.random.default_rng(7)

    def split(n):
        labels = np.arange(n) % 3
        bright = np.arange(6)[:, None] == 2 * labels[:, None, None]
        half = rng.integers(1, 100, (n, 6, 3)) + 40 * bright  # no pixel is 0, which is what a shift fills in
        return data.Split(np.concatenate([half, half[:, :, ::-1]], axis=2)[..., None].astype(np.uint8), labels)

    return data.Dataset("tiny", split(22), split(17), split(14), ("a", "b", "c"))


@cache
def trainer(**changes) -> Trainer:
    """The trainer of BASE, or of BASE with the settings that `changes` names as section__setting."""
    compilation = quick_compilation() if changes else nullcontext()
    config = WITH_CNN if changes.pop("cnn", False) else BASE
    for name, value in changes.items():
        section, _, setting = name.partition("__")
        value = replace(getattr(config, section), **{setting: value}) if setting else value
        config = replace(config, **{section: value})
    with compilation:
        return Trainer(config, tiny_dataset())


@cache
def base_result() -> RunResult:
    return trainer().run()


@pytest.fixture(autouse=True, scope="module")
def small_evaluation_batches():
    """So that evaluation has more than one batch, and a remainder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "EVALUATION_BATCH", 4)
        yield


def assert_alike(one: RunResult, other: RunResult, rtol: float):
    for a, b in zip(jax.tree.leaves(one.variables), jax.tree.leaves(other.variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())
    losses = [[record.train_loss for record in result.records] for result in (one, other)]
    np.testing.assert_allclose(*losses, rtol=rtol)


def fingerprint(result: RunResult) -> tuple:
    """Everything but the times, floats exactly."""
    records = [replace(record, seconds=0.0) for record in result.records]
    return parameter_hash(result.variables), result.test_logits.tobytes(), records, result.best_epoch


class Interrupted(Exception):
    """Stands for whatever may stop a run."""


def stop_in(epoch):
    def on_epoch(record):
        if record.epoch == epoch:
            raise Interrupted

    return on_epoch
