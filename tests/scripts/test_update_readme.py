"""The README's table of false alarms, by value."""

import json

import pytest

from scripts import update_readme

HEAD = ["functions from", "functions", "audits", "alarms"]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Two counts, stored."""
    monkeypatch.setattr(update_readme, "GRADIENTS", tmp_path / "gradients")
    (tmp_path / "gradients").mkdir()
    where = {
        "device": "a processor",
        "cpus": 2,
        "packages": {"jax": "1.2"},
        "python": "3.11",
        "started": "2026-01-02T03",
    }
    for name, rows in (
        ("ops", [["ops", "3", "30", "1"]]),
        ("others", [["layers", "2", "20", "0"], ["losses", "1", "5", "2"]]),
    ):
        total = ["all", *(str(sum(int(row[i]) for row in rows)) for i in (1, 2, 3))]
        values = {
            "counts": [HEAD, *rows, total],
            "alarms": [],
            "environment": {**where, "command": f"count --only {name} --out /some/where"},
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "false_alarms.json").write_text(json.dumps(values), encoding="utf-8")
    update_readme.store_false_alarms([tmp_path / "ops", tmp_path / "others"])


@pytest.mark.usefixtures("stored")
def test_counts_of_several_runs_are_one_table():
    told, command, *table, _, where = update_readme.gradients_section().strip().replace(":\n\n", ";\n").split("\n")
    assert told.startswith("Does it reject what is right? 55 audits of functions that nobody doubts, 3 with an alarm; ")
    assert "`python count --only ops`; `python count --only others`" in told
    assert command == "| functions from | functions | audits | alarms |"
    assert table[1:] == ["| ops | 3 | 30 | 1 |", "| layers | 2 | 20 | 0 |", "| losses | 1 | 5 | 2 |"]
    assert where == "a processor, 2 CPU cores; JAX 1.2, Python 3.11; 2026-01-02."


@pytest.mark.usefixtures("stored")
def test_what_is_stored_stays_where_nothing_is_given():
    before = update_readme.gradients_section()
    update_readme.store_false_alarms([])
    assert update_readme.gradients_section() == before
