"""The parent's side: a peer in a process of its own, asked by lines of JSON."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from benchmarks import machine
from benchmarks.interleave import Gap
from benchmarks.messages import Task, encode
from benchmarks.peers import PEERS
from benchmarks.ratios import Sample

START_SECONDS = 300.0
"""How long a worker may take to import its framework."""


@dataclass(frozen=True)
class Variant:
    """A peer under one setting of the host's memory allocator: default or tuned."""

    peer: str
    allocator: str = "default"

    @property
    def label(self) -> str:
        return self.peer if self.allocator == "default" else f"{self.peer}, {self.allocator} allocator"


class Worker:
    """A `Measurer` in a process of its own, which starts when it is first asked, and again after a crash.

    seconds: length of a sample; timeout: seconds after which a question counts as unanswered, or what tells them anew
    for each. What could not be prepared is not tried again.
    """

    def __init__(
        self,
        variant: Variant,
        *,
        seconds: float,
        timeout: float | Callable[[], float],
        threads: int | None = None,
    ):
        self.variant, self._seconds, self._threads = variant, seconds, threads
        self._timeout = timeout if callable(timeout) else lambda: timeout
        self.hello: dict[str, Any] = {}
        self.process: subprocess.Popen | None = None
        self._prepared: dict[Task, dict[str, Any]] = {}
        self._failed: dict[Task, str] = {}
        self._absent: str | None = None
        self._pending = b""

    def prepare(self, task: Task) -> dict[str, Any]:
        if not (task.dispatched or PEERS[self.variant.peer].programs):
            raise Gap("dispatches every step")
        if task in self._failed:
            raise Gap(self._failed[task])
        if task not in self._prepared:
            self.start()
            try:
                self._prepared[task] = self._ask({"do": "prepare", "task": encode(task), "seconds": self._seconds})
            except Gap as gap:
                self._failed[task] = str(gap)
                raise
        return self._prepared[task]

    def skip(self, task: Task, reason: str) -> None:
        """Not to be prepared: that would end in a restart, which loses what is prepared."""
        if task not in self._prepared:
            self._failed.setdefault(task, reason)

    def sample(self, task: Task) -> Sample:
        if task not in self._prepared:  # it was, in a process that another task has brought down
            self.prepare(task)
        answer = self._ask({"do": "sample", "number": list(self._prepared).index(task)})
        foreign = answer["foreign_cores"]
        return Sample(answer["seconds"], disturbed=foreign is not None and foreign > machine.FOREIGN_LIMIT)

    def forget(self) -> None:
        """Let go of all tasks, and the memory that they take."""
        self._prepared, self._failed = {}, {}
        if self.process:
            with suppress(Gap):
                self._ask({"do": "forget"})

    def memory(self) -> dict[str, int]:
        """peak_bytes, and idle_bytes before the first task; empty where the worker does not run."""
        try:
            return self._ask({"do": "memory"}) if self.process else {}
        except Gap:
            return {}

    def close(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        self.process.communicate()
        self._errors.close()
        self.process, self._prepared, self._pending = None, {}, b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def start(self) -> None:
        """Start its process unless it runs. Raises Gap where the framework is missing."""
        if self._absent:
            raise Gap(self._absent)
        if self.process:
            return
        tuned, command = self.variant.allocator == "tuned", [sys.executable, "-m", "benchmarks.serve"]
        command += [self.variant.peer, str(self._threads or 0)]
        if tuned and PEERS[self.variant.peer].framework == "jax":  # the product's own way, for all that it can help
            command, tuned = [*command, "keep_memory"], False
        environment = machine.worker_environment(threads=self._threads, tuned=tuned)
        environment["CONVNET_KEEP_MEMORY"] = "0" if self.variant.allocator == "default" else "1"
        # Kept open as long as the process runs; closed with it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        try:
            self.hello = self._answer(START_SECONDS)
        except Gap as gap:
            self._absent = str(gap)
            raise

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gap(self._crash()) from None
        return self._answer(self._timeout())

    def _answer(self, timeout: float) -> dict[str, Any]:
        deadline, pipe = monotonic() + timeout, self.process.stdout.fileno()
        while b"\n" not in self._pending:
            if not select.select([pipe], [], [], max(deadline - monotonic(), 0))[0]:
                self.close()
                raise Gap(f"no answer within {timeout:.4g} s")
            if not (data := os.read(pipe, 1 << 16)):
                raise Gap(self._crash())
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        answer = json.loads(line)
        if "gap" in answer:
            raise Gap(answer["gap"])
        return answer

    def _crash(self) -> str:
        """Why the process ended: the last line it said."""
        code = self.process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        return f"crashed with code {code}" + (f": {said[-1][:200]}" if said else "")
