"""Tables and headings in Markdown, as GitHub shows it."""

from __future__ import annotations

import re

from convnet.report.tables import Table


def markdown_table(table: Table, *, right: bool = True) -> str:
    """First row headings. right: whether all columns but the first are set to the right, as numbers are."""
    head, *rows = ([_cell(cell) for cell in row] for row in table)
    rule = ["---"] + ["---:" if right else "---"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def code(text: str) -> str:
    """Nothing in it is taken for anything else."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`" if text else ""


def anchor(heading: str) -> str:
    """What a link to a heading ends in, after #."""
    return "".join(c for c in heading.lower() if c.isalnum() or c in " -_").replace(" ", "-")


def _cell(text: str) -> str:
    """A bar would end it, and so would the end of the line."""
    return " ".join(text.split()).replace("|", "\\|")
