"""The machine under the measurements: who else is busy on it, how much memory a process took, what its workers get."""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

FOREIGN_LIMIT = 0.25
"""Cores that others may keep busy during a sample before it counts as disturbed (the clock of /proc/stat is coarse)."""

TUNED_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",  # never
    "MALLOC_TOP_PAD_": str(512 * 2**20),
}
"""glibc keeps what it once got from the system, instead of mapping and unmapping every large array."""


@dataclass(frozen=True)
class Moment:
    """Seconds of wall clock, of this process on all cores, and of everybody on all cores (None: not known)."""

    wall: float
    own: float
    everybody: float | None


def now() -> Moment:
    return Moment(time.perf_counter(), time.process_time(), _busy_seconds())


def foreign_cores(start: Moment, end: Moment) -> float | None:
    """Cores that other processes kept busy between two moments, on average; None where the system does not tell."""
    if start.everybody is None or end.everybody is None:
        return None
    foreign = (end.everybody - start.everybody) - (end.own - start.own)
    return max(foreign, 0.0) / max(end.wall - start.wall, 1e-9)


def _busy_seconds() -> float | None:
    try:
        ticks = [int(value) for value in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _, _, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    # Linux's ru_maxrss also remembers the process that this one was forked from; VmHWM does not.
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def worker_environment(*, threads: int | None, tuned: bool) -> dict[str, str]:
    """The environment variables of a worker; `tuned`: the allocator's settings are among them."""
    found = dict(
        os.environ,
        OMP_WAIT_POLICY="PASSIVE",  # threads that spin between two samples would disturb the others' samples
        XLA_PYTHON_CLIENT_PREALLOCATE="false",  # several workers share an accelerator
        JAX_ENABLE_COMPILATION_CACHE="false",  # compile times are measured
        TORCHINDUCTOR_FORCE_DISABLE_CACHES="1",
        KERAS_BACKEND="jax",
        TF_CPP_MIN_LOG_LEVEL="2",
        PYTHONPATH=os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])),
    )
    if threads is not None:
        found |= {"OMP_NUM_THREADS": str(threads), "NPROC": str(threads)}
    return found | (TUNED_MALLOC if tuned else {})


def use_threads(threads: int) -> None:
    """Bind this process to the first `threads` cores it may use: what no library overrides."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def directory_name(backend: str, device: str) -> str:
    """Where results of a device go: "cpu" for processors, "h200" for an "NVIDIA H200"."""
    if backend == "cpu":
        return "cpu"
    words = "".join(c if c.isalnum() else " " for c in device.lower()).split()
    return "-".join(word for word in words if word not in ("nvidia", "amd", "tesla", "google")) or backend
