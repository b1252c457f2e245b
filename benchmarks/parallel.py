"""A training step that several devices make together: which ones are timed, and what is asked of each.

Devices are those that XLA makes of one process (`jax_num_cpu_devices`), or one of each of several processes
(`python -m convnet.launch`), whose sums go through gloo on the loopback interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from benchmarks.networks import NETWORKS, QUICK_NETWORKS, Network
from convnet.architectures import ResNet
from convnet.threads import processors

WHOLE, ALONE, SUM = "whole step", "nothing summed", "sum alone"
"""Programs: the training step; the same of devices that know nothing of each other, each with its share of the batch
and parameters of its own; and an all-reduce of so many bytes by itself."""


@dataclass(frozen=True)
class Crew:
    """Processes with devices that compute together. threads: of each process."""

    processes: int
    devices: int
    threads: int

    @property
    def count(self) -> int:
        """Devices in all."""
        return self.processes * self.devices

    @property
    def label(self) -> str:
        if self.processes == 1:
            return f"1 process, {self.devices} device{'s' * (self.devices > 1)}"
        return f"{self.processes} processes"


@dataclass(frozen=True)
class Question:
    """What a crew is timed at. batch: images of all devices together. bytes: of a sum alone, on each device."""

    program: str
    batch: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """What is measured. share: images per device while their number grows with it (weak scaling); total: images per
    step while it does not (strong scaling); split: images per step of one process with two threads and of two with one.
    steps: of a program, in a `lax.scan` as a run makes them, two or more. sums: bytes of the sums alone."""

    network: Network
    share: int
    total: int
    split: int
    devices: tuple[int, ...]
    processes: tuple[int, ...]
    sums: tuple[int, ...]
    counted: Network
    steps: int = 2

    def crews(self) -> tuple[Crew, ...]:
        """Each with all the processors there are, as `convnet.launch` divides them."""
        there = processors()
        fake = [Crew(1, n, there) for n in self.devices]
        return *fake, *(Crew(n, 1, max(there // n, 1)) for n in self.processes)

    def questions(self, crew: Crew) -> Iterator[Question]:
        """What `crew` is asked while devices grow."""
        n = crew.count
        for batch in dict.fromkeys((n * self.share, self.total)):
            yield Question(WHOLE, batch)
            if n > 1:
                yield Question(ALONE, batch)
        if n > 1:
            yield from (Question(SUM, bytes=size) for size in self.sums)


SMALL_VGG = NETWORKS["small_vgg"]
RESNET18 = Network("ResNet-18 at 224²", (224, 224, 3), ResNet("resnet18"))
SIZES = (4, 2**16, 2**20, 2**23)
PLAN = Plan(SMALL_VGG, 16, 32, 128, (1, 2, 4, 8), (2, 4), SIZES, RESNET18)
QUICK = Plan(
    QUICK_NETWORKS["tiny_cnn"], 2, 4, 4, (1, 2), (2,), (4, 2**12), QUICK_NETWORKS["tiny_resnet"]
)  # fmt: skip
SPLIT = Crew(1, 1, 2), Crew(2, 1, 1)
"""One process with two threads, and two with one each: the same two cores."""


# --- what a compiled program sends ------------------------------------------------------------------------------------

_SUM = re.compile(r"= (\(.*?\)|\S+) all-reduce(?:-start)?\(")
_ARRAY = re.compile(r"[a-z]+(\d+)\[([\d,]*)\]")


def sums_in(program: str) -> list[int]:
    """Bytes of each array that the text of a compiled program sums up over devices; of a loop's body, once."""
    return [
        int(bits) // 8 * prod(map(int, filter(None, shape.split(","))))
        for found in _SUM.findall(program)
        for bits, shape in _ARRAY.findall(found)
    ]
