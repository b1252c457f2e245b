"""Write docs/scale.md again, from the results of `parallel`, `streaming` and `memory`, with the model's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import ROOT
from benchmarks.scale_page import page
from convnet.cli import run_command
from convnet.record import write_atomically


@dataclass(frozen=True)
class BenchScale:
    """Write docs/scale.md from the results that are there, and what a model makes of them."""

    results: Path = ROOT / "results"
    """The folder of cpu/parallel.json and so on."""
    out: Path = ROOT.parent / "docs" / "scale.md"
    """The page."""


def bench_scale(settings: BenchScale) -> None:
    write_atomically(settings.out, page(settings.results))
    print(f"page: {settings.out}")


def main(args: Sequence[str]) -> int:
    return run_command(BenchScale, bench_scale, args)
