"""A function at a point, as every feature takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import Leaves, is_static
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.subject import Untested

COPIES = 3
"""Points that vmap and loops go through."""


class Call:
    """`value(leaves, constants)` of a function, and `both(leaves, constants)`, its value and its gradient.

    Leaves are the floating-point arguments, which are differentiated, constants the other arrays. `batch` names, for
    each positional argument, the axis along which its independent examples lie, as `in_axes` of `jax.vmap` does; None,
    or no entry, stands for none.

    Raises ValueError as `CompiledFunction` does.
    """

    def __init__(self, fn: Callable, args: Sequence, settings: Mapping | None = None, batch: Sequence[int | None] = ()):
        self.program = CompiledFunction(fn, args, settings=settings)
        self.point: tuple[Leaves, Leaves] = self.program.split(args)
        paths, _ = jax.tree_util.tree_flatten_with_path(tuple(args))
        places = [path[0].idx for path, _ in paths]
        self.axes: tuple[list[int | None], list[int | None]] = [], []
        for place, chosen, leaf in zip(places, self.program.selected, self.program.static, strict=True):
            if not is_static(leaf):
                self.axes[not chosen].append(batch[place] if place < len(batch) else None)

    def value(self, leaves, constants) -> list:
        return self.program.plain(leaves, constants)

    def both(self, leaves, constants):
        return value_and_gradient(self.value)(leaves, constants)

    def near(self, count: int = COPIES) -> list[Leaves]:
        """The leaves, and others near them."""
        return [[x * (1 - 0.01 * i) for x in self.point[0]] for i in range(count)]

    def stacked(self, count: int = COPIES) -> Leaves:
        return [np.stack(leaves) for leaves in zip(*self.near(count), strict=True)]

    def larger(self, count: int) -> tuple[Leaves, Leaves]:
        """A point whose batch is `count` times as large."""
        parts = self.parts(count)
        return tuple(
            [
                copies[0] if axis is None else np.concatenate(copies, axis)
                for axis, *copies in zip(axes, *(part[group] for part in parts), strict=True)
            ]
            for group, axes in enumerate(self.axes)
        )

    def parts(self, count: int) -> list[tuple[Leaves, Leaves]]:
        """The `count` points that `larger` joins: they differ in what has a batch axis."""
        self.check_batch()
        shared = [axis is None for axis in self.axes[0]]
        return [
            ([one if fixed else x for one, fixed, x in zip(self.point[0], shared, leaves, strict=True)], self.point[1])
            for leaves in self.near(count)
        ]

    def check_batch(self) -> None:
        """Raises Untested where no argument counts examples."""
        if all(axis is None for axes in self.axes for axis in axes):
            raise Untested("no argument has a batch axis")


def value_and_gradient(value: Callable) -> Callable:
    """(leaves, constants) -> (y, gradient of Σ y·sin y in the leaves) for a `value` of the same arguments."""

    def total(leaves, constants):
        y = value(leaves, constants)
        return sum(jnp.sum(jnp.sin(part) * part) for part in y), y

    def both(leaves, constants):
        (_, y), gradient = jax.value_and_grad(total, has_aux=True)(leaves, constants)
        return y, gradient

    return both


def arrays(point):
    """NumPy's arrays as JAX's, on the default device."""
    return jax.tree.map(jnp.asarray, point)
