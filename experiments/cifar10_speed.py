"""How fast does a network learn CIFAR-10 to 94 %?

    python experiments/cifar10_speed.py                     the recipe for 94 % of the test images: five runs
    python experiments/cifar10_speed.py --target 0.9        a smaller one, for 90 %
    python experiments/cifar10_speed.py --validation        held-out images instead of the test images, to choose by
    python experiments/cifar10_speed.py --quick             a tiny network and few images: does everything run?

A run is one compiled program, timed from the images on the device to the accuracy of the test images. The same command
again goes on where it was stopped. `python -m benchmarks race` runs it in turns with the same recipe in PyTorch.
What is measured so far stands in the README.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax

import convnet
from convnet import data, json_lines
from convnet.cli import run_command
from convnet.code import code_hash
from convnet.config import RunConfig
from convnet.identity import decisive, environment
from convnet.progress import progress
from convnet.recipes import SPEED
from convnet.report import study, text_table, write_report
from convnet.report.speed_page import SpeedRecord, speed_page, speed_tables
from convnet.settings import apply, content_hash, from_dict, read_file, require, to_dict
from convnet.speed_run import SpeedRun, matrix_product_rate, with_validation

LINES = "runs.jsonl"
QUICK = {"model.widths": (8, 16, 16), "train.epochs": 2, "train.batch_size": 250}
QUICK_IMAGES, HELD_OUT = 2000, 500


@dataclass(frozen=True)
class CifarSpeed:
    """Train on CIFAR-10 as one compiled program, several times, and time it. Writes runs.jsonl as it goes,
    cifar10_speed.json and report.html."""

    target: Literal["0.94", "0.9"] = "0.94"
    """Accuracy that the recipe is made for."""
    runs: int = 5
    """Trainings, of as many seeds."""
    seed: int = 0
    """Of the first; the others are the next."""
    budget: float | None = None
    """Seconds in all: after the first, no run begins that would end later, going by the longest before it. Default: no
    end."""
    device: Literal["cpu", "gpu"] | None = None
    """Where to compute. Default: what JAX takes by itself."""
    widths: tuple[int, ...] | None = None
    """Channels of each group. Default: the recipe's."""
    epochs: int | None = None
    """Passes over the training images. Default: the recipe's."""
    config: Path | None = None
    """TOML or JSON file of other settings that differ from the recipe, such as [optim] with learning_rate = 0.2."""
    validation: bool = False
    """Train without 5,000 of the training images, and count what is right among these instead of the test images: for
    every choice that is made."""
    compiled: Path | None = None
    """Directory where compiled programs are kept for the next command. Default: none are kept."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings is refused. Default: runs/cifar10_speed, and for
    other settings than the usual a directory of their own beside it."""
    quick: bool = False
    """Two epochs of a tiny network on 2,000 images: a check that everything runs, not a result."""

    def recipe(self) -> RunConfig:
        """What is trained. Raises ValueError for a setting that is unknown, out of range, or has no effect here."""
        changes = {"model.widths": self.widths, "train.epochs": self.epochs}
        changes = {path: value for path, value in changes.items() if value is not None}
        config = from_dict(RunConfig, read_file(self.config) if self.config else {}, base=SPEED[self.target])
        require(config.data.name == "cifar10", "data.name", config.data.name, "'cifar10', which this is about")
        require(config.data.limit is None, "data.limit", config.data.limit, "none: it is timed on all images")
        require(config.seed == 0, "seed", config.seed, "none in the config file, for --seed says which there are")
        return apply(config, (QUICK if self.quick else {}) | changes)

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.runs)

    def asked(self) -> dict[str, Any]:
        """What decides the results, but for the seeds."""
        return {"config": to_dict(self.recipe()), "validation": self.validation, "quick": self.quick}

    def directory(self) -> Path:
        usual = Path("runs", "cifar10_speed-quick" if self.quick else "cifar10_speed")
        return self.out or study.directory(usual, self.asked(), CifarSpeed(quick=self.quick).asked())


def choose_device(device: str | None) -> None:
    """Raises ValueError where JAX finds no such device."""
    if device is None:
        return
    jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[device])
    try:
        jax.devices()
    except RuntimeError:
        jax.config.update("jax_platforms", None)
        raise ValueError(f"device is {device!r}: JAX finds none here") from None


def images_of(settings: CifarSpeed) -> data.Dataset:
    """With the split as `test` that accuracy is counted on."""
    dataset = data.load("cifar10", limit=QUICK_IMAGES if settings.quick else None)
    if settings.quick:
        dataset = dataset.first(validation=HELD_OUT, test=HELD_OUT)
    return replace(dataset, test=dataset.validation) if settings.validation else with_validation(dataset)


def trained(settings: CifarSpeed, out: Path, speed: SpeedRun) -> list[SpeedRecord]:
    """All runs, first those that `out` holds of this machine and code; each new one is added to it."""
    began, longest = time.monotonic(), 0.0
    code = {**decisive(), "code": code_hash(Path(convnet.__file__).parent, ("convnet.speed_run",))}
    here = content_hash(code)
    found = {line["seed"]: SpeedRecord.from_dict(line) for line in json_lines.read(out / LINES) if line["here"] == here}
    with progress(settings.runs, "run") as bar:
        for seed in settings.seeds:
            if seed not in found:
                start = time.monotonic()
                if settings.budget is not None and found and start - began + longest > settings.budget:
                    break
                found[seed] = SpeedRecord.of(speed.run(seed))
                json_lines.append(out / LINES, {**asdict(found[seed]), "here": here})
                longest = max(longest, time.monotonic() - start)
            bar.set_postfix_str(f"{found[seed].seconds:.4g} s, {found[seed].best:.2%}")
            bar.update()
    return [found[seed] for seed in sorted(found) if seed in settings.seeds]


def cifar10_speed(settings: CifarSpeed) -> int:
    """Train, print and write: 0, or 1 where a part of the report could not be made."""
    require(settings.runs >= 1, "runs", settings.runs, "1 or more")
    require(settings.seed >= 0, "seed", settings.seed, "0 or more")
    require(settings.budget is None or settings.budget > 0, "budget", settings.budget, "a positive number of seconds")
    settings.recipe()
    choose_device(settings.device)
    if settings.compiled:
        jax.config.update("jax_compilation_cache_dir", str(settings.compiled.expanduser().resolve()))
    out = settings.directory()
    study.check_same(out, "cifar10_speed", settings.asked())
    dataset = images_of(settings)
    study.reserve(out, "cifar10_speed", settings.asked())
    speed, where = SpeedRun(settings.recipe(), dataset), environment()
    runs = trained(settings, out, speed)
    facts = {
        "validation": settings.validation,
        "compile_seconds": speed.compile_seconds,
        "flops": speed.flops,
        "steps": speed.steps,
        "matrix_product": {name: matrix_product_rate(name) for name in ("float32", "bfloat16")},
    }
    values = {"config": to_dict(speed.config), **facts, "runs": [asdict(run) for run in runs]}
    study.write_results(out, "cifar10_speed.json", values, where)
    missing = write_report(out / "report.html", *speed_page(facts, runs, study.circumstances(where)))
    text = "\n\n".join(f"{title}\n\n{text_table(table)}" for title, table in speed_tables(facts, runs).items())
    return study.conclude(out, text, missing)


def main(args: list[str] | None = None) -> int:
    return run_command(CifarSpeed, cifar10_speed, args, going_on="the same command")


if __name__ == "__main__":
    sys.exit(main())
