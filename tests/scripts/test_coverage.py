"""The measurement of coverage counts right, and sees an interval that is too short."""

import json
import sys

import numpy as np
import pytest

from convnet.ablation import Interval
from convnet.cli import run_command
from scripts import coverage


@pytest.fixture(scope="module")
def script():
    return vars(coverage)


def test_writes_what_it_prints(script, tmp_path, capsys):
    settings = script["Coverage"](seeds=(2, 5), repeats=200, out=tmp_path / "coverage.json")
    script["coverage"](settings)
    output, stored = capsys.readouterr().out, json.loads((tmp_path / "coverage.json").read_text())
    assert {(r["case"], r["seeds"]) for r in stored["results"]} == {
        (name, n) for name in script["CASES"] for n in (2, 5)
    }
    assert set(stored["cases"]) == set(script["CASES"])
    for result in stored["results"]:
        low, high = result["interval95"]
        assert 0 <= low <= result["held"] / result["intervals"] <= high <= 1
        assert f"{100 * result['held'] / result['intervals']:.1f} ({100 * low:.1f} … {100 * high:.1f})" in output
    assert "% without" in output  # of few hits, two are often the same


def test_an_interval_that_is_too_short_is_seen(script, monkeypatch, rng):
    normal = script["CASES"]["normal"]
    honest = script["measure"](normal, 5, 2000, rng)
    assert honest["held"] / honest["intervals"] == pytest.approx(0.95, abs=0.02)  # four standard errors

    def wald(values):
        """With the normal distribution's 1.96 in place of Student's 2.776: 88 %."""
        mean, half = np.mean(values), 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
        return Interval(mean, mean - half, mean + half)

    monkeypatch.setitem(script["measure"].__globals__, "mean_interval", wald)
    short = script["measure"](normal, 5, 2000, rng)
    assert short["held"] / short["intervals"] == pytest.approx(0.878, abs=0.03)


def test_the_cases_have_the_means_that_they_say(script, rng):
    for case in script["CASES"].values():
        drawn = case.draw(rng, 100_000)
        assert drawn.mean() == pytest.approx(case.mean, abs=4.5 * drawn.std() / 100_000**0.5)


def test_what_has_no_interval_is_not_counted(script, rng):
    same = script["Case"]("constant", 0.0, lambda rng, n: np.zeros(n))
    assert script["measure"](same, 3, 10, rng) == {"intervals": 0, "held": 0}
    result = {"case": "constant", "seeds": 3, "repeats": 10, "intervals": 0, "held": 0, "interval95": [0.0, 1.0]}
    assert script["table"]([result]) == [["seeds", "constant"], ["3", "none"]]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--seeds", "5", "1"], "seeds is 1: expected 2 or more, for one seed gives no interval"),
        (["--repeats", "0"], "repeats is 0: expected 1 or more"),
    ],
)
def test_bad_input_is_one_line(args, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scripts.coverage", *args])
    with pytest.raises(SystemExit, match=r"^2$"):
        sys.exit(run_command(coverage.Coverage, coverage.coverage))
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"error: {message}"
