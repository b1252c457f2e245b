"""What do many seeds of one config cost, beside as many single runs?

    python scripts/bench_replicates.py                16 CNNs on digits, 6 larger ones on noise like MNIST
    python scripts/bench_replicates.py --cases digits --replicates 64
    python scripts/bench_replicates.py --quick        two replicates of two epochs: does everything run?

Whole runs, with validation and test, after compilation. "single" is one `Trainer.run` after the other; "threads" and
"lockstep" are the two ways of `convnet.ablation.Replicates`. They take turns; the table divides their medians. Writes
results/<device>/replicates.json and README.md under benchmarks/.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed with the package

import numpy as np

from benchmarks import session, tables
from benchmarks.command import Output, own_document
from benchmarks.session import chosen
from convnet import data
from convnet.ablation import Replicates
from convnet.cli import run_command
from convnet.config import ModelConfig, OptimConfig, RunConfig, TrainConfig, require
from convnet.data import Dataset
from convnet.progress import progress
from convnet.record import check_writable
from convnet.run import Trainer

IMAGES = 4000
"""Of the noise: enough for an epoch to outweigh what surrounds it."""


@dataclass(frozen=True)
class Case:
    """A config and how many of it are trained."""

    label: str
    config: RunConfig
    replicates: int


CASES = {
    "digits": Case(
        "CNN 32-64 on digits",
        RunConfig(model=ModelConfig(widths=(32, 64)), train=TrainConfig(epochs=8, batch_size=32)),
        16,
    ),
    "like-mnist": Case(
        "CNN 32-64 on 28² noise",
        RunConfig(
            model=ModelConfig(widths=(32, 64)),
            optim=OptimConfig(learning_rate=1e-3),
            train=TrainConfig(epochs=2, batch_size=128),
        ),
        6,
    ),
}


@dataclass(frozen=True)
class BenchReplicates(Output):
    """Time replicates of whole runs: one after the other, in threads, in lockstep."""

    cases: tuple[str, ...] = ()
    """digits, like-mnist; both unless given."""
    replicates: int | None = None
    """How many. Default: each case's own."""
    rounds: int = 3
    """Samples of each way."""


def dataset_of(name: str, images: int) -> Dataset:
    if name == "digits":
        return data.load("digits")
    rng = np.random.default_rng(0)
    return data.from_arrays(name, rng.integers(0, 256, (images, 28, 28, 1)).astype(np.uint8), np.arange(images) % 10)


def ways(config: RunConfig, dataset: Dataset, replicates: int) -> dict[str, Callable[[], None]]:
    """Each trains all seeds once; everything is compiled."""
    configs = [replace(config, seed=seed) for seed in range(replicates)]
    single, threads, lockstep = (
        Trainer(config, dataset),
        Replicates(config, dataset, vmapped=False),
        Replicates(config, dataset, vmapped=True, chunk=replicates),
    )

    def one_after_the_other() -> None:
        for one in configs:
            single.run_as(one)

    return {
        "single": one_after_the_other,
        "threads": lambda: list(threads.run_all(configs)),
        "lockstep": lambda: list(lockstep.run_all(configs)),
    }


def measure(name: str, settings: BenchReplicates, bar: Any) -> list[dict]:
    """One entry per way: seconds of all replicates together, by round."""
    case, quick = CASES[name], settings.quick
    replicates = settings.replicates or (2 if quick else case.replicates)
    config = replace(case.config, train=replace(case.config.train, epochs=2)) if quick else case.config
    found = ways(config, dataset_of(name, 200 if quick else IMAGES), replicates)
    samples: dict[str, list[float]] = {way: [] for way in found}
    for number in range(1 + (1 if quick else settings.rounds)):
        for way, run in found.items():
            bar.set_postfix_str(f"{case.label}, {way}")
            start = time.perf_counter()
            run()
            if number:  # the first round compiles
                samples[way].append(time.perf_counter() - start)
            bar.update()
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


if __name__ == "__main__":
    sys.exit(run_command(BenchReplicates, bench_replicates))
