"""A racer's side: lines of JSON on stdin are seeds of whole trainings, those on stdout what the runs came to.

First come the versions and the device, then {"warm_up_seconds": …}; then, to each {"seed": n}, what the run took and
what came of it. An answer {"gap": …} says why there is none.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from benchmarks.conversation import answering, failure, not_installed
from convnet.settings import require


class Racer(Protocol):
    def warm_up(self) -> None:
        """All that is not to be timed, such as compiling."""

    def run(self, seed: int) -> dict[str, Any]:
        """Train from `seed` and test: seconds, phases, accuracy, accuracy_mirror, accuracy_views, loss, steps."""


def parsed(text: str, name: str, expected: str) -> Any:
    """Raises ValueError for what is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"{name} is {text.strip()!r}: expected {expected}") from None


def serve_runs(build: Callable[[], tuple[Racer, dict[str, Any]]]) -> None:
    """Answer until stdin ends. build: () -> the racer, and what it says of itself; it may raise ModuleNotFoundError."""
    answer = answering()

    def attempt(do: Callable[..., Any], *arguments: Any) -> Any:
        """What `do` returns; None after a gap."""
        try:
            return do(*arguments)
        except Exception as error:
            traceback.print_exc()
            answer(_gap(error))

    if (built := attempt(build)) is None:
        return
    racer, hello = built
    answer(hello)
    if (warmed := attempt(_warmed, racer)) is None:
        return
    answer(warmed)
    for line in sys.stdin:
        if (run := attempt(_run, racer, line)) is not None:
            answer(run)


def _warmed(racer: Racer) -> dict[str, float]:
    before = perf_counter()
    racer.warm_up()
    return {"warm_up_seconds": perf_counter() - before}


def _run(racer: Racer, line: str) -> dict[str, Any]:
    expected = '{"seed": a number}'
    question = parsed(line, "the question", expected)
    known = isinstance(question, dict) and type(question.get("seed")) is int
    require(known, "the question", line.strip(), expected)
    return racer.run(question["seed"])


def _gap(error: Exception) -> dict[str, str]:
    match error:
        case ModuleNotFoundError():
            return not_installed(error)
        case ValueError():
            return {"gap": str(error)}
    return failure(error)
