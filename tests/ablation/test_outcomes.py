"""Arms and what their runs say: twins are seen to be twins, and whatever is missing has its reason."""

import math
from fractions import Fraction

import pytest

from convnet.ablation import Outcome, mean_interval, paired_effects, summarize_arms

HITS = {"base": (340, 343, 341), "better": (345, 350, 344), "worse": (330, 339, 338)}


def runs(hits, *, marks=None, seeds=None):
    """marks: of each run, what it has in common with others of that mark."""
    marks = marks or [None] * len(hits)
    return {
        seed: Outcome(Fraction(n, 359), fingerprints=frozenset(() if mark is None else [(seed, mark)]))
        for seed, n, mark in zip(seeds or range(len(hits)), hits, marks, strict=True)
    }


def diverged(count, **settings):
    return {seed: Outcome(Fraction(1, 10), diverged=True, **settings) for seed in range(count)}


def test_arms_are_compared_with_the_first():
    found = summarize_arms({name: runs(hits) for name, hits in HITS.items()})
    scores = {name: {seed: Fraction(n, 359) for seed, n in enumerate(hits)} for name, hits in HITS.items()}
    effects = paired_effects(scores["base"], {name: scores[name] for name in ("better", "worse")})
    assert list(found) == list(HITS)
    assert found["base"].effect is None
    for name in ("better", "worse"):
        assert found[name].effect == effects[name]
    for name, said in found.items():
        assert said.score == mean_interval([n / 359 for n in HITS[name]])
        assert (said.divergence_p, said.same_as, said.remarks) == (1.0, None, ())


def test_the_same_runs_are_no_difference_and_no_test():
    """Neither beside the base nor beside each other."""
    arms = {name: runs(hits, marks=[name] * 3) for name, hits in HITS.items()}
    alone = summarize_arms(arms)
    twins = {f"as {name}": runs(hits, marks=[name] * 3) for name, hits in HITS.items()}
    found = summarize_arms(arms | twins)
    for name in HITS:
        assert found[name] == alone[name]  # p after Holm's correction, too
        assert found[f"as {name}"].same_as == name
        assert found[f"as {name}"].effect is None
        assert found[f"as {name}"].score == alone[name].score


@pytest.mark.parametrize(
    ("marks", "same"),
    [
        (["a", "a", "a"], "base"),
        (["a", "a", "other"], None),
        (["a", "a", None], None),
        ([None, None, None], None),
    ],
    ids=["every seed", "not every seed", "one of which nothing is known", "nothing is known"],
)
def test_every_seed_must_be_the_same_run(marks, same):
    found = summarize_arms({"base": runs(HITS["base"], marks=["a"] * 3), "arm": runs(HITS["base"], marks=marks)})
    assert found["arm"].same_as == same
    assert (found["arm"].effect is None) == (same is not None)


def test_one_mark_in_common_is_enough():
    """The program tells it where rounding is not repeatable."""
    base, arm = ({0: Outcome(Fraction(1, 2), fingerprints=frozenset(marks))} for marks in (["p", "x"], ["p", "y"]))
    assert summarize_arms({"base": base, "arm": arm})["arm"].same_as == "base"


REMARKS = {
    "one seed": (runs((3,)), runs((4,)), ["one run has no interval: two seeds or more are needed",
                                          "one pair has no interval and no p: two seeds or more are needed"]),
    "equal differences": (runs((3, 5)), runs((4, 6)), ["no interval and no p, for all 2 differences are equal"]),
    "equal scores": (runs((3, 5, 9)), runs((4, 4, 4)), ["no interval, for all 3 runs have the same score"]),
    "all diverged": (runs((300, 310)), diverged(2),
                     ["every run diverged, so its score is that of guessing and has no interval"]),
    "all diverged in both": (diverged(2), diverged(2),
                             ["every run diverged, so its score is that of guessing and has no interval",
                              "no interval and no p, for all 2 differences are equal"]),
    "unequal seeds": (runs((3, 5, 9)), runs((4, 8)), ["compared over the 2 of 3 seeds that base has, too"]),
    "one seed in common": (runs((3, 5, 9)), runs((4, 8), seeds=(2, 7)),
                           ["compared over the 1 of 4 seeds that base has, too",
                            "one pair has no interval and no p: two seeds or more are needed"]),
    "no seed in common": (runs((3, 5)), runs((4, 8), seeds=(7, 8)),
                          ["not compared, for it has no seed in common with base"]),
}  # fmt: skip


@pytest.mark.parametrize(("base", "arm", "remarks"), REMARKS.values(), ids=REMARKS)
def test_what_is_missing_has_its_reason(base, arm, remarks):
    said = summarize_arms({"base": base, "arm": arm})["arm"]
    assert list(said.remarks) == remarks
    told = any("difference" in line or "pair" in line or "not compared" in line for line in remarks)
    assert (said.effect is None or math.isnan(said.effect.p)) == told
    assert math.isnan(said.score.low) == any("has no interval" in line or "same score" in line for line in remarks[:1])


def test_arms_without_runs_are_left_out():
    found = summarize_arms({"base": {}, "arm": runs((1, 2))})
    assert list(found) == ["arm"]
    assert found["arm"].effect is None
    assert found["arm"].remarks == ("not compared, for it has no seed in common with base",)
