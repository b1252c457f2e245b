"""One self-contained HTML page out of sections, and the same tables as text."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from convnet.record import write_atomically

Table = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A heading, an introduction, then a table (first row: headings) or a figure with its caption."""

    title: str
    text: str = ""
    table: Table | None = None
    figure: Figure | None = None
    caption: str = ""


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def write_report(path: Path, title: str, facts: dict[str, str], sections: Sequence[Section]) -> None:
    """Write `path` (HTML with its pictures inside), and each figure as a PNG under `figures/` beside it.

    facts: what the page's card lists, name -> value.
    """
    images = {section.title: png(section.figure) for section in sections if section.figure is not None}
    figures = path.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for name, data in images.items():
        write_atomically(figures / f"{_slug(name)}.png", data)
    template = resources.files("convnet.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(template).render(
        title=title,
        facts=facts,
        sections=[(_slug(section.title), section) for section in sections],
        images={name: base64.b64encode(data).decode() for name, data in images.items()},
    )
    write_atomically(path, html)


def text_table(table: Table) -> str:
    """The table in columns, headings underlined, the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(table[0]), "  ".join("-" * w for w in widths), *map(line, table[1:])])


def _slug(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
