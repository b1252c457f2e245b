"""How noisy the gradient of a mini-batch is, from the gradients of single images.

products, length = gradient_products(model, variables, images, labels)
batch_noise(products, 32, rng) / length       # noise over signal
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from convnet import HAND


@partial(jax.jit, static_argnames="model")
def gradient_products(model: Any, variables: Any, images: Array, labels: Array) -> tuple[Array, Array]:
    """Of the gradients of single images, each less their mean: all inner products [N, N]; and the mean's length.

    images: as the model takes them. The loss is the cross-entropy of the softmax. All that is known of a batch's noise
    is in the products, so batches of every size can be drawn without another gradient.
    """

    def loss(params, image, label):
        return HAND.softmax_cross_entropy(model.apply({**variables, "params": params}, image[None]), label[None])[0]

    def gradient(image, label):
        return ravel_pytree(jax.grad(loss)(variables["params"], image, label))[0]

    single = jax.vmap(gradient)(images, labels)
    apart = single - single.mean(axis=0, keepdims=True)
    return apart @ apart.T, jnp.linalg.norm(single.mean(axis=0))


def batch_noise(
    products: np.ndarray, size: int, rng: np.random.Generator, *, count: int = 200, again: bool = True
) -> float:
    """Root of the mean squared distance of a batch's gradient from the whole set's, over `count` batches of `size`.

    products: [N, N] of `gradient_products`. again: whether a batch may hold an image more than once; where it may, the
    noise falls as 1/√size.
    """
    n = len(products)
    if again:
        shares = rng.multinomial(size, np.full(n, 1 / n), count) / size
    else:
        shares = (rng.random((count, n)).argsort(axis=1) < size) / size
    return float(np.sqrt(np.mean(np.sum((shares @ products) * shares, axis=1))))
