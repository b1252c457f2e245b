"""The count of false alarms: what is audited, what is kept, and that an alarm is told and makes the command fail."""

import json
import sys
from dataclasses import replace

import pytest
from convnet.experiments import false_alarms
from convnet.experiments.false_alarms import (
    FalseAlarms,
    Task,
    alarm_table,
    alarms_page,
    chosen,
    count_table,
    stage_table,
    tasks_of,
)

from convnet.gradcheck.campaign import Outcome
from convnet.gradcheck.evidence.right_functions import RIGHT_FUNCTIONS
from convnet.gradcheck.evidence.right_functions.right import normal, right
from tests.gradcheck.test_campaign import halved
from tests.report.drawn import cells, titled
from tests.report.handmade import CARD, picture_of, sections_of

FINE = Outcome("losses", "hinge", 1.0, 0, "standard", (), True, 2.0)
FOUND = [
    FINE,
    replace(FINE, draw=1, level="quick", seconds=0.5),
    replace(FINE, function="inv", origin="matrices", scale=1e3, alarms=("taylor: order: 1", "power: x: y")),
    replace(FINE, function="inv", origin="matrices", scale=0.1, alarms=("error: ValueError: no",)),
    replace(FINE, function="det", origin="matrices", alarms=("taylor: order: 0",)),
    replace(FINE, function="svd", origin="matrices", compared=False),
]


def test_counts_by_origin():
    assert count_table(FOUND) == [
        ["functions from", "functions", "audits", "alarms", "not compared", "s, quick", "s, standard"],
        ["losses", "1", "2", "0", "0", "0.5", "2"],
        ["matrices", "3", "4", "3", "1", "", "2"],
        ["all", "4", "6", "3", "1", "0.5", "2"],
    ]


def test_counts_by_stage():
    assert stage_table(FOUND) == [["stage", "alarms"], ["taylor", "2"], ["error", "1"]]


def test_alarms_by_function_with_the_first_message():
    assert alarm_table(FOUND) == [
        ["function", "alarms", "at scales", "first message"],
        ["inv", "2", "0.1, 1000", "taylor: order: 1"],
        ["det", "1", "1", "taylor: order: 0"],
    ]


def test_the_page():
    page = alarms_page(FOUND, {"By origin": count_table(FOUND), "Alarms": [["function"]]}, CARD)
    assert page.facts == CARD
    sections = sections_of(page)
    assert sections["By origin"].table == count_table(FOUND)
    assert "Alarms" not in sections
    panels = titled(picture_of(sections["Audits with an alarm"]).figure)
    assert {row: text for (row, _), text in cells(panels["Audits with an alarm"]).items()} == {0: "0 of 2", 1: "3 of 4"}


def test_functions_are_chosen_by_name_or_origin():
    assert [function.name for _, function in chosen(["relu", "inv"])] == ["relu", "inv"]
    assert [function.name for _, function in chosen(["signals"])] == [f.name for f in RIGHT_FUNCTIONS["signals"]]
    assert len(chosen([])) == sum(map(len, RIGHT_FUNCTIONS.values()))
    with pytest.raises(ValueError, match=r"^only holds 'lossses': did you mean .*losses"):
        chosen(["relu", "lossses"])


def test_only_what_is_missing_is_done():
    settings = FalseAlarms(only=("relu",), draws=2)
    (task,) = tasks_of(settings, [])
    assert (task.draws, task.scales, task.done, task.size) == ((0, 1), (1e-3, 0.1, 1.0, 30.0, 1e3), frozenset(), 10)
    some = [replace(FINE, function="relu", scale=scale, draw=draw) for scale, draw in [(0.1, 0), (30.0, 1)]]
    (task,) = tasks_of(settings, some)
    assert (task.done, task.size) == ({(0.1, 0), (30.0, 1)}, 8)
    everything = [replace(FINE, function="relu", scale=scale, draw=draw) for scale in task.scales for draw in (0, 1)]
    assert tasks_of(settings, everything) == []


