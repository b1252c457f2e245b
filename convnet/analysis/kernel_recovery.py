"""Kernels learned from examples of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import optax
from jax import Array

from convnet import HAND
from convnet.analysis.composed import composed_kernel


def filtered(images: Array, *kernels: Array) -> Array:
    """Images [N, H, W] after one kernel [KH, KW] and then the next, without what padding touches."""
    return reduce(lambda x, k: HAND.conv2d(x[..., None], k[..., None, None], padding="VALID")[..., 0], kernels, images)


def together(kernels: Sequence[Array]) -> Array:
    """The one kernel that does what `kernels` do one after the other."""
    return reduce(composed_kernel, [kernel[..., None, None] for kernel in kernels])[..., 0, 0]


@partial(jax.jit, static_argnames="steps")
def recover_kernels(images: Array, targets: Sequence[Array], keys: Array, *, steps: int) -> tuple[list[Array], Array]:
    """Kernels [R, KH, KW] of the sizes of `targets` that are to do what those do to `images`, one after the other, from
    a random start for each of the `keys`; and [R, steps] the largest error of an entry of the one kernel that they are
    together, after each step.

    By Adam on the mean squared error, its rate falling from 0.03 to 0 along a cosine.
    """
    wanted, optimizer = filtered(images, *targets), optax.adam(optax.cosine_decay_schedule(0.03, steps))

    def loss(kernels):
        return HAND.squared_error(filtered(images, *kernels), wanted).mean() / wanted[0].size

    def step(state, _):
        kernels, momenta = state
        updates, momenta = optimizer.update(jax.grad(loss)(kernels), momenta)
        kernels = optax.apply_updates(kernels, updates)
        return (kernels, momenta), jnp.abs(together(kernels) - together(targets)).max()

    def run(key):
        drawn = zip(jax.random.split(key, len(targets)), targets, strict=True)
        start = [0.5 * jax.random.normal(each, target.shape) for each, target in drawn]
        (kernels, _), errors = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
        return kernels, errors

    return jax.vmap(run)(keys)
