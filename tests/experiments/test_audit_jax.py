"""The command that judges the installed JAX: what is judged, what is kept, what is told, and what it refuses."""

import json
from dataclasses import replace
from functools import partial
from itertools import count, islice
from types import SimpleNamespace

import pytest
from convnet.experiments import audit_jax
from mpmath import mp

from convnet.board import board as boards
from convnet.board.case import at, case
from convnet.board.cases import CASES
from convnet.board.inventory import Inventory
from convnet.board.referee import refereed
from convnet.board.run import Row, judged
from tests.report.boards import PROD, board, finding, row

SIN, HALF = "jax.numpy.sin", "jax.lax.stop_gradient"
POINTS = at("generic", 0.5, 1.25)
SMALL = (
    case(SIN, mp.sin, POINTS, dtypes=("float64",)),
    case(HALF, lambda x: x * x, POINTS, call="jax.lax.stop_gradient(x) * x", dtypes=("float64",)),
)
"""One that is right, and one whose derivative JAX is told to take for half of what it is."""


@pytest.fixture
def asked(monkeypatch):
    """Functions that were judged, in this process."""
    done = []

    def rows(cases, settings):
        for one in cases:
            done.append(one.function)
            yield judged(one)

    def audits(cases, settings):
        for one in cases:
            yield one, refereed(one)

    monkeypatch.setattr(audit_jax, "CASES", SMALL)
    table = SimpleNamespace(__name__="convnet.board.cases.image", CASES=SMALL)
    monkeypatch.setattr(audit_jax, "TABLES", (table,))
    monkeypatch.setattr(audit_jax, "rows", rows)
    monkeypatch.setattr(audit_jax, "audits", audits)
    monkeypatch.setattr(audit_jax, "inventory", lambda *_: Inventory((SIN, HALF), {}, ("jax.numpy.tan",), ()))
    return done


def lines_of(out):
    return [line for line in (out / "rows.jsonl").read_text(encoding="utf-8").split("\n") if line]


def test_from_a_function_to_its_entry(asked, tmp_path, capsys):
    out = tmp_path / "out"
    assert audit_jax.main(["--only", "stop_gradient", "--no-audits", "--out", str(out)]) == 0
    assert asked == [HALF]
    found = boards.read(out / "board.json")
    ((first, second),) = found.entries()
    assert [(f["kind"], f["args"], f["got"], f["truth"]) for f in (first, second)] == [
        ("wrong", [0.5], 0.5, "1.0"), ("wrong", [1.25], 1.25, "2.5"),
    ]  # fmt: skip
    assert first["confirmed"] == ["differences of its own values"]
    assert found.inventory["missing"] == ["jax.numpy.tan"]
    assert found.settings["only"] == ["stop_gradient"]
    assert "jax.lax.stop_gradient(x) * x at 0.5: 0.5, and the derivative is 1.0" in (out / "report.html").read_text()
    printed = capsys.readouterr().out
    (line,) = (line.split() for line in printed.splitlines() if line.startswith(HALF))
    assert line == [HALF, "wrong", "x", "0.5", "0.5", "1.0", "float64", "all", "2"]
    assert printed.endswith(f"\n\nreport: {out / 'report.html'}\n")


def test_nothing_is_judged_twice_but_what_was_torn(asked, tmp_path):
    run = partial(audit_jax.main, ["--no-audits", "--out", str(tmp_path)])
    assert run() == 0
    assert sorted(asked) == [HALF, SIN]
    kept, first = lines_of(tmp_path), boards.read(tmp_path / "board.json")
    assert run() == 0
    assert len(asked) == 2
    assert lines_of(tmp_path) == kept
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(text[: text.rindex("}", 0, -4) + 1], encoding="utf-8")
    for _ in range(2):  # what was torn stays where it is, and spoils nothing that follows
        assert run() == 0
        assert len(asked) == 3
        assert boards.read(tmp_path / "board.json").counts() == first.counts()


