"""Whole training steps, dispatched and scanned, beside autodiff, torch and torch.compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from benchmarks.device.document import Document
from benchmarks.device.peers import RESERVE, asked, team
from benchmarks.interleave import Gap
from benchmarks.messages import Task
from benchmarks.networks import LARGE_NETWORKS, NETWORKS, QUICK_NETWORKS, Network, StepTask
from benchmarks.workers import Worker

COMPILED = "torch-compile"


@dataclass(frozen=True)
class Plan:
    """Which networks are timed, in which precisions, each in batches of so many images. steps: of a scanned program."""

    networks: tuple[Network, ...]
    precisions: tuple[str, ...]
    batch: int
    steps: int
    peers: tuple[str, ...] = ("ours", "ours-repeatable", "autodiff", "torch", COMPILED)


PLAN = Plan(
    (NETWORKS["mnist_cnn"], NETWORKS["small_vgg"], LARGE_NETWORKS["resnet18"]), ("bfloat16", "tf32"), 512, 16
)  # fmt: skip
TINY = Plan((QUICK_NETWORKS["tiny_cnn"],), ("bfloat16",), 4, 2, peers=("ours",))


def measure(document: Document) -> None:
    plan = TINY if document.tiny else PLAN
    with team(document, plan.peers) as workers:
        measure_plan(document, plan, workers)


def measure_plan(document: Document, plan: Plan, workers: Mapping[str, Worker]) -> None:
    for precision in plan.precisions:
        for network in plan.networks:
            tasks = [
                StepTask(network, mode, plan.batch, repeats, precision)
                for mode, repeats in (("single", 1), ("scanned", plan.steps))
            ]
            if not document.left:
                document.cut(f"{network.label}, {precision}")
                continue
            document.add(_together(document, network.label, tasks, workers))


def _together(document: Document, case: str, tasks: Sequence[Task], workers: Mapping[str, Worker]) -> list[dict]:
    """torch.compile compiles while the others are prepared: that keeps processors busy, and hardly the device.

    A peer is not asked for a scanned program in less time than the dispatched one took it: an answer that comes too
    late costs what it has prepared before.
    """
    took: dict[str, float] = {}

    def compiled() -> None:
        with suppress(Gap):
            for task in tasks:
                workers[COMPILED].prepare(task)

    with ThreadPoolExecutor(1) as pool:
        if COMPILED in workers:
            pool.submit(compiled)
        for task in tasks:
            for peer, worker in workers.items():
                if peer != COMPILED:
                    start = monotonic()
                    if document.left - RESERVE <= took.get(peer, 0.0):
                        worker.skip(task, "no time")
                    with suppress(Gap):
                        worker.prepare(task)
                    took[peer] = monotonic() - start
    return asked(document, case, tasks, workers)
