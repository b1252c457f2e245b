"""How the process keeps its memory.

XLA:CPU takes every buffer from the C library. glibc maps each large one anew and gives it back when it is freed, so
every training step touches every page for the first time again (docs/speed.md says what that costs). Told to keep what
it has, it reuses warm pages. The price: the process never shrinks below the most it once used.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD of <malloc.h>
SWITCH = "CONVNET_KEEP_MEMORY"


def _is_glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


@cache
def keep_memory() -> bool:
    """Let glibc keep freed memory for the next step, and JAX compute on CPUs in the thread that asks.

    For the whole process. glibc obeys for what is allocated afterwards; JAX only if it has not looked at its devices
    yet (`jax.devices()`, any array), and silently goes on as before if it has.

    Returns whether glibc was told: only on Linux, and neither is where the environment says CONVNET_KEEP_MEMORY=0.
    """
    if os.environ.get(SWITCH) == "0" or not _is_glibc():
        return False
    import jax  # not above: processes of other frameworks read this module, too

    mallopt = ctypes.CDLL(None).mallopt
    # Its own thread's arena would map what exceeds 64 MiB. A single arena (M_ARENA_MAX) would serve all threads, but
    # they would wait for one lock: in a trial a small CNN's step took 1.2 to 2 times as long.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    wishes = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, 2**29))  # -1: never; an int ends at 2 GiB
    return all([mallopt(parameter, value) for parameter, value in wishes])  # noqa: C419 (set all, also after a refusal)


def free_memory() -> int | None:
    """Bytes that are free where arrays will lie, on the first device or in the machine; None where nobody tells."""
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def give_back_memory() -> None:
    """Return to the system what is free at the moment: a compilation leaves hundreds of MiB. Only glibc can."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)