def test_a_change_of_what_judges_begins_anew(asked, tmp_path, monkeypatch):
    for expected, code in ((1, "first"), (1, "first"), (2, "second")):
        monkeypatch.setattr(audit_jax, "code_hash", lambda *_, code=code: code)
        assert audit_jax.main(["--only", SIN, "--no-audits", "--out", str(tmp_path)]) == 0
        assert len(asked) == expected


def test_the_referee_is_asked_unless_told_otherwise(asked, tmp_path):
    assert audit_jax.main(["--out", str(tmp_path)]) == 0
    found = boards.read(tmp_path / "board.json")
    assert {row["function"]: row["referee"]["verdict"] for row in found.rows} == {SIN: "passed", HALF: "failed"}


def test_after_an_interruption_only_what_is_missing_is_asked(asked, tmp_path, monkeypatch):
    def stopped(cases, settings):
        yield from islice(every(cases, settings), 1)
        raise KeyboardInterrupt

    every, clock = audit_jax.audits, count(100.0, 10.0)
    monkeypatch.setattr(audit_jax.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(audit_jax, "audits", stopped)
    with pytest.raises(KeyboardInterrupt):
        audit_jax.audit_jax(audit_jax.AuditJax(out=tmp_path))
    assert asked == [SIN, HALF]
    *_, kept = (json.loads(line)["seconds"] for line in lines_of(tmp_path))
    clock, left = count(0.0, 0.001), []
    monkeypatch.setattr(audit_jax, "audits", lambda cases, _: every(left.extend(cases) or cases, _))
    assert audit_jax.main(["--out", str(tmp_path)]) == 0
    assert (asked, [one.function for one in left]) == ([SIN, HALF], [HALF])
    found = boards.read(tmp_path / "board.json")
    assert 0 <= found.seconds - kept < 1 < kept  # those of both runs
    assert {row["function"]: row["referee"]["verdict"] for row in found.rows} == {SIN: "passed", HALF: "failed"}


def test_what_crashes_or_hangs_is_told_and_makes_the_command_fail(asked, tmp_path, monkeypatch, capsys):
    lost = [
        Row(SIN, "jnp.sin(x)", SMALL[0].key, "crashed", "its process ended"),
        Row(HALF, "half(x)", SMALL[1].key, "out of time", "after 3 s"),
    ]
    monkeypatch.setattr(audit_jax, "rows", lambda cases, settings: iter(lost))
    assert audit_jax.main(["--out", str(tmp_path)]) == 1
    found = boards.read(tmp_path / "board.json")
    assert [(row["function"], row["status"], row["said"]) for row in found.rows] == [
        (HALF, "out of time", "after 3 s"), (SIN, "crashed", "its process ended"),
    ]  # fmt: skip
    assert "\ncases that could not be judged" in capsys.readouterr().out
    assert "its process ended" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_functions_are_chosen_by_name_or_module():
    assert {case.function for case in audit_jax.chosen(["digamma"])} == {
        "jax.lax.digamma",
        "jax.scipy.special.digamma",
    }
    special = {case.function for case in CASES if case.function.startswith("jax.scipy.special.")}
    assert {case.function for case in audit_jax.chosen(["erf", "jax.scipy.special"])} == special | {"jax.lax.erf"}
    assert audit_jax.chosen([]) == list(CASES)


@pytest.fixture
def stored(tmp_path):
    """Paths of boards of two releases."""
    then = board(row("jax.numpy.prod", PROD), version="0.9.9")
    now = board(row("jax.numpy.prod", finding(args=(0.0, 4.0))))
    for name, one in (("then", then), ("now", now)):
        boards.write(tmp_path / f"{name}.json", one)
    return [str(tmp_path / f"{name}.json") for name in ("then", "now")]


def test_two_boards_are_compared(stored, capsys):
    assert audit_jax.main(["--compare", *stored]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "points"
    assert "then: JAX 0.9.9" in lines[0]
    assert [line.split()[:2] for line in lines[2:]] == [["jax.numpy.prod", "broken"], ["jax.numpy.prod", "fixed"]]


def test_the_document_is_written(stored, tmp_path, capsys):
    assert audit_jax.main(["--document", str(tmp_path / "board.md"), "--boards", *stored]) == 0
    assert "## From JAX 0.9.9 to 0.10.1" in (tmp_path / "board.md").read_text(encoding="utf-8")


def test_what_was_judged_again_takes_the_place_of_what_was(tmp_path):
    keyed = lambda one, key: one | {"key": key}  # noqa: E731
    first, second = keyed(row("jax.numpy.prod", PROD, referee="failed"), "a"), keyed(row(SIN), "b")
    again = keyed(row("jax.numpy.prod", points=9), "a") | {"referee": None}
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    boards.write(whole, board(first, second, seconds=500.0))
    boards.write(part, board(again, seconds=3.0))
    crashed, latest = again | {"status": "crashed"}, tmp_path / "latest.json"
    assert audit_jax.main(["--merge", str(whole), str(part)]) == 0
    found = boards.read(whole)
    assert found.rows == [again | {"referee": first["referee"]}, second]
    assert (found.seconds, found.settings["again"]) == (500.0, ["jax.numpy.prod"])
    assert boards.read(part).rows == [again]
    # A later part goes first, what the referee said of another program goes, and what is new comes in.
    boards.write(latest, board(crashed, keyed(row(HALF), "c")))
    assert audit_jax.main(["--merge", *map(str, (whole, part, latest))]) == 0
    found = boards.read(whole)
    referees = {one["key"]: one["referee"] for one in found.rows}
    assert referees == {"a": None, "b": second["referee"], "c": second["referee"]}
    assert found.settings["again"] == sorted(["jax.numpy.prod", HALF])


def test_the_page_beside_a_board_that_others_are_put_into_is_made_anew(tmp_path):
    whole, part, page = (tmp_path / name for name in ("whole.json", "part.json", "report.html"))
    boards.write(whole, board(row(SIN)))
    boards.write(part, board(row("jax.numpy.prod", PROD)))
    assert audit_jax.main(["--merge", str(whole), str(part)]) == 0
    assert not page.exists()
    page.write_text("of before")
    assert audit_jax.main(["--merge", str(whole), str(part)]) == 0
    assert "jax.numpy.prod" in page.read_text(encoding="utf-8")


def test_boards_of_two_kinds_of_devices_are_not_put_together(tmp_path, refused):
    paths = []
    for backend in ("cpu", "gpu"):
        one = board(row(SIN))
        boards.write(
            path := tmp_path / f"{backend}.json", replace(one, environment=one.environment | {"backend": backend})
        )
        paths.append(str(path))
    assert "merge holds boards of backend cpu and gpu: expected one kind of device" in refused(
        audit_jax.main, "--merge", *paths
    )


def test_boards_of_two_releases_are_not_put_together(stored, tmp_path, refused):
    assert "merge holds boards of jax 0.9.9 and 0.10.1: expected one release" in refused(
        audit_jax.main, "--merge", *stored
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--only", "digama"], "only holds 'digama': did you mean"),
        (["--only", "jax.scipyy"], "only holds 'jax.scipyy': did you mean"),
        (["--jobs", "0"], "jobs is 0: expected 1 or more"),
        (["--limit", "0"], "limit is 0.0: expected a positive number of seconds"),
        (["--document", "board.md"], "boards is []: expected some boards for the --document"),
        (["--merge", "then.json"], "merge is ['then.json']: expected a board, and one or more to put into it"),
        (["--compare", "then.json"], "compare is ['then.json']: expected two boards, then and now"),
        (["--compare", "none.json", "none.json"], "none.json cannot be read as a board"),
    ],
)
def test_bad_input(option, message, refused):
    assert message in refused(audit_jax.main, *option)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2, "rows": []}', "has format 2: expected a board of format 1"),
        ("[]", "has format None: expected a board of format 1"),
        ('{"format": 1, "rows": []}', "is no board: "),
        ("{", "cannot be read as a board: "),
    ],
)
def test_what_is_no_board_is_refused(text, message, stored, tmp_path, refused):
    (tmp_path / "other.json").write_text(text, encoding="utf-8")
    told = refused(audit_jax.main, "--compare", stored[0], str(tmp_path / "other.json"))
    assert f"{tmp_path / 'other.json'} {message}" in told
