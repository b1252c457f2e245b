"""Cells of an ablation, one arm with one seed each: which are done, and doing the others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from convnet import data
from convnet.ablation import Arm, Replicates
from convnet.ablation.grid import apply
from convnet.ablation.replicates import TRACEABLE, Outcome
from convnet.config import RunConfig, content_hash, require, to_dict
from convnet.data import Dataset
from convnet.record import RunDirectory, environment, parameter_hash, read_manifest
from convnet.train import EpochRecord, NonFiniteLoss

DONE = ("finished", "diverged")
SAME = ("packages", "python", "xla_flags", "code")
"""What must be equal for two cells to be compared. The device need not be: shards may run on several kinds."""


@dataclass(frozen=True)
class Cell:
    """One arm, one seed, and the directory that nothing else writes to."""

    arm: Arm
    seed: int
    path: Path

    @property
    def config(self) -> RunConfig:
        return replace(self.arm.config, seed=self.seed)


@dataclass(frozen=True)
class Done:
    """A cell's results: the facts of its manifest, and a record per epoch before it ended or diverged."""

    cell: Cell
    diverged: bool
    facts: dict[str, Any]
    records: tuple[EpochRecord, ...]


def cells_of(arms: Sequence[Arm], seeds: Iterable[int], out: Path) -> list[Cell]:
    """All cells, arm by arm: neighbours share a program."""
    seeds = list(seeds)
    return [
        Cell(arm, seed, out / "cells" / content_hash(replace(arm.config, seed=seed))) for arm in arms for seed in seeds
    ]


