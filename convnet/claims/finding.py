"""A claim, what was found of it, and the verdict that follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np

from convnet.claims.estimate import Estimate, exact
from convnet.report import Picture, Section
from convnet.settings import require

Outcome = Literal["holds", "fails", "open"]
VERDICTS = ("holds", "holds with conditions", "does not hold here", "not decided")

RULE = (
    "A finding holds if its whole 95 % interval keeps to the stated bound, fails if the whole interval is beyond it, "
    "and is open otherwise, or where there is no interval. A claim does not hold here if a finding fails, is not "
    "decided if one is open, and holds if all hold. Findings under conditions ask how far a claim that holds reaches: "
    "if one of them fails or is open, the claim holds with conditions."
)


@dataclass(frozen=True)
class Finding:
    """A statement that a number decides.

    statement: what would be true, in a sentence.
    least, most: the bounds that `measured` has to keep to; one of them or both.
    condition: whether it asks how far the claim reaches, instead of whether it is true at all.

    Raises ValueError without a bound.
    """

    statement: str
    measured: Estimate
    least: float | None = None
    most: float | None = None
    condition: bool = False

    def __post_init__(self):
        require(self.least is not None or self.most is not None, "bounds", None, "least, most or both")

    @property
    def outcome(self) -> Outcome:
        low, high = self.measured.low, self.measured.high
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        if least <= low and high <= most:
            return "holds"
        return "fails" if high < least or most < low else "open"  # NaN: neither

    @property
    def bound(self) -> str:
        """In words."""
        ends = [f"at least {self.least:g}"] if self.least is not None else []
        return " and ".join([*ends, *([f"at most {self.most:g}"] if self.most is not None else [])])


def within(
    least: float | None, most: float | None, measured: Mapping[str, Estimate | Real], *, condition: bool = False
) -> list[Finding]:
    """A finding for each statement, all of the same bounds; a number that is no estimate is an exact one."""
    return [
        Finding(statement, value if isinstance(value, Estimate) else exact(value), least, most, condition)
        for statement, value in measured.items()
    ]


def at_least(bound: float, measured: Mapping[str, Estimate | Real], *, condition: bool = False) -> list[Finding]:
    """`within` a bound from below."""
    return within(bound, None, measured, condition=condition)


def at_most(bound: float, measured: Mapping[str, Estimate | Real], *, condition: bool = False) -> list[Finding]:
    """`within` a bound from above."""
    return within(None, bound, measured, condition=condition)


@dataclass(frozen=True)
class Claim:
    """number: its place in the list. title: a few words. says: the claim, in a sentence. source: where the idea is
    published."""

    number: int
    title: str
    says: str
    source: str


@dataclass(frozen=True)
class Evidence:
    """What was found of a claim. pictures: charts that explain it at a glance, one or more. tables: sections with more
    numbers: words and a table of text, as that is what is stored. text: what to look at, in a sentence or two.

    Raises ValueError for no finding that decides, no picture, and what cannot be stored.
    """

    findings: Sequence[Finding]
    pictures: Sequence[Picture]
    tables: Sequence[Section] = ()
    text: str = ""

    def __post_init__(self):
        require(any(not f.condition for f in self.findings), "findings", self.findings, "one that is no condition")
        require(len(self.pictures) > 0, "pictures", self.pictures, "one or more")
        for picture in self.pictures:
            pixels = isinstance(picture.figure, np.ndarray)
            require(not pixels, f"figure of {picture.key!r}", type(picture.figure), "a Figure of Matplotlib")
        for table in self.tables:
            cells = [cell for row in table.table or () for cell in row]
            plain = not table.pictures and not table.arrays and all(isinstance(cell, str) for cell in cells)
            require(plain, "tables", table.title, "a section of text and a table of text")


@dataclass(frozen=True)
class Effort:
    """How much to measure. quick: only whether everything runs. seeds: how many instead of the usual number."""

    quick: bool = False
    seeds: int | None = None

    def __post_init__(self):
        require(self.seeds is None or self.seeds >= 2, "seeds", self.seeds, "2 or more, as one has no interval")

    def pick(self, usual, quick):
        """A size: the usual one, or the one of a quick run."""
        return quick if self.quick else usual

    def starts(self, usual: int, quick: int = 2) -> range:
        """The seeds to use."""
        return range(self.seeds or self.pick(usual, quick))


Measure = Callable[[Effort], Evidence]


def verdict(findings: Sequence[Finding]) -> str:
    """One of VERDICTS, by RULE."""
    core = {finding.outcome for finding in findings if not finding.condition}
    if "fails" in core:
        return "does not hold here"
    if "open" in core:
        return "not decided"
    limited = any(finding.outcome != "holds" for finding in findings if finding.condition)
    return "holds with conditions" if limited else "holds"
