"""What is back-propagation, written out layer by layer, and does it give the gradient that JAX gives?

    python experiments/backprop_by_hand.py             digits, three starts each: about two minutes on two busy cores
    python experiments/backprop_by_hand.py --quick     one start, two epochs: does everything run?

It does (2 cores of an AMD EPYC, JAX 0.10.2, 2026-11-21): every gradient of the linear model, the MLP and the CNN to
4e-15 in float64 and 3e-6 in float32, relative to its largest entry. Trained in float64 for ten epochs, the two losses
never differ by more than 2e-15. In float32 those of the CNN part, by up to 2e-2, after one epoch to ten: rounding moves
a number across a kink (a relu's zero, the winner of a max pool), and two networks learn. The same CNN without kinks
stays at 2e-7. A step of the CNN takes 3 times as long as with jax.grad; of the other two, as long.

This file is to be read from top to bottom. Nothing in it differentiates: every derivative is a formula in a docstring
and one or two lines of plain arithmetic below it. The idea, whole:

    A layer is two functions:
        forward(w, x)         ->  y, kept        up goes y; kept is what the way down will need
        backward(w, kept, g)  ->  dx, dw         down comes g = dL/dy; on goes dx = dL/dx; here stays dw = dL/dw
    A network is a list of layers. Back-propagation is the list reversed.

For the chain rule, with L the loss and y = f(w, x), says dL/dx = Σ_y dL/dy · ∂y/∂x and dL/dw = Σ_y dL/dy · ∂y/∂w: of
all that lies above it, a layer needs to know nothing but g. So dx goes down through the same weights by which x went
up, turned around, and every dw is the product of what came forward and what came backward.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.architectures import layers, shapes
from convnet.cli import run_command
from convnet.models import Network
from convnet.ops import Window
from convnet.trial import Trial, run_trial

Weights = dict[str, Array]
"""The parameters of one layer (kernel and bias), or their gradients; empty for a layer that has none."""


class Layer(NamedTuple):
    """`forward(w, x) -> (y, kept)` and `backward(w, kept, g) -> (dx, dw)`."""

    forward: Callable[[Weights, Array], tuple[Array, Any]]
    backward: Callable[[Weights, Any, Array], tuple[Array, Weights]]


Layers = list[tuple[str, Layer]]
"""Layers with their names, first layer first. A name is also the key of the layer's parameters."""


# --- back-propagation -------------------------------------------------------------------------------------------------


def propagate(network: Layers, params: dict[str, Weights], x: Array) -> tuple[Array, list[Any]]:
    """What the last layer gives for images x [N, H, W, C], and what each layer kept."""
    memories = []
    for name, layer in network:
        x, kept = layer.forward(params.get(name, {}), x)
        memories.append(kept)
    return x, memories


def propagate_back(network: Layers, params: dict[str, Weights], memories: list[Any], g: Array):
    """(dL/dx for the images, dL/dw for every layer that has weights), from g = dL/dy for the last layer's y."""
    gradients = {}
    for (name, layer), kept in zip(reversed(network), reversed(memories), strict=True):
        g, dw = layer.backward(params.get(name, {}), kept, g)
        if dw:
            gradients[name] = dw
    return g, gradients


def gradient_by_hand(model: Network, image_shape: tuple[int, int, int]) -> Callable:
    """`gradient(params, images [N, H, W, C], labels [N]) -> (loss, (dL/dparams, dL/dimages))`.

    The loss is the mean cross-entropy; params and dL/dparams are those of `model`: layer -> {kernel, bias}.
    """
    network = network_of(model, image_shape)

    def gradient(params: dict[str, Weights], images: Array, labels: Array):
        logits, memories = propagate(network, params, images.astype(model.precision))
        loss, g = softmax_cross_entropy(logits, labels)
        dx, dw = propagate_back(network, params, memories, g)
        return loss, (dw, dx)

    return gradient


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """L = −(1/N) Σ_n log p[n, y_n] with p = softmax(z): logits z [N, K], labels y [N] -> L and dL/dz [N, K].

    ∂ log p_j / ∂z_k = 1[j = k] − p_k, so dL/dz[n, k] = (p[n, k] − 1[k = y_n]) / N: what the network said less what it
    should have said. The largest logit is subtracted first, which changes no p and keeps exp from overflowing.
    """
    n, classes = logits.shape
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - jnp.log(jnp.exp(z).sum(axis=1, keepdims=True))
    hot = labels[:, None] == jnp.arange(classes)[None]
    return -jnp.where(hot, log_p, 0).sum() / n, (jnp.exp(log_p) - hot) / n


