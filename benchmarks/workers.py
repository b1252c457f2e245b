"""The parent's side: a peer in a process of its own, asked by lines of JSON."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks import machine
from benchmarks.conversation import Conversation
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
        self._talk: Conversation | None = None
        self._prepared: dict[Task, dict[str, Any]] = {}
        self._failed: dict[Task, str] = {}
        self._absent: str | None = None

    @property
    def process(self) -> subprocess.Popen | None:
        return self._talk.process if self._talk else None

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
        if self._talk:
            with suppress(Gap):
                self._ask({"do": "forget"})

    def memory(self) -> dict[str, int]:
        """peak_bytes, and idle_bytes before the first task; empty where the worker does not run."""
        try:
            return self._ask({"do": "memory"}) if self._talk else {}
        except Gap:
            return {}

    def close(self) -> None:
        if self._talk is not None:
            self._talk.close()
        self._talk, self._prepared = None, {}

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def start(self) -> None:
        """Start its process unless it runs. Raises Gap where the framework is missing."""
        if self._absent:
            raise Gap(self._absent)
        if self._talk:
            return
        tuned, command = self.variant.allocator == "tuned", [sys.executable, "-m", "benchmarks.serve"]
        command += [self.variant.peer, str(self._threads or 0)]
        if tuned and PEERS[self.variant.peer].framework == "jax":  # the product's own way, for all that it can help
            command, tuned = [*command, "keep_memory"], False
        environment = machine.worker_environment(threads=self._threads, tuned=tuned)
        environment["CONVNET_KEEP_MEMORY"] = "0" if self.variant.allocator == "default" else "1"
        try:
            self._talk = Conversation(command, environment, seconds=START_SECONDS)
            self.hello = self._talk.hello
        except Gap as gap:
            self._absent = str(gap)
            raise

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._talk.ask(question, seconds=self._timeout())
        finally:
            if not self._talk.open:
                self.close()
