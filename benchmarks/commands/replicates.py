"""What do many seeds of one config cost, beside as many single runs?

    python -m benchmarks replicates                16 CNNs on digits, 6 larger ones on noise like MNIST
    python -m benchmarks replicates --cases digits --replicates 64
    python -m benchmarks replicates --quick        two replicates of two epochs: does everything run?

Whole runs, with validation and test, after compilation. "single" is one `Trainer.run` after the other; "threads" and
"vmapped" are the two ways of `convnet.ablation.Replicates`. They take turns; the table divides their medians. Writes
results/<device>/replicates.json and README.md under benchmarks/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import session, tables
from benchmarks.command import Output, own_document
from benchmarks.replicates import CASES, IMAGES, dataset_of, timed, ways
from benchmarks.session import chosen
from convnet.cli import run_command
from convnet.progress import progress
from convnet.record import check_writable
from convnet.settings import require


@dataclass(frozen=True)
class BenchReplicates(Output):
    """Time replicates of whole runs: one after the other, in threads, vmapped."""

    cases: tuple[str, ...] = ()
    """digits, like-mnist; both unless given."""
    replicates: int | None = None
    """How many. Default: each case's own."""
    rounds: int = 3
    """Samples of each way."""


def measure(name: str, settings: BenchReplicates, bar: Any) -> list[dict]:
    """One entry per way: seconds of all replicates together, by round."""
    case, quick = CASES[name], settings.quick
    replicates = settings.replicates or (2 if quick else case.replicates)
    config = replace(case.config, train=replace(case.config.train, epochs=2)) if quick else case.config
    dataset = dataset_of(name, 200 if quick else IMAGES)

    def on_run(way: str) -> None:
        bar.set_postfix_str(f"{case.label}, {way}")
        bar.update()

    samples = timed(ways(config, dataset, replicates), 1 if quick else settings.rounds, on_run)
    shared = dict(case=name, label=case.label, replicates=replicates, epochs=config.train.epochs)
    return [dict(**shared, way=way, seconds=seconds) for way, seconds in samples.items()]


def bench_replicates(settings: BenchReplicates) -> None:
    cases = chosen("cases", settings.cases, tuple(CASES))
    require(settings.rounds >= 1, "rounds", settings.rounds, "1 or more")
    require(settings.replicates is None or settings.replicates >= 1, "replicates", settings.replicates, "1 or more")
    check_writable(settings.folder)
    document = own_document(settings.rounds)
    total = 3 * len(cases) * (2 if settings.quick else 1 + settings.rounds)
    with progress(total, "sample") as bar:
        for name in cases:
            document["results"] += measure(name, settings, bar)
    print(f"results: {session.store(document, 'replicates', settings.folder, settings.device_name)}")
    print(f"tables: {tables.write_readme(settings.folder)}")
    print(tables.markdown(tables.replicate_tables(document)[0][1]))


def main(args: Sequence[str]) -> int:
    return run_command(BenchReplicates, bench_replicates, args)
