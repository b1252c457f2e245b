"""Stages 8 and 11: the rule in float32 and narrower against float64, and faults planted into this very gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64, is_float, unit_roundoff
from convnet.gradcheck.checks.sources import (
    OracleFailed,
    as_oracle,
    is_analytic,
    oracle_gradient,
    oracle_is_affordable,
)
from convnet.gradcheck.comparison import FEW, compare, smallest, tolerance
from convnet.gradcheck.rounding import STEP
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.terms import constants_in
from convnet.gradcheck.verdict import Check


def precisions(subject: Subject) -> Iterator[Check]:
    """In each dtype, against float64 at the same rounded arguments and cotangents, in that dtype's ulps.

    As users run it: with JAX's own 32 bits of integers and constants. Thoroughly, float32 with 64 bits allowed, too,
    and the dtypes in which the arguments were given.
    """
    if subject.program.inner is not None:
        raise Untested(f"the function computes in {subject.program.inner} alone")
    if subject.arithmetic.random:
        raise Untested("the function draws random numbers, which are others in another precision")
    for run in _runs(subject):
        if unit_roundoff(run.dtype) > (subject.accuracy or (1e-6 if subject.arithmetic.open_ended else 1.0)):
            yield Check("precisions", run.name, "untested", note="too few digits for where the function stops")
            continue
        try:
            yield _precision(subject, run)
        except OracleFailed:
            raise
        except Exception as error:  # whatever a callback raises
            note = f"{type(error).__name__}: {_first_line(error)}"
            yield Check("precisions", run.name, "untested", note=note)


@dataclass(frozen=True)
class _Run:
    """How the function is called once more."""

    name: str
    dtype: str
    """In whose ulps errors are measured: of all arguments, or the coarsest of theirs."""
    x64: bool = False
    as_given: bool = False
    """Whether every argument keeps a dtype of its own."""


def _runs(subject: Subject) -> list[_Run]:
    given = {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(subject.args) if is_float(leaf)}
    chosen = list(subject.level.precisions)
    chosen += sorted(given - {*chosen, "float64"})
    runs = [_Run(dtype, dtype) for dtype in chosen]
    if subject.level.thorough:
        runs.insert(1, _Run("float32 where float64 is enabled", "float32", x64=True))
    if subject.level.thorough and len(given) > 1:
        name = f"mixed as given: {', '.join(sorted(given))}"
        runs.append(_Run(name, max(given, key=unit_roundoff), "float64" in given, as_given=True))
    return runs


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120]


def _precision(subject: Subject, run: _Run) -> Check:
    dtype, name = run.dtype, run.name
    leaves, constants = subject.program.split(subject.args, None if run.as_given else dtype)
    wide = as_float64(leaves), [c.astype(np.float64) if is_float(c) else c for c in constants]
    there, checks = subject.at(*wide), []
    ones = [np.where(np.isfinite(y), 1.0, 0.0) for y in there.outputs]  # whose sums grow out of narrow digits
    for g in [*there.cotangents[: max(2, subject.level.cotangents // 2)], ones]:
        rounded = [value.astype(jnp.dtype(dtype)) for value in g]
        with nullcontext() if run.x64 else jax.enable_x64(False):
            values, gradients = subject.program.value_and_vjp(leaves, constants, rounded)
        dtypes = [str(value.dtype) for value in gradients]
        if dtypes != [str(leaf.dtype) for leaf in leaves]:
            return Check("precisions", name, "failed", worst=f"the gradient has dtype {', '.join(dtypes)}")
        checks.append(_compared(there, dtype, name, as_float64([*values, *gradients]), as_float64(rounded)))
    worst = max(checks, key=lambda check: (("passed", "untested", "failed").index(check.status), check.error or 0.0))
    other = _other_constants(there, leaves, constants) if worst.status == "failed" else None
    return worst if other is None else Check("precisions", name, "untested", note=f"in {dtype} {other}")


def _other_constants(there: Subject, leaves: Leaves, constants: Leaves) -> str | None:
    """What is written into the function anew for every dtype, as its eps: it is then another function in each. The
    reference is asked, where there is one: a rule that does this alone is wrong."""
    program = there.witness or there.program
    wide = constants_in(program.traced("value", there.leaves, there.constants))
    narrow = constants_in(program.traced("value", leaves, constants))
    dtypes = (np.float64, np.float32, np.float16, jnp.bfloat16)  # in any of which it may go on
    other = narrow - {float(np.asarray(value).astype(dtype)) for value in wide for dtype in dtypes}
    return f"the function has constants of its own: {min(other):.3g}" if other else None


def _compared(there: Subject, dtype: str, name: str, actual: Leaves, g: Leaves) -> Check:
    expected = independent_results(there, g)
    note = "" if expected else "against its own float64: there is nothing else to compare with"
    expected = expected or there.results(there.leaves, g)
    if _overflows(expected, jnp.dtype(dtype)):
        return Check("precisions", name, "untested", note=f"values or gradients overflow {dtype} at this point")
    scale = there.conditioning("value_and_vjp", there.leaves, g)
    excused = [~np.isfinite(e) for e in expected]  # as where rounded points coincide, whose distance has no gradient
    step = max(STEP, unit_roundoff(dtype))
    noise = partial(there.noise, "value_and_vjp", there.leaves, g, step=step)
    check = there.compare(
        "precisions", name, actual, expected, scale, noise,
        names=there.result_names, bound=tolerance(there.arithmetic.terms, dtype), dtype=dtype, excused=excused,
    )  # fmt: skip
    check = replace(check, note=check.note or note)
    if check.status == "failed" and there.witness is not None:
        count = len(there.outputs)
        own = [*expected[:count], *there.results(there.leaves, g)[count:]]
        bound = tolerance(there.arithmetic.terms, dtype)
        same = compare("", "", there.result_names, actual, own, scale, bound, dtype, excused=excused)
        if same.status == "passed":  # whether the reference is right there is another stage's question
            note = "the function differs from its reference in float64, too: see elementwise"
            return Check("precisions", name, "untested", note=note)
    if check.status == "passed" and unit_roundoff(dtype) > 1e-4:
        check = _together(check, there, actual, expected, noise, dtype)
    return check


def _together(check: Check, there: Subject, actual: Leaves, expected: Leaves, noise: Callable, dtype: str) -> Check:
    """Sixteen ulps of bfloat16 are 6 %, which says little of one entry. Of many it is said that their errors are no
    larger, as a rule, than those of a program that rounds every result on its way to this dtype; and no more than twice
    as large as those of the reference, which adds up in float32.
    """
    if _spread(actual, expected, [np.abs(e) for e in expected], dtype, floor=1.0) <= ORDINARY:
        return check
    worst = 1.0
    for allowed, sizes in ((ORDINARY, noise()), (2 * ORDINARY, noise(lean=True))):
        for name, a, e, n in zip(there.result_names, actual, expected, sizes, strict=True):
            spread = _spread([a], [e], [n], dtype, floor=0.1)
            if spread > allowed * worst:
                worst = spread / allowed
                text = f"{name} is off by {spread:.2g} times what rounding explains, over all entries"
                check = replace(check, status="failed", worst=text)
    return check


def _spread(actual: Leaves, expected: Leaves, scales: Leaves, dtype: str, floor: float) -> float:
    """The size of errors in roundings, where an entry counts at least with a part of its array's root mean square.

    By the upper quartile, as of normal errors: a few winners and signs that rounding has changed are no bias.
    """
    parts, unit = [], unit_roundoff(dtype)
    for a, e, s in zip(actual, expected, scales, strict=True):
        known = np.isfinite(a) & np.isfinite(e)
        if known.sum() >= FEW:
            size = np.maximum(np.maximum(s, np.abs(e)), floor * np.sqrt(np.mean(e[known] ** 2)))[known]
            errors = np.maximum(np.abs(a - e)[known] - smallest(dtype), 0) / np.where(size > 0, unit * size, np.inf)
            parts.append(float(np.quantile(errors, 0.75)) / QUARTILE)
    return max(parts, default=0.0)


QUARTILE = 1.15
"""Of |errors| that are normally distributed, the upper quartile in standard deviations."""

ORDINARY = 1.5
"""Roundings, as a rule, that an error may have of those that every operation on the way would make."""


def _overflows(arrays: Leaves, dtype) -> bool:
    """Intermediate results may be larger than what goes in and comes out, so a quarter of the range counts as over."""
    limit = float(jnp.finfo(dtype).max) / 4
    return any((np.abs(array[np.isfinite(array)]) > limit).any() for array in arrays)


def independent_results(subject: Subject, g: Leaves) -> Leaves | None:
    """Values and a gradient in float64 that owes nothing to the rule under test; None where none was given."""
    if subject.estimator:
        return None
    if subject.witness is not None:
        found = subject.reference.value_and_vjp(subject.leaves, subject.constants, g)
        return as_float64(jax.tree.leaves(found))
    if subject.oracle is not None and oracle_is_affordable(subject) and is_analytic(subject):
        return [*subject.outputs, *oracle_gradient(subject, as_oracle(subject), g)]
    return None


SIZES = 10.0 ** -np.arange(1, 13)


def power(subject: Subject) -> Iterator[Check]:
    """A fault in one typical entry of this gradient: the smallest relative size that the comparison still notices.

    An audit that would not notice 1e-6 in a single entry has not tested the gradient, whatever the stages said.
    """
    expected = independent_results(subject, subject.cotangents[0])
    if expected is None:
        raise Untested("there is no reference and no affordable oracle to compare entries with")
    expected = expected[len(subject.outputs) :]
    for leaf, name in enumerate(subject.program.names):
        sizes = np.abs(np.nan_to_num(expected[leaf], nan=0.0, posinf=0.0, neginf=0.0))
        if not sizes.any():
            yield Check("power", name, "untested", note="the gradient is 0 everywhere")
            continue
        typical = np.median(sizes[sizes > 0])
        entry = np.unravel_index(np.argmin(np.abs(sizes - typical)), sizes.shape)
        seen = [size for size in SIZES if _notices(subject, expected, leaf, entry, size)]
        least = min(seen, default=np.inf)
        status = "passed" if least <= 1e-6 else "untested"
        weak = f"a relative error of 1e-6 in {name}{list(map(int, entry))} would go unnoticed"
        note = "" if status == "passed" else weak
        yield Check("power", name, status, float(least), 1e-6, detects=float(least), note=note)


def _notices(subject: Subject, expected: Leaves, leaf: int, entry, size: float) -> bool:
    planted = [value.copy() for value in subject.gradients[0]]
    planted[leaf][entry] *= 1 + size
    excused = [~np.isfinite(x) for x in subject.leaves]
    check = compare(
        "power", "", subject.program.names, planted, expected, subject.scales[0], subject.bound(), unit=subject.unit,
        excused=excused,
    )  # fmt: skip
    return check.status == "failed"
