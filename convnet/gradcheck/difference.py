"""How far the derivatives of mutants are from those of the right op: the ground truth.

No checker takes part. Both functions are differentiated by JAX in every way in which a fault can hide, at the same
arguments, and compared entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.compiling import quick
from convnet.gradcheck.evidence import CONVENTIONS, Case, Control, Mutant
from convnet.ops import HAND

COPIES = 3
"""Points that are mapped over, each drawn anew."""
Way = Callable[[Callable, list], Callable]
"""(function of the floating arguments -> outputs, points (arguments, cotangent)) -> a program without arguments."""


def _gradient(f: Callable, values, g):
    return jax.vjp(f, *values)[1](g)


def _first_order(f, points):
    return lambda values, g: _gradient(f, values, g)


def _mapped(transform: Callable) -> Way:
    """Over three points, and over three points that share one cotangent."""

    def way(f, points):
        def program(values, g):
            del values, g
            stacked, cotangents = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
            one = transform(lambda pair: _gradient(f, *pair))((stacked, cotangents))
            return one, transform(lambda values: _gradient(f, values, points[0][1]))(stacked)

        return program

    return way


def _second_order(f, points):
    def program(values, g):
        def along(*values):
            directions = points[1][0]
            return sum(jnp.sum(d * v) for d, v in zip(_gradient(f, values, g), directions, strict=True))

        return jax.grad(along, tuple(range(len(values))))(*values)

    return program


WAYS: dict[str, tuple[Way, str, bool]] = {
    "first order": (_first_order, "float64", True),
    "eager": (_first_order, "float64", False),
    "float32": (_first_order, "float32", True),
    "bfloat16": (_first_order, "bfloat16", True),
    "vmap": (_mapped(jax.vmap), "float64", True),
    "scan": (_mapped(lambda f: lambda xs: jax.lax.map(f, xs)), "float64", True),
    "second order": (_second_order, "float64", True),
}
"""What is differentiated and how, in which dtype, and whether it is compiled. A convention is one more way."""
ALL = (*WAYS, "conventions")


def differs(mutant: Mutant | Control, case: Case, seed: int = 0) -> float:
    """The largest relative difference between its derivatives and those of the right op, over all ways.

    A mutant for which this is about 0 (rounding: below 1e-11) at all its cases and several seeds is equivalent.
    """
    return max(differences(mutant, case, seed).values())


def differences(mutant: Mutant | Control, case: Case, seed: int = 0, ways: Iterable[str] = ALL) -> dict[str, float]:
    """Per way the largest difference, relative to the largest entry of the same gradient.

    In float32 and bfloat16 up to 16 roundings are no difference: two right rules may round differently. Two results
    that are not finite at the same entries do not differ there.
    """
    planted, found = mutant.build(), {}
    with jax.enable_x64(True):
        for way in ways:
            if way == "conventions":
                found[way] = _at_conventions(planted, mutant.op)
            elif way != "second order" or case.second_order:
                found[way] = _one_way(planted, case, seed, *WAYS[way])
    return found


def _one_way(planted: Callable, case: Case, seed: int, way: Way, dtype: str, compiled: bool) -> float:
    right, rng = getattr(HAND, case.op), np.random.default_rng(seed)
    draws = [_cast(case.draw(rng), dtype) for _ in range(COPIES)]
    of_floats, places = _floats(draws[0], case.settings)
    out = jax.eval_shape(of_floats(right), *(draws[0][i] for i in places))
    points = [([draw[i] for i in places], _cotangent(rng, out)) for draw in draws]

    def both(values, g):
        return way(of_floats(planted), points)(values, g), way(of_floats(right), points)(values, g)

    program = quick(both) if compiled else both
    rounding = 0.0 if dtype == "float64" else 16 * float(jnp.finfo(dtype).eps) / 2
    return max(0.0, _relative(*program(*points[0]), points[0][1]) - rounding)


def _cast(args: tuple, dtype: str) -> list:
    cast = [a if a is None else np.asarray(a) for a in args]
    return [a if a is None or a.dtype.kind != "f" else jnp.asarray(a, dtype) for a in cast]


def _floats(args: list, settings: dict) -> tuple[Callable, list[int]]:
    """How a function becomes one of its floating arguments alone, the others being those of `args`; their places."""
    places = [i for i, a in enumerate(args) if a is not None and jnp.issubdtype(a.dtype, jnp.floating)]

    def of_floats(function):
        def f(*values):
            filled = list(args)
            for place, value in zip(places, values, strict=True):
                filled[place] = value
            return function(*filled, **settings)

        return f

    return of_floats, places


def _cotangent(rng: np.random.Generator, out):
    return jax.tree.map(lambda y: jnp.asarray(rng.standard_normal(y.shape), y.dtype), out)


def _at_conventions(planted: Callable, op: str) -> float:
    found = [0.0]
    for convention in CONVENTIONS.get(op, ()):
        args = _cast(convention.args, "float64")
        of_floats, places = _floats(args, convention.settings)
        gradients = []
        for function in (planted, getattr(HAND, op)):
            y, pull = jax.vjp(of_floats(function), *(args[i] for i in places))
            gradients.append(pull(jax.tree.map(jnp.ones_like, y)))
        found.append(_relative(*gradients, 1.0))
    return max(found)


def _relative(planted, right, g) -> float:
    """The largest |a − b| of each pair of arrays over the largest |b|, which counts as at least a thousandth of all
    others: where a gradient is 0 but for rounding, rounding is no difference."""
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(jax.tree.leaves(planted), jax.tree.leaves(right), strict=True)
    ]
    sizes = [np.abs(b[np.isfinite(b)]).max(initial=0.0) for _, b in pairs]
    sizes_of_g = [np.abs(np.asarray(leaf, np.float64)).max(initial=0.0) for leaf in jax.tree.leaves(g)]
    floor = 1e-3 * max([*sizes, *sizes_of_g], default=0.0)
    worst = 0.0
    for (a, b), size in zip(pairs, sizes, strict=True):
        same = (a == b) | (~np.isfinite(a) & ~np.isfinite(b))
        error = np.where(same, 0.0, np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b)))
        error = np.where(np.isnan(error), np.inf, error).max(initial=0.0)
        worst = max(worst, float(error / max(size, floor)) if error else 0.0)
    return worst
