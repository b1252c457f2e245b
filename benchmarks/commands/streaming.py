"""How long is an epoch of images that are read while they are trained on, beside one of images in memory?

    python -m benchmarks streaming                    MNIST and CIFAR-10, the CNN of the comparison: ten minutes
    python -m benchmarks streaming --cases mnist --rounds 2
    python -m benchmarks streaming --quick            a small CNN on images that are made: does everything run?

Epochs of training, after compilation. "from the cache" reads the file of decoded arrays that a first load leaves,
"from the records" decodes each image from the prepared files. They take turns with "resident"; the table divides their
medians. Reading alone is timed, too. Without the prepared files (TFDS_DATA_DIR) a case is left out, with a word. Writes
results/<device>/streaming.json and README.md under benchmarks/.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import scale_tables, session, tables
from benchmarks.command import Output, own_document
from benchmarks.session import chosen
from benchmarks.streaming import CASES, config_of, datasets, facts, results_of, turns, ways
from convnet.cli import run_command
from convnet.data import DatasetNotPrepared
from convnet.progress import progress
from convnet.record import check_writable
from convnet.settings import require


@dataclass(frozen=True)
class BenchStreaming(Output):
    """Time epochs of images in memory and of images that are read: from the cache, from the prepared records."""

    cases: tuple[str, ...] = ()
    """mnist, cifar10; both unless given. --quick: made, instead."""
    rounds: int = 3
    """Epochs of each way. --quick: 1."""
    limit: int | None = 25_600
    """Train on this many images: 200 steps, two windows of CIFAR-10's. --limit None: on all."""


def measure(name: str, limit: int | None, rounds: int, bar: Any) -> list[dict[str, Any]]:
    """As `results_of`."""
    with ExitStack() as stack:
        try:
            found = datasets(name, limit, stack)
        except DatasetNotPrepared as error:
            bar.write(f"not measured: {name}: {str(error).splitlines()[0]}")
            return [dict(case=name, way="resident", seconds=[], disturbed=[], gap=str(error).splitlines()[0])]

        def on_run(way: str) -> None:
            bar.set_postfix_str(f"{name}, {way}")
            bar.update()

        config = config_of(name)
        samples = turns(ways(config, found), rounds, on_run)
        return results_of(samples, case=name, gap=None, **facts(config, found["resident"]))


def bench_streaming(settings: BenchStreaming) -> None:
    cases = ("made",) if settings.quick else chosen("cases", settings.cases, CASES)
    require(settings.limit is None or settings.limit >= 128, "limit", settings.limit, "128 or more: a batch")
    require(settings.rounds >= 1, "rounds", settings.rounds, "1 or more")
    check_writable(settings.folder)
    rounds = 1 if settings.quick else settings.rounds
    document = own_document(rounds)
    with progress((3 if settings.quick else 5) * len(cases) * rounds, "sample") as bar:
        for name in cases:
            document["results"] += measure(name, settings.limit, rounds, bar)
            path = session.store(document, "streaming", settings.folder, settings.device_name)
    print(f"results: {path}")
    print(f"tables: {tables.write_readme(settings.folder)}")
    print(tables.markdown(scale_tables.streaming_tables(document)[0][1]))


def main(args: Sequence[str]) -> int:
    return run_command(BenchStreaming, bench_streaming, args)
