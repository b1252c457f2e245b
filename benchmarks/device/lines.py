"""What a line of the summary is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.ratios import Sample, median

Document = dict[str, Any]


class Line(NamedTuple):
    """`reached`: yes, no, or empty where nothing is aimed at."""

    what: str
    measured: str
    aim: str = ""
    reached: str = ""


def verdict(good: bool) -> str:
    return "yes" if good else "no"


def equality(equal: bool) -> str:
    return "equal" if equal else "not equal"


def seconds_of(result: Mapping[str, Any] | None) -> float | None:
    """Of the undisturbed samples, the median, where there are any, as in the tables."""
    if not (result and result["seconds"]):
        return None
    disturbed = result.get("disturbed") or [False] * len(result["seconds"])
    return median([Sample(*pair) for pair in zip(result["seconds"], disturbed, strict=True)])


def product_rates(document: Document) -> dict[str, float]:
    """Precision -> FLOP/s of our matrix product."""
    own = [r for r in document["gemm"] if r["peer"] == "ours"]
    return {r["task"]["precision"]: r["flops"] / seconds for r in own if (seconds := seconds_of(r))}
