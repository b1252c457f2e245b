"""Tables as text: for the terminal, and for spreadsheets."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from typing import Any

Table = Sequence[Sequence[str]]


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