# --- layers -----------------------------------------------------------------------------------------------------------


def dense() -> Layer:
    """y = xW + b: [N, D] -> [N, K].

    Output k took W[d, k] of input d, so that is its share of the blame, and input d adds up the blame of all outputs:
        dL/dx[n, d] = Σ_k g[n, k] W[d, k]       dx = g Wᵀ
        dL/dW[d, k] = Σ_n x[n, d] g[n, k]       dW = xᵀ g, forward times backward
        dL/db[k]    = Σ_n g[n, k]               a bias is the weight of an input that is always 1
    """

    def forward(w, x):
        return x @ w["kernel"] + w["bias"][None], x

    def backward(w, x, g):
        return g @ w["kernel"].T, {"kernel": x.T @ g, "bias": g.sum(axis=0)}

    return Layer(forward, backward)


def conv(layer: layers.Conv) -> Layer:
    """y[n, p, q] = Σ_{i,j} seen[n, p, q, i, j] · w[i, j] + b.

    seen[n, p, q, i, j] = x[n, ps + i − lo, qs + j − lo] is the pixel that tap (i, j) of the kernel sees from place
    (p, q), in steps of the stride s, and zero outside the image, which is padded by lo.

    x: [N, H, W, C], kernel w: [KH, KW, C, K] -> [N, OH, OW, K]; padded to "SAME", OH is ⌈H/s⌉.

    A convolution is a dense layer that looks at one window after the other, and has the gradients of one:
        dL/dseen[n, p, q, i, j, c] = Σ_k g[n, p, q, k] w[i, j, c, k]            g wᵀ
        dL/dw[i, j, c, k] = Σ_{n,p,q} seen[n, p, q, i, j, c] g[n, p, q, k]      seenᵀ g: all places share w, and add up
        dL/db[k] = Σ_{n,p,q} g[n, p, q, k]
    Windows overlap, so a pixel was seen many times: `give_back` adds up what it gets.
    """

    def forward(w, x):
        rows, cols = shapes.spatial(layer, x.shape[1:])
        seen = see(x, rows, cols)
        y = jnp.einsum("npqijc,ijck->npqk", seen, w["kernel"]) + w["bias"][None, None, None]
        return y, (seen, rows, cols)

    def backward(w, kept, g):
        seen, rows, cols = kept
        dseen = jnp.einsum("npqk,ijck->npqijc", g, w["kernel"])
        dw = jnp.einsum("npqijc,npqk->ijck", seen, g)
        return give_back(dseen, rows, cols), {"kernel": dw, "bias": g.sum(axis=(0, 1, 2))}

    return Layer(forward, backward)


def pool(layer: layers.Pool) -> Layer:
    """y[n, p, q] = Σ_{i,j} share[n, p, q, i, j] · seen[n, p, q, i, j] in each channel.

    x: [N, H, W, C] -> [N, OH, OW, C]; with windows of 2×2 side by side, [N, ⌊H/2⌋, ⌊W/2⌋, C].

    What a pixel gave is what it gets: dL/dseen[n, p, q, i, j] = share[n, p, q, i, j] · g[n, p, q].
    """

    shares = {"max": winner_takes_all, "avg": all_alike}[layer.kind]

    def forward(w, x):
        rows, cols = shapes.spatial(layer, x.shape[1:])
        seen = see(x, rows, cols)
        share = shares(seen)
        return (share * seen).sum(axis=(3, 4)), (share, rows, cols)

    def backward(w, kept, g):
        share, rows, cols = kept
        return give_back(share * g[:, :, :, None, None], rows, cols), {}

    return Layer(forward, backward)


def winner_takes_all(seen: Array) -> Array:
    """Max pooling: share 1 for the largest of a window (the first of equals), 0 for the others, for moving a loser a
    little changes nothing. seen: [N, OH, OW, KH, KW, C] -> the same."""
    listed = seen.reshape(*seen.shape[:3], -1, seen.shape[5])
    number = jnp.arange(listed.shape[3]).reshape(1, 1, 1, -1, 1)
    wins = number == jnp.argmax(listed, axis=3, keepdims=True)
    return wins.astype(seen.dtype).reshape(seen.shape)


