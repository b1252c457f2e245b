"""What rounding does to a computation: every result on its way wiggled at random, one operation after the other.

The conditioning of a result in its inputs (`comparison.conditioning`) is what the best algorithm must lose. An ordinary
one loses more where large terms cancel on the way: the gradient in a bias before batch norm is 0, and what is computed
of it is the rounding of its terms. Monte Carlo arithmetic measures that (Parker, UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

STEP = 2.0**-26
"""Far above rounding, so that the wiggles are what is seen, and so small that only what is tied changes its order."""

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

CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters under which an operation holds the program that it stands for."""

LOOPS = frozenset(("scan", "while", "cond", "shard_map", "pallas_call", "custom_vmap_call", "linear_call"))
"""Operations whose programs are not run as they stand: their results are wiggled, not what happens inside."""


def intermediate_noise(
    closed: core.ClosedJaxpr, inputs: Sequence, *, probes: int, rng: np.random.Generator, step: float = STEP
) -> list[np.ndarray]:
    """How far each entry of a program's results moves when every result on the way is wiggled by one relative unit.

    Root mean square over random signs. Like `comparison.conditioning`, of which it is the part that depends on the
    algorithm. step: the size of a wiggle; that of a narrow dtype's roundings crosses the kinks that these cross.
    """
    flat = jax.tree.leaves(inputs)
    base = [
        np.asarray(value, np.float64) for value in _evaluate(closed.jaxpr, closed.consts, flat, lambda value, _: value)
    ]
    squares = [np.zeros(value.shape) for value in base]

    def wiggle(value, equation):
        size = value * np.sqrt(equation.params.get("length", 1))  # a scan rounds once a round
        if equation.primitive.name in ROUNDINGS:
            size = ROUNDINGS[equation.primitive.name] * jnp.maximum(jnp.abs(value), 1)
        return value + (step * rng.choice([-1.0, 1.0], np.shape(value)) * size).astype(value.dtype)

    for _ in range(probes):
        for total, value, start in zip(
            squares, _evaluate(closed.jaxpr, closed.consts, flat, wiggle), base, strict=True
        ):
            moved = (np.asarray(value, np.float64) - start) / step
            total += np.where(np.isfinite(moved), moved, 0.0) ** 2
    return [np.sqrt(total / probes) for total in squares]


def _evaluate(jaxpr, consts: Sequence, inputs: Sequence, wiggle: Callable) -> list:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
    for equation in jaxpr.eqns:
        given = [v.val if isinstance(v, core.Literal) else known[v] for v in equation.invars]
        results = _results(equation, given, wiggle)
        known.update(zip(equation.outvars, results, strict=True))
    return [v.val if isinstance(v, core.Literal) else known[v] for v in jaxpr.outvars]


def _results(equation, given: list, wiggle: Callable) -> Sequence:
    inner = program_of(equation)
    if inner is not None:
        return _evaluate(inner.jaxpr, inner.consts, given, wiggle)
    results = _alone(equation, given)
    if equation.primitive.name in EXACT.split():
        return results
    return [wiggle(r, equation) if jnp.issubdtype(r.dtype, np.floating) else r for r in results]


def _alone(equation, given: list) -> Sequence:
    """One operation, run as a program of its own, which needs no knowledge of how its parameters are bound."""
    distinct = {v: value for v, value in zip(equation.invars, given, strict=True) if not isinstance(v, core.Literal)}
    alone = core.Jaxpr((), list(distinct), equation.outvars, [equation], equation.effects)
    return core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*distinct.values())


def program_of(equation) -> core.ClosedJaxpr | None:
    """The program that an operation stands for and that can be run in its place: of jit, checkpoint, custom rules."""
    if equation.primitive.name in LOOPS:
        return None
    for name in CALLS:
        program = equation.params.get(name)
        if isinstance(program, core.Jaxpr):
            program = core.ClosedJaxpr(program, ())
        if isinstance(program, core.ClosedJaxpr) and len(program.jaxpr.invars) == len(equation.invars):
            return program
    return None
