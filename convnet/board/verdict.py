"""What can be wrong with a derivative, and a finding: one number of a library's beside the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "wrong": "wrong value of a derivative",
    "not finite": "NaN or infinity where the derivative is finite",
    "special points": "wrong only where arguments are equal, zero or at a branch",
    "higher order": "wrong in second order only",
    "transform": "wrong under a transform only",
    "precision": "computes in a lower precision than it was given",
    "digits": "loses digits",
    "convention": "no derivative there: what is returned is a convention",
}
"""The most serious first."""
DEFECTS = tuple(KINDS)[:6]
"""Kinds that a second, independent witness has to confirm."""
SPECIAL = ("tie", "zero", "subnormal", "branch", "end", "repeated", "length one", "empty")
"""Labels of points that a user may never meet."""


@dataclass(frozen=True)
class Finding:
    """One number. args: of the point, as plain lists; entry: which of the gradient's; of: the same by the argument's
    name, "x[2]"; direction: in second order, along which; left, right: where there is no derivative, the slopes of both
    sides; ulps: what the error is in units of the last place of the truth, beyond what rounding the arguments does.
    """

    kind: str
    function: str
    call: str
    label: str
    args: list[Any]
    dtype: str
    order: int
    ways: list[str]
    entry: int
    of: str
    got: float
    truth: str = ""
    direction: int | None = None
    left: str = ""
    right: str = ""
    ulps: float | None = None
    confirmed: list[str] = field(default_factory=list)
    reproduction: str = ""

    @property
    def defect(self) -> bool:
        return self.kind in DEFECTS
