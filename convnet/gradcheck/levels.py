"""How much an audit looks at, by the name of its level."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """How much is looked at."""

    cotangents: int
    probes: int
    entries: int
    """Entries per array that are differenced one by one; arrays up to this size completely."""
    fuzz: int
    thorough: bool
    """Whether what needs programs of its own is looked at, too: other transforms, other values, the rule as a function
    of its cotangent, derivatives above the second."""
    order: int = 2
    """Of the highest derivative."""
    precisions: tuple[str, ...] = ("float32", "bfloat16")


LEVELS = {
    "quick": Level(cotangents=3, probes=6, entries=24, fuzz=3, thorough=False),
    "standard": Level(cotangents=7, probes=12, entries=150, fuzz=12, thorough=True, order=3),
    "exhaustive": Level(
        cotangents=30,
        probes=24,
        entries=4000,
        fuzz=1000,
        thorough=True,
        order=4,
        precisions=("float32", "bfloat16", "float16"),
    ),
}
