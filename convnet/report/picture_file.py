"""A picture that a command makes for somebody: a PNG file, and under the same name a JSON file that says how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convnet.identity import environment
from convnet.record import check_writable, write_atomically, write_json
from convnet.report.picture import pixels_png
from convnet.report.tiles import pixel_rgb
from convnet.settings import require


def check_place(out: Path, command: str) -> None:
    """ValueError unless `out` is a PNG file that can be written, and nothing is in its place, or in that of the JSON
    file, but what `command` wrote there itself and nobody has changed."""
    name = f"out is {str(out)!r}"
    require(out.suffix.lower() == ".png", "out", str(out), "a file that ends in .png")
    check_writable(out.parent)
    if not out.parent.is_dir() and out.parent.exists():
        raise ValueError(f"{name}: {str(out.parent)!r} is no directory")
    beside = out.with_suffix(".json")
    facts = _facts(beside)
    if beside.exists() and not (facts.get("command") == command and "sha256" in facts):
        raise ValueError(f"{name}: {beside.name} beside it was not written by this command; choose another --out")
    if out.exists() and (not out.is_file() or _digest(out.read_bytes()) != facts.get("sha256")):
        raise ValueError(f"{name}: is there already and was not written by this command; choose another --out")


def write_picture(out: Path, image: np.ndarray, command: str, facts: Mapping[str, Any]) -> None:
    """Write `image` [H, W, C] in 0 … 1 to `out`, and `facts` of it beside it."""
    picture = pixels_png(pixel_rgb(255 * image[None])[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, picture)
    own = {"command": command, "picture": out.name, "sha256": _digest(picture)}
    write_json(out.with_suffix(".json"), {**own, **facts, "environment": environment()})


def _facts(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
