"""Outcomes and verdicts follow from the rule that is printed beside them."""

import itertools
import math

import numpy as np
import pytest

from convnet.claims import RULE, VERDICTS, Claim, Effort, Estimate, Evidence, Finding, exact, mean_of, verdict
from convnet.claims.finding import at_least, at_most, within
from convnet.report import Picture, Section, Tile
from tests.claims.handmade import evidence, figure, picture

NAN = math.nan

# (low, high), least, most -> outcome
OUTCOMES = [
    ((0.2, 0.4), 0.1, None, "holds"),
    ((0.2, 0.4), 0.2, None, "holds"),
    ((0.2, 0.4), 0.3, None, "open"),
    ((0.2, 0.4), 0.4, None, "open"),
    ((0.2, 0.4), 0.5, None, "fails"),
    ((0.2, 0.4), None, 0.5, "holds"),
    ((0.2, 0.4), None, 0.4, "holds"),
    ((0.2, 0.4), None, 0.3, "open"),
    ((0.2, 0.4), None, 0.2, "open"),
    ((0.2, 0.4), None, 0.1, "fails"),
    ((0.2, 0.4), 0.2, 0.4, "holds"),
    ((0.2, 0.4), 0.25, 0.35, "open"),
    ((0.2, 0.4), 0.1, 0.3, "open"),
    ((0.2, 0.4), 0.3, 0.9, "open"),
    ((0.2, 0.4), 0.5, 0.9, "fails"),
    ((0.2, 0.4), 0.0, 0.1, "fails"),
    ((NAN, NAN), 0.1, None, "open"),
    ((NAN, NAN), None, 0.1, "open"),
    ((NAN, NAN), 0.1, 0.9, "open"),
    ((NAN, NAN), -math.inf, math.inf, "open"),
    ((-math.inf, 0.4), 0.1, None, "open"),
    ((math.inf, math.inf), 0.1, None, "holds"),
    ((3, 3), 3, 3, "holds"),
    ((3, 3), None, 2, "fails"),
    ((0, 0), 0, None, "holds"),
    ((-1, 1), None, 0, "open"),
]


@pytest.mark.parametrize(("ends", "least", "most", "outcome"), OUTCOMES, ids=str)
def test_outcome(ends, least, most, outcome):
    assert Finding("", Estimate(0.3, *ends), least, most).outcome == outcome


def test_a_bound_of_zero_is_a_bound():
    assert Finding("", exact(1), least=0).bound == "at least 0"
    assert Finding("", exact(1), most=0).bound == "at most 0"


def test_bounds_in_words():
    assert Finding("", exact(1), least=0.25, most=1e-12).bound == "at least 0.25 and at most 1e-12"


def test_a_finding_without_a_bound_is_refused():
    with pytest.raises(ValueError, match="bounds is None: expected least, most or both"):
        Finding("it is so", exact(1))


# --- verdicts ---------------------------------------------------------------------------------------------------------


def of(outcome, condition=False):
    """A finding with this outcome."""
    ends = {"holds": (1, 2), "fails": (-2, -1), "open": (-1, 1)}[outcome]
    return Finding("", Estimate(0, *ends), least=0, condition=condition)


def by_the_rule(core, conditions):
    """RULE, read sentence by sentence."""
    if "fails" in core:
        return "does not hold here"
    if "open" in core:
        return "not decided"
    if set(conditions) & {"fails", "open"}:
        return "holds with conditions"
    return "holds"


KINDS = ("holds", "fails", "open")
CORES = [core for n in (1, 2, 3) for core in itertools.product(KINDS, repeat=n)]


@pytest.mark.parametrize("core", CORES, ids=", ".join)
def test_every_verdict(core):
    for n in (0, 1, 2):
        for conditions in itertools.product(KINDS, repeat=n):
            findings = [*map(of, core), *(of(outcome, condition=True) for outcome in conditions)]
            assert verdict(findings) == verdict(findings[::-1]) == by_the_rule(core, conditions)


def test_the_rule_names_every_verdict_and_every_outcome():
    assert {by_the_rule(core, [c]) for core in CORES for c in KINDS} == set(VERDICTS)
    for said in (
        "holds if its whole 95 % interval keeps to the stated bound", "fails if the whole interval is beyond it",
        "is open otherwise, or where there is no interval", "A claim does not hold here if a finding fails",
        "is not decided if one is open", "holds if all hold", "the claim holds with conditions",
    ):  # fmt: skip
        assert said in RULE


# --- evidence and effort ----------------------------------------------------------------------------------------------


def test_evidence_needs_a_finding_that_decides():
    with pytest.raises(ValueError, match="expected one that is no condition"):
        Evidence([of("holds", condition=True)], [picture()])
    with pytest.raises(ValueError, match="expected one that is no condition"):
        Evidence([], [picture()])


def test_evidence_needs_a_picture():
    with pytest.raises(ValueError, match="expected one or more"):
        Evidence([of("holds")], [])


def test_pixels_are_refused_as_they_would_be_stored_as_a_chart():
    pixels = Picture("a map", np.zeros((2, 2, 3)), "")
    with pytest.raises(ValueError, match=r"figure of 'a map' is <class 'numpy.ndarray'>: expected a Figure"):
        Evidence([of("holds")], [picture(), pixels])


UNSTORABLE = {
    "tiles": Section("Maps", table=[["a"], [Tile(np.zeros((2, 2, 3)), "")]]),
    "pictures": Section("Maps", pictures=[picture()]),
    "arrays": Section("Maps", arrays={"maps": np.zeros(2)}),
}


@pytest.mark.parametrize("kind", UNSTORABLE)
def test_tables_of_what_is_not_stored_are_refused(kind):
    with pytest.raises(ValueError, match="tables is 'Maps': expected a section of text and a table of text"):
        Evidence([of("holds")], [picture()], [UNSTORABLE[kind]])


def test_what_can_be_stored_is_accepted():
    assert evidence().tables[0].table == [["hand", "wet"], ["left", "yes"]]
    assert Evidence([of("open")], [Picture("a", figure(), "")], [Section("Words", "Only.")]).text == ""


def test_a_claim_says_what_where_and_whence():
    claim = Claim(number=1, title="t", says="s", source="p")
    assert (claim.number, claim.title, claim.says, claim.source) == (1, "t", "s", "p")


@pytest.mark.parametrize("seeds", [1, 0, -3])
def test_less_than_two_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match=f"seeds is {seeds}: expected 2 or more, as one has no interval"):
        Effort(seeds=seeds)


def test_effort():
    assert Effort().pick("long", "short") == "long"
    assert Effort(quick=True).pick("long", "short") == "short"
    assert Effort().starts(10) == range(10)
    assert Effort(quick=True).starts(10) == range(2)
    assert Effort(quick=True).starts(10, quick=3) == range(3)
    assert Effort(seeds=4).starts(10) == Effort(quick=True, seeds=4).starts(10) == range(4)


def test_findings_of_one_bound():
    estimate = mean_of([1.0, 2.0, 3.0])
    assert within(0, 5, {"a": estimate, "b": 7}) == [Finding("a", estimate, 0, 5), Finding("b", exact(7), 0, 5)]
    assert at_least(1, {"c": 2.5}, condition=True) == [Finding("c", exact(2.5), least=1, condition=True)]
    assert at_most(1, {"d": np.float32(0.5)}) == [Finding("d", exact(0.5), most=1)]
