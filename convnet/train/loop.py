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

from convnet.train.progress import EpochRecord, is_best, record_of
from convnet.train.state import TrainState


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
        if is_best(record, now.records[best_epoch - 1] if best_epoch else None):
            # A copy: the next epoch overwrites the state's own buffers.
            best_variables, best_epoch = jax.tree.map(jnp.copy, state.variables), number
        now = Fit(state, best_variables, best_epoch, (*now.records, record))
        on_epoch(record)
        keep(now)
    return now


def _run_epoch(state: TrainState, epoch: Callable, validate: Callable, number: int) -> tuple[TrainState, EpochRecord]:
    start = time.perf_counter()
    state, infos = jax.block_until_ready(epoch(state))
    seconds = time.perf_counter() - start
    infos = {name: np.asarray(values) for name, values in infos.items()}
    return state, record_of(number, int(state.step), infos, lambda: validate(state.variables), seconds)
