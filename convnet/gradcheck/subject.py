"""What every stage of an audit works with: the function, the point, and what it is compared to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from convnet.gradcheck.comparison import conditioning, floored, rms, tolerance
from convnet.gradcheck.compiled import CompiledFunction, Leaves, as_float64


@dataclass(frozen=True)
class Level:
    """How much is looked at."""

    cotangents: int
    probes: int
    entries: int
    """Entries per array that are differenced one by one; arrays up to this size completely."""
    fuzz: int
    transforms: bool
    """Each argument mapped alone, and checkpoint."""
    precisions: tuple[str, ...] = ("float32", "bfloat16")


LEVELS = {
    "quick": Level(cotangents=3, probes=6, entries=24, fuzz=3, transforms=False),
    "standard": Level(cotangents=7, probes=12, entries=150, fuzz=12, transforms=True),
    "exhaustive": Level(
        cotangents=30,
        probes=24,
        entries=4000,
        fuzz=1000,
        transforms=True,
        precisions=("float32", "bfloat16", "float16"),
    ),
}


FLOOR = 16
"""An entry counts at least with one part in so many of its array's root mean square."""


class Untested(Exception):
    """A stage cannot say anything about this function, and why."""


@dataclass
class Subject:
    """One function at one point."""

    program: CompiledFunction
    reference: CompiledFunction | None
    oracle: Any | None
    args: tuple
    level: Level
    rng: np.random.Generator
    terms: int
    conventions: Sequence = ()
    strategy: Any | None = None
    restart: Callable | None = None
    """`restart(args, settings)`: the same function elsewhere, for fuzzing and conventions."""

    def __post_init__(self):
        self.leaves, self.constants = self.program.split(self.args)

    def at(self, leaves: Leaves, constants: Leaves) -> Subject:
        """The same programs at another point of the same shapes."""
        return replace(self, args=self.program.merge(leaves, constants))

    @cached_property
    def outputs(self) -> Leaves:
        return as_float64(self.program.value(self.leaves, self.constants))

    @cached_property
    def cotangents(self) -> list[Leaves]:
        """Gaussian, then a ramp, then 1 at single entries: the corners first. Never only ones, which see sums alone."""
        shapes = [out.shape for out in self.outputs]
        drawn = [[self.rng.standard_normal(shape) for shape in shapes]]
        drawn.append([np.linspace(-1, 2, int(np.prod(shape))).reshape(shape) for shape in shapes])
        corners = self._one_hots(shapes)
        while len(drawn) < self.level.cotangents:
            one_hot = next(corners, None)
            drawn.append(one_hot or [self.rng.standard_normal(shape) for shape in shapes])
        return drawn

    def _one_hots(self, shapes) -> Iterator[Leaves]:
        for place in (lambda n: n - 1, lambda n: 0, lambda n: self.rng.integers(n), lambda n: self.rng.integers(n)):
            for chosen, shape in enumerate(shapes):
                if 0 in shape:
                    continue
                g = [np.zeros(s) for s in shapes]
                g[chosen][tuple(int(place(n)) for n in shape)] = 1.0
                yield g

    @cached_property
    def gradients(self) -> list[Leaves]:
        """The gradients under test in float64, one per cotangent."""
        return [as_float64(self.program.vjp(self.leaves, self.constants, g)) for g in self.cotangents]

    @cached_property
    def scales(self) -> list[Leaves]:
        """The conditioning of each of these gradients."""
        raw = [self.raw_conditioning(self.gradient_of, self.leaves, g) for g in self.cotangents]
        floors = [size / FLOOR for size in rms(raw[0])]  # of the Gaussian one: others are 0 nearly everywhere
        return [floored(scales, floors) for scales in raw]

    def gradient_of(self, leaves: Leaves, g: Leaves) -> Leaves:
        return self.program.vjp(leaves, self.constants, g)

    def raw_conditioning(self, f: Callable, *inputs: Leaves) -> Leaves:
        return conditioning(f, *inputs, probes=self.level.probes, rng=self.rng)

    def conditioning(self, f: Callable, *inputs: Leaves) -> Leaves:
        """B of every entry of f(*inputs), no smaller than the floor of its array: see `comparison.conditioning`."""
        raw = self.raw_conditioning(f, *inputs)
        return floored(raw, [size / FLOOR for size in rms(raw)])

    def entries(self, shape: tuple[int, ...], limit: int | None = None) -> list[tuple[int, ...]]:
        """Entries to look at one by one: all, or the first, the last and random ones."""
        limit, size = limit or self.level.entries, int(np.prod(shape))
        if size <= limit:
            chosen = np.arange(size)
        else:
            inner = 1 + self.rng.choice(size - 2, limit - 2, replace=False)
            chosen = np.concatenate([[0, size - 1], inner])
        return [tuple(int(i) for i in np.unravel_index(index, shape)) for index in chosen]

    def bound(self) -> float:
        """The ρ up to which a rule counts as right."""
        return tolerance(self.terms)

    def against_autodiff(self, scales: Leaves, like: Leaves | None = None, *, factor: float = 2) -> Leaves:
        """Scales for a comparison with autodiff, whose rules lose digits in the tails that ours and oracles keep: an
        entry counts at least with the root mean square of its array (of `like`, if given), and `factor` times.
        """
        return [factor * scale for scale in floored(scales, rms(like or scales))]
