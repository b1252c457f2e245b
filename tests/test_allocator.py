"""Freed memory is kept, where that is possible and wanted. Each case needs a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

# Page faults of taking and dropping 32 MiB, the fewest of many rounds: the first ones find no place that is warm.
PROBE = """
import resource, sys
import numpy as np
from convnet import allocator
print(allocator.keep_memory())
def round():
    np.ones(2**22)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    round()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(16)))
"""

# The same of a program of JAX whose result has 128 MiB: more than an arena of another thread keeps.
PROGRAM = """
import jax
import jax.numpy as jnp
large = jax.jit(lambda x: jnp.sin(x + jnp.arange(2**25, dtype="float32")))
def round():
    large(1.0).block_until_ready()
"""

# 2.25 GiB, page by page.
HUGE = """
def round():
    np.empty(9 * 2**25)[::512] = 1
"""


def probe(prelude="", program="", **environment):
    """(what keep_memory returned, page faults)."""
    code = prelude + PROBE.replace("def faults", f"{program}def faults")
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    kept, faults = result.stdout.split()
    return kept == "True", int(faults)


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
    # Too late: JAX has looked at its devices, and computes in a thread of its own.
    kept, faults = probe("import jax; jax.devices()\n", PROGRAM, JAX_PLATFORMS="cpu")
    assert kept
    assert faults > 300


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_nor_is_more_than_a_threshold_can_name():
    if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 8 * 2**30:
        pytest.skip("less than 8 GiB")
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


@pytest.mark.parametrize("fake", ["platform.system = lambda: 'Darwin'", "platform.libc_ver = lambda: ('', '')"])
def test_elsewhere_nothing_is_done(fake):
    assert not probe(f"import platform\n{fake}\n")[0]
