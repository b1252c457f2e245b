"""Which small networks fit a few points of the plane, such as a table of truth, from how many random starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import HAND


def fitted_starts(
    points: Array,
    labels: Array,
    activations: Sequence[Callable[[Array], Array]],
    widths: Sequence[int],
    seeds: Sequence[int],
    *,
    steps: int,
    rate: float = 0.5,
) -> np.ndarray:
    """Whether a network of one hidden layer gives every label a probability above 0.9 in the end: bool [activations,
    widths, seeds].

    points: [N, 2]; labels: [N], 0 or 1. Weights start uniform in Glorot's range and biases at 0; plain descent on the
    cross-entropy takes `steps` of `rate`. All networks run in one program.
    """
    units = max(widths)

    def fitted(kind: Array, width: Array, seed: Array) -> Array:
        # The units beyond `width` are nought and stay so; Glorot's range is that of the others.
        there, bound = jnp.arange(units) < width, jnp.sqrt(6 / (2 + width))
        one, two = jax.random.uniform(jax.random.key(seed), (2, 2, units), minval=-bound, maxval=bound)

        def losses(params):
            hidden = jax.lax.switch(kind, list(activations), HAND.dense(points, *params[:2])) * there[None]
            return HAND.softmax_cross_entropy(HAND.dense(hidden, *params[2:]), labels)

        def step(params, _):
            slopes = jax.grad(lambda params: losses(params).mean())(params)
            return jax.tree.map(lambda p, slope: p - rate * slope, params, slopes), None

        end, _ = jax.lax.scan(step, (one, jnp.zeros(units), two.T, jnp.zeros(2)), length=steps)
        return jnp.all(jnp.exp(-losses(end)) > 0.9)

    by_width = jax.vmap(jax.vmap(fitted, (None, None, 0)), (None, 0, None))
    every = jax.jit(jax.vmap(by_width, (0, None, None)))
    return np.asarray(every(jnp.arange(len(activations)), jnp.array(widths), jnp.array(seeds)))
