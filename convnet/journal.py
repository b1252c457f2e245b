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
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from convnet.identity import WHAT, advice, another_run, decisive, describe, other_bits
from convnet.record import (
    RunDirectory,
    lock,
    metrics_hash,
    parameter_hash,
    read_manifest,
    read_metrics,
)
from convnet.signals import StopRequest
from convnet.threads import use_threads
from convnet.train import Checkpoints, EpochRecord, Fit, NonFiniteLoss, OtherRun, TrainState

SHARE = 0.05
"""Of the training time at most this much is spent on checkpoints, unless there is to be one after every epoch."""
FIRST_COST = 0.25
"""Seconds that a save is taken to last before one was measured."""


class Stopped(Exception):
    """A run was asked to end, and did so after `epoch` of `epochs`. saved: whether it can go on from there.

    signal: the number of the signal that asked, None where none did.
    """

    def __init__(self, epoch: int, epochs: int, *, saved: bool = False, signal: int | None = None):
        self.epoch, self.epochs, self.saved, self.signal = epoch, epochs, saved, signal
        super().__init__(f"stopped after epoch {epoch} of {epochs}, " + ("saved" if saved else "not saved"))

    def __reduce__(self) -> tuple[Any, ...]:  # by itself Python would make it anew from its text alone
        return partial(Stopped, saved=self.saved, signal=self.signal), (self.epoch, self.epochs)


class Journal:
    """Manifest, metrics and checkpoints of one run, under `path`. Use it in a `with`.

    identity: what decides the run's bits, its environment apart (see `RunDirectory`).
    resume: go on with what is there; else start anew and remove it.
    accept_changes: go on under another environment or with an edited program, too: bits may differ, and the manifest
        says so.
    every_epoch: save a checkpoint after every epoch, whatever it costs; else as often as `SHARE` allows.
    stop: asked after each epoch; where it is true, that epoch is saved and Stopped is raised.
    facts: what else the manifest is to say from the beginning.

    Raises, before anything is written, OtherRun where `path` holds another run than the one that is to be resumed, or
    one that would go on to other bits, and ValueError where another process is at work there.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        *,
        resume: bool = False,
        accept_changes: bool = False,
        every_epoch: bool = False,
        stop: StopRequest | None = None,
        facts: Mapping[str, Any] | None = None,
    ):
        self.path, self.every_epoch, self._resume, self._ended = path, every_epoch, resume, False
        self._epochs, self._stop = identity["config"]["train"]["epochs"], stop
        if resume:
            check_same_run(path, identity, accept_changes=accept_changes)
        what = {name: identity.get(name) for name in WHAT}
        self.checkpoints = Checkpoints(path / "checkpoints", what, parameter_hash)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(path)
        if not resume:
            self.checkpoints.clear()  # before the metrics: a checkpoint must not outlive the lines it counts on
        self._run = RunDirectory(path, identity, resume=resume, facts=facts)
        self._saved_at, self._saved_epoch = time.perf_counter(), 0

    def begin(self, state: TrainState) -> TrainState | Fit:
        """`state`, or where the newest whole checkpoint stood. state: the first of this run.

        Raises ValueError for metrics or checkpoints that do not belong to this run (see `Checkpoints.restore`).
        """
        found = self.checkpoints.restore(state) if self._resume else None
        lines = self._run.rewind(None if found is None else found.position)
        if found is None:
            return state
        self._warn_of_changes()
        self._saved_epoch = found.epoch
        names = [field.name for field in fields(EpochRecord)]
        records = tuple(EpochRecord(**{name: line[name] for name in names}) for line in lines)
        return Fit(found.state, found.best_variables, found.best_epoch, records)

    def keep(self, fit: Fit) -> None:
        """Write down the latest epoch.

        Raises OSError where there is no room (what was written before stays); Stopped where the run was asked to end.
        """
        self.write(fit.records[-1], fit.state.variables)
        epoch, stop = len(fit.records), self._stop if self._stop and len(fit.records) < self._epochs else None
        if self.every_epoch or stop or self._due():
            self.save(fit)
        if stop:
            self.checkpoints.wait()
            raise Stopped(epoch, self._epochs, saved=True, signal=stop.signal)

    def save(self, fit: Fit) -> None:
        """Save a checkpoint of where training stands, unless there is one. Raises OSError as `keep` does."""
        if self._saved_epoch < len(fit.records):
            self._run.sync()
            self._saved_at, self._saved_epoch = time.perf_counter(), len(fit.records)
            self.checkpoints.save(fit, self._run.position)

    def write(self, record: EpochRecord, variables: Any) -> None:
        """The line of an epoch, with the hash of the variables after it. Raises OSError as `keep` does."""
        # A copy: a view of a buffer would keep the next epoch from using it again.
        values = parameter_hash(jax.tree.map(np.array, variables))
        self._run.metrics({**asdict(record), "parameter_hash": values})

    def _warn_of_changes(self) -> None:
        changed = self._run.manifest["resumed"][-1]["changed"] if "resumed" in self._run.manifest else {}
        if changed:
            message = f"{self.path} is resumed after a change, so bits may differ: {describe(changed)}"
            warnings.warn(message, stacklevel=2)

    def _due(self) -> bool:
        cost = FIRST_COST if self.checkpoints.seconds is None else self.checkpoints.seconds
        return not self.checkpoints.saving and time.perf_counter() - self._saved_at >= cost / SHARE

    def finish(self, variables: Any, **facts: Any) -> None:
        """The run is complete: its hashes and `facts` join the manifest."""
        self.checkpoints.wait()
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
            elif isinstance(error, Stopped):
                self._run.finish("stopped", reason=str(error), at_epoch=error.epoch)
            else:
                self._run.finish("failed", reason=repr(error))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace) -> None:
        """A run that ended before `finish` says in its manifest how."""
        try:
            self.checkpoints.__exit__(kind, error, trace)
            if error is not None:
                self.fail(error)
        finally:
            if self._lock is not None:
                self._lock.close()


def check_same_run(path: Path, identity: Mapping[str, Any], *, accept_changes: bool = False) -> None:
    """OtherRun, naming every field with its value then and now, where the run in `path` (if any) is not this one, or
    would not have the same bits now; accept_changes: the latter is no matter."""
    manifest = read_manifest(path)
    if manifest is None:
        return
    if differing := another_run(manifest, identity):
        raise OtherRun(f"{path} holds another run: {describe(differing)}")
    if (changed := changes(manifest, identity)) and not accept_changes:
        raise OtherRun(f"{path} holds a run that would have other bits now: {describe(changed)}{advice(changed)}")


def changes(manifest: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Where the way to compute differs from that of the run's start, or ever did while it ran."""
    found = {}
    for resumed in manifest.get("resumed", []):
        found |= resumed["changed"]
    return found | other_bits(manifest, {**identity, **decisive()})


