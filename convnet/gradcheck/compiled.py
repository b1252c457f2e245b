"""The function under test as a map between lists of arrays, with its derivatives, each compiled once per shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from convnet.gradcheck.arguments import Arguments, BadInput, check_call, is_float, is_key
from convnet.gradcheck.compiling import quick


class BadCall(BadInput):
    """The function refuses these arguments."""


class CompiledFunction(Arguments):
    """F: the differentiable leaves of a function's arguments -> the floating-point leaves of its result.

    `role` is what errors call the function: fn, or reference. A function that cannot be traced in float64, as one with
    a carry of float32, is run in the dtype of the arguments given: `inner`; and one that carries an int32, too, with
    integers of 32 bits: `short`.

    Raises ValueError where there is nothing to differentiate, or the function or its gradient fails at these arguments.
    """

    def __init__(
        self,
        fn: Callable,
        args: Sequence,
        argnums: int | Sequence[int] | None = None,
        settings: Mapping | None = None,
        role: str = "fn",
        symmetric: Sequence[str] = (),
    ):
        check_call(args, argnums, settings)
        super().__init__(fn, args, argnums, symmetric)
        self.fn, self.settings, self.role = fn, dict(settings or {}), role
        self.inner: str | None = None
        self.short = False
        self._compiled: dict[tuple, Callable] = {}
        self._trace(args)

    def _call(self, leaves, constants):
        """What the function returns. It is given arrays of JAX, as it is used to: NumPy's it could write to."""
        leaves = [jnp.asarray(leaf, self.inner) for leaf in leaves]
        with self._integers():
            constants = [c if is_key(c) else jnp.asarray(c) for c in constants]
            return self.fn(*self.merge(leaves, constants), **self.settings)

    def _integers(self):
        return jax.enable_x64(False) if self.short else nullcontext()

    def _traced(self, args):
        point, failures = self.split(args), []
        given = {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(args) if is_float(leaf)} - {"float64"}
        narrow = given.pop() if len(given) == 1 else "float32"
        for self.inner, self.short in ((None, False), (narrow, False), (narrow, True)):
            try:
                return jax.eval_shape(self._call, *point)
            except Exception as error:
                failures.append(error)
        reason = f"{type(failures[0]).__name__}: {failures[0]}"
        raise BadCall(f"{self._called()} fails at these arguments: {reason}") from failures[0]

    def _called(self) -> str:
        return f"{self.role} ({getattr(self.fn, '__name__', repr(self.fn))})"

    def _trace(self, args) -> None:
        """Run the function once without values: what it raises, and what it returns, is told here."""
        point, who = self.split(args), self._called()
        outputs, self.out_tree = jax.tree.flatten(self._traced(args))
        dtypes = ", ".join(str(value.dtype) for value in outputs) or "nothing"
        self.floats = [jnp.issubdtype(value.dtype, jnp.floating) for value in outputs]
        if not any(self.floats) or any(jnp.issubdtype(value.dtype, jnp.complexfloating) for value in outputs):
            raise ValueError(f"{who} returns {dtypes}: expected a floating-point result, real, to have a gradient")
        self.out = [value for value, is_float in zip(outputs, self.floats, strict=True) if is_float]
        if self.inner is not None:
            self.out = [jax.ShapeDtypeStruct(value.shape, jnp.float64) for value in self.out]
        try:
            jax.eval_shape(self.plain_vjp, *point, self.out)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise ValueError(f"the gradient of {who} fails: {type(error).__name__}: {first}") from error

    def as_result(self, outputs: Sequence):
        """Floating-point leaves in the structure that the function returns; None where it returns integers."""
        outputs = iter(outputs)
        return jax.tree.unflatten(self.out_tree, [next(outputs) if is_float else None for is_float in self.floats])

    def floating(self, outputs: Sequence) -> list:
        """The floating-point ones of as many results as the function has; of others all."""
        if len(outputs) != len(self.floats):
            return list(outputs)
        return [value for value, is_float in zip(outputs, self.floats, strict=True) if is_float]

    def plain(self, leaves, constants) -> list:
        """F, not compiled."""
        out = jax.tree.leaves(self._call(leaves, constants))
        out = [jnp.asarray(value) for value, is_float in zip(out, self.floats, strict=True) if is_float]
        if self.inner is None:
            return out
        with jax.enable_x64(True):
            return [value.astype(leaves[0].dtype) for value in out]

    def plain_value_and_vjp(self, leaves, constants, g) -> tuple[list, list]:
        """F, as the rule for its gradient gives it, and Jᵀg."""
        with self._integers():  # where the rule is traced
            out, pull = jax.vjp(lambda leaves: self.plain(leaves, constants), leaves)
        return out, pull(self._as(out, g))[0]

    @staticmethod
    def _as(out: Sequence, g: Sequence) -> list:
        """Cotangents in the dtypes of results."""
        return [cotangent.astype(value.dtype) for cotangent, value in zip(g, out, strict=True)]

    def plain_vjp(self, leaves, constants, g) -> list:
        return self.plain_value_and_vjp(leaves, constants, g)[1]

    def plain_value_and_jvp(self, leaves, constants, v) -> tuple[list, list]:
        """F, as the rule for its tangent gives it, and J v."""
        return jax.jvp(lambda leaves: self.plain(leaves, constants), (leaves,), (v,))

    @cached_property
    def value(self) -> Callable:
        """F(leaves, constants)."""
        return quick(self.plain)

    @cached_property
    def value_and_vjp(self) -> Callable:
        """F, as the rule for its gradient gives it, and Jᵀg, as (leaves, constants, g)."""
        return quick(self.plain_value_and_vjp)

    def vjp(self, leaves, constants, g) -> list:
        """Jᵀg."""
        return self.value_and_vjp(leaves, constants, g)[1]

    @cached_property
    def value_and_jvp(self) -> Callable:
        """F, as the rule for its tangent gives it, and J v, as (leaves, constants, v)."""
        return quick(self.plain_value_and_jvp)

    def jvp(self, leaves, constants, v) -> list:
        """J v."""
        return self.value_and_jvp(leaves, constants, v)[1]

    def second(self, leaves, constants, g, v) -> list:
        """H v with H the Hessian of ⟨g, F⟩, reverse over reverse."""
        return self.higher(2)(leaves, constants, g, [v])

    def traced(self, kind: str, *inputs) -> core.ClosedJaxpr:
        """The program itself, of "value", "value_and_vjp", "value_and_jvp" or "higher", for arguments such as these."""
        program = self.higher(len(inputs[-1]) + 1) if kind == "higher" else getattr(self, kind)
        return program.trace(*inputs).jaxpr

    def higher(self, order: int) -> Callable:
        """D^order ⟨g, F⟩ along order − 1 directions, always in reverse, as (leaves, constants, g, directions)."""
        return self._once(("higher", order), lambda: partial(self._plain_higher, order))

    def _once(self, key, make: Callable) -> Callable:
        if key not in self._compiled:
            self._compiled[key] = quick(make())
        return self._compiled[key]

    def _plain_higher(self, order: int, leaves, constants, g, directions) -> list:
        if order == 1:
            return self.plain_vjp(leaves, constants, g)

        def along(leaves):
            lower = self._plain_higher(order - 1, leaves, constants, g, directions[:-1])
            return sum(jnp.sum(a * b) for a, b in zip(lower, directions[-1], strict=True))

        return jax.grad(along)(leaves)

    @cached_property
    def second_forward(self) -> Callable:
        """H v, forward over reverse."""

        def along(leaves, constants, g, v):
            return jax.jvp(lambda leaves: self.plain_vjp(leaves, constants, g), (leaves,), (v,))[1]

        return quick(along)

    @cached_property
    def transposed(self) -> Callable:
        """The derivative of ⟨Jᵀg, v⟩ in g, which is J v, as (leaves, constants, g, v)."""

        def along(g, leaves, constants, v):
            return sum(jnp.sum(a * b) for a, b in zip(self.plain_vjp(leaves, constants, g), v, strict=True))

        return quick(lambda leaves, constants, g, v: jax.grad(along)(g, leaves, constants, v))

    def mapped(self, *axes: tuple) -> Callable:
        """F and Jᵀg mapped over (leaves, constants, g), once for each triple of axes, the first outermost."""
        key = tuple(tuple(tuple(part) if isinstance(part, list) else part for part in triple) for triple in axes)
        return self._once(key, lambda: reduce(jax.vmap, reversed(axes), self.plain_value_and_vjp))

    @cached_property
    def scanned(self) -> Callable:
        """F and Jᵀg at one point after the other, inside a loop."""

        def run(stacked, constants, g):
            return jax.lax.map(lambda leaves: self.plain_value_and_vjp(leaves, constants, g), stacked)

        return quick(run)

    @cached_property
    def rematerialised(self) -> Callable:
        """The same under `jax.checkpoint`."""

        def one(leaves, constants, g):
            out, pull = jax.vjp(jax.checkpoint(lambda leaves: self.plain(leaves, constants)), leaves)
            return out, pull(self._as(out, g))[0]

        return quick(lambda stacked, constants, g: jax.lax.map(lambda leaves: one(leaves, constants, g), stacked))

    @cached_property
    def used_together(self) -> Callable:
        """Jᵀg at several points used in one program, which a function that remembers its arguments mixes up."""

        def run(points, constants, g):
            out, pull = jax.vjp(lambda points: [self.plain(leaves, constants) for leaves in points], points)
            return jax.tree.map(lambda *parts: jnp.stack(parts), *pull([self._as(one, g) for one in out])[0])

        return quick(run)

    @cached_property
    def one_by_one(self) -> Callable:
        """Jᵀg, each leaf differentiated by itself: a rule is then told that the others have no tangent."""

        def run(leaves, constants, g):
            def alone(i):
                out, pull = jax.vjp(lambda x: self.plain([*leaves[:i], x, *leaves[i + 1 :]], constants), leaves[i])
                return pull(self._as(out, g))[0]

            return [alone(i) for i in range(len(leaves))]

        return quick(run)

    @cached_property
    def of_each_result(self) -> Callable:
        """Jᵀg of each result by itself, stacked: a rule is then told that the others are not used."""

        def run(leaves, constants, g):
            def alone(i):
                out, pull = jax.vjp(lambda leaves: self.plain(leaves, constants)[i], leaves)
                return pull(g[i].astype(out.dtype))[0]

            return jax.tree.map(lambda *parts: jnp.stack(parts), *map(alone, range(len(g))))

        return quick(run)
