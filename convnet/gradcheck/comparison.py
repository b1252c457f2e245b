"""Whether two arrays are equal: entry by entry, in ulps that know the conditioning of what was computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64, unit_roundoff
from convnet.gradcheck.verdict import Check, describe_wrong


def conditioning(f: Callable, *inputs: Leaves, probes: int, rng: np.random.Generator) -> Leaves:
    """B: how far each entry of f(*inputs) moves when every input is wiggled by one relative unit, at random.

    Root mean square over random signs r of d/dh f(x (1 + h·r)). Rounding the inputs once moves the result by about
    u·B, so no algorithm can promise less, and |a − b| / (u·B) measures an error in ulps that knows the cancellation:
    for a sum of products B is √Σ(terms²), whatever cancels. It needs no formula and no Jacobian.
    """
    step = 2.0**-20
    base = as_float64(f(*inputs))
    squares = [np.zeros(value.shape) for value in base]
    for _ in range(probes):
        moved = [[x * (1 + step * rng.choice([-1, 1], x.shape)) for x in group] for group in inputs]
        for total, value, start in zip(squares, as_float64(f(*moved)), base, strict=True):
            total += finite((value - start) / step) ** 2
    return [
        np.maximum(np.sqrt(total / probes), finite(np.abs(value))) for total, value in zip(squares, base, strict=True)
    ]


def finite(values: np.ndarray) -> np.ndarray:
    """With 0 for what is infinite or no number."""
    return np.where(np.isfinite(values), values, 0.0)


FEW = 16
"""Entries of which an average says no more than the worst one does."""


def rms(scales: Leaves) -> list[float]:
    """The root mean square of each array."""
    return [float(np.sqrt(np.mean(scale**2))) if scale.size else 0.0 for scale in scales]


def floored(scales: Leaves, floors: Sequence[float]) -> Leaves:
    """Scales no smaller than the floor of their array.

    Terms can cancel that no input moves: +1 and −1 from two saturated quotients, the 1 − y² of a saturated tanh, what a
    filter adds up over a window of zeros. Whether that gives 0 or a rounding error is a matter of the order of
    summation, hence of the processor: such an entry is known no better than its array's typical entry is. Of an array
    that is 0 everywhere the floor is 0, too.
    """
    return [np.maximum(scale, floor) for scale, floor in zip(scales, floors, strict=True)]


def tolerance(terms: int, dtype="float64") -> float:
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
    *,
    unit: float | None = None,
    excused: Leaves | None = None,
) -> Check:
    """Entry by entry: ρ = |actual − expected| / (u·B) ≤ bound, and all entries of an array together.

    A result that is not finite fails, but where it is excused and expected. What is expected and not finite is no
    witness: an autodiff that overflows says nothing about a rule that does not. 0 must be 0 where B is 0.

    unit: u, that of dtype if none is given. excused: masks of entries that may be infinite or no numbers.
    """
    unit, tiny = unit or unit_roundoff(dtype), smallest(dtype)
    masks = excused or [np.zeros(np.shape(e), bool) for e in expected]
    for leaf, a, b in zip(names, actual, expected, strict=True):
        if a.shape != b.shape:
            return Check(stage, name, "failed", worst=f"{leaf} has shape {a.shape}: expected {b.shape}")
    arrays = [part for part in zip(names, actual, expected, scales, masks, strict=True) if part[1].size]
    if not arrays:
        return Check(stage, name, "untested", note="the arrays are empty")
    worst, text, where = max((_worst(*part, unit, tiny, bound) for part in arrays), key=lambda found: found[0])
    total, silent = (sum(int(f(e).sum()) for e in expected) for f in (np.ones_like, lambda e: ~np.isfinite(e)))
    if silent == total and worst <= bound:
        return Check(stage, name, "untested", note="nothing that is expected is finite")
    largest = max(float(finite(np.abs(e)).max()) for _, _, e, _, _ in arrays)
    detects = bound * unit * max(float(np.max(scale)) for *_, scale, _ in arrays) / largest if largest else None
    unknown = f"{silent} of {total} expected entries are not finite" if silent else ""
    status = "passed" if worst <= bound else "failed"
    return Check(stage, name, status, worst, bound, text, detects or None, note=where or unknown)


def _worst(leaf: str, a, b, scale, mask, unit: float, tiny: float, bound: float) -> tuple[float, str, str]:
    """(ρ, what it is, which entries are wrong) of the worst entry of an array, or of all its entries together."""
    rho = errors_in_ulps(a, b, scale, unit, tiny, mask)
    at = np.unravel_index(np.argmax(rho), rho.shape)
    worst = float(rho[at])
    index = f"{leaf}{list(map(int, at))}" if at else leaf
    text = f"{index} is {a[at]:.9g}: expected {b[at]:.9g}"
    if worst > bound:
        return worst, text, describe_wrong(rho > bound)
    factor, allowed = common_factor(a, b, scale, unit, bound)
    if abs(factor) <= allowed:
        return worst, text, ""
    return bound * abs(factor) / allowed, f"{leaf} is {1 + factor:.6g} times what is expected, on average", ""


def errors_in_ulps(a, b, scale, unit: float, tiny: float, excused=False) -> np.ndarray:
    """ρ of every entry; what is not a finite number counts as infinitely wrong, what is expected and is not as right.

    excused: entries where both may be infinite, or no numbers.
    """
    with np.errstate(all="ignore"):
        error = np.abs(a - b)
        rho = np.where(error <= tiny, 0.0, error / (unit * np.maximum(scale, np.abs(b))))
    rho = np.where(np.isfinite(rho), rho, np.inf)
    rho = np.where(np.isfinite(b), rho, 0.0)
    return np.where(np.isfinite(a) | (~np.isfinite(b) & excused), rho, np.inf)


def common_factor(a, b, scale, unit: float, bound: float) -> tuple[float, float]:
    """(f, the largest |f| that rounding explains) for the factor 1 + f that brings the expected b nearest to a.

    Entries count by how well they are known. Roundings of many entries average out, but for what they have in common, a
    rounded constant say, which is an eighth of the bound at most. Few entries tell no more than each does alone.
    """
    with np.errstate(all="ignore"):
        known = np.where(np.isfinite(a) & np.isfinite(b) & (scale > 0), b / np.maximum(scale, np.abs(b)), 0.0)
        off = np.where(known != 0, (a - b) / np.maximum(scale, np.abs(b)), 0.0)
    weights = known**2
    if not weights.any():
        return 0.0, np.inf
    total = np.sum(weights)
    if total**2 < FEW * np.sum(weights**2):
        return 0.0, np.inf
    allowed = 0.125 * np.sum(np.abs(known)) / total + 0.25 / np.sqrt(total)
    return float(np.sum(off * known) / total), unit * bound * allowed


def smallest(dtype) -> float:
    """Errors up to this are none. Below the smallest normal number XLA flushes to 0; float16, whose normal numbers end
    at 6e-5, it does not. In float64 it is the step of a complex step, below which an oracle sees nothing.
    """
    info = jnp.finfo(dtype)
    if float(info.tiny) < 1e-300:
        return 1e-150
    return 64 * float(info.smallest_subnormal if float(info.tiny) > 1e-30 else info.tiny)


def inner(a: Leaves, b: Leaves) -> float:
    """⟨a, b⟩ over all leaves, in extended precision where the machine has it."""
    return float(sum(np.sum(x.astype(np.longdouble) * y) for x, y in zip(a, b, strict=True)))


def has_infinite(noise: Leaves) -> bool:
    """Whether a rounding leads to no number somewhere, so that sums of such sizes say nothing."""
    return any(np.isinf(leaf).any() for leaf in noise)


LOST = "a rounding on the way leads to no number"


def norm(a: Leaves) -> float:
    return float(np.sqrt(inner(a, a)))
