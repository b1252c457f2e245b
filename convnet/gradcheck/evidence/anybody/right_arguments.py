"""Right for the arguments they are made for: any other numbers in their place are no call that somebody would make."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


def permutation(rng):
    def shuffled(x, order):
        return x[order]

    fn = with_vjp(shuffled, lambda x, order: (x[order], order), lambda order, g: (g[jnp.argsort(order)], None))
    args = rng.normal(size=(6, 2)), rng.permutation(6).astype(np.int32)
    return dict(fn=fn, args=args, reference=shuffled, oracle=lambda x, order: x[order])


def probabilities(rng):
    def cross_entropy(logits, p):
        return -jnp.sum(p * jax.nn.log_softmax(logits), axis=-1)

    def backward(kept, g):
        logits, p = kept
        return g[:, None] * (jax.nn.softmax(logits) - p), -g[:, None] * jax.nn.log_softmax(logits)

    fn = with_vjp(cross_entropy, lambda logits, p: (cross_entropy(logits, p), (logits, p)), backward)
    args = rng.normal(size=(4, 5)), rng.dirichlet(np.ones(5), size=4)
    return dict(fn=fn, args=args, argnums=(0,), reference=cross_entropy)


def row_pointers(rng):
    def row_sums(x, pointers):
        """Of a sparse matrix: row i has the values from pointers[i] to pointers[i + 1]."""
        rows = jnp.searchsorted(pointers, jnp.arange(x.size), side="right") - 1
        return jnp.zeros(pointers.size - 1, x.dtype).at[rows].add(x)

    def backward(kept, g):
        x, pointers = kept
        return jnp.repeat(g, jnp.diff(pointers), total_repeat_length=x.size), None

    fn = with_vjp(row_sums, lambda x, pointers: (row_sums(x, pointers), (x, pointers)), backward)
    pointers = np.array([0, 2, 3, 7, 9], np.int32)
    return dict(fn=fn, args=(rng.normal(size=9), pointers), reference=row_sums)


def grid(rng):
    def at(x, knots, values):
        return jnp.interp(x, knots, values)

    def backward(kept, g):
        x, knots, values = kept
        right = jnp.clip(jnp.searchsorted(knots, x), 1, knots.size - 1)
        t = (x - knots[right - 1]) / (knots[right] - knots[right - 1])
        spread = jnp.zeros_like(values).at[right].add(g * t).at[right - 1].add(g * (1 - t))
        return g * (values[right] - values[right - 1]) / (knots[right] - knots[right - 1]), None, spread

    fn = with_vjp(at, lambda *args: (at(*args), args), backward)
    knots = np.linspace(0, 1, 6)
    args = rng.choice(5, 4, replace=False) / 5 + rng.uniform(0.05, 0.15, size=4), knots, rng.normal(size=6)
    return dict(fn=fn, args=args, argnums=(0, 2), reference=at, fixed=("x", "knots"))


def mask_in_numbers(rng):
    def loss(x, y, mask):
        return jnp.sum(mask * (x - y) ** 2) / x.size

    def backward(kept, g):
        x, y, mask = kept
        return jnp.where(mask > 0, g * 2 * (x - y) / x.size, 0.0), None, None

    fn = with_vjp(loss, lambda *args: (loss(*args), args), backward)
    args = *rng.normal(size=(2, 4, 5)), (rng.random((4, 5)) < 0.6).astype(float)
    return dict(fn=fn, args=args, argnums=(0,), reference=loss)


def distinct_places(rng):
    def written(x, values, places):
        return x.at[places].set(values)

    def backward(places, g):
        return g.at[places].set(0.0), g[places], None

    fn = with_vjp(written, lambda *args: (written(*args), args[2]), backward)
    args = rng.normal(size=10), rng.normal(size=5), rng.choice(10, 5, replace=False).astype(np.int32)
    return dict(fn=fn, args=args, reference=written)


RIGHT = tuple(
    Example(name, "arguments with a meaning", build, note)
    for name, build, note in (
        ("a permutation, taken back by its inverse", permutation, "repeated ids have no inverse"),
        ("a cross-entropy of probabilities", probabilities, "softmax − p, if p adds up to 1"),
        ("sums over the rows of a sparse matrix", row_pointers, "pointers must ascend"),
        ("interpolation on a grid", grid, "the grid must ascend, and hold all points"),
        ("a loss with a mask in numbers", mask_in_numbers, "it asks whether the mask is positive, not how large"),
        ("numbers written to distinct places", distinct_places, "of two at one place only the last is written"),
    )
)
