"""Many audits of functions whose gradients are right, so that every alarm is a false one; and how they are kept."""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from convnet import json_lines
from convnet.gradcheck.audit import Auditor
from convnet.gradcheck.evidence.right_functions.right import RightFunction
from convnet.gradcheck.verdict import Check

MESSAGE = 300
"""Characters of an alarm that are kept."""


@dataclass(frozen=True)
class Outcome:
    """What came of one audit of a right function."""

    origin: str
    function: str
    scale: float
    draw: int
    level: str
    alarms: tuple[str, ...]
    """Of every check that failed, or of the error that ended the audit: stage, check and message."""
    compared: bool
    """Whether anything independent confirmed the gradient."""
    seconds: float
    code: str = ""
    """What judged: a digest of the referee and the functions."""

    @property
    def stage(self) -> str:
        """Of the first alarm."""
        return self.alarms[0].partition(":")[0]


def outcomes(
    origin: str,
    function: RightFunction,
    draws: Iterable[int],
    *,
    first: str = "standard",
    scales: Collection[float] | None = None,
    done: Collection[tuple[float, int]] = (),
) -> Iterator[Outcome]:
    """One audit per scale and draw that is not `done`: the first draw at level `first`, the others at level quick.

    The programs are compiled once. Arguments depend on the function's name, the scale and the draw alone.
    """
    auditor = Auditor(function.fn, name=function.name, **function.options)
    for index, draw in enumerate(draws):
        for scale in function.scales if scales is None else scales:
            if (scale, draw) not in done:
                yield _outcome(origin, function, auditor, scale, draw, "quick" if index else first)


def arguments(function: RightFunction, scale: float, draw: int) -> tuple:
    decade = round(1000 * np.log10(scale)) % 2**32
    return function.draw(np.random.default_rng([zlib.crc32(function.name.encode()), decade, draw]), scale)


def _outcome(origin: str, function: RightFunction, auditor: Auditor, scale: float, draw: int, level: str) -> Outcome:
    told = audited(auditor, arguments(function, scale, draw), seed=draw, level=level)
    return Outcome(origin, function.name, scale, draw, level, *told)


def audited(auditor: Auditor, args: tuple, *, seed: int, level: str) -> tuple[tuple[str, ...], bool, float]:
    """(alarms, compared, seconds) of an `Outcome`. An audit that ends with an error has not let the function pass."""
    start = time.process_time()
    try:
        report = auditor.audit(args, seed=seed, level=level)
        alarms, compared = tuple(map(_message, report.failures)), report.passed
    except Exception as error:
        alarms, compared = (f"error: {type(error).__name__}: {error}"[:MESSAGE],), False
    return alarms, compared, round(time.process_time() - start, 3)


def _message(check: Check) -> str:
    size = "" if check.error is None or not check.bound else f"{check.error / check.bound:.2g} of the bound"
    said = "; ".join(text for text in (size, check.worst, check.note) if text)
    return f"{check.stage}: {check.name}: {said}"[:MESSAGE]


# --- kept as lines of JSON --------------------------------------------------------------------------------------------


def append(path: Path, outcome: Outcome) -> None:
    json_lines.append(path, asdict(outcome))


def stored(path: Path, code: str) -> list[Outcome]:
    """Those of this `code`; a line that was torn is none."""
    lines = json_lines.read(path)
    return [Outcome(**{**line, "alarms": tuple(line["alarms"])}) for line in lines if line["code"] == code]