def take_threads(path: Path) -> None:
    """Let XLA compute with as many threads as the run in `path` had, or a run in a directory of it: then it can go on
    to the same bits, whatever the number of processors. Call it before JAX looks at its devices."""
    for run in (path, *sorted(folder.parent for folder in path.glob("*/manifest.json"))):
        if count := (read_manifest(run) or {}).get("threads"):
            use_threads(count)
            return


def can_go_on(path: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run begun in `path` would go on to the very bits that it would have now from its beginning; a
    RuntimeWarning says why not.

    Raises OtherRun where `path` holds another run.
    """
    check_same_run(path, identity, accept_changes=True)
    manifest = read_manifest(path)
    if manifest is None:
        return False
    if changed := changes(manifest, identity):
        message = f"{path} begins anew, its bits would be others: {describe(changed)}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return not changed


def is_finished(path: Path, identity: Mapping[str, Any], *, accept_changes: bool = False) -> bool:
    """Whether `path` holds this run, finished; accept_changes: computed in whatever way."""
    manifest = read_manifest(path)
    return (
        manifest is not None
        and manifest.get("status") == "finished"
        and not another_run(manifest, identity)
        and (accept_changes or not changes(manifest, identity))
        and manifest.get("metrics_hash") == _metrics_hash(path)
    )


def _metrics_hash(path: Path) -> str | None:
    try:
        return metrics_hash(read_metrics(path))
    except (OSError, ValueError):
        return None
