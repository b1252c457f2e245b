"""Peers in processes of their own, kept for a whole part: starting them takes longer than timing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from benchmarks.device.document import Document
from benchmarks.interleave import Gap, interleave
from benchmarks.messages import Task
from benchmarks.session import result_of
from benchmarks.workers import Variant, Worker

ROUNDS, SECONDS = 5, 0.04
TINY_ROUNDS, TINY_SECONDS = 2, 1e-3
RESERVE = 4.0
"""Seconds kept for the samples of what was prepared in time, where something else was not."""


@contextmanager
def team(document: Document, peers: Sequence[str]) -> Iterator[dict[str, Worker]]:
    """Workers that are all started at once; those that cannot be have that as their gap. Each has the time that is
    left when it is asked, but for `RESERVE`, to answer."""
    seconds = TINY_SECONDS if document.tiny else SECONDS
    with ExitStack() as stack:
        workers = {
            peer: stack.enter_context(
                Worker(Variant(peer), seconds=seconds, timeout=lambda: max(document.left - RESERVE, 1.0))
            )
            for peer in peers
        }
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(_started, workers.values()))
        document.facts["plan"] = {"rounds": TINY_ROUNDS if document.tiny else ROUNDS, "threads": None}
        document.facts["peers"] = {peer: worker.hello for peer, worker in workers.items()}
        yield workers


def _started(worker: Worker) -> None:
    with suppress(Gap):
        worker.start()


def asked(document: Document, case: str, tasks: Sequence[Task], workers: Mapping[str, Worker]) -> list[dict[str, Any]]:
    """One result for each task and peer, which take turns; the tasks are forgotten afterwards."""
    rounds = TINY_ROUNDS if document.tiny else ROUNDS
    cells = interleave(tasks, workers, rounds=rounds, budget=10.0, retries=0)
    for worker in workers.values():
        worker.forget()
    print(f"{case}: {', '.join(dict.fromkeys(cell.task.label for cell in cells))}", flush=True)
    return [result_of(case, cell, Variant(cell.peer), {}) for cell in cells]
