"""One call of an op where it stands: value, gradient, linearity in g, and all of it in float32 as users run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.comparison import compare, conditioning, floored, rms, tolerance
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.compiling import quick
from convnet.gradcheck.network.calls import Call
from convnet.gradcheck.verdict import Check
from convnet.ops import OpSet

PROBES = 8
FACTORS = (-(2.0**-60), 2.0**-30, -(2.0**-10), 2.0**10, -(2.0**30), 2.0**60)
"""Cotangents are multiplied by these, which a linear rule hands on without rounding."""
NARROW = {"int64": "int32", "uint64": "uint32"}
"""What JAX makes of integers by default."""
FACTORS32 = (2.0**-24, -(2.0**24))


class Pair:
    """The op under test and the plain one, compiled for arrays of one signature."""

    def __init__(self, call: Call, hand: OpSet, auto: OpSet):
        self.ours = CompiledFunction(getattr(hand, call.op), call.args, None, call.settings)
        self.theirs = CompiledFunction(getattr(auto, call.op), call.args, None, call.settings)
        self.outputs = [f"output {i}" for i in range(len(self.ours.out))]
        self._rule = quick(lambda *point: (self.ours.plain(*point[:2]), *self.ours.plain_value_and_vjp(*point)))
        self._reference = quick(self.theirs.plain_value_and_vjp)

    def rule(self, leaves, constants, g) -> list[list]:
        """[value, the value beside the gradient, gradient] of the op under test."""
        return [list(part) for part in self._rule(leaves, constants, g)]

    def reference(self, leaves, constants, g) -> list[Leaves]:
        """[value, gradient] of the plain op."""
        return [as_float64(part) for part in self._reference(leaves, constants, g)]

    def scales(self, leaves: Leaves, constants: Leaves, g: Leaves, rng) -> list[Leaves]:
        """The conditioning of [value, gradient]."""

        def both(leaves, g):
            value, gradient = self.reference(leaves, constants, g)
            return [*value, *gradient]

        scale = conditioning(both, leaves, g, probes=PROBES, rng=rng)
        scale = floored(scale, rms(scale))
        return [scale[: len(self.outputs)], scale[len(self.outputs) :]]


class Judge:
    """Judges calls; those of one signature share their programs."""

    def __init__(self, hand: OpSet, auto: OpSet, rng: np.random.Generator):
        self.hand, self.auto, self.rng = hand, auto, rng
        self.pairs: dict[tuple, Pair] = {}

    def __call__(self, call: Call) -> list[Check]:
        """One check of the stage "ops", and where that passes one of "consistency" and one of "precisions"."""
        try:
            key = _signature(call)
            pair = self.pairs[key] = self.pairs.get(key) or Pair(call, self.hand, self.auto)
        except ValueError as error:
            return [Check("ops", call.title, "failed", worst=str(error))]
        leaves, constants = pair.ours.split(call.args)
        silent = call.upstream is None or not any(np.any(value) for value in call.upstream)
        g = [np.zeros(out.shape) for out in pair.ours.out] if silent else as_float64(call.upstream)
        point = (leaves, constants, g)
        scales = pair.scales(*point, self.rng)
        found, expected = [as_float64(part) for part in pair.rule(*point)], pair.reference(*point)
        bound = 2 * tolerance(max(leaf.size for leaf in (*leaves, *g)))
        check = _compared("ops", call.title, pair, found, expected, scales, bound)
        if check.status != "passed":
            return [check]
        checks = [Check("ops", call.title, "untested", note="no gradient reaches this call") if silent else check]
        if not silent:
            checks.append(_scaled(call.title, pair, point, found[-1], scales[-1], bound))
            checks.append(self._for_another(call.title, pair, point, bound))
        return [*checks, _in_float32(call, pair, g, scales)]

    def _for_another(self, title: str, pair: Pair, point: tuple, bound: float) -> Check:
        """A cotangent with no two equal: that of a mean loss is the same for all examples."""
        leaves, constants, upstream = point
        g = [size * self.rng.standard_normal(c.shape) for size, c in zip(rms(upstream), upstream, strict=True)]
        _, scale = pair.scales(leaves, constants, g, self.rng)
        found, expected = as_float64(pair.rule(leaves, constants, g)[-1]), pair.reference(leaves, constants, g)[-1]
        return compare("consistency", f"{title}, another g", pair.ours.names, found, expected, scale, bound)


def _signature(call: Call) -> tuple:
    """What decides the programs: everything but the values of arrays among the arguments."""
    leaves, tree = jax.tree.flatten((call.args, call.settings))
    arguments = len(jax.tree.leaves(call.args))
    described = [
        (leaf.shape, str(leaf.dtype), b"" if index < arguments else np.asarray(leaf).tobytes())
        if hasattr(leaf, "dtype")
        else (type(leaf).__name__, repr(leaf))
        for index, leaf in enumerate(leaves)
    ]
    return call.op, tree, *described


def _compared(stage, title, pair: Pair, found, expected, scales, bound, dtype="float64") -> Check:
    """The first that is wrong of value, value beside the gradient, and gradient; else the gradient's check."""
    value, gradient = expected
    triples = (
        ("the value", pair.outputs, found[0], value, scales[0]),
        ("the value beside the gradient", pair.outputs, found[1], value, scales[0]),
        ("", pair.ours.names, found[2], gradient, scales[1]),
    )
    for what, names, *both, scale in triples:
        check = compare(stage, title, names, *both, scale, bound, dtype)
        if check.status == "failed":
            return replace(check, worst=f"{what} differs: {check.worst}" if what else check.worst)
    return check


