"""What a part has found so far, on disk after every addition."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convnet.identity import environment
from convnet.record import write_json

COMMAND = "bash scripts/device_check.sh"


@dataclass
class Document:
    """A part's results in `path`, and the time that it has.

    tiny: whether shapes are to be the smallest that go through every line, for a check of the check.
    mnist: an .npz file with images, labels, test_images and test_labels; None: where TFDS keeps them.
    """

    path: Path
    seconds: float
    tiny: bool = False
    mnist: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self):
        self._start = time.monotonic()
        self.facts = {
            "benchmark": self.path.stem,
            "environment": environment() | {"command": COMMAND},
            "seconds": self.seconds,
            "tiny": self.tiny,
            "gemm": [],
            "cut": [],
            **self.facts,
        }
        self.store()

    @property
    def left(self) -> float:
        """Seconds; 0 where the time is up."""
        return max(self.seconds - (time.monotonic() - self._start), 0.0)

    def add(self, results: Iterable[dict[str, Any]]) -> None:
        self.results += results
        self.store()

    def cut(self, what: str) -> None:
        """Note that there was no time for `what`."""
        self.facts["cut"].append(what)
        self.store()

    def store(self) -> None:
        write_json(self.path, {**self.facts, "results": self.results})
