"""Workers are real processes here; the frameworks they lack are hidden from them."""

import platform

import pytest

from benchmarks.cases import QUICK_LAYERS, GemmTask, tasks_of
from benchmarks.interleave import Gap, interleave
from benchmarks.networks import QUICK_NETWORKS, StepTask
from benchmarks.workers import Variant, Worker

GEMM = GemmTask(8, "float32")


@pytest.fixture
def without_keras(tmp_path, monkeypatch):
    (tmp_path / "keras.py").write_text("raise ModuleNotFoundError(\"No module named 'keras'\", name='keras')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def started():
    workers = []

    def start(peer, allocator="default", **settings):
        workers.append(Worker(Variant(peer, allocator), **{"seconds": 0.002, "timeout": 600.0, **settings}))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def test_a_missing_peer_is_marked_and_the_others_are_measured(without_keras, started):
    peers = {name: started(name) for name in ("keras", "ours")}
    cells = interleave([GEMM], peers, rounds=2, budget=1e9, retries=0)
    assert {cell.peer: cell.gap for cell in cells} == {
        "keras": "not installed (No module named 'keras')",
        "ours": None,
    }
    assert {cell.peer: len(cell.samples) for cell in cells} == {"keras": 0, "ours": 2}
    assert all(sample.seconds > 0 for sample in cells[1].samples)
    assert peers["ours"].hello["versions"]["jax"]
    assert not peers["ours"].hello["keeps_memory"]
    memory = peers["ours"].memory()
    assert memory["peak_bytes"] >= memory["idle_bytes"] > 10_000_000
    assert peers["keras"].memory() == {}


def test_a_worker_that_dies_says_so_and_starts_again(started):
    worker = started("ours")
    worker.prepare(GEMM)
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(Gap, match="crashed with code -9"):
        worker.sample(GEMM)
    assert worker.sample(GEMM).seconds > 0


def test_a_worker_that_does_not_answer_is_given_up(started):
    worker = started("ours", timeout=0.001)
    with pytest.raises(Gap, match=r"no answer within 0\.001 s"):
        worker.prepare(StepTask(QUICK_NETWORKS["tiny_cnn"], "single", 2))


def test_a_task_that_fails_is_a_gap_and_the_worker_lives_on(started):
    worker = started("ours")
    with pytest.raises(Gap, match="failed: KeyError"):
        worker.prepare(GemmTask(8, "float31"))
    worker.prepare(GEMM)
    assert worker.sample(GEMM).seconds > 0


def test_what_could_not_be_prepared_is_not_tried_again_until_all_is_forgotten(started):
    limits = iter([0.001])
    worker = started("ours", timeout=lambda: next(limits, 600.0))
    for _ in range(2):
        with pytest.raises(Gap, match=r"no answer within 0\.001 s"):
            worker.prepare(GEMM)
    assert worker.process is None
    worker.forget()
    worker.prepare(GEMM)
    assert worker.sample(GEMM).seconds > 0


def test_what_is_skipped_is_a_gap_unless_it_is_prepared(started):
    worker = started("ours")
    worker.skip(GEMM, "no time")
    with pytest.raises(Gap, match="no time"):
        worker.prepare(GEMM)
    assert worker.process is None


@pytest.mark.parametrize("peer", ["torch", "keras"])
def test_frameworks_that_dispatch_every_step_are_not_even_started(peer, started):
    worker = started(peer)
    tasks = tasks_of(QUICK_LAYERS["maxpool2-4-at-8"], "scan", batch=2, precision="float32", repeats=2)
    for task in (*tasks, StepTask(QUICK_NETWORKS["tiny_cnn"], "vmapped", 2, 2)):
        with pytest.raises(Gap, match="dispatches every step"):
            worker.prepare(task)
    assert worker.process is None


@pytest.mark.parametrize("peer", ["ours", pytest.param("autodiff", marks=pytest.mark.sweep)])
def test_workers_on_jax_keep_memory_where_they_are_told_to(peer, started):
    """Where they are not, the first test above sees that they do not."""
    worker = started(peer, "tuned")
    worker.prepare(GEMM)
    assert worker.hello["keeps_memory"] == (platform.libc_ver()[0] == "glibc")
