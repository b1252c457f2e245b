"""How fast are attributions of a batch of images, beside captum?

    python -m benchmarks attribution                             integrated gradients and occlusion of 64 images
    python -m benchmarks attribution --methods occlusion --window 8 --stride 2
    python -m benchmarks attribution --quick                     a tiny network: a check that everything runs

Writes results/<device>/attribution.json, a figure and README.md under benchmarks/. The mean absolute attribution of
each peer shows that they compute the same. captum and torch come with the extra `bench`; peers that are not installed
are marked "not measured".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import command
from benchmarks.attributions import CASES, METHODS, QUICK_CASES, AttributionTask
from benchmarks.command import Measurement
from benchmarks.peers import ATTRIBUTION_PEERS
from benchmarks.session import Group, chosen
from convnet.cli import run_command
from convnet.settings import require


@dataclass(frozen=True)
class BenchAttribution(Measurement):
    """Time integrated gradients and occlusion of a batch of images."""

    peers: tuple[str, ...] = ()
    """ours, autodiff, captum, captum-nchw; all unless given."""
    cases: tuple[str, ...] = ()
    """cnn; all unless given."""
    methods: tuple[str, ...] = ()
    """integrated-gradients, occlusion; both unless given."""
    batch: int = 64
    """Images."""
    steps: int = 20
    """Points of the path of integrated gradients, in all peers by Gauss–Legendre quadrature."""
    window: int = 8
    """Side of the windows of the occlusion."""
    stride: int = 4
    """Pixels from one window to the next."""


def bench_attribution(settings: BenchAttribution) -> None:
    networks = QUICK_CASES if settings.quick else CASES
    peers = chosen("peers", settings.peers, ATTRIBUTION_PEERS)
    cases = chosen("cases", settings.cases, tuple(networks))
    methods = chosen("methods", settings.methods, METHODS)
    for name in ("batch", "steps", "stride"):
        require(getattr(settings, name) >= 1, name, getattr(settings, name), "1 or more")
    side = min(min(networks[case].image_shape[:2]) for case in cases)
    require(settings.window <= side, "window", settings.window, f"at most the images' {side} pixels")
    require(settings.stride <= settings.window, "stride", settings.stride, f"at most the window's {settings.window}")
    batch = min(settings.batch, 4) if settings.quick else settings.batch
    details = {"integrated-gradients": (settings.steps,), "occlusion": (settings.window, settings.stride)}
    # One method a group: its memory is then its own.
    groups = [
        Group(networks[case].label, (AttributionTask(networks[case], method, batch, details[method]),))
        for case in cases
        for method in methods
    ]
    command.run(settings, "attribution", groups, peers)


def main(args: Sequence[str]) -> int:
    return run_command(BenchAttribution, bench_attribution, args)
