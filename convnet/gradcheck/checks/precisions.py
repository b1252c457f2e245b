"""Stages 8 and 11: the rule in float32 and narrower against float64, and faults planted into this very gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.checks.first_order import (
    OracleFailed,
    as_oracle,
    oracle_gradient,
    oracle_is_affordable,
    worst_of,
)
from convnet.gradcheck.exam import Exam, Untested
from convnet.gradcheck.judge import compare, ulps
from convnet.gradcheck.program import Leaves, as_float64
from convnet.gradcheck.verdict import Check


def precisions(exam: Exam) -> Iterator[Check]:
    """In each dtype, against float64 at the same rounded arguments and cotangents, in that dtype's ulps."""
    for dtype in exam.level.precisions:
        try:
            yield _precision(exam, dtype)
        except OracleFailed:
            raise
        except (TypeError, ValueError, NotImplementedError) as error:
            yield Check("precisions", dtype, "untested", note=str(error).splitlines()[0][:120])


def _precision(exam: Exam, dtype: str) -> Check:
    narrow = jnp.dtype(dtype)
    leaves, constants = exam.program.split(exam.args, narrow)
    wide = [as_float64(leaves), [c.astype(np.float64) if c.dtype == narrow else c for c in constants]]
    there = exam.at(*wide)
    checks = []
    for g in exam.cotangents[: max(2, exam.level.cotangents // 2)]:
        rounded = [value.astype(narrow) for value in g]
        actual = exam.program.vjp(leaves, constants, rounded)
        dtypes = {str(value.dtype) for value in actual}
        if dtypes != {dtype}:
            return Check("precisions", dtype, "failed", worst=f"the gradient has dtype {', '.join(dtypes)}")
        expected = independent_gradient(there, as_float64(rounded))
        note = "" if expected else "against its own float64: there is nothing else to compare with"
        expected = expected or as_float64(there.gradient_of(there.leaves, as_float64(rounded)))
        if _overflows([*there.outputs, *expected], narrow):
            return Check("precisions", dtype, "untested", note=f"values or gradients overflow {dtype} at this point")
        scale = there.conditioning(there.gradient_of, there.leaves, as_float64(rounded))
        bound = ulps(exam.terms, dtype)
        check = compare("precisions", dtype, exam.program.names, as_float64(actual), expected, scale, bound, dtype)
        checks.append(replace(check, note=check.note or note))
    return worst_of(checks)


def _overflows(arrays: Leaves, dtype) -> bool:
    """Intermediate results may be larger than what goes in and comes out, so a quarter of the range counts as over."""
    limit = float(jnp.finfo(dtype).max) / 4
    return any((np.abs(array) > limit).any() for array in arrays)


def independent_gradient(exam: Exam, g: Leaves) -> Leaves | None:
    """A float64 gradient that owes nothing to the rule under test; None where none was given."""
    if exam.reference is not None:
        return as_float64(exam.reference.vjp(exam.leaves, exam.constants, g))
    if exam.oracle is not None and oracle_is_affordable(exam):
        return oracle_gradient(exam, as_oracle(exam), g)
    return None


SIZES = 10.0 ** -np.arange(1, 13)


def power(exam: Exam) -> Iterator[Check]:
    """A fault in one typical entry of this gradient: the smallest relative size that the comparison still notices.

    An audit that would not notice 1e-6 in a single entry has not tested the gradient, whatever the stages said.
    """
    expected = independent_gradient(exam, exam.cotangents[0])
    if expected is None:
        raise Untested("there is no reference and no affordable oracle to compare entries with")
    for leaf, name in enumerate(exam.program.names):
        sizes = np.abs(expected[leaf])
        if not sizes.any():
            yield Check("power", name, "untested", note="the gradient is 0 everywhere")
            continue
        typical = np.median(sizes[sizes > 0])
        entry = np.unravel_index(np.argmin(np.abs(sizes - typical)), sizes.shape)
        seen = [size for size in SIZES if _notices(exam, expected, leaf, entry, size)]
        smallest = min(seen, default=np.inf)
        status = "passed" if smallest <= 1e-6 else "untested"
        weak = f"a relative error of 1e-6 in {name}{list(map(int, entry))} would go unnoticed"
        note = "" if status == "passed" else weak
        yield Check("power", name, status, float(smallest), 1e-6, detects=float(smallest), note=note)


def _notices(exam: Exam, expected: Leaves, leaf: int, entry, size: float) -> bool:
    planted = [value.copy() for value in exam.gradients[0]]
    planted[leaf][entry] *= 1 + size
    check = compare("power", "", exam.program.names, planted, expected, exam.scales[0], exam.bound())
    return check.status == "failed"
