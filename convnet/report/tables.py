"""Tables as text, for the terminal and for spreadsheets; and those of comparisons and ablations, from their
`summary.json`, for the terminal, the page and the documents alike."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Table = Sequence[Sequence[str]]
NO_INTERVAL = "—"
"""Where an interval or p would stand that the values do not give."""
ABLATION_HEAD = ("test accuracy %", "95 %", "difference", "95 %", "p", "detectable")


def text_table(table: Table) -> str:
    """The table in columns, headings underlined, the first column to the left and the others to the right."""
    lines = [[" ".join(cell.split()) for cell in row] for row in table]
    widths = [max(_width(row[i]) for row in lines) for i in range(len(lines[0]))]

    def line(row: Sequence[str]) -> str:
        first, *others = ((cell, " " * (width - _width(cell))) for cell, width in zip(row, widths, strict=True))
        return "  ".join(["".join(first), *(gap + cell for cell, gap in others)]).rstrip()

    return "\n".join([line(lines[0]), "  ".join("-" * w for w in widths), *map(line, lines[1:])])


def _width(text: str) -> int:
    """Columns that a terminal gives `text`: two to letters of the Far East, none to accents of their own."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def csv_text(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as CSV (RFC 4180 but for its line ends) in UTF-8, headings from the first; None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def remark_lines(remarks: Mapping[str, Iterable[str]]) -> list[str]:
    """Name -> remarks as lines such as "a, b: one run has no interval": each remark once, with all it is said of."""
    names: dict[str, list[str]] = {}
    for name, lines in remarks.items():
        for line in lines:
            names.setdefault(line, []).append(name)
    return [f"{', '.join(said_of)}: {line}" for line, said_of in names.items()]


def _ends(low: float | None, high: float | None, *, least: float = 0.0, sign: str = "") -> str:
    """An interval in percent; no accuracy is below 0 or above 1, whatever few seeds let a t distribution think.

    least: the smallest possible value; −1 for a difference of accuracies.
    """
    if low is None or high is None:
        return NO_INTERVAL
    low, high = (100 * min(max(end, least), 1.0) for end in (low, high))
    return f"{low:{sign}.2f} … {high:{sign}.2f}"


# --- comparisons ------------------------------------------------------------------------------------------------------


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
    if several and line["test_accuracy"] is not None:
        text += f" ({_ends(*line['interval95'])})"
    return text + (f" ({line['diverged']} of {line['seeds']} diverged)" if line["diverged"] else "")


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


# --- ablations --------------------------------------------------------------------------------------------------------


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


def _p(value: float | None) -> str:
    return NO_INTERVAL if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _points(value: float | None) -> str:
    return NO_INTERVAL if value is None else f"{100 * value:.2f}"
