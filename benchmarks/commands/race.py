"""CIFAR-10 to 94 %: how long do we take, and how long does the same recipe in PyTorch?

    python -m benchmarks race                       five runs of each, in turns; needs CIFAR-10 prepared for TFDS
    python -m benchmarks race --runs 1 --epochs 2   does it get as far as it should?
    python -m benchmarks race --quick               tiny networks on few images: does everything run?

Each racer has a process of its own, compiles before the clock starts, and is timed from the uint8 images on its device
to the accuracy of the test images: whitening, augmentation, all steps, six views of each test image. Writes
results/<device>/race.json, after each run, and README.md under benchmarks/. The same command again, on the same machine
and with the same sources, goes on where a race was stopped; one that was run to its end begins anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

import convnet
from benchmarks import machine, peers, race_tables, session, tables
from benchmarks.command import Output, own_document
from benchmarks.conversation import Conversation
from benchmarks.interleave import Gap
from convnet import data
from convnet.cli import run_command
from convnet.code import code_hash
from convnet.identity import decisive
from convnet.progress import progress
from convnet.record import check_writable
from convnet.settings import content_hash, require
from convnet.speed_run import with_validation

PEERS = Path(peers.__file__).parent
RACERS = {"ours": "benchmarks.peers.jax_cifar10", "torch": "benchmarks.peers.torch_cifar10"}
QUICK_IMAGES, QUICK_BATCH, QUICK_WIDTHS = 500, 125, (8, 16, 16)


@dataclass(frozen=True)
class BenchRace(Output):
    """Race whole trainings on CIFAR-10: this library's recipe and PyTorch's, in turns."""

    racers: tuple[str, ...] = ("ours", "torch")
    """Who takes part: ours, torch."""
    runs: int = 5
    """Trainings of each, of seeds 0, 1, … --quick: 1."""
    epochs: int = 8
    """Passes over the training images. --quick: 1."""
    widths: tuple[int, int, int] = (64, 256, 256)
    """Channels of each group. --quick: 8, 16 and 16."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where torch computes; JAX takes what it finds."""
    ours: Literal["float32", "tf32", "bfloat16"] = "float32"
    """What our layers compute in."""
    torch: Literal["fastest", "float32", "bfloat16", "float16", "autocast"] = "fastest"
    """What torch computes in. bfloat16 and float16: parameters, too; autocast: float32 parameters, bfloat16 layers;
    fastest: float32 or autocast, whichever a trial says."""
    compiled: bool = True
    """Whether torch compiles its steps."""
    timeout: float = 7200.0
    """Seconds after which a racer that does not answer is out."""

    @property
    def rounds(self) -> int:
        return 1 if self.quick else self.runs

    def settings(self) -> dict[str, dict[str, Any]]:
        """What each racer is told."""
        epochs, batch = (1, QUICK_BATCH) if self.quick else (self.epochs, 2000)
        widths = list(QUICK_WIDTHS if self.quick else self.widths)
        torch = {"device": self.device, "precision": self.torch, "compiled": self.compiled and not self.quick}
        torch["iteration_precision"] = "float32" if self.torch == "float32" else "fastest"
        return {
            "ours": {
                "model": {"widths": widths, "precision": self.ours},
                "train": {"epochs": epochs, "batch_size": batch},
            },
            "torch": {"epochs": epochs, "batch_size": batch, "widths": widths, **torch},
        }


def write_arrays(path: Path, quick: bool) -> None:
    """What both racers read: all 50,000 training images, and the test images."""
    dataset = data.load("cifar10")
    if quick:
        dataset = dataset.first(train=QUICK_IMAGES, validation=QUICK_IMAGES, test=QUICK_IMAGES)
    dataset = with_validation(dataset)
    splits = {"train": dataset.train, "test": dataset.test}
    named = {f"{n}_images": s.images for n, s in splits.items()} | {f"{n}_labels": s.labels for n, s in splits.items()}
    np.savez(path, **named)


