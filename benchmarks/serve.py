"""The worker's side: `python -m benchmarks.serve PEER THREADS [keep_memory]` answers the questions on its stdin.

Questions and answers are lines of JSON. {"do": "prepare", "task": …, "seconds": …} builds, compiles and runs a task;
{"do": "sample", "number": i} times the i-th one prepared; {"do": "forget"} lets go of them; {"do": "memory"} tells what
it took. An answer {"gap": …} says why there is none.
"""

from __future__ import annotations

import json
import math
import sys
import traceback
from collections.abc import Callable
from importlib import metadata
from time import perf_counter
from typing import Any

from benchmarks import machine
from benchmarks.conversation import answering, failure, not_installed
from benchmarks.messages import decode
from benchmarks.peers import load
from benchmarks.peers.program import Program, Unsupported
from convnet.allocator import keep_memory

PACKAGES = ("jax", "jaxlib", "flax", "optax", "keras", "torch", "captum", "numpy")


class Server:
    """The tasks prepared so far, and how many calls make a sample of each."""

    def __init__(self, build: Callable[[Any], Program], memory: Callable[[], int]):
        self._build, self._memory, self._idle = build, memory, memory()
        self._programs: list[tuple[Program, int]] = []

    def prepare(self, task: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Compile time is what the first call takes longer than the second."""
        program = self._build(decode(task))
        start = perf_counter()
        loss = program.run(1)
        middle = perf_counter()
        program.run(1)
        call = perf_counter() - middle
        self._programs.append((program, max(1, math.ceil(seconds / call))))
        bytes_taken = program.device_bytes()
        facts = {} if bytes_taken is None else {"device_bytes": bytes_taken}
        return {"compile_seconds": max(middle - start - call, 0.0), "loss": loss, **facts}

    def sample(self, number: int) -> dict[str, Any]:
        program, calls = self._programs[number]
        start = machine.now()
        program.run(calls)
        end = machine.now()
        return {
            "seconds": (end.wall - start.wall) / (calls * program.units),
            "foreign_cores": machine.foreign_cores(start, end),
        }

    def forget(self) -> dict[str, Any]:
        """Let go of all programs and their data."""
        self._programs.clear()
        return {}

    def memory(self) -> dict[str, Any]:
        return {"peak_bytes": self._memory(), "idle_bytes": self._idle}


def serve(server: Server, answer: Callable[[dict], None]) -> None:
    """Answer until stdin ends."""
    verbs = {"prepare": server.prepare, "sample": server.sample, "forget": server.forget, "memory": server.memory}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer(verbs[question.pop("do")](**question))
        except Unsupported as reason:
            answer({"gap": str(reason)})
        except Exception as error:
            traceback.print_exc()
            answer(failure(error))


def versions() -> dict[str, str]:
    """Of what is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def main(peer: str, threads: str, *flags: str) -> None:
    answer = answering()
    if int(threads):
        machine.use_threads(int(threads))
    # Before the first large array.
    kept = "keep_memory" in flags and keep_memory()
    try:
        loaded = load(peer)
    except ModuleNotFoundError as error:
        answer(not_installed(error))
        return
    answer({"versions": versions(), "device": loaded.device, "keeps_memory": kept})
    serve(Server(loaded.build, loaded.memory), answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
