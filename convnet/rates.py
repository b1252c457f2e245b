"""Learning rates of single parameters, by their names: what `optim.rates` says."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from convnet.settings import require


class Rate(NamedTuple):
    """Parameters whose name fits `pattern` have this peak rate, on a schedule that lasts `until` that fraction of the
    run; from there on they stay as they are."""

    pattern: str
    peak: float
    until: float = 1.0


def parsed(text: str) -> Rate:
    """PATTERN=RATE or PATTERN=RATE@FRACTION. Raises ValueError for anything else, naming `optim.rates`."""
    expected = "PATTERN=RATE or PATTERN=RATE@FRACTION, such as logits/*=0.01 or */bias=0.1@0.5"
    pattern, _, numbers = text.rpartition("=")
    peak, at, until = numbers.partition("@")
    try:
        found = Rate(pattern, float(peak), float(until) if at else 1.0)
    except ValueError:
        found = Rate("", 0.0)
    fits = found.pattern != "" and 0 <= found.peak < float("inf") and 0 < found.until <= 1
    require(fits, "optim.rates", text, expected)
    return found


def first_fit(rates: Sequence[Rate], names: Sequence[str]) -> list[int | None]:
    """Of each name, the number of the first of `rates` whose pattern fits it; None where none does.

    Raises ValueError for a pattern that fits no name, which is a misspelt one.
    """
    for rate in rates:
        fits = any(fnmatchcase(name, rate.pattern) for name in names)
        require(fits, "optim.rates", rate.pattern, f"a pattern that fits one of {', '.join(names)}")
    return [next((i for i, rate in enumerate(rates) if fnmatchcase(name, rate.pattern)), None) for name in names]
