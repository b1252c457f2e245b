"""The files of a report: the page, and what stands beside it in folders that others, and people, use too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from convnet.record import write_atomically, write_json

WRITTEN = ".written.json"
"""In each folder: which files a report wrote there, as report -> file -> SHA-256."""


def publish(path: Path, html: bytes, files: Mapping[str, bytes]) -> None:
    """Write the page `path`, and `files` beside it by names such as figures/curves.png. Those that an earlier report of
    that path wrote and this one lacks are removed, unless somebody has changed them.

    What is written is listed before it is, so that an interruption leaves nothing that no list knows.
    """
    folders: dict[str, dict[str, bytes]] = {"figures": {}, "arrays": {}}
    for name, content in files.items():
        folder, _, file = name.partition("/")
        folders[folder][file] = content
    lists = {folder: _list(path.parent / folder) for folder in folders}
    for folder, contents in folders.items():
        _write(path.parent / folder, path.name, lists[folder], contents)
    write_atomically(path, html)
    for folder, contents in folders.items():
        _remove(path.parent / folder, path.name, lists[folder], contents)


def _list(folder: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _write(folder: Path, report: str, listed: dict[str, dict[str, str]], contents: Mapping[str, bytes]) -> None:
    old = listed.get(report, {})
    if old or contents:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / WRITTEN, listed | {report: old | _digests(contents)})
    for name, content in contents.items():
        write_atomically(folder / name, content)


def _remove(folder: Path, report: str, listed: dict[str, dict[str, str]], contents: Mapping[str, bytes]) -> None:
    """What is listed and was not written again."""
    old, others = listed.get(report, {}), {n for other, files in listed.items() if other != report for n in files}
    for name in old.keys() - contents.keys() - others:
        file = folder / name
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == old[name]:
            file.unlink()
    if old or contents:
        write_json(folder / WRITTEN, listed | {report: _digests(contents)})
