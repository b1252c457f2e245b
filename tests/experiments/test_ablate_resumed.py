"""No finished cell of an ablation is ever lost, changed or done twice."""

import json

import pytest

from convnet.ablation.cells import parse_shard, share
from tests.experiments.ablations import BASE, FACTORS, GRID, row_of, rows_of, run

pytestmark = pytest.mark.usefixtures("unseen_pictures")

# --- going on ---------------------------------------------------------------------------------------------------------


def test_finished_cells_are_skipped(finished, trained):
    before, page = rows_of(finished, without=()), (finished / "plan.json").read_bytes()
    assert run(*GRID, out=finished) == 0
    assert trained == []
    assert rows_of(finished, without=()) == before
    assert (finished / "plan.json").read_bytes() == page


BREAK = {
    "a torn manifest": lambda cell: (cell / "manifest.json").write_text('{"status": "fin'),
    "a run that was killed": lambda cell: _set_status(cell, "running"),
    "a failed run": lambda cell: _set_status(cell, "failed"),
    "a torn line": lambda cell: (cell / "metrics.jsonl").write_bytes((cell / "metrics.jsonl").read_bytes()[:-9]),
    "a missing epoch": lambda cell: (cell / "metrics.jsonl").write_text(
        (cell / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    ),
    "no directory": lambda cell: cell.rename(cell.with_name("away")),
}


def _set_status(cell, status):
    manifest = json.loads((cell / "manifest.json").read_text())
    (cell / "manifest.json").write_text(json.dumps(manifest | {"status": status}))


SWEPT = ("a failed run", "a missing epoch", "no directory")


@pytest.mark.parametrize(
    "damage", [pytest.param(b, id=n, marks=pytest.mark.sweep if n in SWEPT else ()) for n, b in BREAK.items()]
)
def test_an_unfinished_cell_is_done_again_and_is_the_same(damage, finished, trained):
    before = rows_of(finished)
    damage(finished / "cells" / row_of(finished, "nesterov", "zeros", 1)["cell"])
    assert run(*GRID, out=finished) == 0
    assert trained == [("nesterov", "zeros", 1)]
    assert rows_of(finished) == before


@pytest.mark.sweep
def test_more_seeds_go_on_from_the_others(finished, tmp_path, trained):
    smaller = [*BASE, *FACTORS, "--seeds", "1"]
    assert run(*smaller, out=tmp_path / "out") == 0
    assert len(trained) == 4
    assert run(*GRID, out=tmp_path / "out") == 0
    assert len(trained) == 12
    assert rows_of(tmp_path / "out") == rows_of(finished)
    assert run(*smaller, out=tmp_path / "out") == 0  # the report is of all that is there
    assert rows_of(tmp_path / "out") == rows_of(finished)


@pytest.mark.sweep
def test_shards_make_the_whole_without_coordination(finished, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    assert run(*GRID, "--shard", "3/3", out=out) == 0
    assert len(rows_of(out)) == 4
    assert "8 of 12 cells are not finished" in capsys.readouterr().out
    for name, value in (("ID", "11"), ("COUNT", "3"), ("MIN", "11"), ("MAX", "13")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert run(*GRID, out=out) == 0
    assert len(rows_of(out)) == 8
    assert run(*GRID, "--shard", "2/3", out=out) == 0
    assert rows_of(out) == rows_of(finished)
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert run(*GRID, "--report-only", out=out) == 0
    assert len((out / "report.html").read_bytes()) > 0.9 * len(page)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_shards_are_disjoint_and_complete(n):
    cells = list(range(33))
    parts = [share(cells, (i, n)) for i in range(1, n + 1)]
    assert [cell for part in parts for cell in part] == cells
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shards_of_slurm():
    def shard(**values):
        return parse_shard(None, {f"SLURM_ARRAY_TASK_{k}": str(v) for k, v in values.items()})

    assert shard(ID=0, COUNT=4, MIN=0, STEP=1) == (1, 4)
    assert shard(ID=7, COUNT=4, MIN=1, STEP=2) == (4, 4)
    assert shard() == (1, 1)
    assert parse_shard("2/5", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "9"}) == (2, 5)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "-1/3", "1/0"])
def test_a_bad_shard_is_refused(text):
    with pytest.raises(ValueError, match=f"shard is '{text}': expected i/n with 1 ≤ i ≤ n"):
        parse_shard(text, {})
