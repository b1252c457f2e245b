"""Checkpoints: written in the background, all of one or nothing, and proven when read. The only home of Orbax.

A checkpoint is a directory named after its epoch. Orbax writes it under another name and renames it when it is
complete; the digest in its metadata tells on reading whether every bit is still there (Orbax itself would not notice a
flipped one).
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from convnet.config import content_hash, describe_differences
from convnet.train.loop import Fit
from convnet.train.state import TrainState

NAME = re.compile(r"\d{8}")
REMAINS = ("*.orbax-checkpoint-tmp*", "*.discarded")
"""What a killed save leaves, and a killed removal."""

ROOM = 2**20
"""Bytes that must be free on the disk beside twice what is to be written."""


class OtherConfig(ValueError):
    """A checkpoint belongs to another config than the one that is to be continued."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on after `epoch` epochs as if it had never stopped.

    position: JSON values by which the caller finds its own place again, such as how far its metrics reached.
    """

    epoch: int
    state: TrainState
    best_variables: Any
    best_epoch: int
    position: dict[str, Any]


class Checkpoints:
    """The newest `keep` checkpoints of one run, under `directory`.

    config: the run's, as plain JSON values; a checkpoint of another one is refused.
    digest: mapping from names to arrays -> text that is equal only for equal bits.

    Close it at the end, or use it in a `with`: the last save may still be under way.
    """

    def __init__(
        self, directory: Path, config: dict[str, Any], digest: Callable[[dict[str, np.ndarray]], str], *, keep: int = 2
    ):
        self.directory, self.config, self.digest, self.keep = directory.absolute(), config, digest, keep
        self.seconds: float | None = None
        """How long the latest save took, most of it in the background."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future | None = None

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        self._writer.shutdown()
        if kind is None:
            self.wait()

    @property
    def saving(self) -> bool:
        """Whether a save is under way."""
        return self._saving is not None and not self._saving.done()

    def epochs(self) -> list[int]:
        """Those there is a checkpoint of, rising."""
        return sorted(int(path.name) for path in self.directory.glob("*") if NAME.fullmatch(path.name))

    def save(self, fit: Fit, position: dict[str, Any]) -> None:
        """Save where training stands. Returns as soon as that is copied: training may then overwrite its buffers.

        Raises OSError if this save cannot begin, or if the one before failed (a full disk); older checkpoints stay.
        """
        start = time.perf_counter()
        self.wait()
        facts = {
            "epoch": len(fit.records),
            "best_epoch": fit.best_epoch,
            "position": position,
            "config": self.config,
            "config_hash": content_hash(self.config),
        }
        self._saving = self._writer.submit(self._write, _to_host(fit.state, fit.best_variables), facts, start)

    def wait(self) -> None:
        """Until no save is under way. Raises OSError if the latest one failed."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def restore(self, template: TrainState) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none. Call it before the first save.

        template: a state of the same run, which tells names, shapes, dtypes and devices.
        A damaged checkpoint is set aside (renamed, not deleted) with a RuntimeWarning, and the one before is taken.

        Raises OtherConfig, with the fields that differ, for a checkpoint of another config; ValueError for one whose
        parameters have other names, shapes or dtypes than `template` (the code has changed).
        """
        for pattern in REMAINS:
            for path in self.directory.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
        for epoch in reversed(self.epochs()):
            path = self.directory / f"{epoch:08d}"
            try:
                arrays, facts = self._read(path)
            except (OtherConfig, PermissionError):
                raise
            except Exception as error:  # whatever a reader of damaged files may stumble over
                self._set_aside(path, error)
                continue
            state, best_variables = _from_host(arrays, template, path)
            return Checkpoint(epoch, state, best_variables, facts["best_epoch"], facts["position"])
        return None

    def clear(self) -> None:
        """Remove all checkpoints, for a run that starts anew."""
        if self.directory.exists():
            _remove(self.directory)

    @cached_property
    def _orbax(self):
        import orbax.checkpoint as ocp  # takes a second, which who saves nothing need not wait for

        # Its background threads log the traces of errors that reach us as exceptions anyway.
        logging.getLogger("absl").addFilter(_not_from_orbax)
        return ocp

    @cached_property
    def _checkpointer(self):
        return self._orbax.Checkpointer(self._orbax.PyTreeCheckpointHandler())

    def _write(self, arrays: dict[str, np.ndarray], facts: dict[str, Any], start: float) -> None:
        path = self.directory / f"{facts['epoch']:08d}"
        proof = {**facts, "digest": self.digest(_sealed(arrays, facts))}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.directory).free < ROOM + 2 * sum(array.nbytes for array in arrays.values()):
                raise OSError(errno.ENOSPC, "too little room")  # found now, before Orbax's threads stumble over it
            self._checkpointer.save(path, args=self._orbax.args.PyTreeSave(arrays), custom_metadata=proof)
        except Exception as error:
            for remains in self.directory.glob(f"{path.name}{REMAINS[0]}"):
                shutil.rmtree(remains, ignore_errors=True)  # on a full disk it would be in the way
            raise _disk_error(error, path) from error
        for epoch in self.epochs()[: -self.keep]:
            _remove(self.directory / f"{epoch:08d}")
        self.seconds = time.perf_counter() - start

    def _read(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        ocp = self._orbax
        facts = dict(self._checkpointer.metadata(path).custom_metadata)
        digest, config = facts.pop("digest"), facts["config"]
        if content_hash(config) != facts["config_hash"]:
            raise ValueError("its config is not what was written")
        if facts["config_hash"] != content_hash(self.config):
            differing = describe_differences(config, self.config, "there", "here")
            raise OtherConfig(f"{path} is a checkpoint of another config: {differing}")
        names = self._checkpointer.metadata(path).item_metadata.keys()
        kinds = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
        arrays = self._checkpointer.restore(path, args=ocp.args.PyTreeRestore(restore_args=kinds))
        if self.digest(_sealed(arrays, facts)) != digest:
            raise ValueError("its content is not what was written")
        return arrays, facts

    def _set_aside(self, path: Path, error: Exception) -> None:
        names = [path.with_name(f"{path.name}.damaged{suffix}") for suffix in ("", *(f"-{i}" for i in range(2, 1000)))]
        aside = next(name for name in names if not name.exists())
        path.rename(aside)
        reason = " ".join(str(error).split())[:200] or repr(error)
        warnings.warn(f"{path} is damaged ({reason}): set aside as {aside.name}", RuntimeWarning, stacklevel=3)


def _not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname


def _leaves(state: TrainState, best_variables: Any) -> dict[str, Any]:
    """Every array by its name, such as state.params.dense1.kernel."""
    leaves = jax.tree_util.tree_leaves_with_path({"state": state, "best_variables": best_variables})
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _is_key(leaf) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_host(state: TrainState, best_variables: Any) -> dict[str, np.ndarray]:
    """Copies, never views: the next epoch overwrites the device's buffers (and could not reuse them under a view)."""
    leaves = _leaves(state, best_variables)
    return {name: np.array(jax.random.key_data(x) if _is_key(x) else x) for name, x in leaves.items()}


def _from_host(arrays: dict[str, np.ndarray], template: TrainState, path: Path) -> tuple[TrainState, Any]:
    """The state and the best parameters, each leaf with the dtype and on the device of the template's."""
    like = {"state": template, "best_variables": template.variables}
    wanted = _leaves(template, template.variables)
    expected = {name: _kind(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for name, leaf in wanted.items()}
    found = {name: _kind(array) for name, array in arrays.items()}
    if found != expected:
        differences = describe_differences(found, expected, "there", "here")
        raise ValueError(f"{path} does not fit this code's parameters: {differences}")

    def place(name, leaf):
        array = arrays[name]
        value = jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array
        return jax.device_put(value, leaf.sharding)

    leaves = [place(name, leaf) for name, leaf in wanted.items()]
    tree = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return tree["state"], tree["best_variables"]


def _kind(array) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _sealed(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays and facts together, so that one digest covers both."""
    text = json.dumps(facts, sort_keys=True).encode()
    return {**arrays, "facts": np.frombuffer(text, np.uint8)}


def _remove(path: Path) -> None:
    """Under another name first: a removal that is killed half-way must not look like a checkpoint."""
    discarded = path.with_name(f"{path.name}.discarded")
    shutil.rmtree(discarded, ignore_errors=True)
    path.rename(discarded)
    shutil.rmtree(discarded, ignore_errors=True)


def _disk_error(error: Exception, path: Path) -> Exception:
    """A full disk as the OSError that it is: Orbax's storage layer reports it as a ValueError among others."""
    text = str(error)
    full = getattr(error, "errno", None) == errno.ENOSPC or any(
        sign in text for sign in ("No space left", "ENOSPC", "RESOURCE_EXHAUSTED", "Disk quota")
    )
    if full:
        return OSError(errno.ENOSPC, "no space left for this checkpoint; make room and resume the run", str(path))
    return error