def share(cells: Sequence[Cell], shard: tuple[int, int]) -> Sequence[Cell]:
    """Part i of n (from 1) of the cells, contiguous, so that few parts need one arm's program."""
    i, n = shard
    return cells[(i - 1) * len(cells) // n : i * len(cells) // n]


def read(cell: Cell) -> Done | None:
    """What `cell` left behind, None unless all of it is there: unfinished work is done again."""
    manifest = read_manifest(cell.path)
    if manifest is None or manifest.get("status") not in DONE or manifest.get("config") != to_dict(cell.config):
        return None
    diverged = manifest["status"] == "diverged"
    try:
        lines = [json.loads(line) for line in (cell.path / "metrics.jsonl").read_text().splitlines()]
        records = tuple(
            EpochRecord(**{name: line[name] for name in EpochRecord.__dataclass_fields__}) for line in lines
        )
    except (OSError, ValueError, KeyError):
        return None
    if not diverged and len(records) != cell.config.train.epochs:
        return None
    return Done(cell, diverged, manifest, records)


def check_comparable(done: Iterable[Done]) -> None:
    """ValueError for a finished cell of other code or versions: naming which, and what differs."""
    here = environment()
    for one in done:
        if differing := [key for key in SAME if one.facts.get(key) != here[key]]:
            key = differing[0]
            values = "" if key == "code" else f", {_differing(one.facts.get(key), here[key])}"
            raise ValueError(
                f"out holds finished cells of other {key} ({one.cell.path.name}{values}): choose another --out, "
                f"or keep them with --accept-versions"
            )


def _differing(there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        name = next(name for name in here | there if there.get(name) != here.get(name))
        return f"{name} {there.get(name)} there and {here.get(name)} here"
    return f"{there} there and {here} here"


@dataclass(frozen=True)
class Work:
    """Cells to be done, in groups that share a program.

    traced: arms that differ in TRACEABLE settings only share one.
    """

    groups: tuple[tuple[Cell, ...], ...]
    datasets: dict[tuple[str, int | None], Dataset]
    vmapped: bool | None
    traced: bool
    chunk: int

    @classmethod
    def of(cls, cells: Sequence[Cell], *, vmapped: bool | None, traced: bool, chunk: int) -> Work:
        """Raises ValueError, before anything is compiled, for a config that does not fit its data."""
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            key = content_hash(_program(cell.arm.config) if traced else cell.arm.config)
            groups.setdefault(key, []).append(cell)
        names = dict.fromkeys((cell.config.data.name, cell.config.data.limit) for cell in cells)
        datasets = {(name, limit): data.load(name, limit=limit) for name, limit in names}
        work = cls(tuple(map(tuple, groups.values())), datasets, vmapped, traced, chunk)
        for group in work.groups:
            work.trainer(group)
        return work

    @property
    def epochs(self) -> int:
        return sum(cell.config.train.epochs for group in self.groups for cell in group)

    def trainer(self, group: Sequence[Cell]) -> Replicates:
        config = group[0].config
        dataset = self.datasets[config.data.name, config.data.limit]
        traced = TRACEABLE if self.traced else ()
        return Replicates(config, dataset, traced=traced, vmapped=self.vmapped, chunk=self.chunk)

    def run(self, bar: tqdm) -> None:
        """Train all cells, writing each as it is done."""
        for group in self.groups:
            _run_group(self.trainer(group), group, bar)


def _program(config: RunConfig) -> RunConfig:
    """What decides the compiled program: the config with one value in every traced place."""
    return apply(config, dict.fromkeys(TRACEABLE, 0.1))


def _run_group(trainer: Replicates, cells: Sequence[Cell], bar: tqdm) -> None:
    by_config = {cell.config: cell for cell in cells}
    runs: dict[RunConfig, RunDirectory] = {}

    def open_run(config: RunConfig) -> RunDirectory:
        if config not in runs:
            bar.set_postfix_str(f"{by_config[config].arm.name}, seed {config.seed}")
            runs[config] = RunDirectory(by_config[config].path, to_dict(config))
        return runs[config]

    def on_epoch(config: RunConfig, record: EpochRecord) -> None:
        open_run(config).metrics(asdict(record))
        bar.update()

    bar.set_postfix_str(f"compiling {cells[0].arm.name}")
    try:
        for config, outcome in trainer.run_all(list(by_config), on_epoch):
            _finish(open_run(config), outcome, trainer, bar)
            del runs[config]
    except BaseException as error:
        for run in runs.values():
            with contextlib.suppress(OSError):  # a full disk is why we are here
                run.finish("failed", reason=repr(error))
        raise


def _finish(run: RunDirectory, outcome: Outcome, trainer: Replicates, bar: tqdm) -> None:
    facts = {
        "program": "vmapped" if trainer.vmapped else "traced" if trainer.traced else "alone",
        "classes": trainer.dataset.num_classes,
        "parameters": trainer.parameters,
        "compile_seconds": trainer.compile_seconds,
    }
    if isinstance(outcome, NonFiniteLoss):
        bar.update(trainer.config.train.epochs - outcome.epoch + 1)
        run.finish("diverged", reason=str(outcome), at_step=outcome.at, **facts)
        return
    run.finish(
        "finished",
        test_accuracy=outcome.test_accuracy,
        test_loss=outcome.test_loss,
        best_epoch=outcome.best_epoch,
        train_seconds=sum(record.seconds for record in outcome.records),
        parameter_hash=parameter_hash(outcome.variables),
        **facts,
    )


def parse_shard(text: str | None, variables: dict[str, str]) -> tuple[int, int]:
    """(i, n) of `i/n` with 1 ≤ i ≤ n; without a text, that of Slurm's job array if `variables` tell of one, else all.

    Raises ValueError for text of another form.
    """
    if text is None:
        if "SLURM_ARRAY_TASK_ID" not in variables or "SLURM_ARRAY_TASK_COUNT" not in variables:
            return 1, 1
        first, step = (int(variables.get(f"SLURM_ARRAY_TASK_{k}", d)) for k, d in (("MIN", 0), ("STEP", 1)))
        number = (int(variables["SLURM_ARRAY_TASK_ID"]) - first) // step + 1
        text = f"{number}/{variables['SLURM_ARRAY_TASK_COUNT']}"
    i, _, n = text.partition("/")
    fits = i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)
    require(fits, "shard", text, "i/n with 1 ≤ i ≤ n")
    return int(i), int(n)
