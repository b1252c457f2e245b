"""The referee on the library: all ops pass at level quick, planted faults are noticed, and the command reports both.

Of the planted rules a sample: `make audit` judges all of them.
"""

import json
import sys

import numpy as np
import pytest
from convnet.experiments import audit_gradients

from convnet.gradcheck import suite
from convnet.gradcheck.cases import CASES
from convnet.gradcheck.mutants import CONTROLS, MUTANTS

# Of ops whose rules have much in common one is audited in every run; tests/ops compares all of them with NumPy.
LIKE_ANOTHER = {
    *("convolve2d", "sum_pool", "leaky_relu", "sigmoid", "tanh", "softplus", "silu", "batch_norm_inference"),
    *("group_norm", "logsumexp", "log_softmax", "crammer_singer_hinge"),
}


@pytest.mark.parametrize(
    "op", [pytest.param(op, marks=pytest.mark.sweep if op in LIKE_ANOTHER else ()) for op in CASES]
)
def test_every_op_passes_at_level_quick(op):
    report = suite.audit_case(op, level="quick")
    assert report.passed, str(report)
    assert {stage for stage, status in report.stages.items() if status == "untested"} <= {"kinks"}, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rule for rule in MUTANTS if not rule.equivalent][::18], ids=lambda rule: rule.name)
def test_a_planted_fault_is_noticed(rule):
    judged = suite.judge_planted("mutant", rule.name)
    assert judged.killed_by, rule.defect


@pytest.mark.slow
@pytest.mark.parametrize("rule", CONTROLS[1::26], ids=lambda rule: rule.name)
def test_a_right_rule_is_believed(rule):
    assert suite.judge_planted("control", rule.name).killed_by is None


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rule for rule in MUTANTS if rule.equivalent][::12], ids=lambda rule: rule.name)
def test_an_equivalent_mutant_is_recognised(rule):
    judged = suite.judge_planted("mutant", rule.name)
    assert judged.killed_by is None
    assert judged.equivalent


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"^op is 'conv3d': expected one of conv2d, "):
        list(suite.cases("conv3d", "quick"))
    with pytest.raises(ValueError, match=r"^level is 'high': expected one of quick, "):
        list(suite.cases("conv2d", "high"))


def test_errors_by_place():
    errors = suite.error_distribution("max_pool", seeds=1)
    assert set(errors) == {"corner", "edge", "interior"}
    assert all(np.isfinite(values).all() for values in errors.values())


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["audit_gradients.py", *map(str, args)])
    return audit_gradients.main()


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit_gradients, "NETWORKS", {"mlp": audit_gradients.NETWORKS["mlp"]})
    assert run(monkeypatch, "--quick", "--op", "relu", "--out", tmp_path / "a", "--jobs", "1") == 0
    printed = capsys.readouterr().out
    assert "1 ops and 1 networks: 2 audits of library rules" in printed
    assert str(tmp_path / "a" / "report.html") in printed
    found = json.loads((tmp_path / "a" / "audit.json").read_text())
    assert found["condemned"] == found["survivors"] == []
    assert found["ops"]["relu"][0]["stages"]["elementwise"] == "passed"
    assert (tmp_path / "a" / "figures" / "ops-and-stages.png").stat().st_size > 5000


def test_bad_input_exits_with_one_line(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--quick", "--op", "conv3d", "--out", tmp_path) == 2
    assert capsys.readouterr().err.startswith("error: op is 'conv3d': expected one of")
    assert run(monkeypatch, "--quick", "--seeds", "0", "--out", tmp_path) == 2
    assert "seeds is 0: expected 1 or more" in capsys.readouterr().err


def test_a_failure_is_exit_code_1(tmp_path, monkeypatch, capsys):
    """A worker that is told to audit a broken op reports it; here the broken op is a planted one."""
    broken = next(rule for rule in MUTANTS if rule.op == "relu" and not rule.equivalent)

    def results(tasks, jobs):
        for task in (task for task in tasks if task.kind == "case"):
            judged = suite.auditor_of(broken.build(), (broken.cases or CASES["relu"])[0], kinks=True)
            args = (broken.cases or CASES["relu"])[0].draw(np.random.default_rng(0))
            yield task, (judged.audit(args, level="quick"), [])

    monkeypatch.setattr(audit_gradients, "results_of", results)
    assert run(monkeypatch, "--quick", "--op", "relu", "--out", tmp_path) == 1
    assert "FAILED" in capsys.readouterr().out
