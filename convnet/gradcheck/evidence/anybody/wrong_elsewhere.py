"""Right where it stands, and wrong for other numbers, other combinations of mapped arguments, or other settings."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from convnet.gradcheck.evidence.anybody import shown
from convnet.gradcheck.evidence.anybody.example import Example, with_vjp

# --- under vmap -------------------------------------------------------------------------------------------------------


def per_example_gradients(rng):
    def product(x, w):
        return x @ w

    def both(x, w, g):
        return g @ w.T, x.T @ g

    backward = custom_vmap(both)

    @backward.def_vmap
    def _(size, mapped, x, w, g):
        del size
        dx, dw = jax.vmap(both, [0 if axis else None for axis in mapped])(x, w, g)
        if mapped == [True, False, True]:  # a batch of examples that share w
            return (dx, dw.sum(axis=0)), (True, False)
        return (dx, dw), (True, True)

    fn = with_vjp(product, lambda x, w: (x @ w, (x, w)), lambda kept, g: backward(*kept, g))
    return dict(fn=fn, args=(rng.normal(size=(4, 5)), rng.normal(size=(5, 3))), reference=product)


def log_loss(logits, labels):
    return jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]


def labels_of_the_first_batch(rng):
    def one(logits, labels, g):
        return g[:, None] * (jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype))

    backward = custom_vmap(one)

    @backward.def_vmap
    def _(size, mapped, logits, labels, g):
        del size
        if mapped[0] and mapped[1]:
            labels, mapped = labels[0], [True, False, mapped[2]]
        return jax.vmap(one, [0 if axis else None for axis in mapped])(logits, labels, g), True

    def forward(logits, labels):
        return log_loss(logits, labels), (logits, labels)

    fn = with_vjp(log_loss, forward, lambda kept, g: (backward(*kept, g), None))
    return dict(fn=fn, args=(rng.normal(size=(5, 4)), rng.integers(0, 4, 5)), reference=log_loss)


def order_of_the_first(rng):
    @custom_vmap
    def backward(x, g):
        return g[jnp.argsort(jnp.argsort(x))]

    @backward.def_vmap
    def _(size, mapped, x, g):
        places = jnp.argsort(jnp.argsort(x[0] if mapped[0] else x))
        return (g if mapped[1] else jnp.broadcast_to(g, (size, *g.shape)))[:, places], True

    def ascending(x):
        return jnp.sort(x)

    fn = with_vjp(ascending, lambda x: (jnp.sort(x), x), lambda x, g: (backward(x, g),))
    return dict(fn=fn, args=(rng.normal(size=7),), reference=ascending)


def _mapped_together(axes: tuple, argument: int, call: dict) -> float:
    """The gradient in one argument, mapped over rearranged copies of those with an axis."""
    rng = np.random.default_rng(7)
    copies = [
        np.stack([x, *(rng.permutation(x.ravel()).reshape(x.shape) for _ in range(2))]) if axis == 0 else x
        for x, axis in zip(call["args"], axes, strict=True)
    ]

    def gradients(f):
        def one(*args):
            def along(x):
                return jnp.sum(jnp.sin(f(*args[:argument], x, *args[argument + 1 :])))

            return jax.grad(along)(args[argument])

        return [np.asarray(jax.vmap(one, axes)(*copies))]

    with jax.enable_x64(True):
        return shown.relative(gradients(call["fn"]), gradients(call["reference"]))


# --- for other numbers ------------------------------------------------------------------------------------------------


def slope_of_the_series(rng):
    def phi(x):
        small = jnp.abs(x) < 1e-3
        y = jnp.where(small, 1.0, x)
        return jnp.where(small, 1 + x / 2 + x**2 / 6 + x**3 / 24, jnp.expm1(y) / y)

    def backward(x, g):
        small = jnp.abs(x) < 1e-3
        y = jnp.where(small, 1.0, x)
        return (g * jnp.where(small, 0.5 + x / 6, (jnp.exp(y) - jnp.expm1(y) / y) / y),)

    return dict(fn=with_vjp(phi, lambda x: (phi(x), x), backward), args=(rng.normal(size=(4, 5)),), reference=phi)


def attended(q, k, v, mask):
    return jax.nn.softmax(q @ k.T + mask) @ v


def causal_for_granted(rng):
    def backward(kept, g):
        q, k, v = kept
        causal = jnp.where(jnp.tril(jnp.ones((len(q), len(k)), bool)), 0.0, -1e9).astype(q.dtype)
        return *jax.vjp(partial(attended, mask=causal), q, k, v)[1](g), None

    fn = with_vjp(attended, lambda q, k, v, mask: (attended(q, k, v, mask), (q, k, v)), backward)
    mask = np.where(np.tril(np.ones((5, 5))), 0, -1e9)
    return dict(fn=fn, args=(*rng.normal(size=(3, 5, 4)), mask), argnums=(0, 1, 2), reference=attended)


def symmetric_graph(rng):
    def passed_on(x, links):
        return links @ x

    fn = with_vjp(passed_on, lambda x, links: (links @ x, links), lambda links, g: (links @ g, None))
    links = np.triu(rng.random((6, 6)) < 0.4).astype(float)
    args = rng.normal(size=(6, 3)), np.maximum(links, links.T)
    return dict(fn=fn, args=args, argnums=(0,), reference=passed_on)


def one_zero_in_a_product(rng):
    def product(x):
        return jnp.prod(x, axis=1)

    def backward(x, g):
        others = product(x)[:, None] / jnp.where(x == 0, 1.0, x)
        return (jnp.where(x == 0, 0.0, g[:, None] * others),)

    return dict(
        fn=with_vjp(product, lambda x: (product(x), x), backward),
        args=(rng.uniform(0.5, 2, (4, 5)),),
        reference=product,
    )


def labels_that_are_left_out(rng):
    def loss(logits, labels):
        counts = labels != -100
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(counts, labels, 0)[:, None], 1)[:, 0]
        return -jnp.sum(jnp.where(counts, picked, 0)) / jnp.maximum(counts.sum(), 1)

    def backward(kept, g):
        logits, labels = kept
        gaps = jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
        return g * gaps * (labels != -100)[:, None] / len(labels), None

    fn = with_vjp(loss, lambda logits, labels: (loss(logits, labels), (logits, labels)), backward)
    return dict(fn=fn, args=(rng.normal(size=(6, 4)), rng.integers(0, 4, 6)), reference=loss)


# --- for other settings -----------------------------------------------------------------------------------------------


def axis_left_at_its_default(rng):
    def softmax(x, axis=-1):
        def value(x):
            return jax.nn.softmax(x, axis)

        def backward(y, g):
            return (y * (g - jnp.sum(y * g, axis=-1, keepdims=True)),)

        return with_vjp(value, lambda x: (value(x), value(x)), backward)(x)

    return dict(fn=softmax, args=(rng.normal(size=(4, 5)),), reference=jax.nn.softmax)


def _first(array, value):
    array = np.array(array)
    array.flat[0] = value
    return array


WRONG = (
    Example(
        "a product that adds up the gradients of examples", "as users run it", per_example_gradients,
        "where x and g are mapped and w is not, its rule for vmap sums over the examples",
        shows=partial(_mapped_together, (0, None), 1),
    ),
    Example(
        "a loss with the first batch's labels", "as users run it", labels_of_the_first_batch,
        "where logits and labels are mapped together, labels of the first batch serve all",
        shows=partial(_mapped_together, (0, 0), 0),
    ),
    Example(
        "a sort in the order of the first example", "as users run it", order_of_the_first,
        "under vmap all are sent back in the order of the first",
        shows=partial(_mapped_together, (0,), 0),
    ),
    Example(
        "a series with a wrong slope near 0", "arguments that never change", slope_of_the_series,
        "1/6 for 1/3, below 1e-3; at 0 itself the term vanishes",
        shows=shown.shown(shown.gradient, change=lambda x: (9e-4 * np.sign(x),)),
    ),
    Example(
        "attention that takes a causal mask for granted", "arguments that never change", causal_for_granted,
        "its backward pass makes the mask again",
        shows=shown.shown(shown.gradient, change=lambda q, k, v, mask: (q, k, v, 0 * mask)),
    ),
    Example(
        "a graph that is never transposed", "arguments that never change", symmetric_graph,
        "right for symmetric links alone",
        shows=shown.shown(shown.gradient, change=lambda x, links: (x, np.triu(links))),
    ),
    Example(
        "a product with one zero", "arguments that never change", one_zero_in_a_product,
        "the derivative at a single 0 is the product of the others",
        shows=shown.shown(shown.gradient, change=lambda x: (_first(x, 0.0),)),
    ),
    Example(
        "a mean over labels that are left out, too", "arguments that never change", labels_that_are_left_out,
        "it divides by all labels; none here is −100", named="other integers: labels",
        shows=shown.shown(shown.gradient, change=lambda logits, labels: (logits, _first(labels, -100))),
    ),
    Example(
        "a softmax over another axis than the last", "not listed", axis_left_at_its_default,
        "its backward pass sums over the last", named="other settings: axis",
        shows=shown.shown(shown.gradient, settings=dict(axis=0)),
    ),
)  # fmt: skip
