"""Freed memory is kept, where that is possible and wanted. Each case needs a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

# Page faults of taking and dropping 32 MiB ten times, after a few rounds.
PROBE = """
import resource, sys
import numpy as np
from convnet import allocator
print(allocator.keep_memory())
def round():
    np.ones(2**22)
for _ in range(6):
    round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# The same of a program of JAX whose result has 128 MiB: more than an arena of another thread keeps.
PROGRAM = """
import jax
import jax.numpy as jnp
large = jax.jit(lambda x: jnp.sin(x + jnp.arange(2**25, dtype="float32")))
def round():
    large(1.0).block_until_ready()
"""


def probe(prelude="", program="", **environment):
    """(what keep_memory returned, page faults)."""
    code = prelude + PROBE.replace("for _ in range(6)", f"{program}for _ in range(6)")
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    kept, faults = result.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_kept_memory_is_not_mapped_anew():
    kept, faults = probe()
    assert kept
    assert faults < 1000
    kept, faults = probe(CONVNET_KEEP_MEMORY="0")
    assert not kept
    assert faults > 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_neither_are_large_buffers_of_jax():
    kept, faults = probe(program=PROGRAM, JAX_PLATFORMS="cpu")
    assert kept
    assert faults < 1000
    # Too late: JAX has looked at its devices, and computes in a thread of its own.
    kept, faults = probe("import jax; jax.devices()\n", PROGRAM, JAX_PLATFORMS="cpu")
    assert kept
    assert faults > 1000


@pytest.mark.parametrize("fake", ["platform.system = lambda: 'Darwin'", "platform.libc_ver = lambda: ('', '')"])
def test_elsewhere_nothing_is_done(fake):
    assert not probe(f"import platform\n{fake}\n")[0]
