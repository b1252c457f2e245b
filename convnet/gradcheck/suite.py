"""The referee on the library itself: every op at every case, and on what was planted to test the referee."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import jax
import numpy as np

from convnet.gradcheck.arguments import unit_roundoff
from convnet.gradcheck.audit import Auditor
from convnet.gradcheck.comparison import errors_in_ulps
from convnet.gradcheck.difference import differences
from convnet.gradcheck.evidence import CONTROLS, CONVENTIONS, EVIDENCE, MUTANTS, Case
from convnet.gradcheck.evidence.anybody import RIGHT, WRONG
from convnet.gradcheck.features import Feature, Outcome, attempt
from convnet.gradcheck.levels import LEVELS
from convnet.gradcheck.verdict import Check, Report
from convnet.ops import AUTO, HAND, windows
from convnet.ops.conv import conv2d_as
from convnet.ops.formulations import ON_CPU, Problem, winograd


@cache
def auditor(op: str, index: int = 0) -> Auditor:
    """The op's hand-derived gradient at one of its cases, against both references; kinks and fuzz at the first."""
    case = EVIDENCE[op].cases[index]
    return auditor_of(getattr(HAND, op), case, kinks=index == 0, fuzz=index == 0)


def auditor_of(fn: Callable, case: Case, *, kinks: bool = False, fuzz: bool = False) -> Auditor:
    """Any rule for an op, at one case of it, audited as the library's own. fuzz: random calls of the op, too."""
    return Auditor(
        fn,
        reference=getattr(AUTO, case.op),
        oracle=EVIDENCE[case.op].oracle,
        settings=case.settings,
        terms=case.terms,
        conventions=CONVENTIONS[case.op] if kinks else (),
        fuzz=EVIDENCE[case.op].calls() if fuzz else None,
        name=f"{case.op}: {case.name}",
    )


def cases(op: str, level: str) -> Iterator[tuple[int, Case]]:
    """The first, most revealing case for level quick; all of them above."""
    if op not in EVIDENCE:
        raise ValueError(f"op is {op!r}: expected one of {', '.join(EVIDENCE)}")
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}: expected one of {', '.join(LEVELS)}")
    yield from list(enumerate(EVIDENCE[op].cases))[: 1 if level == "quick" else None]


def audit_case(op: str, index: int = 0, *, seed: int = 0, level: str = "standard", **options) -> Report:
    """One op at one case, with arguments drawn from `seed`."""
    args = EVIDENCE[op].cases[index].draw(np.random.default_rng(seed))
    return auditor(op, index).audit(args, seed=seed, level=level, **options)


def feature_outcome(op: str, feature: Feature) -> Outcome:
    """What comes of something that JAX offers for the hand-derived op, at the first of its cases that it has a use for.

    Compared with the same forward pass under autodiff.
    """
    for case in EVIDENCE[op].cases:
        args = case.draw(np.random.default_rng(0))
        fn, reference = getattr(HAND, op), getattr(AUTO, op)
        outcome = attempt(feature, fn, args, settings=case.settings, batch=case.batch, reference=reference)
        if outcome.status != "untested":
            break
    return outcome


def formulations_of(case: Case) -> list[dict[str, str]]:
    """Sets of arguments for `conv2d_as` that between them name every formulation that can compute a case of conv2d."""
    x, w = case.draw(np.random.default_rng(0))[:2]
    settings = {"padding": "SAME", **case.settings}
    groups = settings.pop("groups", 1)
    layer = Problem(x.shape[0], x.shape[3], w.shape[3], *windows(x.shape[1:3], w.shape[:2], **settings), groups)
    fitting = {name: [form.name for form in table if form.fits(layer)] for name, table in ON_CPU.items()}
    count = max(map(len, fitting.values()))
    return [{name: forms[i % len(forms)] for name, forms in fitting.items()} for i in range(count)]


def audit_formulations(index: int = 0, *, level: str = "standard") -> list[Report]:
    """conv2d at one of its cases in every formulation, also where the table would not choose it.

    Errors count as those of the definition's sums, √terms roundings each; a filter's may be TOLERATED times as large.
    """
    case, reports = EVIDENCE["conv2d"].cases[index], []
    args = case.draw(np.random.default_rng(0))
    for names in formulations_of(case):
        factor = winograd.TOLERATED if "winograd" in names.values() else 1
        terms = round(factor**2 * case.terms)
        named = replace(case, name=f"{case.name} [{', '.join(names.values())}]", terms=terms)
        reports.append(auditor_of(conv2d_as(**names), named).audit(args, level=level))
    return reports


PLANTED_STAGES = (
    "hygiene", "elementwise", "adjoint", "differences", "taylor", "second order", "kinks", "precisions", "context",
    "consistency",
)  # fmt: skip
"""For planted rules and repeated seeds: not the random calls, whose compilation takes most of an audit's time."""


PLANTED_CASES = 3
"""Of the op's cases, for a planted rule that brings none of its own."""


