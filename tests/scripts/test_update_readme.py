"""The README's tables of false alarms and of boards, by value."""

import json

import pytest

from convnet.board import board as boards
from scripts import update_readme
from tests.report.boards import ROWS, board

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


@pytest.fixture
def releases(tmp_path, monkeypatch):
    """Directories of the boards of two releases, the older of which is the later in the alphabet."""
    monkeypatch.setattr(update_readme, "BOARDS", tmp_path / "board")
    for version, rows in (("0.9.9", ROWS[2:3]), ("0.10.1", ROWS)):
        (tmp_path / version).mkdir()
        one = board(*rows, version=version)
        one.environment["command"] = "audit.py --jobs 2 --out /some/where"
        boards.write(tmp_path / version / "board.json", one)
    return [tmp_path / "0.9.9", tmp_path / "0.10.1"]


def test_a_line_for_each_release(releases, tmp_path):
    update_readme.store_boards(releases)
    assert sorted(path.name for path in (tmp_path / "board").iterdir()) == ["0.10.1.json", "0.9.9.json"]
    told, head, _, old, new, where = update_readme.board_section().strip().replace("\n\n", "\n").split("\n")
    assert told.endswith("`python audit.py --jobs 2`:")
    assert head.startswith("| JAX | functions | points | numbers | wrong |")
    assert old == "| 0.9.9 | 1 | 2 | 30 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 0 | 61 |"
    assert new == "| 0.10.1 | 5 | 10 | 120 | 0 | 0 | 1 | 1 | 0 | 0 | 3 | 1 | 61 |"
    assert where == "abacus, 7 CPU cores; JAX 0.10.1, Python 3.11.9; 2026-03-04."


def test_without_a_board_nothing_is_said(releases):
    assert update_readme.board_section() == ""


@pytest.mark.usefixtures("stored")
def test_the_audit_and_how_it_was_run(tmp_path):
    where = {
        "device": "a processor", "cpus": 2, "packages": {"jax": "1.2"}, "python": "3.11", "started": "2026-01-02T03",
        "command": "audit.py --jobs 1 --out here",
    }  # fmt: skip
    names = ("level", "seconds", "audits_of_right_rules", "condemned", "survivors", "planted")
    found = {"environment": where, "verdict": ["3 ops", "7 s in all"], **dict.fromkeys(names)}
    (tmp_path / "audit.json").write_text(json.dumps(found), encoding="utf-8")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "ops-and-stages.png").write_bytes(b"a picture")
    update_readme.store_gradients(tmp_path, None)
    text = update_readme.gradients_section()
    assert "`make audit`, here `python audit.py --jobs 1`:\n\n- 3 ops\n- 7 s in all\n\na processor, 2 CPU cores" in text


# --- checkers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rules", "defects"), [(True, False), (False, True), (True, True)])
@pytest.mark.usefixtures("stored")
def test_checkers_and_the_defects_that_they_were_shown(rules, defects, tmp_path):
    """What a run was not asked for stays as it was."""
    where = {
        "device": "a processor", "cpus": 2, "packages": {"jax": "1.2"}, "python": "3.11", "started": "2026-01-02T03",
        "command": "compare --out here",
    }  # fmt: skip
    table = [["checker", "wrong rules noticed"], ["theirs", "3 of 4"]]
    board = {"table": [["defects", "theirs"], ["wrong", "1 of 2"]], "sightings": []}
    values = {"environment": where, "table": table, "misjudged": [], "verdicts": [{}] if rules else []}
    values["board"] = board if defects else None
    (tmp_path / "checkers.json").write_text(json.dumps(values), encoding="utf-8")
    update_readme.store_gradients(None, tmp_path)
    text = update_readme.gradients_section()
    assert text.count("`python compare`:") == rules + defects
    assert ("| theirs | 3 of 4 |" in text) == rules
    assert ("| wrong | 1 of 2 |" in text) == defects
    assert ("The defects of JAX" in text) == defects
