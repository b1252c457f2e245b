"""The referee before functions that anybody might write: no wrong one believed, no right one condemned.

One of each kind here, all of them with `-m sweep` and in `make audit`. tests/gradcheck/test_anybody.py proves without a
checker that the wrong ones are wrong and the right ones right.
"""

import pytest

from convnet.gradcheck import suite
from convnet.gradcheck.evidence.anybody import RIGHT, RIGHT_KINDS, WRONG, WRONG_KINDS
from tests.gradcheck.truths import HERE, sampled


@pytest.mark.slow
@pytest.mark.parametrize("example", sampled(WRONG))
def test_no_wrong_function_is_believed(example):
    assert suite.audit_anybody(example.name).killed_by


@pytest.mark.slow
@pytest.mark.parametrize("example", sampled(RIGHT))
def test_no_right_function_is_condemned(example):
    verdict = suite.audit_anybody(example.name)
    assert verdict.killed_by is None, verdict


def test_what_is_run_here_exists():
    assert set(HERE) <= {example.name for example in (*WRONG, *RIGHT)}


@pytest.mark.parametrize(("examples", "kinds"), [(WRONG, WRONG_KINDS), (RIGHT, RIGHT_KINDS)])
def test_there_are_three_of_every_kind(examples, kinds):
    counts = {kind: sum(example.kind == kind for example in examples) for kind in kinds}
    assert min(counts.values()) >= 3, counts
