"""The gradient of the whole loss: in every parameter that of autodiff, and the slope of the values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64
from convnet.gradcheck.comparison import compare, conditioning, floored, rms, tolerance
from convnet.gradcheck.compiling import quick
from convnet.gradcheck.network.calls import instrumented
from convnet.gradcheck.verdict import Check
from convnet.ops import OpSet

PROBES = 8
SIGNS = 4093
"""A prime, so that no pattern of signs falls in with the rows of an array."""


class Whole:
    """The loss of a network as a map of the leaves of its parameters, by `hand` and by `auto`.

    losses: `(ops, variables)` -> one loss per example; the objective is their mean.
    """

    def __init__(self, losses: Callable, variables, hand: OpSet, auto: OpSet, rng: np.random.Generator):
        self.losses, self.hand, self.auto, self.rng = losses, hand, auto, rng
        self.tree = jax.tree.structure(variables)
        self.leaves = as_float64(jax.tree.leaves(variables))
        paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
        self.names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]
        self._values = quick(lambda leaves: losses(hand, self._merged(leaves)))
        self._gradient = quick(lambda leaves: self._differentiated(hand, leaves))
        self._reference = quick(self._rounded)
        self.bound = 4 * tolerance(max(leaf.size for leaf in self.leaves))  # the roundings of several layers in a row

    def _merged(self, leaves):
        return jax.tree.unflatten(self.tree, leaves)

    def _differentiated(self, ops: OpSet, leaves):
        return jax.value_and_grad(lambda leaves: jnp.mean(self.losses(ops, self._merged(leaves))))(leaves)

    def _rounded(self, leaves, amplitude, signs):
        """By `auto`, with every op's result multiplied by 1 ± amplitude, which stands for its rounding."""
        sites = iter(range(1_000_000))

        def wrap(name, op):
            def rounding(*args, **settings):
                site = next(sites)

                def off(y):
                    return y * (1 + amplitude * jnp.resize(jnp.roll(signs, 37 * site), y.shape))

                return jax.tree.map(off, op(*args, **settings))

            return rounding

        return self._differentiated(instrumented(self.auto, wrap), leaves)

    def values(self, leaves: Leaves) -> np.ndarray:
        """Losses per example, by `hand`."""
        return np.asarray(self._values(leaves), np.float64)

    def gradient(self, leaves: Leaves) -> tuple[float, Leaves]:
        """(the loss beside it, the gradient under test)."""
        value, gradient = self._gradient(leaves)
        return float(value), as_float64(gradient)

    def reference(self, leaves: Leaves) -> tuple[Leaves, Leaves]:
        """([loss, gradient…] by `auto`, their conditioning).

        The conditioning is that of a gradient whose every intermediate value is rounded, and every cotangent with it.
        For what no parameter moves may still be a sum that cancels: the gradient in a bias before batch norm is 0, to
        the rounding of the cotangents that it adds up. A factor at every call's result stands for these roundings.
        Where such a sum stands beside the op set, only its own noise shows, in steps of a few ulps.
        """

        def found(leaves, one):
            signs = self.rng.choice([-1.0, 1.0], SIGNS)
            value, gradient = self._reference(leaves, one[0] - 1.0, signs)
            return as_float64([value, *gradient])

        one = [np.ones(())]
        base = found(leaves, one)
        scale = conditioning(found, leaves, one, probes=PROBES, rng=self.rng)
        noise = self._noise(lambda leaves: found(leaves, one), leaves, base)
        scale = [np.maximum(a, b) for a, b in zip(scale, noise, strict=True)]
        return base, floored(scale, rms(scale))

    def _noise(self, f: Callable, leaves: Leaves, base: Leaves) -> Leaves:
        """How far a rounding of the parameters moves the result, its own rounding included."""
        step, tries = 2.0**-51, 3
        squares = [np.zeros(value.shape) for value in base]
        for _ in range(tries):
            moved = f([x * (1 + step * self.rng.choice([-1, 1], x.shape)) for x in leaves])
            for total, value, start in zip(squares, moved, base, strict=True):
                total += ((value - start) / step) ** 2
        return [np.sqrt(total / tries) for total in squares]

    @cached_property
    def here(self) -> tuple[float, Leaves]:
        return self.gradient(self.leaves)

    def compared(self, leaves: Leaves, gradient: tuple[float, Leaves]) -> tuple[list[Check], Leaves]:
        """(a check for the loss and one per parameter, the conditioning of the gradients)."""
        expected, scale = self.reference(leaves)
        value, ours = gradient
        plain = np.asarray(np.mean(self.values(leaves)))
        loss = compare(
            "parameters", "loss", ["the loss", "the loss beside the gradient"],
            [plain, np.asarray(value)], [expected[0]] * 2, [scale[0]] * 2, self.bound,
        )  # fmt: skip
        checks = [
            compare("parameters", name, [name], [a], [e], [s], self.bound)
            for name, a, e, s in zip(self.names, ours, expected[1:], scale[1:], strict=True)
        ]
        return [loss, *checks], scale[1:]
