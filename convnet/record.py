"""What a run leaves behind: a directory with its manifest and its metrics. Nothing in it is ever half-written."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import jax
import numpy as np

from convnet.identity import environment, now, other_bits

TIMES = ("seconds",)
"""Figures in the metrics that no two runs have in common."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file at `path` by `content`, all of it or nothing."""
    data = content.encode() if isinstance(content, str) else content
    # Opened by name, not by mkstemp, so that it gets the permissions that the user's other files get.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2) + "\n")


def check_writable(directory: Path) -> None:
    """ValueError unless files can be made in `directory`, or where it is to be created. Leaves nothing behind."""
    existing = next(path for path in (directory, *directory.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(f"out is {str(directory)!r}: cannot be written ({error.strerror})") from None


def lock(directory: Path) -> IO | None:
    """Keep other processes out of `directory` until the file that this returns is closed, or this process ends.

    Returns None where the system has no such locks. Raises ValueError where another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = (directory / ".lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"{directory} is in use by another process: a run is under way there") from None
    except OSError:  # a file system without locks
        pass
    return file


WHERE = ("folder",)
"""What a manifest says as it is now, not as it was at the run's start: where the images lie."""


class RunDirectory:
    """`manifest.json` and `metrics.jsonl` of one run. The manifest is written at the start, completed at the end.

    identity: what decides the run's bits, its environment apart (`convnet.identity.WHAT`, and the programs).
    resume: keep what is there. The manifest then tells under "resumed" when, and what had changed since the start;
        unless the run turns out to begin anew (`rewind` to the beginning), which makes it a new one.
    facts: what else the manifest is to say.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        *,
        resume: bool = False,
        facts: Mapping[str, Any] | None = None,
    ):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._metrics = path / "metrics.jsonl"
        before = read_manifest(path) if resume else None
        self._new = {**identity, "status": "running", **environment(), **(facts or {})}
        self.manifest = self._new
        if before is not None:
            again = {name: self.manifest[name] for name in ("started", "command")}
            again["changed"] = other_bits(before, self.manifest)
            history = [*before.get("resumed", []), again]
            kept = {n: value if n in WHERE else before.get(n, value) for n, value in self.manifest.items()}
            self.manifest = kept | {"status": "running", "resumed": history}
        if not resume:
            self._metrics.write_bytes(b"")
        self._metrics.touch()
        self._bytes, self._digest = 0, hashlib.sha256()
        write_json(path / "manifest.json", self.manifest)

    @property
    def position(self) -> dict[str, Any]:
        """How far the metrics have got: their size in bytes and its SHA-256."""
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}

    def metrics(self, values: dict[str, Any]) -> None:
        """Append one line, or nothing: OSError where there is no room for all of it."""
        line = (json.dumps(values) + "\n").encode()
        try:
            with self._metrics.open("ab") as file:
                file.write(line)
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._metrics, self._bytes)
            message = f"{error.strerror}: the metrics end before this line; the run can be resumed"
            raise OSError(error.errno, message, str(self._metrics)) from error
        self._bytes += len(line)
        self._digest.update(line)

    def rewind(self, position: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Cut the metrics back to `position` (None: the beginning), and with them a torn last line; return the rest.

        Raises ValueError, and cuts nothing, where the metrics up to there are not those that `position` was taken of.
        """
        if position is None:  # nothing of what was there goes on
            self.manifest = self._new
            write_json(self.path / "manifest.json", self.manifest)
        size = 0 if position is None else position["bytes"]
        kept = self._metrics.read_bytes()[:size]
        digest = hashlib.sha256(kept)
        if position is not None and digest.hexdigest() != position["sha256"]:
            raise ValueError(
                f"{self._metrics} is not what it was when the checkpoint was saved (its first {size} bytes): "
                "put it back, or start the run anew in another directory"
            )
        os.truncate(self._metrics, size)
        self._bytes, self._digest = size, digest
        return [json.loads(line) for line in kept.splitlines()]

    def sync(self) -> None:
        """Until the metrics are on the disk itself: what relies on them, such as a checkpoint, comes after."""
        with self._metrics.open("rb") as file:
            os.fsync(file.fileno())

    def finish(self, status: str, **facts: Any) -> None:
        """`status`: "finished", "diverged" or "failed"; `facts` join the manifest."""
        self.manifest |= {"status": status, "ended": now(), **facts}
        write_json(self.path / "manifest.json", self.manifest)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the run directory `path`; None where there is none that can be read."""
    try:
        return json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics in the run directory `path`, without a last one that was torn by a crash.

    Raises ValueError for any other line that is not JSON.
    """
    *complete, _ = (path / "metrics.jsonl").read_bytes().split(b"\n")  # after the last line's end comes nothing
    return [json.loads(line) for line in complete]


def metrics_hash(lines: list[dict[str, Any]]) -> str:
    """SHA-256 over the lines of metrics without their times: equal only for equal figures, to the last bit."""
    untimed = [{name: value for name, value in line.items() if name not in TIMES} for line in lines]
    return hashlib.sha256(json.dumps(untimed, sort_keys=True).encode()).hexdigest()


def parameter_hash(params: Any) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of all parameters: equal only for equal bits."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
