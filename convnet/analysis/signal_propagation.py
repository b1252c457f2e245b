"""How far a signal and its gradient get through a deep stack of dense layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import HAND


@partial(jax.jit, static_argnames="activation")
def variances_through(weights: Array, activation: Callable[[Array], Array], x: Array, g: Array) -> tuple[Array, Array]:
    """Variances of the activations of each layer, and of the gradients in what each layer's activation is of: [L] each.

    weights: [L, D, D], without biases; x: [N, D], what goes in; g: [N, D], the gradient in the last activation.
    """

    def activations(nudges: Array) -> tuple[Array, Array]:
        def layer(h: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            w, nudge = given
            h = activation(HAND.dense(h, w) + nudge)
            return h, h

        return jax.lax.scan(layer, x, (weights, nudges))

    _, pull, every = jax.vjp(activations, jnp.zeros((len(weights), *x.shape)), has_aux=True)
    return jnp.var(every, axis=(1, 2)), jnp.var(pull(g)[0], axis=(1, 2))


def factor_per_layer(variances: np.ndarray, *, backward: bool = False) -> np.ndarray:
    """By how much a layer multiplies the variance, the geometric mean over depth: [...] of [..., L]. backward: of
    gradients, which go from the last layer to the first."""
    first, last = variances[..., 0], variances[..., -1]
    ratio = first / last if backward else last / first
    return ratio ** (1 / (variances.shape[-1] - 1))
