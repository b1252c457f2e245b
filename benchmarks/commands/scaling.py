"""How does the cost of a training step grow with batch, channels, image side, depth and replicates?

    python -m benchmarks scaling
    python -m benchmarks scaling --cases replicates --peers ours
    python -m benchmarks scaling --quick                         two short curves: a check that everything runs

One quantity grows, the others stay as in benchmarks/scaling.py. Writes results/<device>/scaling.json, a figure per
quantity (both axes logarithmic, the fitted exponent in the legend) and README.md under benchmarks/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks import command
from benchmarks.command import Measurement
from benchmarks.peers import STEP_PEERS
from benchmarks.scaling import BASE, QUICK_BASE, QUICK_SWEEPS, SWEEPS, sweep
from benchmarks.session import Group, chosen
from convnet.cli import run_command


@dataclass(frozen=True)
class BenchScaling(Measurement):
    """Time the training step of a plain CNN while one of its sizes grows."""

    peers: tuple[str, ...] = ("ours", "autodiff")
    """Any of ours, autodiff, flax, keras, torch, torch-nchw, torch-compile."""
    cases: tuple[str, ...] = ()
    """batch, channels, side, depth, replicates; all unless given."""
    allocator: tuple[Literal["default", "tuned"], ...] = ("default",)
    """The host's memory allocator as it comes, or keeping what it once got from the system."""


def bench_scaling(settings: BenchScaling) -> None:
    sweeps, base = (QUICK_SWEEPS, QUICK_BASE) if settings.quick else (SWEEPS, BASE)
    peers = chosen("peers", settings.peers, STEP_PEERS)
    groups = [
        Group(quantity, sweep(quantity, sweeps[quantity], base), sweeps[quantity])
        for quantity in chosen("cases", settings.cases, tuple(sweeps))
    ]
    command.run(settings, "scaling", groups, peers)


def main(args: Sequence[str]) -> int:
    return run_command(BenchScaling, bench_scaling, args)
