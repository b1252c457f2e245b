"""Freed memory is kept, where that is possible and wanted. Each case needs a process of its own."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

# Page faults of taking and dropping 32 MiB, the fewest of many rounds: the first ones find no place that is warm.
# Huge pages, which some systems give unasked, would hide them.
PROBE = """
import ctypes, mmap, resource, sys
getattr(ctypes.CDLL(None), "prctl", lambda *args: 0)(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE
import numpy as np
from convnet import allocator
def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = count()
fresh = mmap.mmap(-1, 2**25)
fresh[:: mmap.PAGESIZE] = bytes(2**25 // mmap.PAGESIZE)
print(count() - before > 300)  # else nobody counts here
del fresh
print(allocator.keep_memory())
def round():
    np.ones(2**22)
def faults():
    before = count()
    round()
    return count() - before
print(min(faults() for _ in range(8)))
"""

# The same of a program of JAX whose result has 128 MiB: more than an arena of another thread keeps.
PROGRAM = """
import jax
import jax.numpy as jnp
large = jax.jit(lambda x: x + jnp.arange(2**25, dtype="float32"))
def round():
    large(1.0).block_until_ready()
"""

# 2.25 GiB, of which every sixteenth page is touched: enough to count.
HUGE = """
def round():
    np.empty(9 * 2**25)[:: 16 * 512] = 1
"""


def probe(prelude="", program="", **environment):
    """(what keep_memory returned, page faults)."""
    code = prelude + PROBE.replace("def faults", f"{program}def faults")
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    counted, kept, faults = result.stdout.split()
    if kept == "True" and counted != "True":
        pytest.skip("this system does not count page faults")
    return kept == "True", int(faults)


def available():
    """Bytes that this process may still have: of the machine, and of the group of processes that it belongs to."""
    found = [0]
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found = [int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            group = Path("/sys/fs/cgroup")
            found.append(int((group / limit).read_text("utf-8")) - int((group / used).read_text("utf-8")))
    return min(found)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_kept_memory_is_not_mapped_anew():
    kept, faults = probe()
    assert kept
    assert faults < 100
    kept, faults = probe(CONVNET_KEEP_MEMORY="0")
    assert not kept
    assert faults > 300


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_neither_are_large_buffers_of_jax():
    kept, faults = probe(program=PROGRAM, JAX_PLATFORMS="cpu")
    assert kept
    assert faults < 100
    # More than glibc ever keeps unasked (32 MiB), whichever thread asks for it.
    kept, faults = probe(program=PROGRAM, JAX_PLATFORMS="cpu", CONVNET_KEEP_MEMORY="0")
    assert not kept
    assert faults > 300


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_nor_is_more_than_a_threshold_can_name():
    if available() < 4 * 2**30:
        pytest.skip("less than 4 GiB are free")
    kept, faults = probe(program=HUGE)
    assert kept
    assert faults < 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_is_free_is_given_back():
    code = """
from convnet import allocator
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
allocator.keep_memory()
held = [bytearray(10_000) for _ in range(20_000)]  # 200 MB in small pieces, as compilers take them
full = resident()
del held
kept = resident()
allocator.give_back_memory()
print(full, kept, resident())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    full, kept, left = map(int, result.stdout.split())
    assert kept > full - 50_000
    assert left < full - 150_000


def test_elsewhere_nothing_is_done():
    code = """
import platform
from convnet import allocator
system, libc_ver = platform.system, platform.libc_ver
platform.system = lambda: "Darwin"
print(allocator.keep_memory())
allocator.keep_memory.cache_clear()
platform.system, platform.libc_ver = system, lambda: ("", "")
print(allocator.keep_memory())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
