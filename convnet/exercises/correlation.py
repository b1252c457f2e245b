"""Exercises 1 and 2: the cross-correlation of images with kernels, and its two gradients."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from convnet.exercises.exercise import QUICK, Case, Exercise, Mistake, central_differences, drawn
from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import HAND


def _cases(*, gradients: bool) -> list[Case]:
    geometries = {  # (images, kernels, stride, padding)
        "one image, one channel, kernel 3×3": ((1, 5, 6, 1), (3, 3, 1, 1), 1, 0),
        "three images, two channels in, four out": ((3, 4, 4, 2), (3, 3, 2, 4), 1, 0),
        "images of 5×7, kernel 2×3": ((2, 5, 7, 2), (2, 3, 2, 2), 1, 0),
        "stride 2, which leaves a row and a column over": ((2, 5, 7, 1), (2, 2, 1, 3), 2, 0),
        "padding 1": ((2, 5, 4, 1), (3, 3, 1, 2), 1, 1),
        "stride 2, padding 1, images of 6×7": ((2, 6, 7, 2), (3, 3, 2, 2), 2, 1),
        "kernel 1×1, stride 3": ((2, 4, 7, 3), (1, 1, 3, 2), 3, 0),
    }
    rng, found = np.random.default_rng(1), []
    for name, (images, kernels, stride, padding) in geometries.items():
        outputs = [(n + 2 * padding - k) // stride + 1 for n, k in zip(images[1:3], kernels[:2], strict=True)]
        g = (drawn(rng, images[0], *outputs, kernels[3]),) if gradients else ()
        counts = {"the number of images": images[0], "the number of windows": outputs[0] * outputs[1],
                  "the number of entries of a window": kernels[0] * kernels[1] * kernels[2]}  # fmt: skip
        counts = {what: count for what, count in counts.items() if count > 1}
        found.append(Case(name, (drawn(rng, *images), drawn(rng, *kernels), *g, stride, padding), counts=counts))
    return found


def _conv(images, kernels, stride, padding):
    return HAND.conv2d(images, kernels, stride=stride, padding=padding)


def _rotated(kernels):
    return kernels[::-1, ::-1]


def _conv_by_loops(images, kernels, stride, padding):
    """The referee's oracle, which shares no code with the library's ops."""
    return EVIDENCE["conv2d"].oracle.value(images, kernels, stride=stride, padding=padding)


CORRELATION = Exercise(
    number=1,
    title="the cross-correlation of images with kernels",
    function="cross_correlate",
    results=("outputs",),
    draw=partial(_cases, gradients=False),
    solution=jax.jit(_conv, static_argnames=("stride", "padding"), compiler_options=QUICK),
    plain=_conv_by_loops,
    reference="convnet.HAND.conv2d",
    home="convnet/ops/conv.py",
    mistakes=(
        Mistake(
            "with the kernels rotated by 180°: that is the mathematician's convolution, not the cross-correlation",
            lambda right, x, w, s, p: right(x, _rotated(w), s, p),
        ),
        Mistake(
            "with rows and columns of the kernels exchanged",
            lambda right, x, w, s, p: right(x, w.swapaxes(0, 1), s, p),
        ),
        Mistake(
            "with input and output channels of the kernels exchanged",
            lambda right, x, w, s, p: right(x, w.swapaxes(2, 3), s, p),
        ),
        Mistake("with a stride of 1", lambda right, x, w, s, p: right(x, w, 1, p)),
        Mistake(
            "where windows start at every row, whatever the stride",
            lambda right, x, w, s, p: right(x, w, 1, p)[:, : right(x, w, s, p).shape[1], : right(x, w, s, p).shape[2]],
        ),
        Mistake("without padding", lambda right, x, w, s, p: right(x, w, s, 0)),
        Mistake(
            "with all the padding behind the last row and column, none before the first",
            lambda right, x, w, s, p: right(x, w, s, ((0, 2 * p), (0, 2 * p))),
        ),
        Mistake(
            "with the border repeated instead of zeros around the images",
            lambda right, x, w, s, p: right(np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), mode="edge"), w, s, 0),
        ),
        Mistake("from the first channel alone", lambda right, x, w, s, p: right(x[..., :1], w[:, :, :1], s, p)),
        Mistake("from the last channel alone", lambda right, x, w, s, p: right(x[..., -1:], w[:, :, -1:], s, p)),
        Mistake("of the absolute values", lambda right, x, w, s, p: abs(right(x, w, s, p))),
    ),
)


# --- the gradients ----------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("stride", "padding"), compiler_options=QUICK)
def _gradients(images, kernels, d_outputs, stride, padding):
    return jax.vjp(lambda x, w: _conv(x, w, stride, padding), images, kernels)[1](d_outputs)


def _gradients_by_loops(images, kernels, d_outputs, stride, padding):
    return EVIDENCE["conv2d"].oracle.gradient(d_outputs, images, kernels, stride=stride, padding=padding)


def _slopes(images, kernels, d_outputs, stride, padding):
    def loss(x, w):
        return np.sum(d_outputs * _conv_by_loops(x, w, stride, padding))

    return (central_differences(lambda x: loss(x, kernels), images, step=1.0),  # linear, so a long step costs nothing
            central_differences(lambda w: loss(images, w), kernels, step=1.0))  # fmt: skip


GRADIENTS = Exercise(
    number=2,
    title="the two gradients of the cross-correlation",
    function="cross_correlation_gradients",
    results=("d_images", "d_kernels"),
    draw=partial(_cases, gradients=True),
    solution=_gradients,
    plain=_gradients_by_loops,
    reference="the gradient of convnet.HAND.conv2d (jax.vjp)",
    home="convnet/ops/correlation.py",
    slopes=_slopes,
    mistakes=(
        Mistake(
            "where the kernels are not turned around on the way back",
            lambda right, x, w, g, s, p: (right(x, _rotated(w), g, s, p)[0], None),
        ),
        Mistake(
            "where the gradient in the kernels comes out rotated by 180°",
            lambda right, x, w, g, s, p: (None, _rotated(np.asarray(right(x, w, g, s, p)[1]))),
        ),
        Mistake(
            "with rows and columns of the kernels exchanged",
            lambda right, x, w, g, s, p: (right(x, w.swapaxes(0, 1), g, s, p)[0], None),
        ),
        Mistake(
            "where windows that overlap write over one another: what they bring has to be added",
            lambda right, x, w, g, s, p: (_last_window(x, w, g, s, p), None),
        ),
        Mistake(
            "from the first image alone: the kernels meet all of them",
            lambda right, x, w, g, s, p: (None, right(x[:1], w, g[:1], s, p)[1]),
        ),
        Mistake(
            "from the last image alone: the kernels meet all of them",
            lambda right, x, w, g, s, p: (None, right(x[-1:], w, g[-1:], s, p)[1]),
        ),
        Mistake(
            "from the last window alone: the kernels are used in all of them",
            lambda right, x, w, g, s, p: (None, right(x, w, _only_last(g), s, p)[1]),
        ),
        Mistake(
            "from the first channel of the outputs alone",
            lambda right, x, w, g, s, p: (right(x, w[..., :1], g[..., :1], s, p)[0], None),
        ),
        Mistake(
            "from the last channel of the outputs alone",
            lambda right, x, w, g, s, p: (right(x, w[..., -1:], g[..., -1:], s, p)[0], None),
        ),
        Mistake(
            "where the stride is taken for 1 on the way back", lambda right, x, w, g, s, p: _dense(right, x, w, g, p)
        ),
        Mistake(
            "where the padding is not cut off again",
            lambda right, x, w, g, s, p: (right(_padded(x, p), w, g, s, 0)[0], None),
        ),
        Mistake(
            "where the padding is cut off behind, not on both sides",
            lambda right, x, w, g, s, p: (right(_padded(x, p), w, g, s, 0)[0][:, : x.shape[1], : x.shape[2]], None),
        ),
        Mistake(
            "with ones in the place of d_outputs: the chain rule goes through them",
            lambda right, x, w, g, s, p: right(x, w, np.ones_like(g), s, p),
        ),
    ),
)


def _padded(images, padding):
    return np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _only_last(g):
    kept = np.zeros_like(g)
    kept[:, -1, -1] = g[:, -1, -1]
    return kept


def _dense(right, images, kernels, g, padding):
    """The gradients of the first rows and columns, at a stride of 1."""
    whole = np.zeros(_conv_by_loops(images, kernels, 1, padding).shape)
    whole[:, : g.shape[1], : g.shape[2]] = g
    return right(images, kernels, whole, 1, padding)


def _last_window(images, kernels, g, stride, padding):
    """The gradient in the images where each window sets its pixels instead of adding to them."""
    found, (kh, kw) = _padded(np.zeros_like(images), padding), kernels.shape[:2]
    for i, j in np.ndindex(g.shape[1:3]):
        at = slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw)
        found[:, *at] = np.einsum("nk,abck->nabc", g[:, i, j], kernels)
    return found[:, padding : padding + images.shape[1], padding : padding + images.shape[2]]
