"""The command that audits the library: what it writes, where, and its exit codes."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from convnet.experiments import audit_gradients
from convnet.experiments.audit_gradients import Audit

from convnet.gradcheck import suite
from convnet.gradcheck.evidence import EVIDENCE, MUTANTS


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["audit_gradients.py", *map(str, args)])
    return audit_gradients.main()


@pytest.fixture
def here(tmp_path, monkeypatch, unseen_pictures):
    """An empty directory to run in, and no processes: every op has one report, of an audit done once."""
    report = suite.audit_case("relu", level="quick", stages=["hygiene", "elementwise"])

    def results(tasks, jobs):
        yield from ((task, (report, [])) for task in tasks if task.kind == "case")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit_gradients, "results_of", results)
    return tmp_path


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit_gradients, "NETWORKS", {"linear": audit_gradients.NETWORKS["linear"]})
    assert run(monkeypatch, "--quick", "--op", "relu", "--out", tmp_path / "a", "--jobs", "1") == 0
    printed = capsys.readouterr().out
    assert "1 ops and 1 networks: 2 audits of library rules" in printed
    assert str(tmp_path / "a" / "report.html") in printed
    found = json.loads((tmp_path / "a" / "audit.json").read_text(encoding="utf-8"))
    assert found["condemned"] == found["survivors"] == []
    assert found["ops"]["relu"][0]["stages"]["elementwise"] == "passed"
    assert (tmp_path / "a" / "figures" / "ops-and-stages.png").stat().st_size > 5000


def test_bad_input_exits_with_one_line(tmp_path, monkeypatch, capsys):
    out = tmp_path / "a"
    assert run(monkeypatch, "--quick", "--op", "conv3d", "--out", out) == 2
    assert capsys.readouterr().err.startswith("error: op is 'conv3d': expected one of")
    assert run(monkeypatch, "--quick", "--seeds", "0", "--out", out) == 2
    assert "seeds is 0: expected 1 or more" in capsys.readouterr().err
    assert not out.exists()


def test_an_empty_directory_is_refused(here, monkeypatch, capsys):
    """It would be the one that the command runs in."""
    assert run(monkeypatch, "--quick", "--out", "") == 2
    assert "out is ''" in capsys.readouterr().err
    assert not list(here.iterdir())


def test_a_failure_is_exit_code_1(tmp_path, monkeypatch, capsys):
    """A worker that is told to audit a broken op reports it; here the broken op is a planted one."""
    broken = next(rule for rule in MUTANTS if rule.op == "relu" and not rule.equivalent)

    def results(tasks, jobs):
        for task in (task for task in tasks if task.kind == "case"):
            audited = suite.auditor_of(broken.build(), (broken.cases or EVIDENCE["relu"].cases)[0], kinks=True)
            args = (broken.cases or EVIDENCE["relu"].cases)[0].draw(np.random.default_rng(0))
            yield task, (audited.audit(args, level="quick"), [])

    monkeypatch.setattr(audit_gradients, "results_of", results)
    assert run(monkeypatch, "--quick", "--op", "relu", "--out", tmp_path) == 1
    assert "FAILED" in capsys.readouterr().out


def test_seconds_are_those_of_the_tasks(here, monkeypatch):
    """Not those of planning before, or of writing after them."""
    now = [100.0]

    def passing(seconds, function):
        def call(*args):
            now.append(now.pop() + seconds)
            return function(*args)

        return call

    monkeypatch.setattr(audit_gradients.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(audit_gradients, "tasks_of", passing(1000.0, audit_gradients.tasks_of))
    monkeypatch.setattr(audit_gradients, "results_of", passing(7.0, lambda tasks, jobs: iter(())))
    monkeypatch.setattr(audit_gradients, "write_audit", passing(1000.0, audit_gradients.write_audit))
    run(monkeypatch, "--op", "relu", "--out", "a")
    assert json.loads(Path("a", "audit.json").read_text(encoding="utf-8"))["seconds"] == 7.0


def test_after_an_interruption_only_what_is_missing_is_audited(here, monkeypatch):
    """Not what was kept, but what was torn; and the seconds are those of both runs."""
    report = suite.audit_case("relu", level="quick", stages=["hygiene"])
    asked, now, stop_after = [], [0.0], [2]

    def results(tasks, jobs):
        for task in tasks:
            if len(asked) == stop_after[0]:
                raise KeyboardInterrupt
            now[0] += 10.0
            asked.append(task.name)
            yield task, (report, [])

    monkeypatch.setattr(audit_gradients.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(audit_gradients, "results_of", results)
    command = ("--op", "relu", "tanh", "sigmoid", "--level", "quick", "--no-planted", "--out", "a")
    assert run(monkeypatch, *command) == 130
    assert asked == ["relu", "tanh"]
    assert not Path("a", "audit.json").exists()
    torn, _ = sorted(Path("a", "unfinished").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    torn.write_bytes(torn.read_bytes()[:-10])
    stop_after[0] = None
    run(monkeypatch, *command)
    assert asked == ["relu", "tanh", "relu", "sigmoid"]
    found = json.loads(Path("a", "audit.json").read_text(encoding="utf-8"))
    assert (set(found["ops"]), found["seconds"]) == ({"relu", "tanh", "sigmoid"}, 40.0)
    assert not Path("a", "unfinished").exists()


# --- where results go -------------------------------------------------------------------------------------------------


def test_a_selection_has_a_directory_of_its_own(here, monkeypatch, capsys):
    """An audit of everything takes a long time: no other one is written over it."""
    assert run(monkeypatch) == 0
    whole = Path("runs", "audit", "audit.json").read_bytes()
    for args in (["--op", "tanh"], ["--level", "quick"], ["--no-planted"], ["--seeds", 2], ["--quick"]):
        assert run(monkeypatch, *args) == 0
    directories = sorted(path.name for path in Path("runs").iterdir())
    assert len(directories) == 6
    assert {"audit", "audit-quick"} < set(directories)
    assert Path("runs", "audit", "audit.json").read_bytes() == whole
    capsys.readouterr()
    assert run(monkeypatch, "--op", "tanh", "--out", "runs/audit") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: out is 'runs/audit': holds results of other settings: op (")
    assert error.endswith("choose another --out\n")
    assert Path("runs", "audit", "audit.json").read_bytes() == whole


def test_the_same_settings_replace_their_results(here, monkeypatch):
    """In another order and with other processes they are the same."""
    assert run(monkeypatch, "--op", "tanh", "relu", "--out", "a") == 0
    report = suite.audit_case("relu", level="quick", stages=["hygiene"])
    monkeypatch.setattr(audit_gradients, "results_of", lambda tasks, jobs: [(tasks[0], (report, []))])
    assert run(monkeypatch, "--op", "relu", "tanh", "relu", "--out", "a", "--jobs", 1) == 1
    assert json.loads(Path("a", "audit.json").read_text(encoding="utf-8"))["condemned"]


def test_a_directory_with_other_files_is_refused(here, monkeypatch, capsys):
    Path("a").mkdir()
    Path("a", "audit.json").write_text("{}")
    assert run(monkeypatch, "--quick", "--out", "a") == 2
    assert "holds files of something else (audit.json)" in capsys.readouterr().err


def test_what_is_asked_is_told_by_the_settings_alone():
    assert Audit(jobs=3, out=Path("a")).asked() == Audit().asked()
    assert Audit(op=("relu",), quick=True).asked() != Audit(op=("relu",), level="quick", planted=False).asked()
    assert Audit(quick=True).directory() == Path("runs", "audit-quick")


def test_the_processes_are_those_that_may_run(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert Audit().jobs == 3


def test_help_reads_right_in_both_forms(monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        run(monkeypatch, "--help")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--planted, --no-planted Whether planted wrong rules are audited" in shown
    assert "--quick, --no-quick Whether only three ops" in shown


def test_a_case_is_audited_once_and_then_quickly_for_each_further_seed(monkeypatch):
    asked = []
    monkeypatch.setattr(suite, "audit_case", lambda *args, **options: asked.append(options) or len(asked))
    task = audit_gradients.Task("case", "tanh", seeds=3)
    assert audit_gradients.run_task(task) == (1, [2, 3, 4])
    assert [(one.get("seed"), one["level"]) for one in asked] == [
        (None, "standard"), (1, "quick"), (2, "quick"), (3, "quick"),
    ]  # fmt: skip
