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
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from convnet.record import write_atomically, write_json
from convnet.report.picture import png
from convnet.report.tables import Table

WRITTEN = ".written.json"
"""In `figures/`: which pictures a report wrote, as report -> file -> SHA-256."""


@dataclass(frozen=True)
class Section:
    """A heading, an introduction, then a table (first row: headings) or a figure with its caption."""

    title: str
    text: str = ""
    table: Table | None = None
    figure: Figure | None = None
    caption: str = ""


@dataclass(frozen=True)
class Part:
    """Sections that are yet to be made: one, several or none. If `make` fails, the page says so under `title`."""

    title: str
    make: Callable[[], Section | Sequence[Section] | None]


def write_report(path: Path, title: str, facts: Mapping[str, str], parts: Sequence[Section | Part]) -> list[str]:
    """Write `path` (HTML with its pictures inside), and each figure as a PNG under `figures/` beside it.

    facts: what the page's card lists, name -> value.

    What cannot be made or drawn costs no more than its place on the page: returned is a line for each. Pictures that
    an earlier report of that path wrote and this one lacks are removed; no other file is.
    """
    failures: list[str] = []
    drawn = [_drawn(section, failures) for part in parts for section in _made(part, failures)]
    sections = dict(zip(slugs(section.title for section, _ in drawn), drawn, strict=True))
    template = resources.files("convnet.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(template).render(
        title=title,
        facts=facts,
        sections={slug: (section, image and _embedded(image)) for slug, (section, image) in sections.items()},
    )
    pictures = {f"{slug}.png": image for slug, (_, image) in sections.items() if image}
    with _Pictures(path.parent / "figures", path.name) as folder:
        folder.write(pictures)
        write_atomically(path, html.encode("utf-8", "backslashreplace"))
    return failures


def _embedded(image: bytes) -> dict[str, Any]:
    """For the template; wide: too much so for a phone."""
    width, height = struct.unpack(">II", image[16:24])
    return {"base64": base64.b64encode(image).decode(), "wide": width > 1.8 * height}


def _made(part: Section | Part, failures: list[str]) -> Sequence[Section]:
    if isinstance(part, Section):
        return [part]
    try:
        made = part.make()
        return [made] if isinstance(made, Section) else made or []
    except Exception as error:
        return [Section(part.title, _failure(part.title, error, failures))]


def _drawn(section: Section, failures: list[str]) -> tuple[Section, bytes | None]:
    if section.figure is None:
        return section, None
    try:
        return section, png(section.figure)
    except Exception as error:
        text = f"{section.text} {_failure(section.title, error, failures)}".strip()
        return replace(section, text=text, figure=None), None


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


class _Pictures:
    """The pictures of one report in a folder that others, and people, may keep theirs in. What is written is listed
    before it is, so that an interruption leaves nothing that no list knows."""

    def __init__(self, folder: Path, report: str):
        self._folder, self._report, self._new = folder, report, {}
        try:
            self._lists = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._lists = {}
        self._old = self._lists.get(report, {})

    def __enter__(self) -> _Pictures:
        return self

    def write(self, pictures: Mapping[str, bytes]) -> None:
        self._new = {name: hashlib.sha256(image).hexdigest() for name, image in pictures.items()}
        if not (self._old or self._new):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._list(self._old | self._new)
        for name, image in pictures.items():
            write_atomically(self._folder / name, image)

    def __exit__(self, kind, *_) -> None:
        if kind is None and (self._old or self._new):
            others = {name for report, files in self._lists.items() if report != self._report for name in files}
            for name in self._old.keys() - self._new.keys() - others:
                path = self._folder / name
                if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self._old[name]:
                    path.unlink()
            self._list(self._new)

    def _list(self, files: dict[str, str]) -> None:
        write_json(self._folder / WRITTEN, self._lists | {self._report: files})
