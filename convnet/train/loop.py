"""The host loop: epochs, validation, model selection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.train.state import TrainState


class NonFiniteLoss(ArithmeticError):
    """A loss or gradient of step `at` was not finite; `first` … `last` are the steps of its epoch."""

    def __init__(self, at: int, epoch: int, first: int, last: int):
        self.at, self.epoch, self.first, self.last = at, epoch, first, last
        super().__init__(
            f"the loss or its gradient is not finite at step {at} (epoch {epoch}, steps {first} to {last}): "
            f"lower the learning rate, warm it up, or clip the gradient"
        )


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics. Training figures are means over the epoch's steps, before each update; seconds are those of
    the training epoch alone, without validation and compilation."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    grad_norm: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """Where training stands after the epochs of `records`: the state, and the variables that were best on the
    validation set."""

    state: TrainState
    best_variables: Any
    best_epoch: int
    records: tuple[EpochRecord, ...]


def fit(
    start: TrainState | Fit,
    epoch: Callable[[TrainState], tuple[TrainState, dict[str, Array]]],
    validate: Callable[[Any], dict[str, Array]],
    epochs: int,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    keep: Callable[[Fit], None] = lambda fit: None,
) -> Fit:
    """Train for `epochs` epochs; keep the variables with the best validation accuracy (then loss, then the earliest).

    start: the first state, or where an earlier call stood; what follows is then what would have followed there.
    epoch: compiled; may consume the state it is given.  validate(variables) -> {loss, accuracy}.
    on_epoch: called after each epoch, for progress.
    keep: called after it with where training stands, to be written down before it returns (the next epoch consumes it).

    Raises NonFiniteLoss, after the epoch it happened in; on_epoch has seen every epoch before.
    """
    now = start if isinstance(start, Fit) else Fit(state=start, best_variables=None, best_epoch=0, records=())
    for number in range(len(now.records) + 1, epochs + 1):
        state, record = _run_epoch(now.state, epoch, validate, number)
        best_variables, best_epoch = now.best_variables, now.best_epoch
        if best_epoch == 0 or _merit(record) > _merit(now.records[best_epoch - 1]):
            # A copy: the next epoch overwrites the state's own buffers.
            best_variables, best_epoch = jax.tree.map(jnp.copy, state.variables), number
        now = Fit(state, best_variables, best_epoch, (*now.records, record))
        on_epoch(record)
        keep(now)
    return now


def _merit(record: EpochRecord) -> tuple[float, float]:
    return record.validation_accuracy, -record.validation_loss


def _run_epoch(state: TrainState, epoch: Callable, validate: Callable, number: int) -> tuple[TrainState, EpochRecord]:
    start = time.perf_counter()
    state, infos = jax.block_until_ready(epoch(state))
    seconds = time.perf_counter() - start
    infos = {name: np.asarray(values) for name, values in infos.items()}
    _check_finite(infos, number, int(state.step))
    validation = validate(state.variables)
    loss, accuracy = (float(validation[name]) for name in ("loss", "accuracy"))
    if not np.isfinite(loss):  # the epoch's last update did it: its own loss was taken before
        raise NonFiniteLoss(int(state.step), number, int(state.step) - len(infos["loss"]) + 1, int(state.step))
    return state, EpochRecord(
        epoch=number,
        step=int(state.step),
        train_loss=float(infos["loss"].mean()),
        train_accuracy=float(infos["accuracy"].mean()),
        grad_norm=float(infos["grad_norm"].mean()),
        validation_loss=loss,
        validation_accuracy=accuracy,
        seconds=seconds,
    )


def _check_finite(infos: dict[str, np.ndarray], epoch: int, last: int) -> None:
    bad = ~(np.isfinite(infos["loss"]) & np.isfinite(infos["grad_norm"]))
    if bad.any():
        first = last - len(bad) + 1
        raise NonFiniteLoss(at=first + int(np.argmax(bad)), epoch=epoch, first=first, last=last)
