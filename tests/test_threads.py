"""The threads that XLA has on the CPU decide bits, the processors do not; and what was asked for is what there is."""

import os
import subprocess
import sys

import pytest

from convnet.threads import processors, threads, use_threads


@pytest.fixture
def unset(monkeypatch):
    for name in ("PJRT_NPROC", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_there_are_as_many_as_processors_unless_the_environment_says_otherwise(unset):
    assert threads() == processors() >= 1
    unset.setenv("NPROC", "5")
    assert threads() == 5
    unset.setenv("PJRT_NPROC", "3")
    assert threads() == 3
    for nonsense in ("", "many", "-1"):
        unset.setenv("PJRT_NPROC", nonsense)
        assert threads() == 5


def test_fewer_than_one_is_refused():
    with pytest.raises(ValueError, match="count is 0: expected 1 or more"):
        use_threads(0)


def test_once_jax_has_started_nothing_changes(unset):
    import jax

    jax.devices()
    assert not use_threads(processors() + 3)
    assert "PJRT_NPROC" not in os.environ
    assert use_threads(processors())


def test_what_the_environment_says_holds(unset):
    unset.setenv("NPROC", "7")
    assert not use_threads(2)
    assert threads() == 7


WIDE = """
import hashlib, os, sys
if sys.argv[2:]:
    os.sched_setaffinity(0, {int(sys.argv[2])})
from convnet.threads import threads, use_threads
heard = use_threads(int(sys.argv[1]))
import jax, jax.numpy as jnp, numpy as np
x = jnp.asarray(np.random.default_rng(0).normal(size=(64, 40000)), "float32")
y = jax.jit(lambda x: x @ x.T)(x)
print(heard, threads(), hashlib.sha256(np.asarray(y).tobytes()).hexdigest())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_same_threads_give_the_same_bits_on_any_number_of_processors(unset):
    """A product that XLA divides among its threads, whose number is fixed before JAX starts."""

    def product(*arguments):
        command = [sys.executable, "-c", WIDE, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    one_processor = min(os.sched_getaffinity(0))
    everywhere, there = product(2), product(2, one_processor)
    assert everywhere == there
    assert everywhere[:2] == ["True", "2"]
