"""Work on a batch in chunks that stay in the cache.

A rearranged copy of a whole batch (patches, transformed strips) is many times the batch itself. Made and used up chunk
by chunk it costs a fixed amount of memory and is read while it is still in the cache.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.primitive import varying_alike


def chunk_size(n: int, per_image: int, budget: int) -> int:
    """The largest divisor of n with which a chunk holds at most `budget` values of `per_image` each; at least 1."""
    wanted = max(1, budget // max(per_image, 1))
    return max((size for size in range(1, min(n, wanted) + 1) if n % size == 0), default=1)


def wide(dtype) -> jnp.dtype:
    """What sums are kept in: at least float32."""
    return jnp.promote_types(dtype, jnp.float32)


def _chunked(x: Array, size: int) -> Array:
    return x.reshape(x.shape[0] // size, size, *x.shape[1:])


def map_chunks(f: Callable[[Array], Array], x: Array, size: int) -> Array:
    """f over chunks of `size` images of x: [N, …], one after the other; computed wide, in the dtype of x."""
    y = lax.map(lambda chunk: f(chunk.astype(wide(x.dtype))).astype(x.dtype), _chunked(x, size))
    return y.reshape(x.shape[0], *y.shape[2:])


def sum_chunks(f: Callable[[Array, Array], list[Array]], x: Array, g: Array, size: int) -> list[Array]:
    """Σ f(x, g) over chunks of `size` images of both, summed up wide."""

    def add(totals, chunk):
        parts = f(*(a.astype(wide(a.dtype)) for a in chunk))
        return [total + part for total, part in zip(totals, parts, strict=True)], None

    chunks = _chunked(x, size), _chunked(g, size)
    shapes = jax.eval_shape(f, *(jax.ShapeDtypeStruct(a.shape[1:], wide(a.dtype)) for a in chunks))
    zeros = [varying_alike([jnp.zeros(part.shape, part.dtype), x, g])[0] for part in shapes]
    return lax.scan(add, zeros, chunks)[0]
