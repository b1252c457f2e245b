"""Every number of an audit stands where its heading says: tables, sentences, JSON, card and pictures."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from convnet.gradcheck.checks import STAGES
from convnet.gradcheck.suite import Planted
from convnet.gradcheck.verdict import Check, Report
from convnet.report.audit_page import (
    Findings,
    account_of,
    audit_page,
    kills_table,
    network_table,
    planted_table,
    table_of,
    verdict_of,
    write_audit,
)
from tests.report.drawn import cells, legend_colours, lines, ticks_of, titled
from tests.report.handmade import CARD, WHERE, columns_of, picture_of, sections_of


def report(name, *checks, seed=0, **seconds):
    """checks: (stage, status, error, bound)."""
    made = [Check(stage, f"{stage} of dx", status, error, bound) for stage, status, error, bound in checks]
    return Report(name, "standard", seed, made, seconds)


def rule(kind, name, op, killed_by=None, audits=1, seconds=1.0, difference=None):
    return Planted(kind, name, op, killed_by, audits, seconds, difference)


RELU = [
    report("relu: a", ("elementwise", "passed", 1.0, 4.0), ("kinks", "untested", None, None), elementwise=2.0, kinks=1),
    report("relu: b", ("elementwise", "passed", 3.0, 4.0), ("adjoint", "passed", 0.0, 1.0), elementwise=4.0),
]
TANH = [report("tanh: a", ("elementwise", "passed", 1.0, 8.0), ("taylor", "failed", 9.0, 1.0), taylor=10.0)]
OTHER = [report("conv2d: a [sums]", ("elementwise", "passed", 1.0, 100.0), elementwise=20.0)]
REPEATED = [report("relu: a", ("elementwise", "passed", 1.0, 4.0), seed=seed, elementwise=9.0) for seed in (1, 2)]
NETWORKS = [report("mlp", ("ops", "passed", 0.5, 2.0), ("parameters", "passed", None, None))]
PLANTED = [
    rule("mutant", "relu: halved", "relu", "elementwise, dx", audits=2, seconds=1.26),
    rule("mutant", "relu: vmap", "relu", "context, vmap", audits=3, seconds=0.5),
    rule("mutant", "relu: again", "relu", "elementwise, dw"),
    rule("mutant", "tanh: believed", "tanh", difference=0.5),
    rule("mutant", "tanh: equal", "tanh", audits=5, difference=1e-13),
    rule("control", "relu in two steps", "relu", audits=7),
]
ALARM = rule("control", "tanh by exp", "tanh", "adjoint, dx", audits=11)
ERRORS = {"tanh": {"vectors": np.array([2.0, 1.0])}, "relu": {"edge": np.array([3.0, 1.0]), "corner": np.array([7.0])}}


@pytest.fixture
def findings():
    found = {"relu": RELU, "conv2d, other formulations": OTHER}
    return Findings("standard", 61.4, found, NETWORKS, REPEATED, list(PLANTED), ERRORS)


@pytest.fixture
def failing(findings):
    findings.reports["tanh"] = TANH
    findings.planted.append(ALARM)
    return findings


# --- tables and sentences ---------------------------------------------------------------------------------------------


def test_ops_and_stages(failing):
    head, *rows = table_of(failing)
    assert head == ["op", "cases", *STAGES]
    assert [row[0] for row in rows] == ["conv2d, other formulations", "relu", "tanh"]
    found = columns_of([head, *rows])
    untested = dict.fromkeys(STAGES, "–")
    # the worst of the cases as a fraction of its bound, not the last, nor the sum
    assert found["relu"] == {"op": "relu", "cases": "2", **untested, "elementwise": "0.75", "adjoint": "0"}
    assert found["tanh"] == {"op": "tanh", "cases": "1", **untested, "elementwise": "0.12", "taylor": "FAILED"}
    assert found["conv2d, other formulations"]["elementwise"] == "0.01"


def test_the_sentences(findings):
    """2 + 1 + 2 + 1 audits of ours; with those of the control and of the mutant that is right, 7 and 5 more. Seconds of
    ops alone: not those of repetitions."""
    assert verdict_of(findings) == [
        "1 ops and 1 networks: 6 audits of library rules, 18 of right rules in all, 0 wrongly rejected",
        "planted wrong rules: 3 of 4 noticed; 1 planted rules are equivalent to the right one",
        "61 s in all; ops at level standard: 27 s of one process",
        "FAILED: mutant believed: tanh: believed",
    ]


def test_every_failure_has_its_sentence(failing):
    failing.planted.append(rule("mutant", "tanh: right", "tanh", "adjoint, dx", difference=1e-14))
    assert verdict_of(failing)[0].endswith("audits of library rules, 31 of right rules in all, 2 wrongly rejected")
    assert failing.failures == [
        "tanh: a (seed 0)",
        "control: tanh by exp",
        "mutant believed: tanh: believed",
        "equivalent mutant wrongly rejected: tanh: right",
    ]
    text = account_of(failing)
    assert text.splitlines()[0].startswith("op ")
    assert "tanh: a: FAILED at level standard, seed 0" in text
    assert text.endswith("FAILED: equivalent mutant wrongly rejected: tanh: right")


def test_an_audit_without_planted_rules_says_nothing_of_them():
    assert not any("planted" in line for line in verdict_of(Findings("quick", 1.0, {"relu": RELU})))


def test_planted_rules_by_the_first_stage_that_noticed_them(findings):
    assert kills_table(findings) == [
        ["op", "planted", "elementwise", "context", "believed", "equivalent"],
        ["relu", "3", "2", "1", "0", "0"],
        ["tanh", "2", "", "", "1", "1"],
    ]


def test_every_planted_rule(findings):
    assert planted_table(findings) == [
        ["rule", "kind", "op", "noticed by", "seconds"],
        ["relu in two steps", "control", "relu", "nothing", "1.0"],
        ["relu: again", "mutant", "relu", "elementwise, dw", "1.0"],
        ["relu: halved", "mutant", "relu", "elementwise, dx", "1.3"],
        ["relu: vmap", "mutant", "relu", "context, vmap", "0.5"],
        ["tanh: believed", "mutant", "tanh", "nothing", "1.0"],
        ["tanh: equal", "equivalent mutant", "tanh", "nothing", "1.0"],
    ]


def test_networks_call_by_call(findings):
    assert network_table(findings) == [
        ["network", "call or parameter", "error (ulps)", "bound", "verdict"],
        ["mlp", "ops of dx", "0.5", "2", "passed"],
        ["mlp", "parameters of dx", "0", "0", "passed"],
    ]


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_json(failing, tmp_path, monkeypatch):
    monkeypatch.setattr("convnet.report.audit_page.environment", lambda: WHERE)
    assert write_audit(tmp_path / "new", failing) == []
    stored = json.loads((tmp_path / "new" / "audit.json").read_text(encoding="utf-8"))
    assert {name: stored[name] for name in stored if name not in ("ops", "networks", "planted")} == {
        "environment": WHERE,
        "level": "standard",
        "seconds": 61.4,
        "verdict": verdict_of(failing),
        "audits_of_right_rules": 30,
        "condemned": ["tanh: a (seed 0)", "control: tanh by exp"],
        "survivors": ["tanh: believed"],
        "repeated": [{"name": "relu: a", "seed": seed, "passed": True} for seed in (1, 2)],
    }
    assert stored["ops"] == {op: [one.to_dict() for one in reports] for op, reports in failing.reports.items()}
    assert stored["networks"] == [one.to_dict() for one in NETWORKS]
    assert {one["name"]: one for one in stored["planted"]} == {
        one.name: asdict(one) | {"equivalent": one.name == "tanh: equal"} for one in [*PLANTED, ALARM]
    }


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_card_and_the_tables(findings):
    page = audit_page(findings, CARD)
    assert page.facts == {"verdict": ". ".join(verdict_of(findings)), **CARD}
    sections = sections_of(page)
    assert list(sections) == ["Ops and stages", "Networks", "Errors by place", "Planted faults", "Every planted rule"]
    assert sections["Networks"].table == network_table(findings)
    assert sections["Planted faults"].table == kills_table(findings)
    assert sections["Every planted rule"].table == planted_table(findings)


def test_what_was_not_asked_has_no_section():
    assert list(sections_of(audit_page(Findings("quick", 1.0, {"relu": RELU}), CARD))) == ["Ops and stages"]


def test_the_heat_map_is_the_table(failing):
    picture = picture_of(sections_of(audit_page(failing, CARD))["Ops and stages"])
    (panel,) = (panel for panel in picture.figure.axes if panel.images)
    ops, stages = ticks_of(panel.yaxis), ticks_of(panel.xaxis)
    assert list(stages.values()) == list(STAGES)
    assert {(ops[row], stages[column]): text for (row, column), text in cells(panel).items()} == {
        ("relu", "elementwise"): "0.75",
        ("relu", "adjoint"): "0",
        ("tanh", "elementwise"): "0.12",
        ("tanh", "taylor"): "10",  # red: it failed
        ("conv2d, other formulations", "elementwise"): "0.01",
    }


def test_errors_by_place_are_those_of_the_ops(findings):
    figure = picture_of(sections_of(audit_page(findings, CARD))["Errors by place"]).figure
    colours = legend_colours(*figure.legends)
    assert lines(titled(figure)["relu"], colours["edge"]) == [([1.0, 3.0], [0.0, 1.0])]
    assert lines(titled(figure)["tanh"], colours["vectors"]) == [([1.0, 2.0], [0.0, 1.0])]
    assert figure.get_supxlabel() == "ρ: error of an entry in ulps of its conditioning, float64"
