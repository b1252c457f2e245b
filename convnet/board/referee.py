"""The same functions before the library's referee, which is told nothing of their mathematics."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from convnet.board.asking import first_line
from convnet.board.case import Case
from convnet.board.measure import cast, precision
from convnet.gradcheck import audit

FILLED = 6
"""Numbers that an elementwise function is given, some of them twice: what is compiled for so many serves the next."""


@dataclass(frozen=True)
class Refereed:
    """verdict: passed, failed, or none, where there was nothing to audit or the audit ended with an error; said: the
    stages that failed, or the error; peak: bytes, the most that its process has held so far; seconds: of
    processors."""

    verdict: str
    said: str = ""
    peak: int = 0
    seconds: float = 0.0


def refereed(case: Case) -> Refereed:
    """At the generic points, all at once where the case is elementwise, at level quick."""
    points = [point for point in case.points if point.label == "generic"]
    if not points:
        return Refereed("none", "no generic point")
    rows = [cast(case, point, "float64") for point in (points if case.elementwise else points[:1])]
    if case.elementwise and len(rows) < FILLED:
        rows = [rows[i % len(rows)] for i in range(FILLED)]
    args = [np.stack(column) if case.elementwise else column[0] for column in zip(*rows, strict=True)]
    own = [args[i] for i in case.wrt]

    def fn(*own):
        full = [jnp.asarray(a) for a in args]
        for i, a in zip(case.wrt, own, strict=True):
            full[i] = a
        return case.fn(*full)

    try:
        with precision("float64"):
            report = audit(fn, own, level="quick")
    except Exception as error:
        return Refereed("none", first_line(error))
    return Refereed("passed" if report.passed else "failed", ", ".join(report.stages_failed))
