"""Which examples make up a batch, and applying a function to many examples in batches of bounded size.

Batches are rows of indices into arrays that stay on the device; there is no shuffle buffer and no queue.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def num_batches(n: int, batch_size: int) -> int:
    """How many full batches of `batch_size` there are in `n` examples; at least one, else ValueError."""
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size must be from 1 to the number of examples {n}, got {batch_size}")
    return n // batch_size


def epoch_order(key: Array, n: int, batch_size: int) -> Array:
    """The examples of one epoch, in order: int32 [num_batches(n, batch_size), batch_size], a pure function of `key`.

    A uniform permutation of 0 … n − 1 cut into full batches. The n mod batch_size examples at its end are left out,
    others in each epoch. `n` and `batch_size` are static; works under jit, and under vmap over `key`.
    """
    steps = num_batches(n, batch_size)
    order = jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))
    return order[: steps * batch_size].reshape(steps, batch_size)


def batched_map(fn: Callable[[Any], Any], images: Any, batch_size: int, *, multiple_of: int = 1) -> Any:
    """fn(images), computed `batch_size` examples at a time, so that memory does not grow with N.

    fn: [B, …] -> pytree of [B, …], each example independently of the others in its batch. It is traced once.
    images: [N, …], or a pytree of such, for instance (images, labels) -> fn's pytree of [N, …].

    The last batch is filled up with repetitions of the last example, whose results are cut off again: every example
    counts exactly once. B is N where that is less than `batch_size`, but in either case rounded up to a multiple.

    Raises ValueError for batch_size < 1, no examples, leaves of different N, or an fn whose results lack axis B.
    """
    images = jax.tree.map(jnp.asarray, images)
    n = _common_length(images)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    size = -(-min(batch_size, n) // multiple_of) * multiple_of
    steps = -(-n // size)
    # Gathering by clamped index pads one batch, where concatenating a padding would copy all images.
    rows = jnp.minimum(jnp.arange(steps * size, dtype=jnp.int32), n - 1).reshape(steps, size)

    def apply(row: Array) -> Any:
        return fn(jax.tree.map(lambda leaf: leaf.at[row].get(mode="promise_in_bounds"), images))

    def join(result: Array) -> Array:
        if result.shape[:2] != (steps, size):
            raise ValueError(f"fn must return arrays [B, …] with B = {size}, got shape {result.shape[1:]}")
        return result.reshape(steps * size, *result.shape[2:])[:n]

    return jax.tree.map(join, lax.map(apply, rows))


def _common_length(images: Any) -> int:
    shapes = [leaf.shape for leaf in jax.tree.leaves(images)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or not all(length and length[0] >= 1 for length in lengths):
        raise ValueError(f"images must be arrays [N, …] with one N of at least 1, got shapes {shapes}")
    return shapes[0][0]
