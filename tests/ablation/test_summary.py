"""What is stored of an ablation holds all that its statistics are computed of, and JSON can hold it."""

import json
import math
from fractions import Fraction

import pytest

from convnet.ablation import Outcome, arm_statistics, mean_interval, recomputed, summarize_arms, summarize_plan
from convnet.ablation.summary import answers

PLAN = {
    "arms": [
        {"name": "base", "config": {"data": {"crop": None, "shift": 0}}},
        {"name": "cropped", "config": {"data": {"crop": 8, "shift": 0}}},
        {"name": "shifted", "config": {"data": {"crop": 8, "shift": 1}}},
    ]
}


def outcomes(hits, mark=""):
    return {seed: Outcome(Fraction(n, 8), fingerprints=frozenset([(mark, seed)])) for seed, n in enumerate(hits)}


def row(arm, seed, hits, **changes):
    values = {"arm": arm, "seed": seed, "status": "finished", "score": hits / 8, "test_hits": hits, "test_images": 8}
    values |= {"parameter_hash": f"{arm} {seed}", "test_loss": 0.5} | changes
    return {name: str(value) for name, value in values.items()}


def diverged(arm, seed, classes=10):
    return row(arm, seed, 0, status="diverged", score=1 / classes, test_hits="", parameter_hash="", test_loss="")


def summary(*names, **same_as):
    return {"plan": PLAN, "name": "own", "arms": [{"arm": n, "seeds": 2, "same_as": same_as.get(n)} for n in names]}


def test_a_remark_names_the_settings_that_did_nothing():
    runs = {"base": outcomes((1, 2)), "cropped": outcomes((1, 2)), "shifted": outcomes((1, 2))}
    found = summarize_plan(PLAN, runs)
    assert [one.same_as for one in found.values()] == [None, "base", "base"]
    assert found["cropped"].remarks == ("the same run as base, bit for bit: data.crop has no effect here",)
    both = "the same run as base, bit for bit: data.crop and data.shift have no effect here"
    assert found["shifted"].remarks == (both,)
    assert found["base"].remarks == ()


def test_a_remark_is_added_to_the_others():
    found = summarize_plan(PLAN, {"base": outcomes((1, 2)), "cropped": outcomes((1,))})
    first, *others = found["cropped"].remarks
    assert first.startswith("the same run as base")
    assert others == ["one run has no interval: two seeds or more are needed"]


def test_what_is_no_number_is_none_and_everything_is_json():
    found = summarize_arms({"base": outcomes((3,), "a"), "arm": outcomes((5,), "b")})
    stored = arm_statistics(found["arm"])
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert stored == {
        "divergence_p": 1.0,
        "test_accuracy": 0.625,
        "interval95": [None, None],
        "effect": {"pairs": 1, "difference": [0.25, None, None], "p": None, "p_holm": None, "detectable": None},
        "same_as": None,
        "remarks": [
            "one run has no interval: two seeds or more are needed",
            "one pair has no interval and no p: two seeds or more are needed",
        ],
    }
    base = arm_statistics(found["base"])
    assert (base["effect"], base["test_accuracy"]) == (None, 0.375)


def test_statistics_are_recomputed_from_the_rows():
    rows = [row("base", 0, 3), row("base", 1, 5), row("cropped", 0, 4), row("cropped", 1, 8)]
    found = recomputed(summary("base", "cropped"), rows)
    assert (found["name"], found["plan"]) == ("own", PLAN)
    base, cropped = found["arms"]
    assert (base["arm"], base["seeds"], base["test_accuracy"], base["effect"]) == ("base", 2, 0.5, None)
    assert cropped["effect"]["difference"] == pytest.approx(mean_interval([1 / 8, 3 / 8]))
    assert base["interval95"] == pytest.approx(mean_interval([3 / 8, 5 / 8])[1:])


def test_rows_with_equal_marks_are_the_same_run():
    mark = {"parameter_hash": "0"}
    rows = [row(arm, seed, 3 + seed, **mark) for arm in ("base", "cropped") for seed in (0, 1)]
    cropped = recomputed(summary("base", "cropped"), rows)["arms"][1]
    assert (cropped["same_as"], cropped["effect"]) == ("base", None)
    for other in ({"parameter_hash": "1"}, {"test_loss": 0.6}):
        changed = [r | {k: str(v) for k, v in other.items()} if r["arm"] == "cropped" else r for r in rows]
        assert recomputed(summary("base", "cropped"), changed)["arms"][1]["same_as"] is None


def test_a_diverged_row_counts_as_guessing():
    rows = [row("base", 0, 4), diverged("base", 1), diverged("cropped", 0), diverged("cropped", 1)]
    base, cropped = recomputed(summary("base", "cropped"), rows)["arms"]
    assert base["test_accuracy"] == pytest.approx((0.5 + 0.1) / 2)
    assert cropped["test_accuracy"] == 0.1
    assert cropped["divergence_p"] == 1.0  # one pair that differs tells nothing
    assert cropped["same_as"] is None
    assert cropped["remarks"][0] == "every run diverged, so its score is that of guessing and has no interval"


@pytest.mark.parametrize("classes", [3, 7, 10])
def test_the_share_of_guessing_is_read_back_exactly(classes):
    rows = [diverged("base", seed, classes) for seed in (0, 1)] + [row("cropped", seed, 8) for seed in (0, 1)]
    cropped = recomputed(summary("base", "cropped"), rows)["arms"][1]
    assert cropped["effect"]["difference"][0] == pytest.approx(float(1 - Fraction(1, classes)), rel=1e-15)
    assert math.isclose(cropped["divergence_p"], 0.5)  # two of two: 2 · ½²


def test_diverged_rows_of_arms_that_were_the_same_run_stay_so():
    rows = [diverged(arm, seed) for arm in ("base", "cropped") for seed in (0, 1)]
    assert recomputed(summary("base", "cropped", cropped="base"), rows)["arms"][1]["same_as"] == "base"
    assert recomputed(summary("base", "cropped"), rows)["arms"][1]["same_as"] is None


def test_rows_of_an_older_version_are_refused():
    older = {name: value for name, value in row("base", 0, 3).items() if name != "test_hits"}
    with pytest.raises(ValueError, match=r"^columns of results\.csv is 'arm, seed, .*: expected test_hits among them"):
        recomputed(summary("base"), [older])


def test_stored_answers_are_told_in_percent_and_missing_ones_are_left_out(tmp_path):
    arms = [
        {"arm": "base", "test_accuracy": 0.5, "effect": None},
        {"arm": "new", "test_accuracy": 0.625, "effect": {"difference": [0.125, -0.01, 0.26]}},
    ]
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth" / "summary.json").write_text(json.dumps({"arms": arms}), encoding="utf-8")
    assert answers(tmp_path, ["width", "depth"]) == [
        ["depth", "base", "50.00", "compared with"], ["depth", "new", "62.50", "+12.50 (-1.00 … +26.00)"],
    ]  # fmt: skip
