"""How fast is a whole training step, beside autodiff, Flax, Keras and torch?

    python -m benchmarks train                                   every network, every peer
    python -m benchmarks train --cases small_vgg --peers ours torch torch-compile --modes single
    python -m benchmarks train --quick                           tiny networks: a check that everything runs

Writes results/<device>/train.json, a figure and README.md under benchmarks/. Batches are synthetic and stay on the
device; the loss of each peer's first step shows that they compute the same. torch and Keras come with the extra
`bench`; peers that are not installed are marked "not measured".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import command
from benchmarks.command import Measurement
from benchmarks.networks import MODES, NETWORKS, QUICK_NETWORKS, StepTask
from benchmarks.peers import STEP_PEERS
from benchmarks.session import Group, chosen
from convnet.cli import run_command
from convnet.settings import require


@dataclass(frozen=True)
class BenchTrain(Measurement):
    """Time training steps: dispatched one by one, an epoch as one program, replicates as one program."""

    peers: tuple[str, ...] = ()
    """ours, autodiff, flax, keras, torch, torch-nchw, torch-compile; all unless given."""
    cases: tuple[str, ...] = ()
    """mlp, mnist_cnn, small_vgg, resnet8; all unless given."""
    modes: tuple[str, ...] = ()
    """single (one dispatched step), scanned (an epoch), vmapped (replicates); all unless given. torch and Keras have
    only single."""
    batch: int = 128
    """Images."""
    epoch_steps: int = 16
    """Steps of a scanned epoch."""
    replicates: int = 8
    """Seeds under vmap."""


def bench_train(settings: BenchTrain) -> None:
    networks = QUICK_NETWORKS if settings.quick else NETWORKS
    peers = chosen("peers", settings.peers, STEP_PEERS)
    repeats = {"single": 1, "scanned": settings.epoch_steps, "vmapped": settings.replicates}
    for name, value in {"batch": settings.batch, **repeats}.items():
        require(value >= 1, name, value, "1 or more")
    batch = min(settings.batch, 8) if settings.quick else settings.batch
    # One mode a group: its memory is then its own.
    groups = [
        Group(networks[case].label, (StepTask(networks[case], mode, batch, repeats[mode]),))
        for case in chosen("cases", settings.cases, tuple(networks))
        for mode in chosen("modes", settings.modes, MODES)
    ]
    command.run(settings, "train", groups, peers)


def main(args: Sequence[str]) -> int:
    return run_command(BenchTrain, bench_train, args)
