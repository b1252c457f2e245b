"""How large a fault is where it shows: the ground truth of what is wrong, in which no checker takes part.

The function and its plain forward are differentiated by JAX in the same way at the same arguments. The plain forward
always runs in float64, on arguments rounded to the dtype in which the function runs.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Program = Callable[[Callable, list, list], object]
"""(function of the differentiable arguments -> list of outputs, those arguments, cotangents) -> arrays."""


def shown(
    program: Program, *, change: Callable = lambda *args: args, dtype="float64", x64=True, settings: dict | None = None
) -> Callable[[dict], float]:
    """The `shows` of an example: the relative difference that `program` sees.

    change: other arguments, made of those of the call. dtype: of the arguments; x64: whether JAX has 64 bits at all.
    settings: other ones than the call's.
    """

    def measure(call: dict) -> float:
        args, keywords = change(*call["args"]), {**call.get("settings", {}), **(settings or {})}
        rounded = [np.asarray(a, dtype) if _is_float(a) else a for a in args]
        wide = [a.astype(np.float64) if _is_float(a) else a for a in rounded]
        with jax.enable_x64(True):
            expected = _run(program, call, call["reference"], wide, keywords, dtype)
        with jax.enable_x64(x64):
            actual = _run(program, call, call["fn"], rounded, keywords, dtype)
        return relative(actual, expected)

    return measure


def _run(program: Program, call: dict, fn: Callable, args: list, keywords: dict, dtype) -> list[np.ndarray]:
    chosen = [i for i in call.get("argnums", range(len(args))) if _is_float(args[i])]

    def of_chosen(*floats):
        filled = list(args)
        for i, value in zip(chosen, floats, strict=True):
            filled[i] = value
        return jax.tree.leaves(fn(*filled, **keywords))

    floats = [jnp.asarray(args[i]) for i in chosen]
    stream, outputs = np.random.default_rng(7), jax.eval_shape(of_chosen, *floats)
    g = [_cotangent(stream.standard_normal(out.shape), out.dtype, dtype) for out in outputs]
    return [np.asarray(leaf).astype(np.float64) for leaf in jax.tree.leaves(program(of_chosen, floats, g))]


def _cotangent(values: np.ndarray, out_dtype, dtype):
    if not jnp.issubdtype(out_dtype, jnp.floating):
        return np.zeros(values.shape, jax.dtypes.float0)
    return jnp.asarray(values.astype(dtype), out_dtype)


def _is_float(value) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def relative(actual: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest entry of its array; infinite where a number is missing."""
    gaps = [0.0]
    for a, b in zip(actual, expected, strict=True):
        if a.shape != b.shape or not np.isfinite(a).all():
            return np.inf
        gaps.append(float(np.abs(a - b).max(initial=0.0) / (np.abs(b).max(initial=0.0) or 1.0)))
    return max(gaps)


# --- programs ---------------------------------------------------------------------------------------------------------


def value(f, floats, g):
    """As it is called, not compiled."""
    del g
    return f(*floats)


def value_beside_gradient(f, floats, g):
    del g
    return jax.vjp(f, *floats)[0]


def value_beside_tangent(f, floats, g):
    del g
    return jax.jvp(f, tuple(floats), tuple(map(jnp.ones_like, floats)))[0]


def gradient(f, floats, g):
    return jax.vjp(f, *floats)[1](g)


def gradient_of_scaled(factor: float) -> Program:
    """Jᵀ(factor·g) / factor."""

    def program(f, floats, g):
        return [leaf / factor for leaf in gradient(f, floats, [factor * leaf for leaf in g])]

    return program


def gradient_of_ones(f, floats, g):
    return gradient(f, floats, [jnp.ones_like(leaf) for leaf in g])


def derivative_in_g(f, floats, g):
    """Of ⟨Jᵀg, 1⟩, which is J·1."""
    return jax.grad(lambda g: sum(jnp.sum(leaf) for leaf in gradient(f, floats, g)))(g)


def gradient_alone(argument: int) -> Program:
    """With respect to one argument, the others being numbers."""

    def program(f, floats, g):
        def alone(x):
            return f(*floats[:argument], x, *floats[argument + 1 :])

        return jax.vjp(alone, floats[argument])[1](g)

    return program


def derivative(order: int) -> Program:
    """The gradient of ⟨… ⟨gradient, v⟩ …, v⟩, `order` times in reverse."""

    def program(f, floats, g):
        def along(*x):
            return sum(jnp.sum(c * y) for c, y in zip(g, f(*x), strict=True))

        for _ in range(order - 1):
            along = _along(along, len(floats))
        return jax.grad(along, tuple(range(len(floats))))(*floats)

    return program


def _along(f: Callable, count: int) -> Callable:
    def directional(*x):
        gradients = jax.grad(f, tuple(range(count)))(*x)
        return sum(jnp.sum(d * jnp.linspace(0.5, 1.5, d.size).reshape(d.shape)) for d in gradients)

    return directional


def mapped(program: Program, levels: int = 1) -> Program:
    """At 2 points, or at 2 × 3 of them, at once."""

    def several(f, floats, g):
        def run(floats):
            return program(f, floats, g)

        for size in (2, 3)[:levels]:
            run = _mapped(run, size)
        return run(floats)

    def _mapped(run, size):
        return lambda floats: jax.vmap(run)([jnp.stack([(1 + i / 8) * x for i in range(size)]) for x in floats])

    return several
