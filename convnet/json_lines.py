"""Results that are kept one by one, as lines of JSON: a process may be killed in the middle of a line."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO


def append(path: Path, value: Any) -> None:
    """Add a line, on a new one where that of before was torn."""
    with path.open("ab+") as file:
        torn = file.seek(0, os.SEEK_END) and _last_byte(file) != b"\n"
        file.write((b"\n" if torn else b"") + json.dumps(value).encode() + b"\n")


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def read(path: Path) -> list[Any]:
    """All lines but those that were torn; none where there is no file."""
    found = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found
