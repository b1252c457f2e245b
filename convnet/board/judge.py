"""One case beside its mathematics: every number that a library returns, and what those that are not right come to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product

import jax.numpy as jnp
import numpy as np

from convnet.board.asking import first_line
from convnet.board.case import Case, Point
from convnet.board.compare import NEAR, Verdict, first_order, second_order
from convnet.board.confirm import confirmed
from convnet.board.measure import FIRST, SECOND, Measured, cast, measure, narrower
from convnet.board.oracle import differentiated, truth_of
from convnet.board.reproduction import argument, reproduction
from convnet.board.truth import Truth, Unknown, digits
from convnet.board.verdict import SPECIAL, Finding

LOWER = 1e-11
"""Relative errors of float64 above this at every generic point: computed in fewer bits."""


@dataclass
class Outcome:
    """What came of a case. compared: numbers beside the truth; missing: what the library says of ways that it does not
    offer, and these ways; unknown: points whose truth was not to be had, and why."""

    function: str
    call: str
    points: int = 0
    compared: int = 0
    findings: list[Finding] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    seconds: float = 0.0


def judge(case: Case, *, eager: bool = True) -> Outcome:
    """Raises what the function raises at all of its points, in the first of its dtypes. eager: see `measure`."""
    start, outcome, known = time.process_time(), Outcome(case.function, case.call), {}
    for dtype in case.dtypes:
        points = [point for point in case.points if holds(case, point, dtype)]
        try:
            measured = measure(case, points, dtype, eager=eager) if points else None
        except Exception as error:
            if dtype == case.dtypes[0]:
                raise
            said = first_line(error)
            outcome.missing.setdefault(said, []).append(dtype)
            continue
        if measured is None:
            continue
        outcome.points = max(outcome.points, len(points))
        for way, why in measured.missing.items():
            outcome.missing.setdefault(why, []).append(f"{way}, {dtype}")
        for i, point in enumerate(points):
            if any(got := _at(measured, i)):
                _judge_point(outcome, case, point, dtype, got, known)
        if dtype == "float64":
            _judge_precision(outcome, case, points, measured, known)
    outcome.seconds = time.process_time() - start
    return outcome


def hangs_on_rounding(case: Case, outcome: Outcome) -> bool:
    """Whether a gradient is another without `jax.jit` than compiled, of a case that was asked for both. Where single
    operations are compiled otherwise than users have them, that may be the reason."""
    if any("eager, float64" in ways for ways in outcome.missing.values()):
        return False
    for found in outcome.findings:
        asked = case.elementwise or found.label == "generic"
        compared = asked and found.order == 1 and found.dtype == "float64" and found.kind != "precision"
        if compared and ("eager" in found.ways) != ("reverse" in found.ways):
            return True
    return False


def holds(case: Case, point: Point, dtype: str) -> bool:
    """Whether the dtype can hold the point: nothing becomes infinite, or 0. NaN stays what it is."""
    for given, own in zip(point.args, cast(case, point, dtype), strict=True):
        given, own = np.asarray(given, np.float64), np.asarray(own, np.float64)
        if not np.isfinite(own[np.isfinite(given)]).all() or ((given != 0) & (own == 0)).any():
            return False
    return True


Ways = Mapping[str, np.ndarray]


def _at(measured: Measured, i: int) -> tuple[Ways, Ways]:
    """Of point number i, by way, where that is there: gradients [n], and second derivatives [m, n]."""
    pair = measured.first, measured.second
    return tuple({way: rows[i] for way, rows in ways.items() if rows[i] is not None} for ways in pair)


def _judge_point(outcome: Outcome, case: Case, point: Point, dtype: str, got: tuple[Ways, Ways], known: dict) -> None:
    x = differentiated(case, point, dtype)
    try:
        like = truth_of(case, point, "float64", known)
        if not all(slope.exists for slope in like.first):
            got[0].pop("forward", None)  # which multiplies what has no slope by 0, and that may be NaN
        first = {way: first_order(case, like, like, x, dtype, own) for way, own in got[0].items()}
        if dtype != "float64" and any(verdict.status != "right" for verdict in first.values()):
            true = truth_of(case, point, dtype, known)  # of the point as it was rounded, which moves it but little
            first = {way: first_order(case, true, like, x, dtype, own) for way, own in got[0].items()}
    except (Unknown, RecursionError) as error:
        outcome.unknown.append(f"{point}, {dtype}: {error}")
        return
    second = {way: second_order(case, like, x, own) for way, own in got[1].items() if like.differentiable}
    if any(verdict.status == "wrong" for verdict in second.values()):  # which rounding may explain
        near = list(_near(case, point, known))
        second = {way: second_order(case, like, x, own, near) for way, own in got[1].items()}
    outcome.compared += sum(np.size(own) for ways in got for own in ways.values())
    for kind, order, ways, verdict in _kinds(point, dtype, first, second):
        outcome.findings.append(_finding(case, point, dtype, kind, order, ways, verdict))


def _near(case: Case, point: Point, known: dict) -> Iterator[Truth]:
    """The truth at the points next to this one, as far as it is known there. Numbers move alike, which changes their
    products, and neighbours apart, which changes their differences."""
    for side, turn in product((-NEAR, NEAR), (1.0, -1.0)):
        args, sign = list(point.args), turn ** np.arange(differentiated(case, point, "float64").size)
        for i in case.wrt:
            own, sign = np.split(sign, [np.size(args[i])])
            args[i] = np.float64(args[i]) * (1 + side * own.reshape(np.shape(args[i])))
        with suppress(Unknown, RecursionError):
            yield truth_of(case, replace(point, args=tuple(args)), "float64", known)


def _kinds(
    point: Point, dtype: str, first: Mapping[str, Verdict], second: Mapping[str, Verdict]
) -> Iterator[tuple[str, int, list[str], Verdict]]:
    """(kind, order, ways, the worst number) of a point: its defect if there is one, else what there is to say."""
    wrong = [way for way in FIRST if way in first and first[way].bad]
    if wrong:
        worst = max(first[way] for way in wrong)
        usual = [way for way in first if way != "forward"] or list(first)
        yield _kind(point, worst, some=any(way not in wrong for way in usual)), 1, wrong, worst
        return
    flushed = point.label == "subnormal"  # a processor may count such numbers as 0
    if not flushed and (wrong := [way for way in SECOND if way in second and second[way].bad]):
        yield "higher order", 2, wrong, max(second[way] for way in wrong)
    losing = dtype != "bfloat16" and not flushed  # which have few digits to lose
    told = {"digits": "digits"} if losing else {}
    told |= {"none": "convention"} if dtype == "float64" else {}
    for status, kind in told.items():
        if ways := [way for way in FIRST if way in first and first[way].status == status]:
            yield kind, 1, ways, max(first[way] for way in ways)


def _kind(point: Point, worst: Verdict, *, some: bool) -> str:
    """some: whether only some ways to reverse mode, or forward mode alone, are wrong."""
    if point.label == "subnormal":
        return "convention"  # a processor may count such numbers as 0
    if some:
        return "transform"
    if worst.status == "not finite":
        return "not finite"
    return "special points" if point.label in SPECIAL else "wrong"


def _judge_precision(outcome: Outcome, case: Case, points: Sequence[Point], measured: Measured, known: dict) -> None:
    """Few bits show at every generic point, and in the program."""
    found = []
    for i, point in enumerate(points):
        gradients = [own for way, own in _at(measured, i)[0].items() if way in ("reverse", "vmap")]
        if point.label == "generic" and gradients:
            try:
                true = truth_of(case, point, "float64", known)
            except (Unknown, RecursionError):
                return
            x = differentiated(case, point, "float64")
            found.append((first_order(case, true, true, x, "float64", gradients[0]), point))
    u = float(jnp.finfo("float64").eps) / 2
    if not found or any(v.status not in ("right", "digits") or v.ulps * u < LOWER for v, _ in found):
        return
    worst, point = max(found, key=lambda pair: pair[0])
    if seen := list(narrower(case, point)):
        outcome.findings = [f for f in outcome.findings if f.kind != "digits" or f.dtype != "float64"]
        told = _finding(case, point, "float64", "precision", 1, ["reverse"], worst)
        told.confirmed.append(f"its program goes through {', '.join(seen)}")
        outcome.findings.append(told)


def _finding(case: Case, point: Point, dtype: str, kind: str, order: int, ways: list[str], v: Verdict) -> Finding:
    sides = {} if v.slope.exists else {"left": digits(v.slope.left), "right": digits(v.slope.right)}
    found = Finding(
        kind=kind,
        function=case.function,
        call=case.call,
        label=point.label,
        args=[np.asarray(a, np.float64).tolist() for a in cast(case, point, dtype)],
        dtype=dtype,
        order=order,
        ways=ways,
        entry=v.entry,
        of=argument(case, point, v.entry),
        got=v.got,
        truth=digits(v.slope.value) if v.slope.exists else "",
        direction=v.direction,
        ulps=None if kind == "convention" or not np.isfinite(v.ulps) else v.ulps,
        reproduction=reproduction(case, point, dtype, ways[0], v),
        **sides,
    )
    if found.defect:
        found.confirmed.extend(confirmed(case, point, found, v))
    return found
