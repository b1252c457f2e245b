"""Cells of an ablation, one arm with one seed each: which are done, and doing the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from convnet import data
from convnet.ablation import Arm, Replicates
from convnet.config import DataConfig, RunConfig
from convnet.data import Dataset
from convnet.identity import decisive, describe
from convnet.record import read_manifest, read_metrics
from convnet.result import counted_hits
from convnet.settings import apply, content_hash, differences, require, to_dict
from convnet.task import TRACEABLE
from convnet.train import EpochRecord, NonFiniteLoss

DONE = ("finished", "diverged")
SAME = ("packages", "python", "flags", "jax", "code")
"""What must be equal for two cells to be compared. The machine need not be: shards may run on several kinds."""


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

    @property
    def test_images(self) -> int | None:
        """Their number; None where an older version did not write it down."""
        return self.facts.get("test_images", self.facts.get("data", {}).get("sizes", {}).get("test"))

    @property
    def test_hits(self) -> int | None:
        """How many of them were classified rightly; None where training diverged.

        Raises ValueError where an older version wrote a mean alone, and that does not tell.
        """
        if self.diverged or "test_hits" in self.facts:
            return self.facts.get("test_hits")
        if self.test_images is None:
            raise ValueError(
                f"cell {self.cell.path.name} tells of no test_hits, nor of how many test images there were: "
                "choose another --out"
            )
        return counted_hits(self.facts["test_accuracy"], self.test_images)

    @property
    def fingerprints(self) -> frozenset:
        """What no cell of another seed's, or of other figures, has in common with this one: what it computed, and what
        came of it."""
        found, programs, data = set(), self.facts.get("programs"), self.facts.get("data")
        if programs and data and not self.facts.get("traced"):
            what = (*sorted(programs.items()), data["digest"], self.cell.config.train.epochs)
            found.add((self.cell.seed, self.facts["replicates"], *what))
        if not self.diverged:
            found.add((self.cell.seed, self.facts["parameter_hash"], self.facts["test_loss"], self.test_hits))
        return frozenset(found)


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
    if manifest is None or manifest.get("status") not in DONE:
        return None
    if manifest.get("config") != to_dict(cell.config, places=False):
        return None
    diverged = manifest["status"] == "diverged"
    try:
        records = tuple(
            EpochRecord(**{name: line[name] for name in EpochRecord.__dataclass_fields__})
            for line in read_metrics(cell.path)
        )
    except (OSError, ValueError, KeyError):
        return None
    if not diverged and len(records) != cell.config.train.epochs:
        return None
    return Done(cell, diverged, manifest, records)


def check_comparable(done: Iterable[Done]) -> None:
    """ValueError for a finished cell of other code, versions, data or models: naming which, and what differs."""
    here = decisive()
    for one in done:
        now = {name: here[name] for name in SAME} | _sources(one)
        if changed := differences({name: one.facts.get(name) for name in now}, now):
            described = describe({name: list(pair) for name, pair in changed.items()})
            raise ValueError(
                f"out holds finished cells that others cannot be compared with ({one.cell.path.name}: {described}): "
                f"choose another --out, or keep them with --accept-versions"
            )


def _sources(done: Done) -> dict[str, Any]:
    """What a cell would say of its data today. Nothing where they are not on this machine, which only writes the report
    then."""
    try:
        return {"data": dataset_of(done.cell.arm.config).description}
    except data.DatasetNotPrepared:
        return {}


WHICH_IMAGES = ("name", "limit", "folder", "size", "skip_unreadable")
"""Settings of data that decide which images there are; the others decide what is made of them."""


def dataset_of(config: RunConfig) -> Dataset:
    """That it trains on; arms that differ in how they vary the images, or look at them, share them."""
    return _dataset(DataConfig(**{name: getattr(config.data, name) for name in WHICH_IMAGES}))


@cache
def _dataset(config: DataConfig) -> Dataset:
    return data.from_config(config)


@dataclass(frozen=True)
class Work:
    """Cells to be done, in groups that share a program.

    traced: arms that differ in TRACEABLE settings only share one. settings: of `Replicates`.
    """

    groups: tuple[tuple[Cell, ...], ...]
    traced: bool
    settings: dict[str, Any]

    @classmethod
    def of(cls, cells: Sequence[Cell], *, traced: bool, **settings: Any) -> Work:
        """Raises ValueError, before anything is compiled, for a config that does not fit its data."""
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            key = content_hash(_program(cell.arm.config) if traced else cell.arm.config)
            groups.setdefault(key, []).append(cell)
        work = cls(tuple(map(tuple, groups.values())), traced, settings)
        for group in work.groups:
            work.trainer(group)
        return work

    @property
    def epochs(self) -> int:
        return sum(cell.config.train.epochs for group in self.groups for cell in group)

    def trainer(self, group: Sequence[Cell]) -> Replicates:
        config = group[0].config
        return Replicates(config, dataset_of(config), traced=TRACEABLE if self.traced else (), **self.settings)

    def run(self, bar: Any) -> None:
        """Train all cells, writing each as it is done."""
        for group in self.groups:
            _run_group(self.trainer(group), group, bar)


def _program(config: RunConfig) -> RunConfig:
    """What decides the compiled program: the config with one value in every traced place."""
    smooth = config.train.loss == "softmax"  # the others know no smoothing
    return apply(config, {name: 0.1 for name in TRACEABLE if smooth or name != "train.label_smoothing"})


def _run_group(trainer: Replicates, cells: Sequence[Cell], bar: Any) -> None:
    by_config = {cell.config: cell for cell in cells}

    def show(config: RunConfig, record: EpochRecord) -> None:
        bar.set_postfix_str(f"{by_config[config].arm.name}, seed {config.seed}")
        bar.update()

    bar.set_postfix_str(f"compiling {cells[0].arm.name}")
    for config, outcome in trainer.run_all(list(by_config), show, directory=lambda config: by_config[config].path):
        if isinstance(outcome, NonFiniteLoss):
            bar.update(config.train.epochs - outcome.epoch + 1)


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
