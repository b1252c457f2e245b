"""A finding as a few lines that anybody can run: they print the number that is not right, and say what it should be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.board.case import Case, Point
from convnet.board.compare import Verdict
from convnet.board.contraction import contracted, weights
from convnet.board.measure import cast, direction, precision
from convnet.board.truth import digits
from convnet.gradcheck.compiling import USUAL

IMPORTS = {
    r"\bjnp\.": "import jax.numpy as jnp",
    r"(?<!\.)\blax\.": "from jax import lax",
    r"\boptax\.": "import optax",
    r"(?<!\.)\bnn\.": "import flax.linen as nn",
    r"\bnp\.": "import numpy as np",
    r"jax\.scipy\.special": "import jax.scipy.special",
    r"jax\.scipy\.stats": "import jax.scipy.stats",
    r"jax\.scipy\.linalg": "import jax.scipy.linalg",
    r"\bcontracted\(": f"from {contracted.__module__} import contracted",
}
"""Patterns in a program, and what it needs then."""


def reproduction(case: Case, point: Point, dtype: str, way: str, verdict: Verdict) -> str:
    """Imports, the function of what it is differentiated in, its arguments, and the one number."""
    way = way if dtype == "float64" else "reverse"  # `measure` asks for all points of the others at once
    written = dict(zip(case.args, (_written(a, dtype) for a in cast(case, point, dtype)), strict=True))
    own = [case.args[i] for i in case.wrt]
    lines = [f"{name} = {text}" for name, text in written.items() if name not in own]
    lines.append(f"f = lambda {', '.join(own)}: {_number(case, point, dtype)}")
    lines.append(f"args = ({', '.join(written[name] for name in own)},)")
    if verdict.direction is not None and not case.elementwise:
        lines.append(f"along = ({', '.join(_along(case, point))},)")
    which, index = _place(case, point, verdict.entry)
    asked = _first(way, which) if verdict.direction is None else _second(case, way, verdict, which)
    true = digits(verdict.slope.value) if verdict.slope.exists else "none"
    lines.append(f"print({asked}{index})  # {verdict.got!r}, and the derivative is {true}")
    lines[:0] = ['jax.config.update("jax_enable_x64", True)'] if dtype == "float64" else []
    needed = [line for sign, line in IMPORTS.items() if re.search(sign, "\n".join(lines))]
    return "\n".join(["; ".join(["import jax", *needed]), *lines])


def printed(lines: str) -> float:
    """The number that they print, run here. JAX's width of numbers stays what it is. Raises what they raise.

    What they compile is compiled as users have it, and once where lines differ in nothing but numbers.
    """
    wide = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", False)
        with redirect_stdout(StringIO()) as said:
            exec(lines.replace("jax.jit(", "compiled("), {"compiled": _compiled})
        return float(said.getvalue())
    finally:
        jax.config.update("jax_enable_x64", wide)


def _compiled(f: Callable) -> Callable:
    def call(*args):
        lowered = jax.jit(f).lower(*args)
        return _program(_Lowered(lowered.as_text(), lowered))(*args)

    return call


@dataclass(frozen=True)
class _Lowered:
    """Known by its text."""

    text: str
    program: Any = field(compare=False)


@lru_cache(4)  # lines of a case come one after the other
def _program(of: _Lowered) -> Callable:
    return of.program.compile(USUAL)


def is_wrong(got: float, truth: float, now: float) -> bool:
    """Whether a number that is printed `now` is as wrong as `got` was: noise has other digits each time that a program
    is compiled, so a hundredth of the error will do."""
    if not (math.isfinite(got) and math.isfinite(now)):
        return not math.isfinite(now)
    return abs(now - truth) > abs(got - truth) / 100


def argument(case: Case, point: Point, entry: int) -> str:
    """What an entry of the gradient is in: the argument by its name, and where in it."""
    which, index = _place(case, point, entry)
    return case.args[case.wrt[which]] + index


def _number(case: Case, point: Point, dtype: str) -> str:
    """The call, or where its result is no number, that times fixed factors."""
    if case.elementwise:
        return case.call
    with precision(dtype):
        shape = jax.eval_shape(case.fn, *(jnp.asarray(a) for a in cast(case, point, dtype)))
    leaves = jax.tree.leaves(shape)
    if len(leaves) > 1 or np.issubdtype(leaves[0].dtype, np.complexfloating):
        return f"contracted({case.call})"
    if leaves[0].size == 1:
        return f"{weights(0, 1)[0]} * {case.call}" if leaves[0].ndim == 0 else f"{weights(0, 1)[0]} * {case.call}.sum()"
    return f"(jnp.array({weights(0, leaves[0].size).tolist()}) * jnp.ravel({case.call})).sum()"


def _place(case: Case, point: Point, entry: int) -> tuple[int, str]:
    """Which argument an entry of the gradient belongs to, and its index there, as text."""
    sizes = np.cumsum([0, *(np.size(point.args[i]) for i in case.wrt)])
    which = int(np.searchsorted(sizes, entry, side="right")) - 1
    shape = np.shape(point.args[case.wrt[which]])
    place = ", ".join(map(str, np.unravel_index(entry - sizes[which], shape))) if shape else ""
    return which, f"[{place}]" if place else ""


def _along(case: Case, point: Point) -> list[str]:
    """The direction of second derivatives, an array for each argument."""
    shapes = [np.shape(point.args[i]) for i in case.wrt]
    sizes = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    whole = direction(int(sizes[-1]))
    parts = zip(shapes, sizes[:-1], sizes[1:], strict=True)
    return [f"jnp.array({whole[start:stop].reshape(shape).tolist()})" for shape, start, stop in parts]


def _first(way: str, which: int) -> str:
    gradient, twice = f"jax.grad(f, {which})", "*(jnp.stack([a] * 2) for a in map(jnp.asarray, args))"
    return {
        "reverse": f"jax.jit({gradient})(*args)",
        "eager": f"{gradient}(*args)",
        "forward": f"jax.jacfwd(f, {which})(*args)",
        "vmap": f"jax.jit(jax.vmap({gradient}))({twice})[0]",
        "scan": f"jax.jit(lambda *all: jax.lax.map(lambda one: {gradient}(*one), all))({twice})[0]",
    }[way]


def _second(case: Case, way: str, verdict: Verdict, which: int) -> str:
    gradient = f"jax.grad(f, {which})"
    forward = way.startswith("forward")
    if case.elementwise:
        return f"jax.{'jacfwd' if forward else 'grad'}({gradient}, {verdict.direction})(*args)"
    if forward:
        return f"jax.jvp({gradient}, args, along)[1]"
    every = f"jax.grad(f, {tuple(range(len(case.wrt)))})(*own)"
    return f"jax.grad(lambda *own: sum(map(jnp.vdot, {every}, along)), {which})(*args)"


def _written(a: np.ndarray, dtype: str) -> str:
    """As Python, to the last bit."""
    if not np.ndim(a):
        text = repr(a.item() if a.dtype.kind in "iub" else float(a))
        return _named(text if dtype == "float64" or a.dtype.kind in "iub" else f"jnp.{dtype}({text})")
    kind = "" if dtype == "float64" or a.dtype.kind in "iub" else f", jnp.{dtype}"
    values = a.tolist() if a.dtype.kind in "iub" else np.asarray(a, np.float64).tolist()
    return _named(f"jnp.array({values}{kind})")


def _named(text: str) -> str:
    """Numbers that are not finite by the names that JAX has for them."""
    return re.sub(r"\b(nan|inf)\b", r"jnp.\1", text)
