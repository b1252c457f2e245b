"""One self-contained HTML page out of sections."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure

from convnet.record import write_atomically, write_json
from convnet.report.picture import png
from convnet.report.tables import Table

WRITTEN = ".written.json"
"""In `figures/`: which pictures a report wrote, as report -> file -> SHA-256."""


@dataclass(frozen=True)
class Picture:
    """A figure on a page, and under `figures/` in a file that is named after its key."""

    key: str
    """In words. Of pictures whose keys come to the same file name, the later ones get a number."""
    figure: Figure
    alt: str
    """What it shows, for those who do not see it."""
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, an introduction, a table (first row: headings) with its caption, and any number of pictures."""

    title: str
    text: str = ""
    table: Table | None = None
    caption: str = ""
    pictures: Sequence[Picture] = ()

    @classmethod
    def of(cls, title: str, figure: Figure, alt: str, caption: str = "") -> Section:
        """Of one picture, with the title for its key."""
        return cls(title, pictures=[Picture(title, figure, alt, caption)])


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
    """A picture for the template: what is in its place, if it could not be drawn, is `failure`."""

    picture: Picture
    image: bytes = b""
    failure: str = ""

    @property
    def data(self) -> str:
        return base64.b64encode(self.image).decode()

    @property
    def wide(self) -> bool:
        """Whether it is too much so for a phone."""
        width, height = struct.unpack(">II", self.image[16:24])
        return width > 1.8 * height


def write_report(path: Path, title: str, facts: Mapping[str, str], parts: Sequence[Section | Part]) -> list[str]:
    """Write `path` (HTML with its pictures inside), and each figure as a PNG under `figures/` beside it.

    What cannot be made or drawn costs no more than its place on the page: returned is a line for each. Pictures that
    an earlier report of that path wrote and this one lacks are removed; no other file is.
    """
    failures: list[str] = []
    sections = made(parts, failures)
    drawn = [[_drawn(picture, section, failures) for picture in section.pictures] for section in sections]
    template = resources.files("convnet.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(template).render(
        title=title,
        facts=facts,
        sections=list(zip(slugs(section.title for section in sections), sections, drawn, strict=True)),
    )
    images = [one for of_section in drawn for one in of_section]
    files = zip(slugs(one.picture.key for one in images), images, strict=True)
    pictures = {f"{name}.png": one.image for name, one in files if one.image}
    _publish(path, html.encode("utf-8", "backslashreplace"), pictures)
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
        return _Drawn(picture, png(picture.figure))
    except Exception as error:
        return _Drawn(picture, failure=_failure(section.title, error, failures))


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


def _publish(path: Path, html: bytes, pictures: Mapping[str, bytes]) -> None:
    """Write the page and its pictures, in a folder that others, and people, may keep theirs in. What is written is
    listed before it is, so that an interruption leaves nothing that no list knows."""
    folder, report = path.parent / "figures", path.name
    try:
        lists = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        lists = {}
    old, new = lists.get(report, {}), {name: hashlib.sha256(image).hexdigest() for name, image in pictures.items()}
    if old or new:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / WRITTEN, lists | {report: old | new})
    for name, image in pictures.items():
        write_atomically(folder / name, image)
    write_atomically(path, html)
    others = {name for other, files in lists.items() if other != report for name in files}
    for name in old.keys() - new.keys() - others:
        picture = folder / name
        if picture.is_file() and hashlib.sha256(picture.read_bytes()).hexdigest() == old[name]:
            picture.unlink()
    if old or new:
        write_json(folder / WRITTEN, lists | {report: new})
