"""What rounding does to a computation: every result on its way wiggled at random, one operation after the other.

The conditioning of a result in its inputs (`comparison.conditioning`) is what the best algorithm must lose. An ordinary
one loses more where large terms cancel on the way: the gradient in a bias before batch norm is 0, and what is computed
of it is the rounding of its terms. Monte Carlo arithmetic measures that (Parker, UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from convnet.gradcheck.terms import programs_in

STEP = 2.0**-26
"""Far above rounding, so that the wiggles are what is seen, and so small that only what is tied changes its order."""

NEARER = 2.0**-44
"""Where a wiggle of that size leads to no number, which a rounding may not."""

EXACT = """
    argmax argmin broadcast_in_dim clamp concatenate conj copy copy_p cummax cummin device_put dynamic_slice
    dynamic_update_slice eq expand_dims gather ge gt imag iota is_finite le lt max min ne neg pad real reduce_max
    reduce_min reduce_precision reshape rev select_and_gather_add select_n sign slice sort split squeeze
    stop_gradient transpose
"""
"""Primitives whose results are numbers that they were given, or no floating-point numbers."""

ROUNDINGS = dict(
    digamma=32, erf_inv=32, igamma=32, igamma_grad_a=32, igammac=32, lgamma=64, log1p=128, polygamma=16, zeta=16,
    bessel_i0e=16, bessel_i1e=16, regularized_incomplete_beta=64,
)  # fmt: skip
"""Of primitives that XLA does not compute to the last digit: about how many roundings a result is off by, of itself or
of 1 if that is larger, in float64 on a CPU beside SciPy. Every other result counts as rounded once."""

UFUNCS = {
    "add": np.add, "add_any": np.add, "and": np.bitwise_and, "div": np.divide, "eq": np.equal, "ge": np.greater_equal,
    "gt": np.greater, "le": np.less_equal, "lt": np.less, "max": np.maximum, "min": np.minimum, "mul": np.multiply,
    "ne": np.not_equal, "neg": np.negative, "or": np.bitwise_or, "sub": np.subtract,
}  # fmt: skip
"""Primitives that NumPy computes to the last digit, as XLA does, where numbers are real and not narrow: in a tenth of
the time that JAX takes to begin one."""

RUNNING = ("cumsum", "cumprod")
"""Primitives that round in the narrow dtype at every step, where a plain sum goes through float32."""

STABLE = """
    cholesky eig eigh geqrf householder_product lu qr schur svd triangular_solve tridiagonal
"""
"""Primitives of linear algebra, whose results are those of matrices that roundings of their largest entries moved."""

REFLECTIONS = 8
"""Of these roundings, how many LAPACK's algorithms make of a small matrix, at about the size of its entries."""

CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters under which an operation holds the program that it stands for."""

OPAQUE = frozenset(("while", "shard_map", "pallas_call", "custom_vmap_call", "linear_call"))
"""Operations whose programs are not run as they stand: their results are wiggled, not what happens inside."""

UNROLLED = 2000
"""Operations of all rounds of a scan that are run one by one; of a longer scan the results are wiggled."""


def intermediate_noise(
    closed: core.ClosedJaxpr, inputs: Sequence, *, probes: int, rng: np.random.Generator, step: float = STEP
) -> list[np.ndarray]:
    """How far each entry of a program's results moves when every result on the way is wiggled by one relative unit.

    Root mean square over normal wiggles. Like `comparison.conditioning`, of which it is the part that depends on the
    algorithm. step: the size of a wiggle; that of a narrow dtype's roundings crosses the kinks that these cross. A
    constant of the program that such a dtype cannot hold is wiggled, too, and once all is rounded as it rounds: what it
    makes equal is then a tie. Infinite where a wiggle leads to no number.
    """
    flat, narrow = jax.tree.leaves(inputs), step > STEP
    found = _moves(closed, flat, [_Wiggle(rng, step)] * probes + [_Rounded(step)] * narrow)
    if not narrow and any(np.isinf(noise).any() for noise in found):  # as a small variance that became negative
        nearer = _moves(closed, flat, [_Wiggle(rng, NEARER)] * probes)
        found = [np.where(np.isinf(far), near, far) for far, near in zip(found, nearer, strict=True)]
    return found


def _moves(closed: core.ClosedJaxpr, flat: Sequence, ways: Sequence[_Wiggle | _Rounded]) -> list[np.ndarray]:
    base = [np.asarray(value, np.float64) for value in _evaluate(closed.jaxpr, closed.consts, flat, None)]
    squares = [np.zeros(value.shape) for value in base]
    for way in ways:
        with np.errstate(all="ignore"):
            results = _evaluate(closed.jaxpr, closed.consts, flat, way)
        for total, value, start in zip(squares, results, base, strict=True):
            moved = (np.asarray(value, np.float64) - start) / way.step
            total += np.where(np.isfinite(start), np.where(np.isfinite(moved), moved, np.inf), 0.0) ** 2
    return [np.sqrt(total / len(ways)) for total in squares]


@dataclass(frozen=True)
class _Wiggle:
    """What rounding does to a number, at random. In NumPy, as most arrays are small: JAX takes longer to begin."""

    rng: np.random.Generator
    step: float

    def result(self, value, equation) -> np.ndarray:
        """Of an operation."""
        if not jnp.issubdtype(value.dtype, np.inexact):
            return value
        value, name = np.asarray(value), equation.primitive.name
        size = _size(value) * np.sqrt(equation.params.get("length", 1))
        if name == "fft":
            size = np.sqrt(np.mean(size**2)) + 0 * size  # each entry is a sum over all of them
        if name in ROUNDINGS:
            near_0 = (name == "log1p") & (size < 1e-3)  # where it keeps its digits
            size = np.where(near_0, size, ROUNDINGS[name] * np.maximum(size, 1))
        if jnp.issubdtype(value.dtype, np.complexfloating):
            return _complex(self._moved(value.real, size), self._moved(value.imag, size))
        if name in RUNNING:
            return self._running(value, size, name, equation.params["axis"], equation.params["reverse"])
        return self._moved(value, size)

    def _running(self, value, size, name: str, axis: int, reverse: bool) -> np.ndarray:
        """Of a running sum or product: what is rounded on the way is part of all that follow."""
        terms = self.rng.standard_normal(value.shape) * (size if name == "cumsum" else 1.0)
        total = np.flip(np.cumsum(np.flip(terms, axis), axis), axis) if reverse else np.cumsum(terms, axis)
        return value + (self.step * total * (1.0 if name == "cumsum" else value)).astype(value.dtype)

    def matrix(self, value):
        """Given to an operation that is backward stable."""
        if not jnp.issubdtype(value.dtype, np.floating):
            return value
        return self._moved(np.asarray(value), REFLECTIONS * np.sqrt(np.mean(_size(value) ** 2)))

    def constant(self, value):
        """Of a program, in a dtype with so many digits: 0.07 is another number there, 0.5 is not."""
        if self.step <= STEP or not jnp.issubdtype(value.dtype, np.floating):
            return value
        digits = np.frexp(np.asarray(value, np.float64))[0] / self.step
        return self._moved(np.asarray(value), np.where(digits == np.round(digits), 0.0, _size(value)))

    def _moved(self, value: np.ndarray, size) -> np.ndarray:
        wiggles = self.rng.standard_normal(value.shape)  # two of which never cancel, as signs would
        moved = value + (self.step * wiggles * size).astype(value.dtype)
        return np.where(np.isfinite(value), moved, value)  # −∞, of masks, is exact


@dataclass(frozen=True)
class _Rounded:
    """What rounding to few digits does to a number."""

    step: float

    def result(self, value, equation):
        del equation
        if jnp.issubdtype(value.dtype, np.complexfloating):
            value = np.asarray(value)
            return _complex(self.constant(value.real), self.constant(value.imag))
        return self.constant(value)

    def matrix(self, value):
        return value

    def constant(self, value):
        if not jnp.issubdtype(value.dtype, np.floating):
            return value
        digits, exponent = np.frexp(np.asarray(value, np.float64))
        return np.ldexp(np.rint(digits / self.step) * self.step, exponent).astype(value.dtype)


def _size(value) -> np.ndarray:
    """In float64: narrow numbers multiply slowly."""
    wide = np.complex128 if jnp.issubdtype(value.dtype, np.complexfloating) else np.float64
    return np.abs(np.asarray(value, wide))


def _complex(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """A sum would make NaN of what is infinite."""
    found = np.empty(real.shape, np.result_type(real, np.complex64))
    found.real, found.imag = real, imaginary
    return found


def _evaluate(jaxpr, consts: Sequence, inputs: Sequence, wiggle: _Wiggle | _Rounded | None) -> list:
    """The results of a program, operation by operation; exactly, or with wiggles."""
    constant = wiggle.constant if wiggle else lambda value: value
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*map(constant, consts), *inputs), strict=True))

    def value_of(v):
        return constant(np.asarray(v.val, v.aval.dtype)) if isinstance(v, core.Literal) else known[v]

    for equation in jaxpr.eqns:
        results = _results(equation, list(map(value_of, equation.invars)), wiggle)
        known.update(zip(equation.outvars, results, strict=True))
    return list(map(value_of, jaxpr.outvars))


def _results(equation, given: list, wiggle: _Wiggle | _Rounded | None) -> Sequence:
    if equation.primitive.name == "scan" and _affordable(equation):
        return _unrolled(equation, given, wiggle)
    inner = program_of(equation)
    if equation.primitive.name == "cond":
        inner, given = _closed(equation.params["branches"][int(given[0])]), given[1:]
    if inner is not None:
        return _evaluate(inner.jaxpr, inner.consts, given, wiggle)
    if wiggle is not None and equation.primitive.name in STABLE.split():
        return _alone(equation, list(map(wiggle.matrix, given)))
    results = _in_numpy(equation, given) or _alone(equation, given)
    if wiggle is None or equation.primitive.name in EXACT.split() or _is_real_abs(equation):
        return results
    return [wiggle.result(result, equation) for result in results]


def _in_numpy(equation, given: list) -> list | None:
    ufunc, kinds = UFUNCS.get(equation.primitive.name), [v.aval.dtype for v in equation.invars]
    if ufunc is None or not all(kind in (np.float64, np.float32, np.bool_) for kind in kinds):
        return None
    return [ufunc(*map(np.asarray, given))]


def _is_real_abs(equation) -> bool:
    """Of a complex number it is a root, which is rounded."""
    return equation.primitive.name == "abs" and jnp.issubdtype(equation.invars[0].aval.dtype, jnp.floating)


def _affordable(scan) -> bool:
    return 0 < _operations([scan]) <= UNROLLED


def _operations(run: Iterable) -> int:
    """How many are run one by one, those of every round of a scan."""
    total = 0
    for equation in run:
        rounds = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += rounds * (sum(_operations(inner.eqns) for inner in programs_in(equation)) or 1)
    return total


def _unrolled(scan, given: list, wiggle: _Wiggle | _Rounded | None) -> list:
    """A scan, round by round. Which of its arrays are stacked is seen in their shapes: parameters differ by version."""
    body = _closed(scan.params["jaxpr"])
    stacked = sum(
        len(v.aval.shape) > len(one.aval.shape) for v, one in zip(scan.outvars, body.jaxpr.outvars, strict=True)
    )
    columns = sum(
        len(v.aval.shape) > len(one.aval.shape) for v, one in zip(scan.invars, body.jaxpr.invars, strict=True)
    )
    count = len(scan.outvars) - stacked
    fixed = len(given) - columns - count
    consts, carry, xs = given[:fixed], given[fixed : fixed + count], [*map(_host, given[fixed + count :])]
    rounds, rows = range(scan.params["length"]), []
    for i in reversed(rounds) if scan.params["reverse"] else rounds:
        out = _evaluate(body.jaxpr, body.consts, [*consts, *carry, *(x[i] for x in xs)], wiggle)
        carry = out[:count]
        rows.append(out[count:])
    ordered = rows[::-1] if scan.params["reverse"] else rows
    return [*carry, *(_stacked(ys) for ys in zip(*ordered, strict=True))]


def _host(x):
    """An array of NumPy, rounds of which cost nothing; keys stay what they are."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.extended) else np.asarray(x)


def _stacked(rows: Sequence):
    return jnp.stack(rows) if jnp.issubdtype(rows[0].dtype, jax.dtypes.extended) else np.stack([*map(np.asarray, rows)])


def _closed(program) -> core.ClosedJaxpr:
    return core.ClosedJaxpr(program, ()) if isinstance(program, core.Jaxpr) else program


def _alone(equation, given: list) -> Sequence:
    """One operation, run as a program of its own, which needs no knowledge of how its parameters are bound."""
    return _program_alone(equation)(*given)


@lru_cache(256)  # the rounds of a loop
def _program_alone(equation) -> Callable:
    variables = [core.Var(v.aval) for v in equation.invars]
    alone = core.Jaxpr((), variables, equation.outvars, [equation.replace(invars=variables)], equation.effects)
    return core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))


def program_of(equation) -> core.ClosedJaxpr | None:
    """The program that an operation stands for and that can be run in its place: of jit, checkpoint, custom rules."""
    if equation.primitive.name in (*OPAQUE, "scan", "cond"):
        return None
    for name in CALLS:
        program = _closed(equation.params.get(name))
        if isinstance(program, core.ClosedJaxpr) and len(program.jaxpr.invars) == len(equation.invars):
            return program
    return None
