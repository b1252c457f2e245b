"""What a run leaves behind: a directory with its manifest and its metrics. Nothing in it is ever half-written."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

PACKAGES = ("convnet", "jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "scipy")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file at `path` by `content`, all of it or nothing."""
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2) + "\n")


def check_writable(directory: Path) -> None:
    """ValueError unless files can be made in `directory` (or it can be created); what it had to create, it removes."""
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(f"out is {str(directory)!r}: cannot be written ({error.strerror})") from None
    finally:
        for path in missing:
            if path.is_dir():
                path.rmdir()


class RunDirectory:
    """`manifest.json` and `metrics.jsonl` of one run. The manifest is written at the start, completed at the end."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._metrics = path / "metrics.jsonl"
        self._metrics.write_text("")
        self.manifest = {"config": config, "status": "running", **environment()}
        write_json(path / "manifest.json", self.manifest)

    def metrics(self, values: dict[str, Any]) -> None:
        """Append one line."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def finish(self, status: str, **facts: Any) -> None:
        """`status`: "finished", "diverged" or "failed"; `facts` join the manifest."""
        self.manifest |= {"status": status, "ended": _now(), **facts}
        write_json(self.path / "manifest.json", self.manifest)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the run directory `path`; None where there is none that can be read."""
    try:
        return json.loads((path / "manifest.json").read_text())
    except (OSError, ValueError):
        return None


def environment() -> dict[str, Any]:
    """What a result depends on besides its config: versions, device, flags, code, command."""
    return {
        "started": _now(),
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": _device(),
        "backend": jax.default_backend(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git": _git_state(),
        "code": _code_hash(),
    }


def parameter_hash(params: Any) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of all parameters: equal only for equal bits."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str:
    """The accelerator's name, or the processor's where there is none and the system tells."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() != "cpu":
        return kind
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or kind
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _code_hash() -> str:
    """SHA-256 over the package's own sources: what a commit does not tell where the tree was changed since."""
    digest, here = hashlib.sha256(), Path(__file__).resolve().parent
    for path in sorted(here.rglob("*.py")):
        digest.update(f"{path.relative_to(here)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _git_state() -> dict[str, Any] | None:
    """Commit of the source tree and whether it was changed since; None where the code is not in a checkout."""
    here = Path(__file__).resolve().parent

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here.parent:
            return None  # an installed copy that happens to lie inside somebody's repository
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
