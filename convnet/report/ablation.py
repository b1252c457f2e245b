"""What every account of an ablation has, for the terminal, the page and the documents alike: cells of its table,
remarks below it, and the figure of its differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from convnet.report import figures
from convnet.report.comparison import NO_INTERVAL, percent_ends
from convnet.report.picture import ticks

LEVEL = 0.05
ABLATION_HEAD = ("test accuracy %", "95 %", "difference", "95 %", "p", "detectable")


def ablation_cells(arm: Mapping[str, Any]) -> list[str]:
    """Those of ABLATION_HEAD, of an arm in the `arms` of a `summary.json`; empty where there is nothing to compare."""
    cells = [f"{100 * arm['test_accuracy']:.2f}", _ends(*arm["interval95"])]
    if arm["same_as"] is not None:
        return [*cells, "same run", "", "", ""]
    if (effect := arm["effect"]) is None:
        return [*cells, "", "", "", ""]
    mean, low, high = effect["difference"]
    ends = _ends(low, high, least=-1, sign="+")
    return [*cells, f"{100 * mean:+.2f}", ends, _p(effect["p_holm"]), _points(effect["detectable"])]


def remark_lines(remarks: Mapping[str, Iterable[str]]) -> list[str]:
    """Name -> remarks as lines such as "a, b: one run has no interval": each remark once, with all it is said of."""
    names: dict[str, list[str]] = {}
    for name, lines in remarks.items():
        for line in lines:
            names.setdefault(line, []).append(name)
    return [f"{', '.join(said_of)}: {line}" for line, said_of in names.items()]


def differences_figure(arms: Sequence[Mapping[str, Any]]) -> Figure | None:
    """The paired differences of the `arms` of a `summary.json`, those whose p < LEVEL marked; None without any."""
    lines = {}
    for arm in arms:
        if (effect := arm["effect"]) is not None:
            points = (math.nan if x is None else 100 * x for x in (*effect["difference"], effect["detectable"]))
            lines[arm["arm"]] = (*points, effect["p_holm"] is not None and effect["p_holm"] < LEVEL)
    label = f"test accuracy − that of {ticks([arms[0]['arm']])[0]}, in percentage points"
    return figures.forest(lines, label) if lines else None


def _ends(low: float | None, high: float | None, **options: Any) -> str:
    return NO_INTERVAL if low is None or high is None else percent_ends(low, high, **options)


def _p(value: float | None) -> str:
    return NO_INTERVAL if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _points(value: float | None) -> str:
    return NO_INTERVAL if value is None else f"{100 * value:.2f}"
