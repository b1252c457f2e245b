"""Exercise 3: the gradient of max-pooling."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from convnet.exercises.exercise import QUICK, Case, Exercise, Mistake, central_differences, drawn, fixed
from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import HAND


def _cases() -> list[Case]:
    rng = np.random.default_rng(3)

    def distinct(*shape):
        """Numbers that differ by 0.1 or more, so that no finite step changes the order."""
        return fixed(0.1 * rng.permutation(np.prod(shape)).reshape(shape) - 1)

    def case(name, images, window, stride, **more):
        outputs = [(n - window) // stride + 1 for n in images.shape[1:3]]
        g = drawn(rng, images.shape[0], *outputs, images.shape[3])
        return Case(name, (images, g, window, stride), **more)

    return [
        case("one image of 4×4, windows of 2×2 side by side", distinct(1, 4, 4, 1), 2, 2),
        case("two images, three channels", distinct(2, 4, 6, 3), 2, 2),
        case("images of 5×7: a row and a column in no window", distinct(2, 5, 7, 1), 2, 2),
        case("overlapping windows of 3×3, stride 2", distinct(2, 5, 7, 2), 3, 2),
        case("overlapping windows of 3×3, stride 1", distinct(1, 5, 5, 1), 3, 1),
        case("windows of 1×1, stride 2", distinct(1, 4, 5, 2), 1, 2),
        case("all pixels negative", fixed(distinct(2, 4, 4, 1) - 100), 2, 2),
        case("ties: pixels of 0 and 1 alone", fixed(rng.integers(0, 2, (2, 5, 7, 2))), 2, 2, smooth=False),
        case("ties in overlapping windows: all pixels 0", fixed(np.zeros((1, 4, 4, 1))), 3, 1, smooth=False),
    ]


@partial(jax.jit, static_argnames=("window", "stride"), compiler_options=QUICK)
def _gradient(images, d_outputs, window, stride):
    return jax.vjp(lambda x: HAND.max_pool(x, window, stride=stride), images)[1](d_outputs)[0]


def _slopes(images, d_outputs, window, stride):
    oracle = EVIDENCE["max_pool"].oracle
    return central_differences(
        lambda x: np.sum(d_outputs * oracle.value(x, window=window, stride=stride)), images, step=1e-3
    )


def _by_windows(images, g, window, stride, share, *, overwrite=False):
    """The gradient where `share(values of a window) -> how much of g each of them gets`."""
    found = np.zeros(images.shape)
    for n, i, j, c in np.ndindex(g.shape):
        at = n, slice(i * stride, i * stride + window), slice(j * stride, j * stride + window), c
        part = g[n, i, j, c] * share(images[at])
        if overwrite:
            found[at] = np.where(part, part, found[at])
        else:
            found[at] += part
    return found


def _in_the_corner(images, g, window, stride):
    """Where every window's winner is looked up as if the window were the first."""
    found = np.zeros(images.shape)
    for n, i, j, c in np.ndindex(g.shape):
        values = images[n, i * stride : i * stride + window, j * stride : j * stride + window, c]
        found[n, :window, :window, c] += g[n, i, j, c] * _first(values)
    return found


def _first(values):
    one = np.zeros(values.shape)
    one.flat[values.argmax()] = 1
    return one


def _last(values):
    one = np.zeros(values.shape)
    one.flat[values.size - 1 - values.ravel()[::-1].argmax()] = 1
    return one


def _by_columns(values):
    return _first(values.T).T


def _all(values):
    return (values == values.max()).astype(float)


EXERCISE = Exercise(
    number=3,
    title="the gradient of max-pooling",
    function="max_pool_gradient",
    results=("d_images",),
    draw=_cases,
    solution=_gradient,
    plain=lambda *args: _by_windows(*args, _first),
    reference="the gradient of convnet.HAND.max_pool (jax.vjp)",
    home="convnet/ops/pool.py",
    slopes=_slopes,
    mistakes=(
        Mistake(
            "where every pixel of a tie gets the whole gradient, which is then counted twice: only the first one does",
            lambda right, *args: _by_windows(*args, _all),
        ),
        Mistake(
            "where the pixels of a tie share the gradient: the first one gets all of it",
            lambda right, *args: _by_windows(*args, lambda v: _all(v) / _all(v).sum()),
        ),
        Mistake(
            "where the last pixel of a tie gets the gradient, not the first",
            lambda right, *args: _by_windows(*args, _last),
        ),
        Mistake(
            "where the first pixel of a tie is looked for down the columns, not along the rows",
            lambda right, *args: _by_windows(*args, _by_columns),
        ),
        Mistake(
            "where row and column of the largest pixel in the window are exchanged",
            lambda right, *args: _by_windows(*args, lambda v: _first(v).T),
        ),
        Mistake(
            "where the place in the window is taken for one in the image: the window's own place is to be added",
            lambda right, *args: _in_the_corner(*args),
        ),
        Mistake(
            "where windows that overlap write over one another: what they bring has to be added",
            lambda right, *args: _by_windows(*args, _first, overwrite=True),
        ),
        Mistake(
            "where windows are taken to lie side by side, whatever the stride",
            lambda right, x, g, window, stride: right(x, g, window, window),
        ),
        Mistake(
            "where the gradient is shared equally by all pixels of the window: that is average pooling",
            lambda right, *args: _by_windows(*args, lambda v: np.full(v.shape, 1 / v.size)),
        ),
        Mistake(
            "where every pixel of the window gets the gradient: that is sum pooling",
            lambda right, *args: _by_windows(*args, np.ones_like),
        ),
        Mistake(
            "where the smallest pixel gets the gradient, not the largest",
            lambda right, *args: _by_windows(*args, lambda v: _first(-v)),
        ),
        Mistake(
            "where the largest absolute value is looked for",
            lambda right, *args: _by_windows(*args, lambda v: _first(np.abs(v))),
        ),
        Mistake(
            "where a window has at least a largest value of 0: negative pixels never win",
            lambda right, *args: _by_windows(*args, lambda v: _first(v) if v.max() > 0 else 0 * v),
        ),
        Mistake(
            "with ones in the place of d_outputs: the chain rule goes through them",
            lambda right, x, g, *args: right(x, np.ones_like(g), *args),
        ),
        Mistake(
            "where one winner is taken for all channels",
            lambda right, x, g, *args: right(np.broadcast_to(x[..., :1], x.shape), g, *args),
        ),
        Mistake(
            "where the gradient is multiplied by the largest value",
            lambda right, x, g, *args: right(x, g, *args) * x,
        ),
    ),
)
