"""The referee before functions that anybody might write: no wrong one believed, no right one condemned.

One of each kind here, all of them with `-m sweep` and in `make audit`. tests/gradcheck/test_anybody.py proves without a
checker that the wrong ones are wrong and the right ones right.
"""

import pytest

from convnet.gradcheck import suite
from convnet.gradcheck.evidence.anybody import RIGHT, RIGHT_KINDS, WRONG, WRONG_KINDS

HERE = (
    "a dense layer that forgets its bias where it is differentiated",
    "a layer that drops cotangents below 1e-6",
    "log Σ exp that overflows in float32, with a gradient that does not",
    "a Huber loss with a quadratic's gradient, at small residuals",
    "a softmax whose gradient knows the last axis alone",
    "the sum of a softmax",
    "log1p of tiny numbers",
    "row norms, their oracle by np.linalg.norm",
    "an RMS norm in float32 inside",
    "a softmax of very wide logits",
    "a masked log-softmax",
    "dropout with a key",
)


def named(examples):
    return [pytest.param(e, id=e.name, marks=[] if e.name in HERE else pytest.mark.sweep) for e in examples]


@pytest.mark.slow
@pytest.mark.parametrize("example", named(WRONG))
def test_no_wrong_function_is_believed(example):
    assert suite.audit_anybody(example.name).killed_by


@pytest.mark.slow
@pytest.mark.parametrize("example", named(RIGHT))
def test_no_right_function_is_condemned(example):
    verdict = suite.audit_anybody(example.name)
    assert verdict.killed_by is None, verdict


def test_what_is_run_here_exists():
    assert set(HERE) <= {example.name for example in (*WRONG, *RIGHT)}


@pytest.mark.parametrize(("examples", "kinds"), [(WRONG, WRONG_KINDS), (RIGHT, RIGHT_KINDS)])
def test_there_are_three_of_every_kind(examples, kinds):
    counts = {kind: sum(example.kind == kind for example in examples) for kind in kinds}
    assert min(counts.values()) >= 3, counts
