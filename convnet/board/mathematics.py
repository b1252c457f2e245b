"""The mathematics of a case as a function of JAX, with the right gradient and the right Hessian: a checker that rejects
this has not seen what is wrong with the library's."""

from __future__ import annotations

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.board.case import Case, Point
from convnet.board.oracle import phi_of, truth_of
from convnet.board.truth import Truth, Unknown, truth

REMEMBERED = 10_000
"""Points: a checker asks for the value, the gradient and the Hessian of one, and for some of them many times."""


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def mathematics(case: Case, *args: Array) -> Array:
    """φ of a case (see `oracle.phi_of`), a number, rounded once to the dtype of what it is differentiated in.

    NaN where φ has no real value, or a derivative does not exist. Raises what `truth` does, as JAX passes it on.
    """
    return _asked(case, args, 0)


@mathematics.defjvp
def _(case: Case, args, tangents):
    return mathematics(case, *args), _gradient(case, *args) @ _own(case, tangents)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradient(case: Case, *args: Array) -> Array:
    return _asked(case, args, 1)


@_gradient.defjvp
def _(case: Case, args, tangents):
    return _gradient(case, *args), _asked(case, args, 2) @ _own(case, tangents)


def settled(case: Case, point: Point, dtype: str, order: int) -> Truth | None:
    """The truth at a point where all derivatives up to the `order` exist, 1 or 2 (which float64 alone has); None
    elsewhere, and where the oracle does not settle."""
    try:
        found = truth_of(case, point, dtype, {})
    except (Unknown, RecursionError):
        return None
    slopes = [*found.first, *(slope for row in found.second if order == 2 for slope in row)]
    return found if all(slope.exists for slope in slopes) else None


def _own(case: Case, values) -> Array:
    """What belongs to the arguments that the case is differentiated in, as one vector."""
    return jnp.concatenate([jnp.ravel(values[i]) for i in case.wrt])


def _asked(case: Case, args, order: int) -> Array:
    own = _own(case, args)
    result = jax.ShapeDtypeStruct(own.shape * order, own.dtype)
    return jax.pure_callback(partial(_answer, case, order, own.dtype), result, *args, vmap_method="sequential")


def _answer(case: Case, order: int, dtype, *args) -> np.ndarray:
    args = [*map(np.asarray, args)]
    found = _truth(case, order == 2, tuple((a.shape, a.dtype.name, a.tobytes()) for a in args))
    if order == 0:
        numbers = found.value
    elif order == 1:
        numbers = [slope.value for slope in found.first]
    else:
        numbers = [[slope.value for slope in row] for row in found.second]
    return np.asarray(np.asarray(numbers, object).astype(np.float64), dtype)


@lru_cache(REMEMBERED)
def _truth(case: Case, bends: bool, places: tuple) -> Truth:
    """bends: with second derivatives."""
    args = [np.frombuffer(bytes_, jnp.dtype(name)).reshape(shape) for shape, name, bytes_ in places]
    x = np.concatenate([np.asarray(args[i], np.float64).ravel() for i in case.wrt])
    return truth(phi_of(case, args), x.tolist(), np.eye(x.size)[: x.size * bends])
