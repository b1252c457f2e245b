"""What every stage of an audit works with: the function, the point, what it is compared to, and how entries are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.program import Leaves, Program, as_float64, unit_roundoff
from convnet.gradcheck.verdict import Check, describe_wrong


@dataclass(frozen=True)
class Level:
    """How much is looked at."""

    cotangents: int
    probes: int
    entries: int
    """Entries per array that are differenced one by one; arrays up to this size completely."""
    fuzz: int
    eager: bool
    precisions: tuple[str, ...] = ("float32", "bfloat16")


LEVELS = {
    "quick": Level(cotangents=3, probes=6, entries=24, fuzz=3, eager=False),
    "standard": Level(cotangents=7, probes=12, entries=150, fuzz=12, eager=True),
    "exhaustive": Level(
        cotangents=30, probes=24, entries=4000, fuzz=1000, eager=True, precisions=("float32", "bfloat16", "float16")
    ),
}


class Untested(Exception):
    """A stage cannot say anything about this function, and why."""


@dataclass
class Exam:
    """One function at one point."""

    program: Program
    reference: Program | None
    oracle: Any | None
    args: tuple
    level: Level
    rng: np.random.Generator
    terms: int
    conventions: Sequence = ()
    strategy: Any | None = None
    restart: Callable | None = None
    """`restart(args, settings)`: the exam of the same function elsewhere, for fuzzing and conventions."""

    def __post_init__(self):
        self.leaves, self.constants = self.program.split(self.args)

    def at(self, leaves: Leaves, constants: Leaves) -> Exam:
        """The exam of the same programs at another point of the same shapes."""
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
        return [
            self.conditioning(lambda leaves, g: self.program.vjp(leaves, self.constants, g), self.leaves, g)
            for g in self.cotangents
        ]

    def conditioning(self, f: Callable, *inputs: Leaves) -> Leaves:
        """B: how far each entry of f(*inputs) moves when every input is wiggled by one relative unit, at random.

        Root mean square over random signs of d/dh f(x (1 + h·r)). Rounding the inputs once moves the result by about
        u·B, so no algorithm can promise less, and |a − b| / (u·B) measures an error in ulps that knows the
        cancellation: for a sum of products it is √Σ(terms²), whatever cancels. It needs no formula and no Jacobian.
        """
        step = 2.0**-20
        base = as_float64(f(*inputs))
        squares = [np.zeros(value.shape) for value in base]
        for _ in range(self.level.probes):
            moved = [[x * (1 + step * self.rng.choice([-1, 1], x.shape)) for x in group] for group in inputs]
            for total, value, start in zip(squares, as_float64(f(*moved)), base, strict=True):
                total += ((value - start) / step) ** 2
        return [
            np.maximum(np.sqrt(total / self.level.probes), np.abs(value))
            for total, value in zip(squares, base, strict=True)
        ]

    def entries(self, shape: tuple[int, ...], limit: int | None = None) -> list[tuple[int, ...]]:
        """Entries to look at one by one: all, or the first, the last and random ones."""
        limit, size = limit or self.level.entries, int(np.prod(shape))
        if size <= limit:
            chosen = np.arange(size)
        else:
            inner = 1 + self.rng.choice(size - 2, limit - 2, replace=False)
            chosen = np.concatenate([[0, size - 1], inner])
        return [tuple(int(i) for i in np.unravel_index(index, shape)) for index in chosen]

    def bound(self, dtype="float64") -> float:
        """The ρ up to which a rule counts as right: see docs/gradients.md for how it was chosen."""
        return ulps(self.terms, dtype)


def ulps(terms: int, dtype="float64") -> float:
    """16·√terms roundings of float64 and float32; narrow dtypes add up in float32, so there only the ends round."""
    return 16.0 if unit_roundoff(dtype) > 1e-4 else 16.0 * float(np.sqrt(terms))


def compare(
    stage: str,
    name: str,
    names: Sequence[str],
    actual: Leaves,
    expected: Leaves,
    scales: Leaves,
    bound: float,
    dtype="float64",
) -> Check:
    """Entry by entry: ρ = |actual − expected| / (u·B) ≤ bound. NaN always fails, and 0 must be 0 where B is 0."""
    unit, tiny = unit_roundoff(dtype), _smallest(dtype)
    worst, text, where, detects = -1.0, "", "", 0.0
    largest = max((np.abs(e).max() for e in expected if e.size), default=0.0)
    for leaf, a, b, scale in zip(names, actual, expected, scales, strict=True):
        if a.shape != b.shape:
            return Check(stage, name, "failed", worst=f"{leaf} has shape {a.shape}: expected {b.shape}")
        if not a.size:
            continue
        rho = errors_in_ulps(a, b, scale, unit, tiny)
        if largest:
            detects = max(detects, bound * float(np.max(scale)) * unit / largest)
        if rho.max() > worst:
            at = np.unravel_index(np.argmax(rho), rho.shape)
            worst = float(rho[at])
            index = f"{leaf}{list(map(int, at))}" if at else leaf
            text = f"{index} is {a[at]:.9g}: expected {b[at]:.9g}"
            where = describe_wrong(rho > bound) if worst > bound else ""
    status = "passed" if worst <= bound else "failed"
    return Check(stage, name, status, max(worst, 0.0), bound, text, detects or None, note=where)


def errors_in_ulps(a: np.ndarray, b: np.ndarray, scale: np.ndarray, unit: float, tiny: float) -> np.ndarray:
    """ρ of every entry; not a number counts as infinitely wrong."""
    error = np.abs(a - b)
    with np.errstate(all="ignore"):
        rho = np.where(error <= tiny, 0.0, error / (unit * np.maximum(scale, np.abs(b))))
    return np.where(np.isfinite(a) & np.isfinite(rho), rho, np.inf)


def _smallest(dtype) -> float:
    """Below the smallest normal number XLA flushes to 0."""
    return 64 * float(jnp.finfo(dtype).tiny)


def inner(a: Leaves, b: Leaves) -> float:
    """⟨a, b⟩ over all leaves, in extended precision where the machine has it."""
    return float(sum(np.sum(x.astype(np.longdouble) * y) for x, y in zip(a, b, strict=True)))


def norm(a: Leaves) -> float:
    return float(np.sqrt(inner(a, a)))
