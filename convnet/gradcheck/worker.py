"""Processes that compile much, of many functions, and run each program a few times."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from pathlib import Path

import jax

from convnet.allocator import give_back_memory
from convnet.gradcheck.compiling import QUICK

CROWDED = 700 * 2**20
"""Bytes of memory in use, above which a process forgets what it has compiled."""


def begin(quickly: bool = False) -> None:
    """In a process that has not run anything yet. Programs do not note the lines of Python that they come from, which
    takes a twentieth of the time; of what a trace makes, little is garbage in cycles, so that is looked for less often.

    quickly: operations that are run one by one are compiled by `QUICK`, too. Flags of the user's come after these. What
        users see may be other bits: whether a product and a sum are rounded once or twice decides whether a
        correlation is 1.
    """
    jax.config.update("jax_traceback_in_locations_limit", 0)
    gc.freeze()
    gc.set_threshold(10_000)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if quickly:
        flags = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())
        os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}"


def _end_with_parent() -> None:
    """A program that never ends would go on without anybody to end it, after a parent that was killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def make_room() -> None:
    """Forget what was compiled if it fills the memory, which is taken for granted where the system does not say: the
    next function has many of its operations in common with the last."""
    if _in_use() > CROWDED:
        jax.clear_caches()
        give_back_memory()


def _in_use() -> float:
    """Bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE")
