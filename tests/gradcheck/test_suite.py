"""The referee on the library: all ops pass at level quick, and planted faults are noticed.

Of the planted rules a sample: `make audit` judges all of them.
"""

import numpy as np
import pytest

from convnet.gradcheck import suite
from convnet.gradcheck.cases import CASES
from convnet.gradcheck.mutants import CONTROLS, MUTANTS
from convnet.ops.formulations import ON_CPU

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
@pytest.mark.parametrize("rule", [rule for rule in MUTANTS if not rule.equivalent][::27], ids=lambda rule: rule.name)
def test_a_planted_fault_is_noticed(rule):
    judged = suite.judge_planted("mutant", rule.name)
    assert judged.killed_by, rule.defect


@pytest.mark.slow
@pytest.mark.parametrize("rule", CONTROLS[1::40], ids=lambda rule: rule.name)
def test_a_right_rule_is_believed(rule):
    assert suite.judge_planted("control", rule.name).killed_by is None


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rule for rule in MUTANTS if rule.equivalent][:1], ids=lambda rule: rule.name)
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


def test_every_formulation_that_fits_is_audited_and_no_other():
    """Winograd's zeros cancel: it is no formulation of a case with windows or taps that read nothing but padding."""
    named = {case.name: suite.formulations_of(case) for case in CASES["conv2d"]}
    filtered = {name for name, found in named.items() if any("winograd" in names.values() for names in found)}
    assert filtered == {"SAME 3x3", "asymmetric padding"}
    reached = {(which, form) for found in named.values() for names in found for which, form in names.items()}
    assert reached == {(which, form.name) for which, table in ON_CPU.items() for form in table}
