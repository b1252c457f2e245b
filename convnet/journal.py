"""A run on disk that can be killed at any moment and goes on as if it had not been.

After each epoch its line of metrics is appended; then, when one is due, a checkpoint is saved that knows how far the
metrics reached. Resuming takes the newest whole checkpoint and cuts the metrics back to it. What lay beyond, complete
or torn, is computed again, to the same bits.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from convnet.config import RunConfig, describe_differences, to_dict
from convnet.record import (
    RunDirectory,
    changed_environment,
    lock,
    metrics_hash,
    parameter_hash,
    read_manifest,
    read_metrics,
)
from convnet.train import Checkpoints, EpochRecord, Fit, NonFiniteLoss, OtherConfig, TrainState

SHARE = 0.05
"""Of the training time at most this much is spent on checkpoints, unless there is to be one after every epoch."""
FIRST_COST = 0.25
"""Seconds that a save is taken to last before one was measured."""


class Journal:
    """Manifest, metrics and checkpoints of one run, under `path`. Use it in a `with`.

    resume: go on with what is there; else start anew and remove it.
    every_epoch: save a checkpoint after every epoch, whatever it costs; else as often as `SHARE` allows.
    facts: what else the manifest is to say from the beginning.

    Raises, before anything is written, OtherConfig where `path` holds a run of another config that is to be resumed,
    and ValueError where another process is at work there.
    """

    def __init__(
        self,
        path: Path,
        config: RunConfig,
        *,
        resume: bool = False,
        every_epoch: bool = False,
        facts: Mapping[str, Any] | None = None,
    ):
        self.path, self.every_epoch, self._resume, self._ended = path, every_epoch, resume, False
        settings = to_dict(config)
        manifest = read_manifest(path) if resume else None
        if manifest is not None and manifest.get("config") != settings:
            differing = describe_differences(manifest.get("config"), settings, "there", "here")
            raise OtherConfig(f"{path} holds a run of another config: {differing}")
        self._checkpoints = Checkpoints(path / "checkpoints", settings, parameter_hash)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(path)
        if not resume:
            self._checkpoints.clear()  # before the metrics: a checkpoint must not outlive the lines it counts on
        self._run = RunDirectory(path, settings, resume=resume, facts=facts)
        self._saved_at = time.perf_counter()

    def begin(self, state: TrainState) -> TrainState | Fit:
        """`state`, or where the newest whole checkpoint stood. state: the first of this run.

        Raises ValueError for metrics or checkpoints that do not belong to this run (see `Checkpoints.restore`).
        """
        found = self._checkpoints.restore(state) if self._resume else None
        lines = self._run.rewind(None if found is None else found.position)
        if found is None:
            return state
        self._warn_of_changes()
        names = [field.name for field in fields(EpochRecord)]
        records = tuple(EpochRecord(**{name: line[name] for name in names}) for line in lines)
        return Fit(found.state, found.best_variables, found.best_epoch, records)

    def keep(self, fit: Fit) -> None:
        """Write down the latest epoch. Raises OSError where there is no room; what was written before stays."""
        self.write(fit.records[-1], fit.state.variables)
        if self.every_epoch or self._due():
            self._run.sync()
            self._saved_at = time.perf_counter()
            self._checkpoints.save(fit, self._run.position)

    def write(self, record: EpochRecord, variables: Any) -> None:
        """The line of an epoch, with the hash of the variables after it. Raises OSError as `keep` does."""
        # A copy: a view of a buffer would keep the next epoch from using it again.
        values = parameter_hash(jax.tree.map(np.array, variables))
        self._run.metrics({**asdict(record), "parameter_hash": values})

    def _warn_of_changes(self) -> None:
        changed = self._run.manifest["resumed"][-1]["changed"] if "resumed" in self._run.manifest else {}
        if changed:
            listed = ", ".join(f"{name} ({then!r} then, {now!r} now)" for name, (then, now) in changed.items())
            warnings.warn(f"{self.path} is resumed after a change, so bits may differ: {listed}", stacklevel=2)

    def _due(self) -> bool:
        cost = FIRST_COST if self._checkpoints.seconds is None else self._checkpoints.seconds
        return not self._checkpoints.saving and time.perf_counter() - self._saved_at >= cost / SHARE

    def finish(self, variables: Any, **facts: Any) -> None:
        """The run is complete: its hashes and `facts` join the manifest."""
        self._checkpoints.wait()
        self._ended = True
        self._run.finish(
            "finished",
            **facts,
            parameter_hash=parameter_hash(variables),
            metrics_hash=metrics_hash(read_metrics(self.path)),
        )

    def fail(self, error: BaseException) -> None:
        """The run ended otherwise: the manifest says how, unless it has said so already."""
        if self._ended:
            return
        self._ended = True
        with suppress(OSError):  # on a full disk this cannot be written either, and `error` is what matters
            if isinstance(error, NonFiniteLoss):
                self._run.finish("diverged", reason=str(error), at_step=error.at)
            else:
                self._run.finish("failed", reason=repr(error))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace) -> None:
        """A run that ended before `finish` says in its manifest how."""
        try:
            self._checkpoints.__exit__(kind, error, trace)
            if error is not None:
                self.fail(error)
        finally:
            if self._lock is not None:
                self._lock.close()


def can_go_on(path: Path, config: RunConfig, facts: Mapping[str, Any]) -> bool:
    """Whether a run begun in `path` would go on to the very bits that it would have now from its beginning: begun by
    this config, with these `facts` in its manifest, and never under another environment.

    Raises OtherConfig where `path` holds a run of another config.
    """
    manifest = read_manifest(path)
    if manifest is None:
        return False
    if differing := describe_differences(manifest.get("config"), to_dict(config), "there", "here"):
        raise OtherConfig(f"{path} holds a run of another config: {differing}")
    changed = [changed_environment(manifest), *(resumed["changed"] for resumed in manifest.get("resumed", []))]
    return not any(changed) and all(manifest.get(name) == value for name, value in facts.items())


def is_finished(path: Path, config: RunConfig) -> bool:
    """Whether `path` holds a finished run of this config by this code with these versions on this kind of device."""
    manifest = read_manifest(path)
    return (
        manifest is not None
        and (manifest.get("status"), manifest.get("config")) == ("finished", to_dict(config))
        and not changed_environment(manifest)
        and manifest.get("metrics_hash") == _metrics_hash(path)
    )


def _metrics_hash(path: Path) -> str | None:
    try:
        return metrics_hash(read_metrics(path))
    except (OSError, ValueError):
        return None
