"""What a library says of a case: derivatives by every way to ask for them, in every dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend import core

from convnet.board.asking import each, first_line
from convnet.board.case import Case, Point
from convnet.board.contraction import contracted, cotangents
from convnet.gradcheck.compiling import Answers, quick, together, usual

FIRST = ("reverse", "forward", "vmap", "scan", "eager")
"""Ways to a gradient. vmap and scan: of the compiled reverse mode; eager: reverse mode without `jax.jit`."""
SECOND = ("forward over reverse", "reverse over reverse")
ROUND = 24
"""Points are filled up to a multiple of this: operations that are run one by one have been compiled for that many, by
the cases before."""
TURNS = 2
"""Points that a scan goes over, or vmap, where they are arrays."""


@dataclass
class Measured:
    """Of some points in one dtype. first: way -> [points, n], of φ; second: way -> [points, m, n]. A point that the
    function refuses, or that was not asked for in this way, has None instead.

    missing: ways that the library does not offer, and what it says.
    """

    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def direction(n: int) -> np.ndarray:
    """Along which second derivatives of arrays are taken."""
    return ((3 * np.arange(n) + 1) % 5 - 2) / 2 + 0.25


def directions(case: Case, n: int) -> np.ndarray:
    """[m, n]: all unit vectors where the case is elementwise, else one `direction`."""
    return np.eye(n) if case.elementwise else direction(n)[None]


def precision(dtype: str) -> AbstractContextManager:
    """64-bit numbers only where they are asked for, as users have it."""
    return jax.enable_x64(dtype == "float64")


def cast(case: Case, point: Point, dtype: str) -> tuple[Any, ...]:
    """The arguments as the function is given them; integers and booleans stay what they are."""
    return tuple(_cast(value, dtype) for value in point.args)


def _cast(value: Any, dtype: str) -> np.ndarray:
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.floating):
        return array.astype(np.int32) if array.dtype == np.int64 else array
    with np.errstate(all="ignore"):
        return array.astype(jnp.dtype(dtype))


def measure(case: Case, points: Sequence[Point], dtype: str, *, eager: bool = True) -> Measured:
    """Everything in float64, reverse mode alone in narrower dtypes. Raises what the function raises at all points.

    eager: whether it is asked without `jax.jit`, too: each operation is then compiled by itself, which takes long.
    """
    with precision(dtype), np.errstate(all="ignore"):
        return (_elementwise if case.elementwise else _arrays)(case, points, dtype, eager and dtype == "float64")


# --- elementwise: all points in one call ------------------------------------------------------------------------------


def _elementwise(case: Case, points: Sequence[Point], dtype: str, eager: bool) -> Measured:
    columns = zip(*(cast(case, point, dtype) for point in points), strict=True)
    columns = [_filled_up(np.stack(column)) for column in columns]
    args = tuple(map(jnp.asarray, columns))
    count, wrt, scalar = len(points), case.wrt, lambda *args: case.fn(*args).astype(dtype)
    jax.eval_shape(jax.vmap(scalar), *args)
    gradient, found = jax.jit(jax.grad(scalar, wrt)), Measured()
    ways = {"vmap": lambda: _columns(partial(quick(jax.vmap(gradient)), *args), count)}
    if dtype == "float64":
        answers = _elsewhere(scalar, gradient, wrt)(*args)
        rows = list(zip(*(column[:count] for column in columns), strict=True))
        ways = {
            "reverse": lambda: np.stack([programs(case)[1](*row) for row in rows]),
            **{way: partial(_columns, answers[way], count) for way in ("vmap", "forward", "scan")},
        }
        _collect(found, found.second, {way: lambda way=way: answers[way]()[:count] for way in SECOND})
    if eager:
        ways["eager"] = lambda: _columns(partial(_eager, case, args), count)
    _collect(found, found.first, ways)
    return found


def _elsewhere(scalar: Callable, gradient: Callable, wrt: Sequence[int]) -> Callable[..., Answers]:
    """Of all points at once, in every other way."""
    return together(
        {
            "reverse over reverse": _hessians(jax.jacrev(gradient, wrt)),
            "forward over reverse": _hessians(jax.jacfwd(gradient, wrt)),
            "vmap": jax.vmap(gradient),
            "forward": jax.vmap(jax.jacfwd(scalar, wrt)),
            "scan": lambda *args: lax.map(lambda one: gradient(*one), args),
        }
    )


def _filled_up(column: np.ndarray) -> np.ndarray:
    """With copies of the last point."""
    return np.concatenate([column, np.repeat(column[-1:], -len(column) % ROUND, axis=0)])


def _eager(case: Case, args: tuple[Array, ...]) -> tuple[Array, ...]:
    """Each entry of the result sees its own entries alone, so a cotangent of ones gives all gradients."""
    result, pull = jax.vjp(lambda *own: case.fn(*_with(args, case.wrt, own)), *(args[i] for i in case.wrt))
    return pull(np.ones(result.shape, result.dtype))


def _hessians(derivatives: Callable) -> Callable[..., Array]:
    """[points, m, n] of rows, one for each gradient, of its derivatives at a point."""
    return lambda *args: jnp.stack([jnp.stack(row, -1) for row in jax.vmap(derivatives)(*args)], -1)


def _columns(call: Callable[[], tuple[Array, ...]], count: int) -> np.ndarray:
    return np.stack([np.asarray(column, np.float64)[:count] for column in call()], -1)


# --- arrays: point by point -------------------------------------------------------------------------------------------


def _arrays(case: Case, points: Sequence[Point], dtype: str, eager: bool) -> Measured:
    phi = _phi(case, dtype)
    own, wide, found = _gradient(phi, case), dtype == "float64", Measured()
    every = [tuple(jnp.asarray(value) for value in cast(case, point, dtype)) for point in points]
    each(lambda *args: np.zeros(jax.eval_shape(phi, *args).shape), every)  # raises what it says of all of them
    ways = {"reverse": partial(each, programs(case)[1] if wide else quick(own), every)}
    if wide:
        elsewhere = _elsewhere_at_one(phi, jax.jit(own), case)
        answers = [(elsewhere(*args),) for args in every]

        def asked(way: str, *shape: int) -> list[np.ndarray | None]:
            return each(lambda answer: answer[way](), answers, *shape)

        ways |= {way: partial(asked, way) for way in ("forward", "vmap", "scan")}
        _collect(found, found.second, {way: partial(asked, way, (1, -1)) for way in SECOND})
    _collect(found, found.first, ways)
    if eager:  # of what is generic alone
        generic = [args if point.label == "generic" else None for point, args in zip(points, every, strict=True)]
        _collect(found, found.first, {"eager": partial(each, _eager_gradient(case), generic)})
    return found


def _elsewhere_at_one(phi: Callable, gradient: Callable, case: Case) -> Callable[..., Answers]:
    """Of one point, in every other way."""
    return together(
        {
            "reverse over reverse": _reverse_along(gradient, case),
            "forward over reverse": _forward_along(gradient, case),
            "forward": lambda *args: _flattened(jax.jacfwd(phi, case.wrt)(*args)),
            "vmap": lambda *args: jax.vmap(gradient)(*_repeated(args))[-1],
            "scan": lambda *args: lax.map(lambda one: gradient(*one), _repeated(args))[-1],
        }
    )


@lru_cache(1)  # all findings of the case at hand are confirmed with them
def programs(case: Case) -> tuple[Callable, Callable]:
    """φ and its gradient [n] at one point in float64, compiled, the gradient as users have it."""
    phi = _phi(case, "float64")
    gradient = usual(jax.grad(phi, case.wrt))
    return quick(phi), lambda *args: np.concatenate([np.ravel(leaf) for leaf in gradient(*args)])


def _phi(case: Case, dtype: str) -> Callable[..., Array]:
    if case.elementwise:
        return lambda *args: case.fn(*args).astype(dtype)
    return lambda *args: contracted(case.fn(*args)).astype(dtype)


def _gradient(phi: Callable, case: Case) -> Callable[..., Array]:
    return lambda *args: _flattened(jax.grad(phi, case.wrt)(*args))


def _eager_gradient(case: Case) -> Callable[..., np.ndarray]:
    """As `_gradient`, but that nothing is run for the contraction: each operation would be compiled."""

    def gradient(*args):
        own = (args[i] for i in case.wrt)
        result, pull = jax.vjp(lambda *own: case.fn(*_with(args, case.wrt, own)), *own)
        return np.concatenate([np.ravel(leaf) for leaf in pull(cotangents(result))])

    return gradient


def _forward_along(gradient: Callable, case: Case) -> Callable[..., Array]:
    def along(*args):
        own = tuple(args[i] for i in case.wrt)
        of_own = lambda *own: gradient(*_with(args, case.wrt, own))  # noqa: E731
        return jax.jvp(of_own, own, _tangents(own))[1]

    return along


def _reverse_along(gradient: Callable, case: Case) -> Callable[..., Array]:
    def along(*args):
        slope = lambda *args: gradient(*args) @ _flattened(_tangents([args[i] for i in case.wrt]))  # noqa: E731
        return _flattened(jax.grad(slope, case.wrt)(*args))

    return along


def _tangents(own: Sequence[Array]) -> tuple[Array, ...]:
    sizes = np.cumsum([0, *(np.size(a) for a in own)])
    whole = direction(int(sizes[-1]))
    return tuple(
        jnp.asarray(whole[i:j], a.dtype).reshape(np.shape(a))
        for a, i, j in zip(own, sizes[:-1], sizes[1:], strict=True)
    )


def _repeated(args: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(jnp.stack([a] * TURNS) for a in args)


# --- both -------------------------------------------------------------------------------------------------------------


def _collect(found: Measured, results: dict[str, Any], calls: dict[str, Callable[[], Any]]) -> None:
    """What does not work is noted, with the first line of what was said."""
    for way, call in calls.items():
        try:
            result = call()
        except Exception as error:
            found.missing[way] = first_line(error)
        else:
            results[way] = result if isinstance(result, list) else np.asarray(result, np.float64)


def _flattened(leaves: Sequence[Array]) -> Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]) if leaves else jnp.zeros(0)


def _with(args: Sequence[Any], wrt: Sequence[int], own: Sequence[Any]) -> list[Any]:
    found = list(args)
    for i, value in zip(wrt, own, strict=True):
        found[i] = value
    return found


def narrower(case: Case, point: Point) -> Iterator[str]:
    """Floating dtypes below float64 that the function goes through when it is given float64."""
    with precision("float64"):
        program = jax.make_jaxpr(_phi(case, "float64"))(*(jnp.asarray(a) for a in cast(case, point, "float64")))
    seen = {str(var.aval.dtype) for var in _variables(program.jaxpr) if hasattr(var.aval, "dtype")}
    yield from sorted(seen & {"float32", "bfloat16", "float16"})


def _variables(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for inner in core.jaxprs_in_params(equation.params):
            yield from _variables(inner)
