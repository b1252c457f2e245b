"""The order of a measurement: every round asks each peer about each task, so that all share the machine's moods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from benchmarks.messages import Task
from benchmarks.ratios import Sample


class Gap(Exception):
    """This peer cannot be asked about this task, for the reason given."""


class Measurer(Protocol):
    """A peer that answers. Both raise Gap."""

    def prepare(self, task: Task) -> dict[str, Any]:
        """Build and compile: compile_seconds, and the loss of the first step."""

    def sample(self, task: Task) -> Sample:
        """One sample of a few calls."""


@dataclass
class Entry:
    """What is known of one peer at one task."""

    task: Task
    peer: str
    samples: list[Sample] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    gap: str | None = None
    spent: float = 0.0
    """Seconds of wall clock that its samples took."""


def interleave(
    tasks: Sequence[Task],
    peers: Mapping[str, Measurer],
    *,
    rounds: int,
    budget: float,
    retries: int,
    on_cell: Callable[[Entry], None] = lambda cell: None,
) -> list[Entry]:
    """`rounds` samples of every peer at every task, peers next to each other: task 1 A B, task 2 A B, task 1 A B, …

    A cell that has spent `budget` seconds is not asked again; one that cannot be measured keeps the reason as its gap,
    and the others go on. A disturbed sample is taken again, up to `retries` times.
    on_cell: called after each preparation and each sample.
    """
    cells = [Entry(task, peer) for task in tasks for peer in peers]
    for cell in cells:
        _attempt(cell, lambda cell=cell: cell.facts.update(peers[cell.peer].prepare(cell.task)))
        on_cell(cell)
    for _ in range(rounds):
        for cell in cells:
            if cell.gap is None and cell.spent < budget:
                start = perf_counter()
                _attempt(
                    cell, lambda cell=cell: cell.samples.append(_calm_sample(peers[cell.peer], cell.task, retries))
                )
                cell.spent += perf_counter() - start
            on_cell(cell)
    return cells


def _attempt(cell: Entry, action: Callable[[], None]) -> None:
    try:
        action()
    except Gap as gap:
        cell.gap = str(gap)
        cell.samples.clear()


def _calm_sample(measurer: Measurer, task: Task, retries: int) -> Sample:
    """The first undisturbed sample, else the shortest."""
    tried = []
    for _ in range(retries + 1):
        tried.append(measurer.sample(task))
        if not tried[-1].disturbed:
            return tried[-1]
    return min(tried, key=lambda sample: sample.seconds)
