"""Which checker noticed what: every number beside its checker, and times of what they are said to be."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import jax
import pytest
from convnet.experiments import compare_checkers
from convnet.experiments.compare_checkers import CompareCheckers, checkers_page
from mpmath import mp

from convnet.board import board as boards
from convnet.board import cases, checkers
from convnet.board.case import at, case
from convnet.board.inventory import Inventory
from convnet.board.run import judged
from convnet.gradcheck.checkers import Verdict, rule_table, table_of
from convnet.json_lines import Kept
from tests.report.drawn import bars, cells, ticks_of, titled
from tests.report.handmade import CARD, WHERE, picture_of, sections_of

VERDICTS = [
    Verdict("ours", "halved", "wrong", True, 1.0),
    Verdict("theirs", "halved", "wrong", True, 10.0),
    Verdict("ours", "shifted", "wrong", True, 2.0),
    Verdict("theirs", "shifted", "wrong", False, 20.0),
    Verdict("ours", "vmap", "wrong", True, 9.0),
    Verdict("theirs", "vmap", "wrong", False, 90.0),
    Verdict("ours", "in two steps", "right", False, 3.0),
    Verdict("theirs", "in two steps", "right", True, 30.0),
    Verdict("ours", "a clipped gradient", "wrong", True, 2.5, anybody=True),
    Verdict("theirs", "a clipped gradient", "wrong", False, 25.0, anybody=True),
    Verdict("ours", "a masked softmax", "right", False, 2.5, anybody=True),
    Verdict("theirs", "a masked softmax", "right", True, 25.0, anybody=True),
]


def test_one_line_per_checker():
    """Seconds: medians of 1, 2, 9 and 3, and of ten times as many."""
    assert table_of(VERDICTS) == [
        [
            "checker",
            "wrong rules noticed",
            "right rules rejected",
            "anybody's wrong ones noticed",
            "anybody's right ones rejected",
            "median s / rule",
        ],
        ["ours", "3 of 3", "0 of 1", "1 of 1", "0 of 1", "2.5"],
        ["theirs", "1 of 3", "1 of 1", "0 of 1", "1 of 1", "25"],
    ]


def test_one_line_per_rule_with_mistakes_in_capitals():
    assert rule_table(VERDICTS) == [
        ["rule", "in truth", "ours", "theirs"],
        ["halved", "wrong", "rejected", "rejected"],
        ["shifted", "wrong", "rejected", "BELIEVED"],
        ["vmap", "wrong", "rejected", "BELIEVED"],
        ["in two steps", "right", "believed", "REJECTED"],
        ["a clipped gradient", "wrong", "rejected", "BELIEVED"],
        ["a masked softmax", "right", "believed", "REJECTED"],
    ]


def test_the_page():
    page = checkers_page(VERDICTS, CARD, [])
    assert page.facts == CARD
    sections = sections_of(page)
    assert list(sections) == ["Checkers", "Noticed and wrongly rejected", "Every rule"]
    assert sections["Checkers"].table == table_of(VERDICTS)
    assert sections["Every rule"].table == rule_table(VERDICTS)
    panels = titled(picture_of(sections["Noticed and wrongly rejected"]).figure)
    assert bars(panels["wrong rules noticed"]) == {0: (0, 1), 1: (0, pytest.approx(1 / 3))}
    assert bars(panels["right rules rejected"]) == {0: (0, 0), 1: (0, 1)}
    assert ticks_of(panels["wrong rules noticed"].yaxis) == {0: "ours", 1: "theirs"}
    assert {row: text for (row, _), text in cells(panels["wrong rules noticed"]).items()} == {0: "3 of 3", 1: "1 of 3"}


def test_the_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare_checkers, "environment", lambda: WHERE)
    monkeypatch.setattr(compare_checkers, "installed", lambda: {"ours": None, "theirs": None})
    monkeypatch.setattr(compare_checkers, "all_verdicts", lambda *asked: VERDICTS)
    monkeypatch.setattr(compare_checkers, "BOARDS", tmp_path / "none")
    assert compare_checkers.main(["--out", str(tmp_path / "out")]) == 0
    stored = json.loads((tmp_path / "out" / "checkers.json").read_text(encoding="utf-8"))
    assert stored == {
        "environment": WHERE,
        "table": table_of(VERDICTS),
        "misjudged": [asdict(v) for v in VERDICTS if (v.checker, v.rule) in MISTAKES],
        "verdicts": [asdict(v) for v in VERDICTS],
        "board": None,
    }
    assert len(stored["misjudged"]) == 5
    printed = capsys.readouterr()
    assert str(tmp_path / "out" / "report.html") in printed.out
    assert f"no board of JAX {jax.__version__} is stored: its defects are left out" in printed.err


MISTAKES = {("theirs", rule) for rule in ("shifted", "vmap", "in two steps", "a clipped gradient", "a masked softmax")}


# --- defects of a board -----------------------------------------------------------------------------------------------

TRAP, SMALL, RIGHT = (
    case("jax.numpy.where", lambda x: mp.sin(x) / x if x else mp.mpf(1), at("zero", 0.0),
         call="jnp.where(x == 0, 1.0, jnp.sin(x) / x)", dtypes=("float64",)),
    case("jax.lax.stop_gradient", lambda x: x * mp.mpf(1e-7), at("generic", 0.75),
         call="lax.stop_gradient(1e-7 * x)", dtypes=("float64",)),
    case("jax.numpy.sin", mp.sin, at("generic", 0.75), dtypes=("float64",)),
)  # fmt: skip
"""NaN; 0 instead of 1e-7; and nothing wrong."""


@pytest.fixture
def board(monkeypatch):
    """Judged here, as the tables would be."""
    known = (TRAP, SMALL, RIGHT)
    monkeypatch.setattr(cases, "CASES", known)
    monkeypatch.setattr(compare_checkers, "installed", lambda: {"ours": None, "theirs": None})
    monkeypatch.setattr(compare_checkers, "all_verdicts", lambda *asked: VERDICTS)
    monkeypatch.setattr(checkers, "find_spec", lambda name: None)
    rows = [boards.plain_row(judged(one)) for one in known]
    return boards.board_of(rows, Inventory((), {}, (), ()), {"packages": {"jax": jax.__version__}}, {}, 1.0)


KINDS = [
    ["defects", "entries", "convnet", "check_grads", "torch gradcheck"],
    ["wrong", "1", "1 of 1", "0 of 1", "not measured"],
    ["not finite", "1", "1 of 1", "1 of 1", "not measured"],
    ["all", "2", "2 of 2", "1 of 2", "not measured"],
]


def test_defects_go_to_every_checker(board, tmp_path, monkeypatch, capsys):
    """The stored board and a board that is named are the same, and so is what is asked of them."""
    monkeypatch.setattr(compare_checkers, "BOARDS", tmp_path)
    boards.write(tmp_path / f"{jax.__version__}.json", board)
    boards.write(tmp_path / "named.json", board)
    monkeypatch.chdir(tmp_path)
    assert compare_checkers.main(["--board", "named.json"]) == 0
    stored = json.loads(Path("runs/checkers/checkers.json").read_text(encoding="utf-8"))["board"]
    assert stored["table"] == KINDS
    assert [(s["call"], s["args"], s["answers"]["check_grads"]) for s in stored["sightings"]] == [
        (SMALL.call, [0.75], "not seen"), (TRAP.call, [0.0], "seen"),
    ]  # fmt: skip
    assert "Every defect" in Path("runs/checkers/report.html").read_text(encoding="utf-8")
    assert re.search(r"^wrong +1 +1 of 1 +0 of 1 +not measured$", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr(compare_checkers, "all_sightings", lambda *asked: [])
    assert compare_checkers.main(["--out", "runs/checkers"]) == 0


def test_half_of_it_is_asked_alone(board, tmp_path, monkeypatch):
    monkeypatch.setattr(compare_checkers, "BOARDS", tmp_path)
    boards.write(tmp_path / f"{jax.__version__}.json", board)
    for only, rules, defects in (("rules", VERDICTS, None), ("defects", [], KINDS)):
        assert compare_checkers.main(["--only", only, "--out", str(tmp_path / only)]) == 0
        stored = json.loads((tmp_path / only / "checkers.json").read_text(encoding="utf-8"))
        assert stored["verdicts"] == [asdict(v) for v in rules]
        assert (stored["board"] and stored["board"]["table"]) == defects
        page = (tmp_path / only / "report.html").read_text(encoding="utf-8")
        assert ["Every rule" in page, "Every defect" in page] == [bool(rules), bool(defects)]


def test_defects_alone_need_a_board(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare_checkers, "BOARDS", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert compare_checkers.main(["--only", "defects"]) == 2
    assert "only is 'defects': expected a board to go with it (--board)" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_what_was_asked_before_an_interruption_is_not_asked_again(board, tmp_path, monkeypatch):
    """The second defect ends the process; the same command asks for that one alone."""
    monkeypatch.setattr(compare_checkers, "BOARDS", tmp_path)
    boards.write(tmp_path / f"{jax.__version__}.json", board)
    asked, command = [], ["--only", "defects", "--out", str(tmp_path / "out")]

    def answer(finding, subject, known):
        asked.append(finding["call"])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return sighting(finding, subject, known)

    sighting = checkers.sighting
    monkeypatch.setattr(checkers, "sighting", answer)
    assert compare_checkers.main(command) != 0
    assert compare_checkers.main(command) == 0
    assert asked == [SMALL.call, TRAP.call, TRAP.call]
    stored = json.loads((tmp_path / "out" / "checkers.json").read_text(encoding="utf-8"))
    assert stored["board"]["table"] == KINDS


def test_a_defect_whose_case_is_gone_is_told(board, monkeypatch, capsys):
    monkeypatch.setattr(cases, "CASES", (TRAP,))
    monkeypatch.setattr(checkers, "installed", lambda: {"none": None})
    assert [s.call for s in compare_checkers.all_sightings(board, False, Kept(None, ""))] == [TRAP.call]
    assert f"{SMALL.call}: no case of this version has the point; left out" in capsys.readouterr().err


def test_quick_are_two_defects(board, monkeypatch):
    (first, *_), (second, *_) = board.entries()
    monkeypatch.setattr(type(board), "entries", lambda board: [[first], [second], [first]])
    monkeypatch.setattr(checkers, "installed", lambda: {"none": None})
    assert [len(compare_checkers.all_sightings(board, quick, Kept(None, ""))) for quick in (True, False)] == [2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"named\.json cannot be read as a board"),
        ('{"format": 0}', "has format 0: expected a board of format 1"),
        ("older", rf"board is 'named\.json': expected a board of JAX {jax.__version__}, which .* one is of 0\.1\.2$"),
    ],
)
def test_boards_that_cannot_be_shown(text, message, board, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if text == "older":
        boards.write(Path("named.json"), replace(board, environment={"packages": {"jax": "0.1.2"}}))
    elif text is not None:
        Path("named.json").write_text(text, encoding="utf-8")
    assert compare_checkers.main(["--board", "named.json"]) == 2
    assert re.search(message, capsys.readouterr().err.strip())
    assert not Path("runs").exists()


# --- one verdict ------------------------------------------------------------------------------------------------------


def test_quick_are_two_wrong_rules_and_one_right_before_every_checker(monkeypatch):
    monkeypatch.setattr(
        compare_checkers,
        "verdict",
        lambda name, checker, rule, kind, seeds: Verdict(name, rule.name, kind, True, seeds),
    )
    both = {"ours": None, "theirs": None}
    quick = compare_checkers.all_verdicts(CompareCheckers(quick=True, seeds=7), both, Kept(None, ""))
    assert {(v.checker, v.kind): sum(w.checker == v.checker and w.kind == v.kind for w in quick) for v in quick} == {
        ("ours", "wrong"): 2, ("theirs", "wrong"): 2, ("ours", "right"): 1, ("theirs", "right"): 1,
    }  # fmt: skip
    assert {v.seconds for v in quick} == {7}
    everything = compare_checkers.all_verdicts(CompareCheckers(), {"ours": None}, Kept(None, ""))
    wrong = {v.rule for v in everything if v.kind == "wrong"}
    right = {v.rule for v in everything if v.kind == "right"}
    planted, anybodys = compare_checkers.MUTANTS, compare_checkers.WRONG
    assert wrong == {rule.name for rule in planted if not rule.equivalent} | {rule.name for rule in anybodys}
    unusual = (*compare_checkers.CONTROLS, *compare_checkers.RIGHT)
    assert right == {rule.name for rule in unusual} | {rule.name for rule in planted if rule.equivalent}
