"""The table of a comparison, for the terminal, the page and the README alike."""

from __future__ import annotations

from typing import Any

NO_INTERVAL = "—"
"""Where an interval or p would stand that the values do not give."""


def comparison_table(lines: list[dict[str, Any]]) -> list[list[str]]:
    """A comparison for people, first row headings, from the `families` of its `summary.json`."""
    several = any(line["seeds"] > 1 for line in lines)
    accuracy = "test accuracy (95 % interval)" if several else "test accuracy"
    head = ["model", accuracy, "parameters", "FLOPs / image", "s / epoch", "compile s"]
    target = lines[0]["target"]
    table = [[*head, *([] if target is None else [f"s to {target:.0%} validation"])]]
    for line in lines:
        cells = [line["family"], _accuracy(line, several), f"{line['parameters']:,}", _si(line["flops_per_image"])]
        cells += [_seconds(line["seconds_per_epoch"]), f"{line['compile_seconds']:.1f}"]
        table.append(cells + ([] if target is None else [_to_target(line)]))
    return table


def _accuracy(line: dict[str, Any], several: bool) -> str:
    text = "none" if line["test_accuracy"] is None else f"{line['test_accuracy']:.2%}"
    low, high = line["interval95"] or (None, None)
    if several and line["test_accuracy"] is not None:
        text += f" ({NO_INTERVAL if low is None else percent_ends(low, high)})"
    return text + (f" ({line['diverged']} of {line['seeds']} diverged)" if line["diverged"] else "")


def percent_ends(low: float, high: float, *, least: float = 0.0, sign: str = "") -> str:
    """An interval in percent; no accuracy is below 0 or above 1, whatever few seeds let a t distribution think.

    least: the smallest possible value; −1 for a difference of accuracies.
    """
    low, high = (100 * min(max(end, least), 1.0) for end in (low, high))
    return f"{low:{sign}.2f} … {high:{sign}.2f}"


def _to_target(line: dict[str, Any]) -> str:
    if line["seconds_to_target"] is None:
        return "not reached"
    reached, seeds = line["reached_target"], line["seeds"]
    return _seconds(line["seconds_to_target"]) + ("" if reached == seeds else f" ({reached} of {seeds})")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _si(value: float) -> str:
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.0f}"
