"""How far a long piece of work has got: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, TextIO

SILENT = "CONVNET_SILENT"
"""The environment variable that, set to anything, keeps progress from being shown."""
EVERY, AT_LEAST = 30.0, 5.0
"""Seconds between two lines: after `EVERY` there is one, and from `AT_LEAST` on where a further tenth is done."""


def progress(total: int, unit: str, *, file: TextIO | None = None) -> Any:
    """Progress of `total` units on `file` (standard error), a context manager with what commands use of a tqdm bar:
    `n`, `update(count)`, `write(text, file=…)`, `set_postfix_str(text)` and `set_postfix(name=value)`.

    A terminal gets tqdm's bar; anything else `Lines`, which no carriage return floods.
    """
    file = sys.stderr if file is None else file
    if os.environ.get(SILENT):
        return Lines(total, unit, open(os.devnull, "w", encoding="utf-8"))
    if not file.isatty():
        return Lines(total, unit, file)
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, file=file, dynamic_ncols=True)


class Lines:
    """One line every half minute, or at a further tenth of the work, and one at the end; safe to update in threads."""

    def __init__(self, total: int, unit: str, file: TextIO):
        self.n, self.total = 0, total
        self._unit, self._file, self._note = unit, file, ""
        self._lock = threading.Lock()
        self._start = self._last = time.monotonic()
        self._tenth = self._printed = 0
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.n > self._printed:
            self._print(time.monotonic())

    def update(self, count: int = 1) -> None:
        with self._lock:
            self.n += count
            now, tenth = time.monotonic(), 10 * self.n // max(self.total, 1)
            self._first = self._first or (now, self.n)  # what comes before it, such as compiling, comes once
            if now - self._last >= (AT_LEAST if tenth > self._tenth else EVERY):
                self._tenth = tenth
                self._print(now)

    def write(self, text: str, file: TextIO | None = None) -> None:
        print(text, file=file or self._file)

    def set_postfix_str(self, text: str) -> None:
        self._note = text

    def set_postfix(self, **figures: Any) -> None:
        self._note = ", ".join(f"{name} {value}" for name, value in figures.items())

    def _print(self, now: float) -> None:
        self._last, self._printed = now, self.n
        elapsed = now - self._start
        since, done = self._first or (now, self.n)
        left = (now - since) / (self.n - done) * (self.total - self.n) if self.n > done else 0
        time_left = f", {left:.0f} s left" if left >= 1 else ""
        note = f" ({self._note})" if self._note else ""
        share = f"{self.n / max(self.total, 1):.0%}"
        print(f"{self._unit} {self.n} of {self.total}, {share}, {elapsed:.0f} s{time_left}{note}", file=self._file)
        self._file.flush()
