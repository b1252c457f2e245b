"""What a training step on n devices takes, as a model: compute, input, and the sums over devices that neither hides.

    step = max(compute, input) + exposed sums
    compute = FLOPs of a device's share / measured FLOP/s
    input = images of a device's share / images that are read in a second
    a ring's sum = start + Σ latency of its 2(n − 1) hops + 2(n − 1)/n · bytes / bandwidth

(Patarasuk & Yuan, 'Bandwidth optimal all-reduce algorithms for clusters of workstations', 2009, for the ring.) Nothing
here is measured: constants come from measurements or data sheets, and what comes out is a prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np

from benchmarks.networks import flops_of
from convnet.architectures.layers import BatchNorm
from convnet.architectures.shapes import Placed, trained_values

BACKWARD = 2 / 3
"""Of a step's arithmetic: two products of each layer are gradients, one is the forward pass."""
STATISTICS = 4
"""Sums of each batch normalisation: mean and variance of the whole batch on the way forward, the gradients that go
through them on the way back. Each waits for the one before, so nothing hides them."""


@dataclass(frozen=True)
class Fabric:
    """How devices are connected. Seconds and bytes per second, of each device; `near` within a machine of so many
    devices, `far` between machines."""

    start: float
    near_hop: float
    near_bandwidth: float
    far_hop: float = 0.0
    far_bandwidth: float = float("inf")
    per_machine: int = 2**30
    tree: bool = False


def sum_seconds(fabric: Fabric, n: int, size: float) -> float:
    """Of an all-reduce of `size` bytes over n devices, by a ring or, within machines in a chain, by a tree."""
    if n == 1:
        return 0.0
    machines = ceil(n / fabric.per_machine)
    bandwidth = fabric.near_bandwidth if machines == 1 else min(fabric.near_bandwidth, fabric.far_bandwidth)
    if fabric.tree:
        hops = 2 * (min(n, fabric.per_machine) - 1), 2 * log2(machines)
        sent = 2 * size
    else:
        far = 2 * machines if machines > 1 else 0
        hops = 2 * (n - 1) - far, far
        sent = 2 * (n - 1) / n * size
    return fabric.start + hops[0] * fabric.near_hop + hops[1] * fabric.far_hop + sent / bandwidth


def best_sum(fabrics: Iterable[Fabric], n: int, size: float) -> float:
    """By the fastest way there is, as libraries choose."""
    return min(sum_seconds(fabric, n, size) for fabric in fabrics)


def fitted(points: Sequence[tuple[int, int, float]]) -> Fabric:
    """The ring through measured (devices, bytes, seconds): latency of a hop and bandwidth, by least squares of relative
    errors, neither below 0. All devices are in one machine, and a start is not told from a hop."""
    n, size, seconds = np.asarray(points, float).T
    parts = np.stack([2 * (n - 1), 2 * (n - 1) / n * size], axis=1) / seconds[:, None]
    hop, per_byte = np.linalg.lstsq(parts, np.ones(len(n)), rcond=None)[0]
    if hop <= 0 or per_byte <= 0:  # one of them explains all
        hop, per_byte = (max(float(x @ np.ones(len(n)) / (x @ x)), 0.0) if keep else 0.0
                         for x, keep in zip(parts.T, (hop > 0, per_byte > 0), strict=True))  # fmt: skip
    return Fabric(start=0.0, near_hop=float(hop), near_bandwidth=1 / per_byte if per_byte > 0 else float("inf"))


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """Seconds of a step's parts on n devices. gradients: sums that may hide behind the backward pass; statistics: sums
    that nothing hides."""

    n: int
    compute: float
    input: float = 0.0
    gradients: float = 0.0
    statistics: float = 0.0

    @property
    def busy(self) -> float:
        return max(self.compute, self.input)

    @property
    def exposed(self) -> float:
        """Where nothing is hidden."""
        return self.busy + self.gradients + self.statistics

    @property
    def hidden(self) -> float:
        """Where gradients are summed up while the backward pass goes on, as far as they can be."""
        return self.busy + max(0.0, self.gradients - BACKWARD * self.compute) + self.statistics

    @property
    def apart(self) -> Step:
        """The same where each device normalises its own images: no statistics are summed up."""
        return replace(self, statistics=0.0)


@dataclass(frozen=True)
class Load:
    """What a step of a network asks of each device: arithmetic, bytes of gradients (float32), and the bytes of each
    batch normalisation's mean."""

    flops: int
    gradient_bytes: int
    statistics: tuple[int, ...]


def load_of(placed: Sequence[Placed], images: int) -> Load:
    """Of a network's layers where they stand. images: of each device."""
    channels = tuple(4 * layer.input[-1] for layer in placed if isinstance(layer.layer, BatchNorm))
    return Load(flops_of(placed, images), 4 * sum(map(trained_values, placed)), channels)


def step(load: Load, n: int, rate: float, fabrics: Sequence[Fabric], small: Sequence[Fabric]) -> Step:
    """On n devices of `rate` FLOP/s. small: how sums of a few bytes go, where that is another way."""
    statistics = sum(STATISTICS * best_sum(small, n, size) for size in load.statistics)
    gradients = best_sum(fabrics, n, load.gradient_bytes) if n > 1 else 0.0
    return Step(n, load.flops / rate, gradients=gradients, statistics=statistics)


# --- accelerators -----------------------------------------------------------------------------------------------------

H100_PEAK = 989.4e12
"""FLOP/s, bfloat16, dense: half of the 1,979 TFLOP/s with sparsity of NVIDIA's data sheet, 'NVIDIA H100 Tensor Core
GPU', SXM; the H200's is the same."""
NVLINK, NETWORK = 450e9, 50e9
"""Bytes per second and direction of each device: half of the data sheet's 900 GB/s of both; 400 Gb/s of network for
each of 8 devices ('NVIDIA DGX H100', data sheet)."""

_SHAPE = dict(per_machine=8)
LARGE = tuple(
    Fabric(start, near, 0.92 * NVLINK, far, 0.92 * NETWORK, tree=tree, **_SHAPE)
    for start, near, far, tree in ((14e-6, 1.9e-6, 4e-6, False), (14e-6, 1.25e-6, 8.5e-6, True))
)
"""Ring and tree by NCCL's protocol LL128: what NCCL itself expects of it (src/graph/tuning.cc at b6475625fb:
baseLat, hwLat, and 0.92 of the bandwidth)."""
SMALL = tuple(
    Fabric(start, near, 0.25 * NVLINK, far, 0.25 * NETWORK, tree=tree, **_SHAPE)
    for start, near, far, tree in ((6.6e-6, 0.6e-6, 2.7e-6, False), (6.8e-6, 0.6e-6, 5e-6, True))
)
"""Ring and tree by its protocol LL, for a few bytes (the same source; a quarter of the bandwidth)."""


def scales_to(load: Load, rate: float, share: float, *, apart: bool, hidden: bool, ring: bool = False) -> int:
    """The most devices, a power of two up to 2¹⁶, up to which each keeps `share` of its speed alone. ring: no tree."""
    fabrics, small = (tuple(f for f in ways if not (ring and f.tree)) for ways in (LARGE, SMALL))
    found = 1
    for n in (2**i for i in range(1, 17)):
        predicted = step(load, n, rate, fabrics, small)
        predicted = predicted.apart if apart else predicted
        if predicted.compute < share * (predicted.hidden if hidden else predicted.exposed):
            break
        found = n
    return found
