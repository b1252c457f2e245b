"""Write benchmarks/README.md and its figures again, from the results under benchmarks/results/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tables
from benchmarks.command import ROOT
from convnet.cli import run_command


@dataclass(frozen=True)
class BenchTables:
    """Write README.md and the figures from the results that are there."""

    out: Path = ROOT
    """The folder of README.md and results/."""


def bench_tables(settings: BenchTables) -> None:
    print(f"tables: {tables.write_readme(settings.out)}")


def main(args: Sequence[str]) -> int:
    return run_command(BenchTables, bench_tables, args)
