"""A rule that is planted goes to a checker at all of its cases, until it is rejected."""

from dataclasses import dataclass

import numpy as np
import pytest

from convnet.gradcheck import checkers
from convnet.gradcheck.checkers import Verdict, prepared, verdict
from convnet.gradcheck.evidence.anybody import WRONG


@dataclass
class Rule:
    """A planted rule of two cases. What it builds is itself."""

    name: str = "halved"
    cases: tuple[str, ...] = ("a", "b")

    def build(self):
        return self


class Clock:
    """Ten seconds past, and then as many more as were spent."""

    def __init__(self, monkeypatch):
        self.now = 10.0
        monkeypatch.setattr(checkers.time, "perf_counter", lambda: self.now)


def checker(clock, answers, seen, cost=1.0):
    def check(rule, case, seed):
        clock.now += cost
        seen.append((case, seed))
        answer = answers[case, seed]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return check


ALL = {("a", 0): False, ("a", 1): False, ("b", 0): False, ("b", 1): False}


@pytest.mark.parametrize(
    ("kind", "answers", "rejected", "asked"),
    [
        ("wrong", ALL, False, 4),
        ("wrong", ALL | {("a", 1): True}, True, 2),  # a wrong rule once noticed needs no other case
        ("right", ALL | {("a", 0): True}, True, 1),  # nor is a rule that is rejected already asked about again
        ("right", ALL | {("b", 1): ValueError("cannot")}, True, 4),
        ("wrong", ALL | {("a", 0): ValueError("cannot")}, True, 1),
    ],
)
def test_a_rule_is_rejected_where_it_is_at_any_case_and_seed(kind, answers, rejected, asked, monkeypatch, capsys):
    seen, clock = [], Clock(monkeypatch)
    found = verdict("ours", checker(clock, answers, seen), Rule(), kind, 2)
    assert found == Verdict("ours", "halved", kind, rejected, float(asked))
    assert seen == list(ALL)[:asked]
    broken = any(isinstance(answer, Exception) for answer in answers.values())
    assert ("ours on halved: ValueError: cannot" in capsys.readouterr().err) == broken


def test_seeds_are_those_that_were_asked_for(monkeypatch):
    seen = []
    verdict("ours", checker(Clock(monkeypatch), ALL, seen), Rule(), "right", 1)
    assert seen == [("a", 0), ("b", 0)]


def test_anybodys_functions_go_to_every_checker_as_they_stand():
    example = next(e for e in WRONG if e.name == "a layer that clips the cotangent at 10")
    program, args = prepared(None, example, 0)
    assert program.fn is not None
    assert len(args) == len(example.build(np.random.default_rng(0))["args"])
    seen = []
    found = verdict("ours", lambda *asked: seen.append(asked) or False, example, "wrong", 2)
    assert seen == [(None, example, 0), (None, example, 1)]
    assert (found.anybody, found.rejected) == (True, False)