def test_quick(tmp_path, capsys):
    """Runs, keeps its outcomes, and runs nothing the second time. In this process: others have a test below."""
    out = tmp_path / "out"
    assert false_alarms.main(["--quick", "--jobs", "1", "--out", str(out)]) == 0
    lines = (out / "audits.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["function"] for line in lines} == {"relu", "huber_loss", "norm of a vector"}
    printed = capsys.readouterr().out
    assert "all                     3       3       0" in printed
    assert false_alarms.main(["--quick", "--jobs", "1", "--out", str(out)]) == 0
    assert capsys.readouterr().out == printed
    assert (out / "audits.jsonl").read_text(encoding="utf-8").splitlines() == lines


RELU = "jax.nn.relu(x), in x"


def test_mathematics_is_audited_where_it_is_asked_for(tmp_path, capsys):
    """At points of the board; one more than a case has is none. Nothing is done twice, and others are left alone."""
    assert not [origin for origin, _ in chosen([]) if origin == "mathematics"]
    assert {origin for origin, _ in chosen(["mathematics"])} == {"mathematics"}
    ((_, relu),) = chosen([RELU])
    (task,) = tasks_of(FalseAlarms(only=(RELU,), draws=1000), [])
    assert task.draws == tuple(range(len(relu.points)))
    command = ["--only", "huber_loss", RELU, "--level", "quick", "--draws", "1", "--jobs", "1", "--quick"]
    command += ["--out", str(tmp_path)]
    for _ in range(2):
        assert false_alarms.main(command) == 0
        assert "mathematics             1       1       0             0" in capsys.readouterr().out
        lines = [json.loads(line) for line in (tmp_path / "audits.jsonl").read_text(encoding="utf-8").splitlines()]
        asked = [(line["origin"], line["function"]) for line in lines]
        assert asked == [("losses", "huber_loss"), ("mathematics", RELU)]
        assert lines[0]["code"] != lines[1]["code"]


def test_without_the_boards_oracles_there_is_no_mathematics(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "convnet.board.cases", None)
    with pytest.raises(ValueError, match="only holds 'mathematics'"):
        chosen(["mathematics"])
    assert "(extra board): there is no mathematics to audit" in capsys.readouterr().err


@pytest.fixture
def planted(monkeypatch):
    wrong = right("halved", halved, normal((3,)), (1.0, 10.0), reference=lambda x: x**2)
    fine = right("square", lambda x: x**2, normal((3,)), (1.0,))
    monkeypatch.setattr(false_alarms, "RIGHT_FUNCTIONS", {"here": (wrong, fine)})


def test_a_wrong_function_is_an_alarm(planted, tmp_path, capsys):
    out = tmp_path / "out"
    assert false_alarms.main(["--level", "quick", "--draws", "1", "--jobs", "1", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "halved         2      1, 10  elementwise: gradient, autodiff" in printed
    told = json.loads((out / "false_alarms.json").read_text(encoding="utf-8"))
    assert [(alarm["function"], alarm["scale"]) for alarm in told["alarms"]] == [("halved", 1.0), ("halved", 10.0)]
    assert "elementwise: gradient, autodiff" in (out / "report.html").read_text(encoding="utf-8")


def test_a_change_of_what_judges_begins_anew(planted, tmp_path, monkeypatch):
    settings = ["--only", "square", "--level", "quick", "--draws", "1", "--jobs", "1", "--out", str(tmp_path)]
    codes = ["first", "first", "second"]
    for expected, code in zip((1, 1, 2), codes, strict=True):
        monkeypatch.setattr(false_alarms, "code_hash", lambda *_, code=code: code)
        assert false_alarms.main(settings) == 0
        assert len((tmp_path / "audits.jsonl").read_text(encoding="utf-8").splitlines()) == expected


def test_processes_give_what_one_gives(tmp_path):
    tasks = [Task("jax.nn", name, (0,), "quick", (1.0,)) for name in ("relu", "identity")]
    several = [replace(outcome, seconds=0) for found in false_alarms.results_of(tasks, 2) for outcome in found]
    one = [replace(outcome, seconds=0) for found in false_alarms.results_of(tasks, 1) for outcome in found]
    assert sorted(several, key=lambda o: o.function) == sorted(one, key=lambda o: o.function)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--draws", "0"], "draws is 0: expected 1 or more"),
        (["--jobs", "0"], "jobs is 0: expected 1 or more"),
        (["--seed", "-1"], "seed is -1: expected 0 or more"),
        (["--only", "reluu"], "only holds 'reluu': did you mean"),
    ],
)
def test_bad_input(option, message, refused):
    assert message in refused(false_alarms.main, *option)
