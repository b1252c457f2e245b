"""How many numbers a program adds up into one, counted in the program itself; and how exactly it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import jax.numpy as jnp
import numpy as np
from jax.extend import core


@dataclass(frozen=True)
class Arithmetic:
    """How a function computes, as its programs show it."""

    terms: int
    """Numbers that are added up into one result at most."""
    dtype: str
    """The narrowest that it rounds to on the way."""
    open_ended: bool
    """Whether it loops until numbers are close enough."""
    random: bool
    """Whether it draws random numbers."""


UNKNOWN = 1000
"""Rounds of a loop whose end is not known before it runs."""

OF_ONE_RESULT = """
    abs acos acosh add add_any and argmax argmin asin asinh atan atan2 atanh bessel_i0e bessel_i1e broadcast_in_dim
    cbrt ceil clamp concatenate conj convert_element_type copy copy_p cos cosh cummax cummin custom_jvp_call
    device_put digamma div dynamic_slice dynamic_update_slice eq erf erf_inv erfc exp exp2 expand_dims expm1 floor
    gather ge gt igamma igammac imag integer_pow iota is_finite le lgamma log log1p logistic lt max min mul name ne
    neg nextafter not optimization_barrier or pad polygamma pow random_bits random_seed random_unwrap random_wrap
    real reduce_and reduce_max reduce_min reduce_or reduce_precision reduce_window_max regularized_incomplete_beta
    rem reshape rev round rsqrt scatter select_and_gather_add select_n shift_left shift_right_logical sign sin sinh
    slice sort split sqrt square squeeze stop_gradient sub tan tanh threefry2x32 transpose xor
"""
"""Primitives that make every number of their result from a fixed few."""


def summed_terms(program: core.ClosedJaxpr) -> int:
    """An upper bound on the numbers that are added up into one of the results, one addition after the other.

    What is not known to add up less counts as if it did so over the largest of its arrays.
    """
    return 1 + _added(program.jaxpr)


def _added(jaxpr) -> int:
    return sum(_of(equation) for equation in jaxpr.eqns)


def _of(equation) -> int:
    name, parameters = equation.primitive.name, equation.params
    inner = [_added(program) for program in programs_in(equation)]
    if name == "scan":
        return parameters["length"] * (1 + sum(inner))
    if name == "while":
        return UNKNOWN + sum(inner)
    if inner:
        return max(inner) if name == "cond" else sum(inner)
    if name in OF_ONE_RESULT.split():
        return 0
    return _count(name, parameters, [v.aval for v in equation.invars], [v.aval for v in equation.outvars])


def _count(name: str, parameters: dict, given: Sequence, results: Sequence) -> int:
    if name == "dot_general":
        contracted = parameters["dimension_numbers"][0][0]
        return prod(given[0].shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, axis = given[1].shape, parameters["dimension_numbers"].rhs_spec[0]
        return prod(kernel) // max(1, kernel[axis])
    if name.startswith("reduce_window"):
        return prod(parameters["window_dimensions"])
    if name in ("reduce_sum", "reduce_prod"):
        return max(1, prod(given[0].shape) // max(1, prod(results[0].shape)))
    if name.startswith("cum"):
        return given[0].shape[parameters["axis"]]
    return max((prod(aval.shape) for aval in (*given, *results) if hasattr(aval, "shape")), default=1)


def programs_in(equation) -> Iterator[core.Jaxpr]:
    """Those of jit, loops and branches."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def computes_in(program: core.ClosedJaxpr) -> str:
    """The narrowest floating-point dtype that float64 is rounded to on the way to the results."""
    found = set(filter(None, map(_narrowed, equations(program.jaxpr))))
    return max(found, key=lambda dtype: float(jnp.finfo(dtype).eps), default="float64")


def open_ended(program: core.ClosedJaxpr) -> bool:
    """Whether a loop goes on until numbers are close enough: in fewer digits that may be never."""
    return any(_ends_by_numbers(equation) for equation in equations(program.jaxpr))


def draws(program: core.ClosedJaxpr) -> bool:
    """Whether random numbers are drawn: in another precision they are others."""
    drawing = ("random_bits", "random_gamma", "threefry2x32", "rng_bit_generator", "rng_uniform")
    return any(equation.primitive.name in drawing for equation in equations(program.jaxpr))


def equations(jaxpr) -> Iterator:
    """All operations, those of inner programs too."""
    for equation in jaxpr.eqns:
        yield equation
        for program in programs_in(equation):
            yield from equations(program)


def _ends_by_numbers(equation) -> bool:
    if equation.primitive.name != "while":
        return False
    given = equation.params["cond_jaxpr"].jaxpr.invars
    return any(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in given)


def constants_in(program: core.ClosedJaxpr) -> set[float]:
    """Floating-point numbers that are written into a program; those as good as infinite left out."""
    found = {float(v.val) for e in equations(program.jaxpr) for v in e.invars if _is_number(v)}
    return {value for value in found if abs(value) < HUGE}


def compared_with(program: core.ClosedJaxpr) -> set[int]:
    """Integers that others are compared with, as a label of −100 that is left out; not those of any index."""
    comparisons = [e for e in equations(program.jaxpr) if e.primitive.name in ("eq", "ne", "lt", "le", "gt", "ge")]
    literals = [v for e in comparisons for v in e.invars if isinstance(v, core.Literal)]
    found = {int(v.val) for v in literals if np.ndim(v.val) == 0 and jnp.issubdtype(v.aval.dtype, jnp.integer)}
    return {value for value in found - {-1, 0} if abs(value) < 2**31}


def writes(program: core.ClosedJaxpr) -> bool:
    """Whether numbers are written to places, of which the last counts where two are the same."""
    return any(equation.primitive.name == "scatter" for equation in equations(program.jaxpr))


HUGE = 1e30
"""Numbers from here on stand for infinity, in whatever way a dtype can hold one."""


def _is_number(v) -> bool:
    return isinstance(v, core.Literal) and np.ndim(v.val) == 0 and jnp.issubdtype(v.aval.dtype, jnp.floating)


def looks_at_maps(program: core.ClosedJaxpr) -> bool:
    """Whether something has a rule of its own for `jax.vmap`, and so may do one thing or another by what is mapped."""
    looking = ("custom_vmap_call", "pure_callback", "io_callback")
    return any(equation.primitive.name in looking for equation in equations(program.jaxpr))


def _narrowed(equation) -> str | None:
    """The dtype that an operation rounds float64 to."""
    if equation.primitive.name != "convert_element_type":
        return None
    before, after = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
    rounds = before == np.float64 and jnp.issubdtype(after, jnp.floating) and after != np.float64
    return str(after) if rounds else None
