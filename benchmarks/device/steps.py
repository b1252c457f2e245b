"""Whole training steps, dispatched and scanned, beside autodiff, torch and torch.compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from benchmarks.device.document import Document
from benchmarks.device.peers import asked, team
from benchmarks.interleave import Gap
from benchmarks.messages import Task
from benchmarks.networks import LARGE_NETWORKS, NETWORKS, QUICK_NETWORKS, StepTask
from benchmarks.workers import Worker

PEERS = ("ours", "ours-repeatable", "autodiff", "torch", "torch-compile")
TINY_PEERS = ("ours",)
COMPILED = "torch-compile"
BATCH, STEPS = 512, 16
TINY_BATCH, TINY_STEPS = 4, 2
CASES = ("mnist_cnn", "small_vgg", "resnet18")
PRECISIONS = ("bfloat16", "tf32")


def measure(document: Document) -> None:
    networks = QUICK_NETWORKS if document.tiny else NETWORKS | LARGE_NETWORKS
    names, precisions = (tuple(networks)[:1], ("bfloat16",)) if document.tiny else (CASES, PRECISIONS)
    batch, steps = (TINY_BATCH, TINY_STEPS) if document.tiny else (BATCH, STEPS)
    peers = TINY_PEERS if document.tiny else PEERS
    with team(document, peers) as workers:
        for precision in precisions:
            for name in names:
                tasks = [
                    StepTask(networks[name], mode, batch, repeats, precision)
                    for mode, repeats in (("single", 1), ("scanned", steps))
                ]
                if not document.left:
                    document.cut(f"{networks[name].label}, {precision}")
                    continue
                document.add(_together(document, networks[name].label, tasks, workers))


def _together(document: Document, case: str, tasks: Sequence[Task], workers: Mapping[str, Worker]) -> list[dict]:
    """torch.compile compiles while the others are prepared: that keeps processors busy, and hardly the device."""

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
                    with suppress(Gap):
                        worker.prepare(task)
    return asked(document, case, tasks, workers)