@dataclass(frozen=True)
class Planted:
    """The verdict on a planted rule over its cases and the seeds."""

    kind: str
    """mutant or control."""
    name: str
    op: str
    killed_by: str | None
    """The first stage that failed, and where; None if the rule passed."""
    audits: int
    seconds: float
    difference: float | None = None
    """Of a rule that passed, or that is right after all: how far its derivatives are from the right ones."""

    @property
    def equivalent(self) -> bool:
        """Whether the rule is right at all of its cases, to rounding: no fault was planted there."""
        return self.difference is not None and self.difference < 1e-11


def audit_planted(kind: str, name: str, *, seeds: int = 1) -> Planted:
    """The verdict of level quick on the mutant or the control called `name`, with arguments of seeds 0, 1, ….

    A mutant is audited until a stage fails, a control to the end.
    """
    rule = next(rule for rule in (MUTANTS if kind == "mutant" else CONTROLS) if rule.name == name)
    start, audits, killed_by = time.perf_counter(), 0, None
    planted = rule.build()
    cases = rule.cases or EVIDENCE[rule.op].cases[:PLANTED_CASES]
    for index, case in enumerate(cases):
        audited = auditor_of(planted, case, kinks=not rule.cases and index == 0)
        for seed in range(seeds):
            if killed_by:
                break
            args = case.draw(np.random.default_rng(seed))
            report = audited.audit(args, seed=seed, level="quick", stages=PLANTED_STAGES, until_failure=True)
            audits += 1
            killed_by = f"{report.failures[0].stage}, {report.failures[0].name}" if report.failures else None
    seconds = time.perf_counter() - start
    passed = kind == "mutant" and (killed_by is None or rule.equivalent)
    difference = max(_difference(rule, case) for case in cases) if passed else None
    return Planted(kind, name, rule.op, killed_by, audits, seconds, difference)


def audit_anybody(name: str) -> Planted:
    """The verdict on somebody's function of `evidence.anybody`, at its level: a mutant if it is wrong, else a control.

    A fault that no audit at the point can show counts as noticed where the list of the untested names what it needs.
    """
    example = next(example for example in (*WRONG, *RIGHT) if example.name == name)
    start, kind = time.perf_counter(), "mutant" if example in WRONG else "control"
    call = example.build(np.random.default_rng(0))
    report = Auditor(**{key: value for key, value in call.items() if key != "args"}, name=name).audit(
        call["args"], level=example.level, until_failure=kind == "mutant"
    )
    noticed = report.failures or [check for check in report.untested if _names(check, example.named)]
    killed_by = f"{noticed[0].stage}, {noticed[0].name}" if noticed else None
    return Planted(kind, name, example.kind, killed_by, 1, time.perf_counter() - start)


def _names(check: Check, what: str) -> bool:
    """Whether it is about "other settings: axis", perhaps among others."""
    subject, _, detail = what.partition(": ")
    return bool(what) and subject in check.name and detail in check.name


def _difference(rule, case: Case) -> float:
    """A rule with cases of its own is measured there, and not at the kinks that the op declares elsewhere."""
    ways = differences(rule, case)
    return max(value for way, value in ways.items() if way != "conventions" or not rule.cases)


def error_distribution(op: str, *, seeds: int = 5) -> dict[str, np.ndarray]:
    """ρ of every entry of the hand-derived gradients against the oracle, by where the entry lies in its array.

    Over the cases of `op` and `seeds` draws of each, cotangents Gaussian -> {"corner": […], "edge": […], …}.
    """
    found: dict[str, list[np.ndarray]] = {}
    for index, case in cases(op, "standard"):
        for seed in range(seeds):
            args = case.draw(np.random.default_rng(seed))
            with jax.enable_x64(True), np.errstate(all="ignore"):
                subject = auditor(op, index).subject(args, seed=seed)
                actual, scales = subject.gradients[0], subject.scales[0]
                g = subject.program.as_result(subject.cotangents[0])
                expected = subject.program.select(EVIDENCE[op].oracle.gradient(g, *args, **case.settings))
            for argument, a, e, scale in zip(subject.program.names, actual, expected, scales, strict=True):
                rho = errors_in_ulps(a, np.asarray(e, np.float64), scale, unit_roundoff("float64"), 0.0)
                for name, mask in index_classes(a.shape, kernel=argument == "w").items():
                    found.setdefault(name, []).append(rho[mask])
    return {name: np.concatenate(values) for name, values in found.items()}


def index_classes(shape: tuple[int, ...], *, kernel: bool = False) -> dict[str, np.ndarray]:
    """Masks of corners, edges and the interior by rows and columns: axes 1, 2 of images, axes 0, 1 of kernels."""
    if len(shape) != 4:
        return {"vectors, matrices": np.ones(shape, bool)}
    borders = np.zeros(shape, int)
    for axis in (0, 1) if kernel else (1, 2):
        index = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(4)])
        borders = borders + ((index == 0) | (index == shape[axis] - 1))
    return {"corner": borders == 2, "edge": borders == 1, "interior": borders == 0}
