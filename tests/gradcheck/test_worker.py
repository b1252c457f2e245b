"""What a process does that compiles much."""

import multiprocessing
import os
import subprocess
import sys

import jax
import pytest

from convnet.gradcheck import worker

PARENT = """
import multiprocessing, time
from convnet.gradcheck.worker import begin

def hang():
    print("begun", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Pool(1, begin).apply(hang)
"""


@pytest.mark.parametrize(("bytes_in_use", "times"), [(0, 1), (2**60, 0)])
def test_what_is_compiled_is_forgotten_where_memory_is_short(bytes_in_use, times, monkeypatch):
    cleared = []
    monkeypatch.setattr(worker, "CROWDED", bytes_in_use)
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    worker.make_room()
    assert len(cleared) == times


def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path):
    """What it prints to is open as long as one of them lives."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "begun\n"
        parent.kill()
        parent.communicate(timeout=60)


@pytest.mark.parametrize("quickly", [False, True])
def test_flags_of_the_user_come_last(quickly, monkeypatch):
    own = "--xla_dump_hlo_pass_re=none"
    monkeypatch.setenv("XLA_FLAGS", own)
    with multiprocessing.get_context("spawn").Pool(1, worker.begin, (quickly,)) as pool:
        *quick, last = pool.apply(os.getenv, ("XLA_FLAGS",)).split()
    assert last == own
    assert ("--xla_backend_optimization_level=0" in quick) == quickly
