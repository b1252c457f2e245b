"""Results that are kept one by one, as lines of JSON: a process may be killed in the middle of a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
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


class Kept:
    """What is measured, each under a key, in a file of lines: what an earlier process measured with the same `code` is
    not measured again. Without a file, it is known as long as this object lives."""

    def __init__(self, path: Path | None, code: str):
        self.path, self.code = path, code
        lines = [] if path is None else read(path)
        self._known = {json.dumps(line["key"]): line["value"] for line in lines if line["code"] == code}

    def of(self, key: Sequence[Any], measure: Callable[[], Any]) -> Any:
        """The value of a key, a plain JSON value as the key is: the one that is known, or what `measure` returns."""
        name = json.dumps(key)
        if name not in self._known:
            self._known[name] = measure()
            if self.path is not None:
                append(self.path, {"code": self.code, "key": key, "value": self._known[name]})
        return self._known[name]
