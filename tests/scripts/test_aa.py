"""The A/A test: its arms are disjoint, its count is right, and a test that is too eager is seen."""

import sys
from fractions import Fraction

import numpy as np
import pytest

from convnet.cli import run_command
from scripts import aa_test


@pytest.fixture(scope="module")
def script():
    return vars(aa_test)


def test_prints_the_share_of_false_discoveries(capsys):
    assert run_command(aa_test.AATest, aa_test.aa_test, ["--repeats", "3", "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "3 ablations of two identical arms × 3 seeds" in printed
    assert "of 3 report a difference" in printed
    assert "5 % expected" in printed


def test_no_two_arms_share_a_seed(script, monkeypatch):
    asked = []
    monkeypatch.setitem(
        script["aa_test"].__globals__,
        "accuracies",
        lambda count, first: asked.append((count, first)) or np.random.default_rng(0).normal(size=count),
    )
    script["aa_test"](script["AATest"](repeats=4, seeds=5, first_seed=7))
    assert asked == [(40, 7)]


def test_the_paired_test_objects_in_five_of_a_hundred(script):
    noise = np.random.default_rng(1).normal(size=(300, 2, 10))
    objections, tested = script["judge"](noise)
    assert tested == 300
    assert len(set(objections.values())) == 1  # the interval and its p agree
    assert objections["paired t test (p < 0.05)"] / 300 == pytest.approx(0.05, abs=0.05)  # four standard errors


def test_a_difference_that_is_there_is_counted(script):
    noise = np.random.default_rng(1).normal(size=(20, 2, 10))
    noise[:, 1] += 5
    objections, tested = script["judge"](noise)
    assert (set(objections.values()), tested) == ({20}, 20)


def test_equal_differences_are_no_test(script, monkeypatch, capsys):
    same = np.array([Fraction(i % 5, 7) for i in range(5 * 2 * 4)])  # four repeats of two arms that are alike
    monkeypatch.setitem(script["aa_test"].__globals__, "accuracies", lambda count, first: same)
    script["aa_test"](script["AATest"](repeats=4, seeds=5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["4 of 4 have no p and no interval: all differences are equal"]


@pytest.mark.parametrize(("args", "message"), [(["--repeats", "0"], "repeats is 0"), (["--seeds", "1"], "seeds is 1")])
def test_bad_input_is_one_line(args, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scripts.aa_test", *args])
    with pytest.raises(SystemExit, match=r"^2$"):
        sys.exit(run_command(aa_test.AATest, aa_test.aa_test))
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(f"error: {message}: expected")
