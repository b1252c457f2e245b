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
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from convnet.settings import content_hash, describe_differences
from convnet.train.host import from_host, to_host
from convnet.train.loop import Fit
from convnet.train.state import TrainState

NAME = re.compile(r"\d{8}")
REMAINS = ("*.orbax-checkpoint-tmp*", "*.discarded")
"""What a killed save leaves, and a killed removal."""

ROOM = 2**20
"""Bytes that must be free on the disk beside twice what is to be written."""


class OtherRun(ValueError):
    """What is on disk belongs to another run than the one that is to be continued."""


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

    identity: what makes the run this one, as plain JSON values; a checkpoint of another one is refused.
    digest: mapping from names to arrays -> text that is equal only for equal bits.

    Close it at the end, or use it in a `with`: the last save may still be under way.
    """

    def __init__(
        self,
        directory: Path,
        identity: dict[str, Any],
        digest: Callable[[dict[str, np.ndarray]], str],
        *,
        keep: int = 2,
    ):
        self.directory, self.identity, self.digest, self.keep = directory.absolute(), identity, digest, keep
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
            "identity": self.identity,
            "identity_hash": content_hash(self.identity),
        }
        self._saving = self._writer.submit(self.write, to_host(fit.state, fit.best_variables), facts, start)

    def wait(self) -> None:
        """Until no save is under way. Raises OSError if the latest one failed."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def restore(self, template: TrainState) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none. Call it before the first save.

        template: a state of the same run, which tells names, shapes, dtypes and devices.
        A damaged checkpoint is set aside (renamed, not deleted) with a RuntimeWarning, and the one before is taken.

        Raises OtherRun, with the fields that differ, for a checkpoint of another run; ValueError for one whose
        parameters have other names, shapes or dtypes than `template` (the code has changed).
        """
        for pattern in REMAINS:
            for path in self.directory.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
        for epoch in reversed(self.epochs()):
            path = self.directory / f"{epoch:08d}"
            try:
                arrays, facts = self._read(path)
            except (OtherRun, PermissionError):
                raise
            except Exception as error:  # whatever a reader of damaged files may stumble over
                self._set_aside(path, error)
                continue
            state, best_variables = from_host(arrays, template, path)
            return Checkpoint(epoch, state, best_variables, facts["best_epoch"], facts["position"])
        return None

    def newest(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Arrays by name (but for those of size zero) and facts of the newest checkpoint that is whole, for a reader:
        nothing is set aside or removed, so the run may be under way. None where there is none.

        Raises OtherRun as `restore` does.
        """
        for epoch in reversed(self.epochs()):
            try:
                return self._read(self.directory / f"{epoch:08d}")
            except (OtherRun, PermissionError):
                raise
            except Exception as error:
                warnings.warn(f"checkpoint {epoch} cannot be read ({_line(error)})", RuntimeWarning, stacklevel=2)
        return None

    def clear(self) -> None:
        """Remove all checkpoints, for a run that starts anew. The directory stays: it may be a link to another disk."""
        for path in self.directory.glob("*"):
            _remove(path)

    @cached_property
    def _orbax(self):
        import orbax.checkpoint as ocp  # takes a second, which who saves nothing need not wait for

        # Its background threads log the traces of errors that reach us as exceptions anyway.
        logging.getLogger("absl").addFilter(_not_from_orbax)
        return ocp

    @cached_property
    def checkpointer(self):
        # Of several processes one writes alone: it waits for no other, as Orbax otherwise has it.
        own = jax.process_index()
        alone = self._orbax.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"alone{own}"
        )
        handler = self._orbax.PyTreeCheckpointHandler(multiprocessing_options=alone)
        return self._orbax.Checkpointer(handler, multiprocessing_options=alone)

    def write(self, arrays: dict[str, np.ndarray], facts: dict[str, Any], start: float) -> None:
        path = self.directory / f"{facts['epoch']:08d}"
        proof = {**facts, "digest": self.digest(_sealed(arrays, facts))}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.directory).free < ROOM + 2 * sum(array.nbytes for array in arrays.values()):
                raise OSError(errno.ENOSPC, "too little room")  # found now, before Orbax's threads stumble over it
            kept = {name: array for name, array in arrays.items() if array.size}  # Orbax refuses the others
            with _plain_name(path) as place:
                self.checkpointer.save(place, args=self._orbax.args.PyTreeSave(kept), custom_metadata=proof)
            self._prove(path)
        except Exception as error:
            for remains in self.directory.glob(f"{path.name}{REMAINS[0]}"):
                shutil.rmtree(remains, ignore_errors=True)  # on a full disk it would be in the way
            raise _disk_error(error, path) from error
        for epoch in self.epochs()[: -self.keep]:
            _remove(self.directory / f"{epoch:08d}")
        self.seconds = time.perf_counter() - start

    def _prove(self, path: Path) -> None:
        """OSError unless what was written can be read: older checkpoints are still there then."""
        try:
            self._read(path)
        except Exception as error:
            self._set_aside(path, error)
            raise OSError(errno.EIO, f"this checkpoint cannot be read back ({_line(error)})", str(path)) from error

    def _read(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays (but for those of size zero) and facts. Raises what a damaged file makes a reader raise."""
        ocp = self._orbax
        with _plain_name(path) as place:
            metadata = self.checkpointer.metadata(place)
            facts = dict(metadata.custom_metadata)
            digest, identity = facts.pop("digest"), facts["identity"]
            if content_hash(identity) != facts["identity_hash"]:
                raise ValueError("its identity is not what was written")
            if facts["identity_hash"] != content_hash(self.identity):
                differing = describe_differences(identity, self.identity, "then", "now")
                raise OtherRun(f"{path} is a checkpoint of another run: {differing}")
            kinds = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in metadata.item_metadata}
            arrays = self.checkpointer.restore(place, args=ocp.args.PyTreeRestore(restore_args=kinds))
        if self.digest(_sealed(arrays, facts)) != digest:
            raise ValueError("its content is not what was written")
        return arrays, facts

    def _set_aside(self, path: Path, error: Exception) -> None:
        names = [path.with_name(f"{path.name}.damaged{suffix}") for suffix in ("", *(f"-{i}" for i in range(2, 1000)))]
        aside = next(name for name in names if not name.exists())
        path.rename(aside)
        warnings.warn(f"{path} is damaged ({_line(error)}): set aside as {aside.name}", RuntimeWarning, stacklevel=3)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or repr(error)


@contextmanager
def _plain_name(path: Path) -> Iterator[Path]:
    """The same place under a name that Orbax can read: `[`, `\\` and such are patterns or protocols to what it uses."""
    if re.fullmatch(r"[\w ./=+,@-]+", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="convnet-") as folder:
        link = Path(folder, "run")
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name


def _not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname


def _sealed(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays that hold anything and facts together, so that one digest covers both."""
    text = json.dumps(facts, sort_keys=True).encode()
    arrays = {name: array for name, array in arrays.items() if array.size}
    return {**arrays, "facts": np.frombuffer(text, np.uint8)}


def _remove(path: Path) -> None:
    """Under another name first: a removal that is killed half-way must not look like a checkpoint."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
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
