"""How cost grows: one quantity at a time, the others as in `BASE`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.networks import StepTask, plain_cnn


@dataclass(frozen=True)
class Point:
    """A plain CNN and its batch."""

    batch: int
    channels: int
    side: int
    depth: int
    replicates: int

    def task(self, *, vmapped: bool) -> StepTask:
        network = plain_cnn(side=self.side, channels=self.channels, depth=self.depth)
        return StepTask(network, "vmapped" if vmapped else "single", self.batch, self.replicates)


BASE = Point(batch=64, channels=32, side=16, depth=4, replicates=1)
SWEEPS: dict[str, tuple[int, ...]] = {
    "batch": (8, 16, 32, 64, 128, 256, 512),
    "channels": (8, 16, 32, 64, 128, 256),
    "side": (8, 16, 32, 64),
    "depth": (1, 2, 4, 8, 16),
    "replicates": (1, 2, 4, 8, 16),
}

QUICK_BASE = Point(batch=4, channels=4, side=8, depth=1, replicates=1)
QUICK_SWEEPS = {"batch": (2, 4), "replicates": (1, 2)}


def sweep(quantity: str, sizes: tuple[int, ...], base: Point) -> tuple[StepTask, ...]:
    """`base` with each of the sizes."""
    points = (replace(base, **{quantity: size}) for size in sizes)
    return tuple(point.task(vmapped=quantity == "replicates") for point in points)
