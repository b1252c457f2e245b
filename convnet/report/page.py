"""One self-contained HTML page out of sections."""

from __future__ import annotations

import base64
import io
import os
import re
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
from matplotlib.figure import Figure

from convnet.report.files import publish
from convnet.report.picture import pixels_png, png

PICTURE_WIDTH = 960
"""About how wide pictures of pixels are shown, in CSS pixels."""


@dataclass(frozen=True)
class Picture:
    """A figure on a page, and under `figures/` in a file that is named after its key."""

    key: str
    """In words. Of pictures whose keys come to the same file name, the later ones get a number."""
    figure: Figure | np.ndarray | bytes
    """A chart, drawn now or earlier (a PNG); or pixels: RGB [H, W, 3] in 0 … 1, which are shown enlarged, each as a
    square."""
    alt: str
    """What it shows, for those who do not see it."""
    caption: str = ""
    of_images: bool = False
    """Whether a `Figure` shows images, whose colours are to stay as they are on a dark page."""


@dataclass(frozen=True)
class Tile:
    """A small picture in a table: pixels as of `Picture`, with a line of text below."""

    image: np.ndarray
    alt: str
    label: str = ""
    width: int = 72
    """About how wide it is shown, in CSS pixels: a whole number of them for each of the image's."""


Cell = str | Tile


@dataclass(frozen=True)
class Entry:
    """One of many, of which the page shows a line, and the rest when it is opened.

    facets: what readers choose entries by, name -> its values here. A page with any has a field to search them, too.
    """

    title: str
    line: str = ""
    tags: Sequence[str] = ()
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    text: str = ""
    code: str = ""
    table: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True)
class Section:
    """A heading, an introduction, a table (first row: headings) with its caption, any number of pictures, and entries.

    arrays: what is shown, as numbers, by name; they go to `arrays/TITLE.npz` beside the page. words: whether the table
    holds sentences, which are broken into lines.
    """

    title: str
    text: str = ""
    table: Sequence[Sequence[Cell]] | None = None
    caption: str = ""
    pictures: Sequence[Picture] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    entries: Sequence[Entry] = ()
    words: bool = False

    @classmethod
    def of(cls, title: str, figure: Figure, alt: str, caption: str = "", *, of_images: bool = False) -> Section:
        """Of one picture, with the title for its key."""
        return cls(title, pictures=[Picture(title, figure, alt, caption, of_images)])


@dataclass(frozen=True)
class Part:
    """Sections that are yet to be made: one, several or none. If `make` fails, the page says so under `title`."""

    title: str
    make: Callable[[], Section | Sequence[Section] | None]


class Page(NamedTuple):
    """What `write_report` makes a file of."""

    title: str
    facts: Mapping[str, str]
    """What the page's card lists, name -> value."""
    parts: Sequence[Section | Part]


@dataclass(frozen=True)
class _Drawn:
    """An image for the template: what is in its place, if it could not be drawn, is `failure`."""

    image: bytes = b""
    failure: str = ""
    kind: str = "chart"
    """chart: ink on white, which a dark page turns round; photo: colours to be kept; pixels: those, enlarged."""
    about: int = 0
    """How wide pixels are to be shown."""

    @property
    def data(self) -> str:
        return base64.b64encode(self.image).decode()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        return struct.unpack(">II", self.image[16:24])

    @property
    def width(self) -> int:
        """In CSS pixels, of pixels: a whole number for each, so that all are alike."""
        return self.size[0] * max(1, round(self.about / self.size[0]))

    @property
    def wide(self) -> bool:
        """Whether it is too much so for a phone."""
        width, height = self.size
        return width > 1.8 * height


