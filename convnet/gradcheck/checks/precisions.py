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
from convnet.gradcheck.comparison import compare, tolerance
from convnet.gradcheck.compiled import Leaves, as_float64
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check


def precisions(subject: Subject) -> Iterator[Check]:
    """In each dtype, against float64 at the same rounded arguments and cotangents, in that dtype's ulps."""
    for dtype in subject.level.precisions:
        try:
            yield _precision(subject, dtype)
        except OracleFailed:
            raise
        except (TypeError, ValueError, NotImplementedError) as error:
            yield Check("precisions", dtype, "untested", note=str(error).splitlines()[0][:120])


def _precision(subject: Subject, dtype: str) -> Check:
    narrow = jnp.dtype(dtype)
    leaves, constants = subject.program.split(subject.args, narrow)
    wide = [as_float64(leaves), [c.astype(np.float64) if c.dtype == narrow else c for c in constants]]
    there = subject.at(*wide)
    checks = []
    for g in subject.cotangents[: max(2, subject.level.cotangents // 2)]:
        rounded = [value.astype(narrow) for value in g]
        actual = subject.program.vjp(leaves, constants, rounded)
        dtypes = {str(value.dtype) for value in actual}
        if dtypes != {dtype}:
            return Check("precisions", dtype, "failed", worst=f"the gradient has dtype {', '.join(dtypes)}")
        expected = independent_gradient(there, as_float64(rounded))
        note = "" if expected else "against its own float64: there is nothing else to compare with"
        expected = expected or as_float64(there.gradient_of(there.leaves, as_float64(rounded)))
        if _overflows([*there.outputs, *expected], narrow):
            return Check("precisions", dtype, "untested", note=f"values or gradients overflow {dtype} at this point")
        scale = there.conditioning(there.gradient_of, there.leaves, as_float64(rounded))
        bound = tolerance(subject.terms, dtype)
        check = compare("precisions", dtype, subject.program.names, as_float64(actual), expected, scale, bound, dtype)
        checks.append(replace(check, note=check.note or note))
    return worst_of(checks)


def _overflows(arrays: Leaves, dtype) -> bool:
    """Intermediate results may be larger than what goes in and comes out, so a quarter of the range counts as over."""
    limit = float(jnp.finfo(dtype).max) / 4
    return any((np.abs(array) > limit).any() for array in arrays)


def independent_gradient(subject: Subject, g: Leaves) -> Leaves | None:
    """A float64 gradient that owes nothing to the rule under test; None where none was given."""
    if subject.reference is not None:
        return as_float64(subject.reference.vjp(subject.leaves, subject.constants, g))
    if subject.oracle is not None and oracle_is_affordable(subject):
        return oracle_gradient(subject, as_oracle(subject), g)
    return None


SIZES = 10.0 ** -np.arange(1, 13)


def power(subject: Subject) -> Iterator[Check]:
    """A fault in one typical entry of this gradient: the smallest relative size that the comparison still notices.

    An audit that would not notice 1e-6 in a single entry has not tested the gradient, whatever the stages said.
    """
    expected = independent_gradient(subject, subject.cotangents[0])
    if expected is None:
        raise Untested("there is no reference and no affordable oracle to compare entries with")
    for leaf, name in enumerate(subject.program.names):
        sizes = np.abs(expected[leaf])
        if not sizes.any():
            yield Check("power", name, "untested", note="the gradient is 0 everywhere")
            continue
        typical = np.median(sizes[sizes > 0])
        entry = np.unravel_index(np.argmin(np.abs(sizes - typical)), sizes.shape)
        seen = [size for size in SIZES if _notices(subject, expected, leaf, entry, size)]
        smallest = min(seen, default=np.inf)
        status = "passed" if smallest <= 1e-6 else "untested"
        weak = f"a relative error of 1e-6 in {name}{list(map(int, entry))} would go unnoticed"
        note = "" if status == "passed" else weak
        yield Check("power", name, status, float(smallest), 1e-6, detects=float(smallest), note=note)


def _notices(subject: Subject, expected: Leaves, leaf: int, entry, size: float) -> bool:
    planted = [value.copy() for value in subject.gradients[0]]
    planted[leaf][entry] *= 1 + size
    check = compare("power", "", subject.program.names, planted, expected, subject.scales[0], subject.bound())
    return check.status == "failed"
