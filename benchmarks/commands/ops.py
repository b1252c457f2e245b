"""How fast is each op, forward and backward, beside autodiff and torch?

    python -m benchmarks ops                                     every layer
    python -m benchmarks ops --cases conv3-64-64-at-32 --peers ours torch --contexts once
    python -m benchmarks ops --quick                             tiny layers: a check that everything runs

Writes results/<device>/ops.json (with --precision bfloat16: ops-bfloat16.json), a figure and README.md under
benchmarks/. torch comes with the extra `bench`; peers that are not installed are marked "not measured".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks import command
from benchmarks.cases import CONTEXTS, LAYERS, QUICK_LAYERS, tasks_of
from benchmarks.command import Measurement
from benchmarks.peers import OP_PEERS
from benchmarks.session import Group, chosen
from convnet.cli import run_command
from convnet.settings import require


@dataclass(frozen=True)
class BenchOps(Measurement):
    """Time the forward pass and each gradient of convolutions and pooling: dispatched, in lax.scan, under vmap."""

    peers: tuple[str, ...] = ()
    """ours, autodiff, torch, torch-nchw; all unless given."""
    cases: tuple[str, ...] = ()
    """Layers by name, such as conv3-64-64-at-32; all unless given. An unknown name lists the known ones."""
    contexts: tuple[str, ...] = ()
    """once (dispatched), scan, vmap; all unless given. torch has only once."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """tf32: on accelerators that have it, factors of float32 rounded to 10 bits."""
    batch: int = 128
    """Images."""
    scan_steps: int = 4
    replicates: int = 8
    """Under vmap, each with images and kernels of its own."""


def bench_ops(settings: BenchOps) -> None:
    layers = QUICK_LAYERS if settings.quick else LAYERS
    peers = chosen("peers", settings.peers, OP_PEERS)
    repeats = {"once": 1, "scan": settings.scan_steps, "vmap": settings.replicates}
    for name, value in {"batch": settings.batch, **repeats}.items():
        require(value >= 1, name, value, "1 or more")
    batch = min(settings.batch, 8) if settings.quick else settings.batch
    groups = [
        Group(
            layers[case].label,
            tuple(tasks_of(layers[case], context, batch=batch, precision=settings.precision, repeats=repeats[context])),
        )
        for case in chosen("cases", settings.cases, tuple(layers))
        for context in chosen("contexts", settings.contexts, CONTEXTS)
    ]
    name = "ops" if settings.precision == "float32" else f"ops-{settings.precision}"
    command.run(settings, name, groups, peers, precision=settings.precision)


def main(args: Sequence[str]) -> int:
    return run_command(BenchOps, bench_ops, args)
