"""Audits of the mathematics of cases, at the points where a board looks: nobody doubts it, so every alarm is false.

Ties, ends of domains, tails and subnormal numbers are among these points, which drawn arguments never hit.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from functools import partial

import numpy as np

from convnet.board.case import Case, Point
from convnet.board.mathematics import mathematics, settled
from convnet.board.measure import cast
from convnet.gradcheck import Auditor
from convnet.gradcheck.campaign import Outcome, audited

SCALE = 1.0
"""Of all outcomes: points are taken as they are."""
ENTRIES = 4
"""A point has at most so many that the case is differentiated in: an audit asks for a hundred gradients and Hessians,
and of each the oracle computes every entry by differences of many digits."""


def outcomes(
    origin: str, case: Case, draws: Iterable[int], *, first: str = "standard", done: Collection[tuple[float, int]] = ()
) -> Iterator[Outcome]:
    """One audit for each draw, one of `points`, that is not `done`: the first at level `first`, the others at level
    quick. Where the mathematics has no first and second derivatives, or they are not known, nothing is compared."""
    given = points(case)
    auditor = Auditor(partial(mathematics, case), name=case.key, argnums=case.wrt)
    for index, draw in enumerate(draws):
        if draw < len(given) and (SCALE, draw) not in done:
            level, point = "quick" if index else first, given[draw]
            if not _smooth(case, point):
                yield Outcome(origin, case.key, SCALE, draw, level, (), compared=False, seconds=0.0)
                continue
            alarms, compared, seconds = audited(auditor, cast(case, point, "float64"), seed=draw, level=level)
            yield Outcome(origin, case.key, SCALE, draw, level, alarms, compared, seconds)


def points(case: Case) -> list[Point]:
    """Those of few entries, in an order of chance, the same at each call."""
    order = np.random.default_rng(zlib.crc32(case.key.encode())).permutation(len(case.points))
    few = (case.points[i] for i in order)
    return [point for point in few if sum(np.size(point.args[i]) for i in case.wrt) <= ENTRIES]


def _smooth(case: Case, point: Point) -> bool:
    if not all(np.isfinite(np.asarray(arg, np.float64)).all() for arg in cast(case, point, "float64")):
        return False
    found = settled(case, point, "float64", order=2)
    return found is not None and found.differentiable