def write_report(path: Path, title: str, facts: Mapping[str, str], parts: Sequence[Section | Part]) -> list[str]:
    """Write `path` (HTML with its pictures inside), each figure as a PNG under `figures/` beside it, and what sections
    give as numbers as NPZ under `arrays/`.

    What cannot be made or drawn costs no more than its place on the page: returned is a line for each. Files that an
    earlier report of that path wrote and this one lacks are removed; no other file is.
    """
    failures: list[str] = []
    sections = made(parts, failures)
    drawn = [[_drawn(picture, section, failures) for picture in section.pictures] for section in sections]
    tables = [_table(section, failures) for section in sections]
    names = slugs(section.title for section in sections)
    template = resources.files("convnet.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    shown = [
        (name, section, table, list(zip(section.pictures, images, strict=True)))
        for name, section, table, images in zip(names, sections, tables, drawn, strict=True)
    ]
    choices = _choices(entry for section in sections for entry in section.entries)
    html = environment.from_string(template).render(title=title, facts=facts, sections=shown, choices=choices)
    keys = slugs(picture.key for section in sections for picture in section.pictures)
    images = [one for of_section in drawn for one in of_section]
    files = {f"figures/{name}.png": one.image for name, one in zip(keys, images, strict=True) if one.image}
    files |= {f"arrays/{n}.npz": _npz(s.arrays) for n, s in zip(names, sections, strict=True) if s.arrays}
    publish(path, html.encode("utf-8", "backslashreplace"), files)
    return failures


def made(parts: Sequence[Section | Part], failures: list[str]) -> list[Section]:
    """The sections of all `parts`; what cannot be made says so in its place, and adds a line to `failures`."""
    sections: list[Section] = []
    for part in parts:
        try:
            found = part if isinstance(part, Section) else part.make()
        except Exception as error:
            found = Section(part.title, _failure(part.title, error, failures))
        sections += [found] if isinstance(found, Section) else found or []
    return sections


def _drawn(picture: Picture, section: Section, failures: list[str]) -> _Drawn:
    try:
        if isinstance(picture.figure, np.ndarray):
            return _Drawn(pixels_png(picture.figure), kind="pixels", about=PICTURE_WIDTH)
        image = picture.figure if isinstance(picture.figure, bytes) else png(picture.figure)
        return _Drawn(image, kind="photo" if picture.of_images else "chart")
    except Exception as error:
        return _Drawn(failure=_failure(section.title, error, failures))


def _table(section: Section, failures: list[str]) -> list[list[tuple[Cell, _Drawn | None]]]:
    """The cells, each with its image where it is a tile."""

    def drawn(cell: Cell) -> _Drawn | None:
        if isinstance(cell, str):
            return None
        try:
            return _Drawn(pixels_png(cell.image), kind="pixels", about=cell.width)
        except Exception as error:
            return _Drawn(failure=_failure(section.title, error, failures))

    return [[(cell, drawn(cell)) for cell in row] for row in section.table or ()]


def _choices(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """Facet -> all of its values, in the order in which they come."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for name, values in entry.facets.items():
            found[name] = list(dict.fromkeys([*found.get(name, ()), *values]))
    return found


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The same bytes for the same arrays, whenever it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            entry = io.BytesIO()
            np.save(entry, np.asarray(values), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.getvalue())
    return buffer.getvalue()


def _failure(title: str, error: Exception, failures: list[str]) -> str:
    if os.environ.get("CONVNET_TRACEBACK"):
        raise error
    message = f"could not be made ({type(error).__name__}: {error})"
    failures.append(f"{title}: {message}")
    return f"This part {message}."


def slugs(titles: Iterable[str]) -> list[str]:
    """A name for each title, for anchors and files alike: ASCII in lower case, at most 60 characters, none twice."""
    found: list[str] = []
    for title in titles:
        ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
        slug = "-".join(re.findall("[a-z0-9]+", ascii_only))[:60].strip("-") or "section"
        candidates = (slug, *(f"{slug}-{number}" for number in range(2, len(found) + 3)))
        found.append(next(candidate for candidate in candidates if candidate not in found))
    return found
