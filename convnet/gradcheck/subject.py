"""What every stage of an audit works with: the function, the point, and what it is compared to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64, unit_roundoff
from convnet.gradcheck.comparison import compare, conditioning, finite, floored, rms, tolerance
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.levels import Level
from convnet.gradcheck.rounding import STEP, intermediate_noise
from convnet.gradcheck.terms import Arithmetic
from convnet.gradcheck.verdict import Check

FLOOR = 16
"""An entry counts at least with one part in so many of its array's root mean square."""

COARSE = 1e-6
"""Relative to the largest result, in float64: a comparison that could only see larger errors says nothing. In narrower
dtypes it is a thousand times what rounding explains, and a tenth at most."""

CLUMSY = 1e3
"""How much larger than its results what a function rounds on its way may be, if an independent source needs nothing of
that size."""


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
    arithmetic: Arithmetic
    conventions: Sequence = ()
    strategy: Any | None = None
    restart: Callable | None = None
    """`restart(args, settings)`: the same function elsewhere, for fuzzing and conventions."""
    dtype: str | None = None
    """What it is said to compute in or return."""
    accuracy: float | None = None
    """The relative error that it allows itself."""
    fixed: tuple[str, ...] = ()
    """Arguments that variations leave as they are."""
    clumsy: float = CLUMSY
    estimator: bool = False
    """Whether the gradient is an estimate by design, and not the derivative of the value."""

    def __post_init__(self):
        self.leaves, self.constants = self.program.split(self.args)

    def at(self, leaves: Leaves, constants: Leaves) -> Subject:
        """The same programs at another point of the same shapes."""
        return replace(self, args=self.program.merge(leaves, constants))

    # --- what the function returns ------------------------------------------------------------------------------------

    @property
    def output_names(self) -> list[str]:
        return [f"output {i}" for i in range(len(self.outputs))]

    @property
    def result_names(self) -> list[str]:
        """Of values and gradients."""
        return [*self.output_names, *self.program.names]

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
        return [[np.where(np.isfinite(y), c, 0.0) for c, y in zip(g, self.outputs, strict=True)] for g in drawn]

    def _one_hots(self, shapes) -> Iterator[Leaves]:
        for place in (lambda n: n - 1, lambda n: 0, lambda n: self.rng.integers(n), lambda n: self.rng.integers(n)):
            for chosen, shape in enumerate(shapes):
                if 0 in shape:
                    continue
                g = [np.zeros(s) for s in shapes]
                g[chosen][tuple(int(place(n)) for n in shape)] = 1.0
                yield g

    def results(self, leaves: Leaves, g: Leaves) -> Leaves:
        """Values and gradients, as the rule gives them."""
        return as_float64(jax.tree.leaves(self.program.value_and_vjp(leaves, self.constants, g)))

    @cached_property
    def gradients(self) -> list[Leaves]:
        """The gradients under test in float64, one per cotangent."""
        return [self.results(self.leaves, g)[len(self.outputs) :] for g in self.cotangents]

    def gradient_of(self, leaves: Leaves, g: Leaves) -> Leaves:
        return self.program.vjp(leaves, self.constants, g)

    @cached_property
    def slopes(self) -> Leaves:
        """The first of the gradients, 0 where the argument is not finite: no difference can be taken there."""
        return [np.where(np.isfinite(x), d, 0.0) for x, d in zip(self.leaves, self.gradients[0], strict=True)]

    def direction(self) -> Leaves:
        return [self.rng.standard_normal(x.shape) for x in self.leaves]

    @cached_property
    def witness(self) -> CompiledFunction | None:
        """The reference, where its values are finite wherever the function's are: else its gradients say nothing."""
        if self.reference is None:
            return None
        values = as_float64(self.reference.value(self.leaves, self.constants))
        silent = any((np.isfinite(y) & ~np.isfinite(v)).any() for y, v in zip(self.outputs, values, strict=True))
        return None if silent else self.reference

    # --- how well it can be known -------------------------------------------------------------------------------------

    @cached_property
    def scales(self) -> list[Leaves]:
        """The conditioning of each of these gradients."""
        raw = [self._raw_conditioning(self.gradient_of, self.leaves, g) for g in self.cotangents]
        floors = [size / FLOOR for size in rms(raw[0])]  # of the Gaussian one: others are 0 nearly everywhere
        return [floored(scales, floors) for scales in raw]

    @cached_property
    def value_scale(self) -> Leaves:
        return self.conditioning("value", self.leaves)

    @cached_property
    def value_noise(self) -> Leaves:
        return self.noise("value", self.leaves)

    def _raw_conditioning(self, f: Callable, *inputs: Leaves) -> Leaves:
        return conditioning(f, *inputs, probes=self.level.probes, rng=self.rng)

    def conditioning(self, kind: str, leaves: Leaves, *inputs: Leaves) -> Leaves:
        """B of every entry of a program of the function, no smaller than the floor of its array: see
        `comparison.conditioning`. kind: "value", "value_and_vjp", "jvp", "second"."""
        raw = self._raw_conditioning(_program(self.program, kind, self.constants), leaves, *inputs)
        return floored(raw, [size / FLOOR for size in rms(raw)])

    def noise(self, kind: str, *inputs: Leaves, step: float = STEP, lean: bool = False) -> Leaves:
        """How much rounding on the way moves the results that are compared, the function's own and the reference's: the
        larger of both. See `rounding.intermediate_noise`.

        kind: "value", "vjp", "value_and_vjp", "jvp", or "higher" with a cotangent and a list of directions.

        What a function loses by its own doing and a reference does not is granted up to CLUMSY times the size that its
        arguments and values give a derivative: 1 − y of a saturated y, but not an angle of a million in float32. lean:
        no more than the reference's is granted, where there is one.
        """
        (leaves, *others), found = inputs, []
        whole = {"vjp": "value_and_vjp", "jvp": "value_and_jvp"}.get(kind, kind)
        point = (leaves, self.constants, *others)
        for program in (self.program, self.witness):
            if program is not None:
                traced = program.traced(whole, *point)
                found.append(intermediate_noise(traced, point, probes=self.level.probes, rng=self.rng, step=step))
        own, independent = found[0], found[-1]
        if self.witness is not None:
            sizes = self._natural_sizes(whole, *inputs)
            lost = step > STEP  # in narrow digits a function may not exist at all
            own = [
                np.where(lost & np.isinf(n), n, np.fmin(n, self.clumsy * (s or np.finfo(float).tiny)))
                for n, s in zip(own, sizes, strict=True)
            ]
            if lean:
                own = [np.minimum(n, np.maximum(i, rms_of(i))) for n, i in zip(own, independent, strict=True)]
        larger = [np.maximum(*both) for both in zip(own, independent, strict=True)]
        return larger if whole == kind else larger[len(self.outputs) :]

    def _natural_sizes(self, kind: str, leaves: Leaves, *others: Leaves) -> list[float]:
        """Of each result: values count as they are, a derivative as quotients of values and arguments."""
        x = [rms_of(leaf) or 1.0 for leaf in leaves]
        values = [rms_of(y) for y in self.outputs]
        if kind == "value":
            return values
        y = max(values, default=0.0)
        if kind == "value_and_jvp":
            slope = max(rms_of(v) / size for v, size in zip(others[0], x, strict=True))
            return [*values, *(slope * value for value in values)]
        y *= max((rms_of(g) for g in others[0]), default=0.0)
        if kind == "value_and_vjp":
            return [*values, *(y / size for size in x)]
        for direction in others[1]:
            y *= max(rms_of(v) / size for v, size in zip(direction, x, strict=True))
        return [y / size for size in x]

    @cached_property
    def slope_noise(self) -> Leaves:
        """Of the first of the gradients."""
        return self.noise("vjp", self.leaves, self.cotangents[0])

    def bound(self) -> float:
        """The ρ up to which a rule counts as right."""
        return tolerance(self.arithmetic.terms)

    @cached_property
    def unit(self) -> float:
        """How exactly the function computes: the relative size of one rounding."""
        return max(unit_roundoff(self.arithmetic.dtype), (self.accuracy or 0.0) / self.bound())

    @property
    def coarser(self) -> float:
        """How many times the roundings of float64."""
        return self.unit / unit_roundoff("float64")

    def compare(
        self, stage: str, name: str, actual: Leaves, expected: Leaves, scale: Leaves, noise: Callable[[], Leaves],
        *, names: Sequence[str] | None = None, bound: float | None = None, dtype="float64",
        excused: Leaves | None = None,
    ) -> Check:  # fmt: skip
        """`comparison.compare`; before anything fails, what rounding on the way may do is measured: `noise()`."""
        names, bound = names or self.program.names, bound or self.bound()
        unit = max(self.unit, unit_roundoff(dtype))
        known = dict(dtype=dtype, unit=unit, excused=excused)
        check = compare(stage, name, names, actual, expected, scale, bound, **known)
        if check.status != "failed" or any(a.shape != b.shape for a, b in zip(actual, expected, strict=True)):
            return check
        wider = [np.maximum(s, n) for s, n in zip(scale, noise(), strict=True)]
        lost = [np.isinf(s) for s in wider]  # a rounding leads to no number
        wider = [np.where(mask, 0.0, s) for mask, s in zip(lost, wider, strict=True)]
        expected = [np.where(mask, np.nan, e) for mask, e in zip(lost, expected, strict=True)]
        known["excused"] = [a | b for a, b in zip(lost, excused or lost, strict=True)]
        again = compare(stage, name, names, actual, expected, wider, bound, **known)
        if any(mask.any() for mask in lost):
            count, total = (sum(int(f(mask).sum()) for mask in lost) for f in (np.asarray, np.ones_like))
            again = replace(again, note=f"a rounding on the way leads to no number at {count} of {total} entries")
        if again.status == "failed":
            return again
        coarse = min(max(COARSE, 1e3 * bound * unit), 0.1)
        if (again.detects or 0) > coarse:
            note = again.note or f"rounding on the way hides errors of {again.detects:.1g}"
            return replace(again, status="untested", note=note)
        sizes = [(np.abs(finite(e)).max(initial=0.0), s.max(initial=0.0)) for e, s in zip(expected, wider, strict=True)]
        hidden = [name for name, (e, s) in zip(names, sizes, strict=True) if bound * unit * s > coarse * e]
        return replace(again, note=again.note or f"hidden by rounding: {', '.join(hidden)}") if hidden else again

    def entries(self, shape: tuple[int, ...], limit: int | None = None) -> list[tuple[int, ...]]:
        """Entries to look at one by one: all, or the first, the last and random ones."""
        limit, size = limit or self.level.entries, int(np.prod(shape))
        if size <= limit:
            chosen = np.arange(size)
        else:
            inner = 1 + self.rng.choice(size - 2, limit - 2, replace=False)
            chosen = np.concatenate([[0, size - 1], inner])
        return [tuple(int(i) for i in np.unravel_index(index, shape)) for index in chosen]

    def against_autodiff(self, scales: Leaves, like: Leaves | None = None, *, factor: float = 2) -> Leaves:
        """Scales for a comparison with autodiff, whose rules lose digits in the tails that ours and oracles keep: an
        entry counts at least with the root mean square of its array (of `like`, if given), and `factor` times.
        """
        return [factor * scale for scale in floored(scales, rms(like or scales))]


def rms_of(array: np.ndarray) -> float:
    """The root mean square of what is finite."""
    kept = array[np.isfinite(array)]
    return float(np.sqrt(np.mean(kept**2))) if kept.size else 0.0


def _program(program: CompiledFunction, kind: str, constants: Leaves) -> Callable:
    """(leaves, …) -> a list of arrays."""
    run = getattr(program, kind)
    return lambda leaves, *inputs: jax.tree.leaves(run(leaves, constants, *inputs))
