import pytest

from benchmarks.cases import GemmTask
from benchmarks.interleave import Gap, interleave
from benchmarks.ratios import Sample

CALM = (Sample(1.0),)
TASKS = [GemmTask(1, "float32"), GemmTask(2, "float32")]


class Recorder:
    """A peer that writes down what it is asked, and answers from a list (its last entry for ever)."""

    def __init__(self, name, log, samples=CALM, gap_at=None, gap_in="prepare"):
        self.name, self.log, self.samples = name, log, list(samples)
        self.gap_at, self.gap_in = gap_at, gap_in

    def prepare(self, task):
        self.log.append(("prepare", task.size, self.name))
        if self.gap_in == "prepare" and self.gap_at == task.size:
            raise Gap("is not there")
        return {"compile_seconds": 0.5}

    def sample(self, task):
        self.log.append(("sample", task.size, self.name))
        if self.gap_in == "sample" and self.gap_at == task.size:
            raise Gap("fell over")
        return self.samples.pop(0) if len(self.samples) > 1 else self.samples[0]


def measured(log, peers, **settings):
    return interleave(TASKS, peers, **{"rounds": 2, "budget": 1e9, "retries": 0, **settings})


def test_peers_alternate_within_every_task_and_every_round():
    log = []
    measured(log, {name: Recorder(name, log) for name in "AB"})
    asked = [(size, name) for size in (1, 2) for name in "AB"]
    assert [entry[1:] for entry in log if entry[0] == "prepare"] == asked
    assert [entry[1:] for entry in log if entry[0] == "sample"] == asked * 2
    assert [entry[0] for entry in log] == ["prepare"] * 4 + ["sample"] * 8


@pytest.mark.parametrize("when", ["prepare", "sample"])
def test_a_gap_keeps_its_reason_and_the_others_go_on(when):
    log = []
    peers = {"A": Recorder("A", log, gap_at=1, gap_in=when), "B": Recorder("B", log)}
    cells = {(cell.peer, cell.task.size): cell for cell in measured(log, peers)}
    assert cells["A", 1].gap in ("is not there", "fell over")
    assert cells["A", 1].samples == []
    assert [len(cells[key].samples) for key in (("A", 2), ("B", 1), ("B", 2))] == [2, 2, 2]
    assert log.count(("sample", 1, "A")) == (0 if when == "prepare" else 1)


def test_a_disturbed_sample_is_taken_again():
    log, noisy, calm = [], Sample(9.0, disturbed=True), Sample(1.0)
    (cell, _) = measured(log, {"A": Recorder("A", log, [noisy, noisy, calm])}, rounds=1, retries=3)
    assert cell.samples == [calm]


def test_of_disturbed_samples_only_the_shortest_stays():
    log, long, short = [], Sample(9.0, disturbed=True), Sample(3.0, disturbed=True)
    (cell, _) = measured(log, {"A": Recorder("A", log, [long, short, long])}, rounds=1, retries=2)
    assert cell.samples == [short]


def test_a_spent_budget_ends_the_samples_of_a_cell():
    log = []
    cells = measured(log, {"A": Recorder("A", log)}, rounds=5, budget=1e-9)
    assert [len(cell.samples) for cell in cells] == [1, 1]


def test_every_preparation_and_every_sample_is_told():
    log, told = [], []
    measured(log, {"A": Recorder("A", log), "B": Recorder("B", log, gap_at=2)}, on_cell=told.append)
    assert len(told) == 4 + 2 * 4