def all_alike(seen: Array) -> Array:
    """Average pooling: the same share for all of a window. seen: [N, OH, OW, KH, KW, C] -> the same."""
    return jnp.full_like(seen, 1 / (seen.shape[3] * seen.shape[4]))


def see(x: Array, rows: Window, cols: Window) -> Array:
    """What each window sees, in a frame of zeros: [N, H, W, C] -> [N, OH, OW, KH, KW, C]."""
    framed = jnp.pad(x, ((0, 0), (rows.lo, rows.hi), (cols.lo, cols.hi), (0, 0)))
    return framed[:, *places(rows, cols)]


def give_back(dseen: Array, rows: Window, cols: Window) -> Array:
    """`see` turned around: dL/dx[n, h, v] = Σ dL/dseen over all that saw pixel (h, v); the frame falls away.

    dseen: [N, OH, OW, KH, KW, C] -> [N, H, W, C].
    """
    height, width = (axis.lo + axis.size + axis.hi for axis in (rows, cols))
    framed = jnp.zeros((len(dseen), height, width, dseen.shape[5]), dseen.dtype)
    framed = framed.at[:, *places(rows, cols)].add(dseen)
    return framed[:, rows.lo : rows.lo + rows.size, cols.lo : cols.lo + cols.size]


def places(rows: Window, cols: Window) -> tuple[np.ndarray, np.ndarray]:
    """Row and column, in the framed image, of each pixel of each window: [OH, 1, KH, 1] and [1, OW, 1, KW]."""
    return (rows.positions + rows.lo)[:, None, :, None], (cols.positions + cols.lo)[None, :, None, :]


def global_average() -> Layer:
    """y = mean of x over all pixels: [N, H, W, C] -> [N, C]. dL/dx[n, h, w] = g[n] / (HW) at every pixel."""

    def forward(w, x):
        return x.mean(axis=(1, 2)), x.shape

    def backward(w, shape, g):
        return jnp.broadcast_to(g[:, None, None] / (shape[1] * shape[2]), shape), {}

    return Layer(forward, backward)


def flatten() -> Layer:
    """[N, …] -> [N, D]. The same numbers in another order: the way back restores the shape."""

    def forward(w, x):
        return x.reshape(len(x), -1), x.shape

    def backward(w, shape, g):
        return g.reshape(shape), {}

    return Layer(forward, backward)


def elementwise(f: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Layer:
    """y = f(x), any shape; dL/dx = f′(x) · g, one number at a time. For all f here, y tells the slope: y is kept."""

    def forward(w, x):
        y = f(x)
        return y, y

    def backward(w, y, g):
        return slope(y) * g, {}

    return Layer(forward, backward)


ACTIVATIONS = {
    "relu": elementwise(lambda x: jnp.where(x > 0, x, 0), lambda y: y > 0),
    "leaky_relu": elementwise(lambda x: jnp.where(x > 0, x, 0.01 * x), lambda y: jnp.where(y > 0, 1, 0.01)),
    "sigmoid": elementwise(lambda x: 1 / (1 + jnp.exp(-x)), lambda y: y * (1 - y)),
    "tanh": elementwise(jnp.tanh, lambda y: 1 - y**2),
}

# --- the project's tables of layers, by hand --------------------------------------------------------------------------


def network_of(model: Network, image_shape: tuple[int, int, int]) -> Layers:
    """The list of layers that computes what `model` computes; names are those of its parameters and activations.

    Raises ValueError for a layer that is not written out here, and for dropout: which units were dropped is not told.
    """
    table = [layer for layer in model.table(image_shape) if layer != layers.Dropout(0.0)]
    return [(getattr(layer, "name", "flatten"), by_hand(layer)) for layer in table]


def by_hand(layer: layers.Layer) -> Layer:
    """A layer of the table, written out."""
    match layer:
        case layers.Dense(bias=True):
            return dense()
        case layers.Conv(bias=True, groups=1, dilation=1, frozen=False):
            return conv(layer)
        case layers.Pool(padding="VALID"):
            return pool(layer)
        case layers.GlobalAvgPool():
            return global_average()
        case layers.Flatten():
            return flatten()
        case layers.Activation(function=function) if function in ACTIVATIONS:
            return ACTIVATIONS[function]
    raise ValueError(f"the model has {layer!r}: expected layers that are written out here")


def main(args: list[str] | None = None) -> int:
    return run_command(Trial, partial(run_trial, by_hand=gradient_by_hand), args)


if __name__ == "__main__":
    sys.exit(main())