@contextmanager
def started(settings: BenchRace, results: dict[str, dict[str, Any]]) -> Iterator[dict[str, Conversation]]:
    """The racers that came to the start, warmed up; of the others `results` says why not."""
    talks: dict[str, Conversation] = {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder, "cifar10.npz")
        write_arrays(arrays, settings.quick)
        try:
            for name in settings.racers:
                command = [sys.executable, "-m", RACERS[name], str(arrays), json.dumps(settings.settings()[name])]
                environment = machine.worker_environment(threads=None, tuned=name == "torch")
                try:
                    talks[name] = Conversation(command, environment, seconds=settings.timeout)
                    results[name] |= talks[name].hello | talks[name].answer(settings.timeout)
                except Gap as gap:
                    results[name]["gap"] = str(gap)
                    if name in talks:
                        talks.pop(name).close()
            yield talks
        finally:
            for talk in talks.values():
                talk.close()


def identity(settings: BenchRace) -> str:
    """Of what decides a racer's time: what it is told, its sources, the machine and its packages."""
    racers = [PEERS / "jax_cifar10.py", *sorted((PEERS / "torch_cifar10").glob("*.py"))]
    code = {path.relative_to(PEERS).as_posix(): path.read_text(encoding="utf-8") for path in racers}
    code |= {"convnet": code_hash(Path(convnet.__file__).parent, ("convnet.speed_run",))}
    torch = next((found.version for found in metadata.distributions(name="torch")), None)
    return content_hash({"told": settings.settings(), "code": code, "torch": torch, "where": decisive()})


def runs_before(settings: BenchRace, path: Path) -> dict[str, list[dict[str, Any]]]:
    """Racer -> its runs in a race of the same identity that was stopped before its end; none of any other."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if stored.get("identity") != identity(settings):
        return {}
    runs = {result["case"]: result["runs"] for result in stored["results"]}
    ended = all(len(runs.get(name, ())) >= settings.rounds for name in settings.racers)
    return {} if ended else runs


def race(settings: BenchRace, results: dict[str, dict[str, Any]], store: Callable[[], Any]) -> None:
    """In turns; whoever was first is second in the next round. Stored after each run."""
    done = {(name, run["seed"]) for name, result in results.items() for run in result["runs"]}
    with started(settings, results) as talks, progress(settings.rounds * len(talks), "run") as bar:
        for seed in range(settings.rounds):
            for name in list(talks)[:: 1 if seed % 2 == 0 else -1]:
                bar.set_postfix_str(name)
                if (name, seed) in done:
                    bar.update()
                    continue
                try:
                    run = talks[name].ask({"seed": seed}, seconds=settings.timeout)
                except Gap as gap:
                    results[name]["gap"] = str(gap)
                    talks.pop(name).close()
                    continue
                results[name]["runs"].append(run)
                store()
                bar.update()


def bench_race(settings: BenchRace) -> None:
    require(settings.runs >= 1, "runs", settings.runs, "1 or more")
    require(settings.epochs >= 1, "epochs", settings.epochs, "1 or more")
    for name in settings.racers:
        require(name in RACERS, "racers", name, f"one of {', '.join(RACERS)}")
    check_writable(settings.folder)
    document = own_document(settings.runs) | {"identity": identity(settings)}
    before = runs_before(settings, session.path_of(document, "race", settings.folder, settings.device_name))
    results = {name: {"case": name, "runs": before.get(name, []), "gap": None} for name in settings.racers}
    document["results"] = list(results.values())

    def store() -> Path:
        return session.store(document, "race", settings.folder, settings.device_name)

    race(settings, results, store)
    print(f"results: {store()}")
    print(f"tables: {tables.write_readme(settings.folder)}")
    for title, table in race_tables.race_tables(document):
        print(f"\n{title}\n\n{tables.markdown(table)}")


def main(args: Sequence[str]) -> int:
    return run_command(BenchRace, bench_race, args)