def _scaled(title: str, pair: Pair, point: tuple, gradient: Leaves, scale: Leaves, bound: float) -> Check:
    """Whoever clips, drops or normalises what comes from above is right at one size of it."""

    def at(factor: float) -> Check:
        found = as_float64(pair.rule(*point[:2], [factor * g for g in point[2]])[-1])
        return _times(title, factor, pair, found, gradient, scale, bound, "float64")

    return _worst(at, FACTORS)


def _times(title, factor, pair: Pair, found, gradient, scale, bound, dtype) -> Check:
    expected, scale = [factor * leaf for leaf in gradient], [abs(factor) * leaf for leaf in scale]
    check = compare("consistency", f"{title}, c·g", pair.ours.names, found, expected, scale, bound, dtype)
    failed = check.status == "failed"
    return replace(check, note=f"with g times {factor:.3g}: the rule is not linear in g") if failed else check


def _worst(check: Callable[[float], Check], factors) -> Check:
    return max((check(factor) for factor in factors), key=lambda c: (c.status == "failed", c.error or 0.0))


def _in_float32(call: Call, pair: Pair, g: Leaves, scales: list[Leaves]) -> Check:
    """With JAX's defaults, where there is no float64, against the plain op in float64 at the same rounded numbers."""
    title = f"{call.title}, float32"
    leaves, constants = pair.ours.split(call.args, np.float32)
    constants = [c.astype(NARROW.get(c.dtype.name, c.dtype)) for c in constants]
    rounded = [value.astype(np.float32) for value in g]
    wide = [[c.astype(np.float64) if c.dtype == np.float32 else c for c in part] for part in (leaves, constants)]
    expected = pair.reference(*wide, as_float64(rounded))
    if _overflows([*leaves, *rounded, *expected[0], *expected[1]]):
        return Check("precisions", title, "untested", note="values or gradients overflow float32 here")
    try:
        with jax.enable_x64(False):
            found = pair.rule(leaves, constants, rounded)
            scaled = {f: as_float64(pair.rule(leaves, constants, _by(f, rounded))[-1]) for f in FACTORS32}
    except Exception as error:
        first = str(error).splitlines()[0][:120]
        return Check("precisions", title, "failed", worst=f"the op fails in float32: {type(error).__name__}: {first}")
    dtypes = sorted({str(value.dtype) for part in found for value in part})
    if dtypes != ["float32"]:
        return Check("precisions", title, "failed", worst=f"float32 in, {', '.join(dtypes)} out")
    bound = 2 * tolerance(max(leaf.size for leaf in (*leaves, *g)), "float32")
    found = [as_float64(part) for part in found]
    check = _compared("precisions", title, pair, found, expected, scales, bound, "float32")
    linear = _worst(lambda f: _times(title, f, pair, scaled[f], found[-1], scales[-1], bound, "float32"), FACTORS32)
    if check.status == "passed" and linear.status == "failed":
        return replace(linear, stage="precisions", name=title)
    return check


def _by(factor: float, arrays: Leaves) -> Leaves:
    return [np.float32(factor) * array for array in arrays]


def _overflows(arrays: Leaves) -> bool:
    """Intermediate results may be larger than what goes in and comes out, so a quarter of the range counts as over, of
    what the largest factor leaves."""
    limit = float(jnp.finfo(np.float32).max) / 4 / 2.0**24
    return any((np.abs(array) > limit).any() for array in arrays)


def folded(checks: list[Check]) -> Iterator[Check]:
    """Those that did not pass one by one, the others of each stage as one: the worst of them."""
    for stage in dict.fromkeys(check.stage for check in checks):
        passed = [check for check in checks if check.stage == stage and check.status == "passed"]
        yield from (check for check in checks if check.stage == stage and check.status != "passed")
        if passed:
            worst = max(passed, key=lambda check: (check.error or 0.0) / (check.bound or 1.0))
            yield replace(worst, name=f"{len(passed)} calls", note=f"closest to its bound: {worst.name}")
