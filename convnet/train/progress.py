"""What an epoch comes to, for a run alone and for each of many: its record, divergence, and whether it is the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


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

    @property
    def merit(self) -> tuple[float, float]:
        """What the best epoch has most of: validation accuracy, then less loss."""
        return self.validation_accuracy, -self.validation_loss


def record_of(
    epoch: int, last: int, infos: dict[str, np.ndarray], validate: Callable[[], dict[str, Any]], seconds: float
) -> EpochRecord:
    """The record of an epoch that ended with step `last`.

    infos: of its steps, each [steps]. validate: () -> loss and accuracy after them, asked if the steps went well.

    Raises NonFiniteLoss for a loss or gradient that is not finite, also where only validation shows it: an update's own
    loss was taken before it.
    """
    bad, first = ~(np.isfinite(infos["loss"]) & np.isfinite(infos["grad_norm"])), last - len(infos["loss"]) + 1
    if bad.any():
        raise NonFiniteLoss(first + int(np.argmax(bad)), epoch, first, last)
    validation = validate()
    loss, accuracy = (float(validation[name]) for name in ("loss", "accuracy"))
    if not np.isfinite(loss):
        raise NonFiniteLoss(last, epoch, first, last)
    return EpochRecord(
        epoch=epoch,
        step=last,
        train_loss=float(infos["loss"].mean()),
        train_accuracy=float(infos["accuracy"].mean()),
        grad_norm=float(infos["grad_norm"].mean()),
        validation_loss=loss,
        validation_accuracy=accuracy,
        seconds=seconds,
    )


def is_best(record: EpochRecord, best: EpochRecord | None) -> bool:
    """Whether `record` is to be preferred to the `best` before it; the earliest of equals is kept."""
    return best is None or record.merit > best.merit
