"""Whatever a function does to its process, it is a row."""

import pytest

from convnet.board.run import Settings, audits, row_of, rows
from tests.board import trouble


@pytest.fixture(scope="module")
def found():
    """A row of each, by the function's last name. What hangs has little time, the others have as long as any machine
    may take."""
    hangs, *others = trouble.CASES
    limits = ((3, [hangs]), (600, others))
    settings = {limit: Settings(jobs=1, limit=limit, table="tests.board.trouble") for limit, _ in limits}
    found = [row for limit, cases in limits for row in rows(cases, settings[limit])]
    return {row.function.split(".")[-1]: row for row in found}


def test_one_that_hangs_is_ended(found):
    assert (found["hangs"].status, found["hangs"].said) == ("out of time", "ended after 3 s")


def test_one_that_crashes_takes_no_other_with_it(found):
    assert found["crashes"].status == "crashed"
    assert found["crashes"].said.startswith("its process ended with code")
    assert found["sin"].status == "judged"
    assert found["sin"].outcome.points == 1


def test_one_that_refuses_says_why(found):
    assert (found["refuses"].status, found["refuses"].said) == ("refused", "TypeError: not of this kind")


def test_the_referee_is_asked_too():
    (case,) = (case for case in trouble.CASES if case.function == "jax.numpy.sin")
    ((of, said),) = audits([case], Settings(limit=600, table="tests.board.trouble"))
    assert (of, said.verdict, said.said) == (case, "passed", "")
    assert said.peak > 2**20
    assert said.seconds > 0


def test_an_audit_that_hangs_is_ended():
    hangs = trouble.CASES[0]
    ((of, said),) = audits([hangs], Settings(limit=3, table="tests.board.trouble"))
    assert (of, said.verdict, said.said) == (hangs, "none", "out of time: ended after 3 s")


def test_the_first_case_of_a_function_is_asked_without_jit_too():
    keys = [case.key for case in trouble.CASES if case.function == "jax.numpy.cos"]
    first, second = (row_of("tests.board.trouble", key)[0].outcome for key in keys)
    assert not first.findings
    assert not second.findings
    assert first.compared == second.compared + 1


def test_what_hangs_on_how_operations_are_compiled_is_judged_as_users_have_it(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    (case,) = (case for case in trouble.CASES if case.function == "numpy.rounds")
    (row,) = rows([case], Settings(limit=600, table="tests.board.trouble"))
    assert (row.status, row.outcome.findings) == ("judged", [])


def test_a_gradient_that_is_another_without_jit_hangs_on_rounding(monkeypatch):
    (case,) = (case for case in trouble.CASES if case.function == "numpy.rounds")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert row_of("tests.board.trouble", case.key)[1] is False
    monkeypatch.setenv("XLA_FLAGS", trouble.QUICKLY)
    row, hangs = row_of("tests.board.trouble", case.key)
    assert [found.kind for found in row.outcome.findings] == ["transform"]
    assert hangs
