"""The referee on the library: all ops pass at level quick, and planted faults are noticed.

Of the planted rules a sample: `make audit` takes all of them.
"""

import numpy as np
import pytest

from convnet.gradcheck import suite
from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops.formulations import ON_CPU

# Of ops whose rules have much in common one is audited in every run; tests/ops compares all of them with NumPy.
LIKE_ANOTHER = {
    *("convolve2d", "sum_pool", "leaky_relu", "sigmoid", "tanh", "softplus", "silu", "batch_norm_inference"),
    *("group_norm", "layer_norm", "logsumexp", "log_softmax", "crammer_singer_hinge", "dense", "conv_transpose2d"),
    *("avg_pool", "global_avg_pool", "dropout", "local_response_norm"),
}

# One or two of every kind of fault, among them the smallest; and right rules whose sums have another order.
FAULTS = (
    *("conv dx: dilation forgotten", "conv dw: averaged", "max pool: first row", "layer norm: first axis counts rows"),
    *("tanh: no square", "softmax_cross_entropy: vmap", "conv2d: all off by 1e-02", "conv2d: corner off by 1e-05"),
)
SWEPT = pytest.mark.sweep
RIGHT = ("avg pool by matrices", pytest.param("conv dx by scattering", marks=SWEPT))
EQUIVALENT = (
    "gram: symmetric, one channel",
    pytest.param("conv dx: one channel reshaped", marks=SWEPT),
)


@pytest.mark.parametrize(
    "op", [pytest.param(op, marks=pytest.mark.sweep if op in LIKE_ANOTHER else ()) for op in EVIDENCE]
)
def test_every_op_passes_at_level_quick(op):
    report = suite.audit_case(op, level="quick")
    assert report.passed, str(report)
    untested = {stage for stage, status in report.stages.items() if status == "untested"}
    assert untested <= {"kinks", "higher orders", "variations", "scope"}, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_noticed(name):
    assert suite.audit_planted("mutant", name).killed_by


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_rule_is_believed(name):
    assert suite.audit_planted("control", name).killed_by is None


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUIVALENT)
def test_an_equivalent_mutant_is_recognised(name):
    found = suite.audit_planted("mutant", name)
    assert found.killed_by is None
    assert found.equivalent


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
    named = {case.name: suite.formulations_of(case) for case in EVIDENCE["conv2d"].cases}
    filtered = {name for name, found in named.items() if any("winograd" in names.values() for names in found)}
    assert filtered == {"SAME 3x3", "asymmetric padding"}
    reached = {(which, form) for found in named.values() for names in found for which, form in names.items()}
    assert reached == {(which, form.name) for which, table in ON_CPU.items() for form in table}
