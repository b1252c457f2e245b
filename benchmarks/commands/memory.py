"""How much memory does a run take while its data grow eightfold, read batch by batch and held in memory?

    python -m benchmarks memory              100,000 to 800,000 images of 32×32×3, 0.3 to 2.5 GB: some three minutes
    python -m benchmarks memory --quick      small ones: does everything run?

Each run (one epoch of a linear classifier, validation and test) has a process of its own, which tells the most memory
that it took. Images are made when they are asked for, so that no disk has to hold them, nor a cache of the system can
help. Writes results/<device>/memory.json and README.md under benchmarks/.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import machine, scale_tables, session, tables
from benchmarks.command import Output, own_document
from convnet.cli import run_command
from convnet.progress import progress
from convnet.record import check_writable
from convnet.settings import require

WAYS = ("streamed", "resident")
TIMES, QUICK_TIMES = (1, 2, 4, 8), (1, 2)
SIDE, QUICK_IMAGES, QUICK_SIDE = 32, 512, 8


@dataclass(frozen=True)
class BenchMemory(Output):
    """Measure the memory of runs whose data grow: streamed, and resident."""

    images: int = 100_000
    """Of the smallest run; the others have 2, 4 and 8 times as many. --quick: 512, and twice as many."""
    timeout: float = 600.0
    """Seconds after which a run is given up."""


def measure(way: str, images: int, side: int, timeout: float) -> dict[str, Any]:
    entry = dict(case=way, images=images, data_bytes=images * side * side * 3, gap=None)
    command = [sys.executable, "-m", "benchmarks.memory_worker", way, str(images), str(side)]
    environment = machine.worker_environment(threads=None, tuned=False)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {**entry, "gap": f"no answer within {timeout:g} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        return {**entry, "gap": f"ended with code {done.returncode}: {' '.join(said)[:200]}"}
    return {**entry, **json.loads(done.stdout.splitlines()[-1])}


def bench_memory(settings: BenchMemory) -> None:
    require(settings.images >= 256, "images", settings.images, "256 or more: a batch")
    require(settings.timeout > 0, "timeout", settings.timeout, "a positive number of seconds")
    check_writable(settings.folder)
    images, side = (QUICK_IMAGES, QUICK_SIDE) if settings.quick else (settings.images, SIDE)
    document, growth = own_document(1), QUICK_TIMES if settings.quick else TIMES
    with progress(len(WAYS) * len(growth), "run") as bar:
        for way in WAYS:
            for times in growth:
                bar.set_postfix_str(f"{way}, {times * images:,} images")
                document["results"].append(measure(way, times * images, side, settings.timeout))
                bar.update()
    print(f"results: {session.store(document, 'memory', settings.folder, settings.device_name)}")
    print(f"tables: {tables.write_readme(settings.folder)}")
    print(tables.markdown(scale_tables.memory_tables(document)[0][1]))


def main(args: Sequence[str]) -> int:
    return run_command(BenchMemory, bench_memory, args)
