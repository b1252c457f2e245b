"""Pure functions with hand-derived gradients, and `OpSet`, the value that chooses between them and autodiff.

Shapes: images [N, H, W, C], kernels [KH, KW, C // groups, K], dense [N, D] @ [D, K], labels [N], logits [N, K];
g is the upstream gradient dL/dy. Every op keeps the dtype of its input, works under strict rank promotion, and refuses
bad input with a ValueError that names it. For each op `f`, `f_forward` in its module is the same forward pass without
our gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from convnet.ops import activation, conv, loss, pool
from convnet.ops import dense as dense_
from convnet.ops.activation import dropout, leaky_relu, relu, sigmoid, tanh
from convnet.ops.conv import conv2d, conv_transpose2d, convolve2d
from convnet.ops.dense import dense
from convnet.ops.loss import crammer_singer_hinge, softmax_cross_entropy, squared_error, weston_watkins_hinge
from convnet.ops.pool import avg_pool, global_avg_pool, max_pool, sum_pool
from convnet.ops.window import Padding, Pair, ReceptiveField, Window, receptive_field, windows

__all__ = [
    "AUTO", "HAND", "OPSETS", "OpSet", "Padding", "Pair", "ReceptiveField", "Window",
    "avg_pool", "conv2d", "conv_transpose2d", "convolve2d", "crammer_singer_hinge", "dense", "dropout",
    "global_avg_pool", "leaky_relu", "max_pool", "receptive_field", "relu", "sigmoid", "softmax_cross_entropy",
    "squared_error", "sum_pool", "tanh", "weston_watkins_hinge", "windows",
]  # fmt: skip


@dataclass(frozen=True)
class OpSet:
    """The ops a model computes with. Replacing one changes the network's backward pass and nothing else:

    model.clone(ops=dataclasses.replace(HAND, relu=my_relu))
    """

    conv2d: Callable
    conv_transpose2d: Callable
    convolve2d: Callable
    dense: Callable
    max_pool: Callable
    avg_pool: Callable
    sum_pool: Callable
    global_avg_pool: Callable
    relu: Callable
    leaky_relu: Callable
    sigmoid: Callable
    tanh: Callable
    dropout: Callable
    softmax_cross_entropy: Callable
    weston_watkins_hinge: Callable
    crammer_singer_hinge: Callable
    squared_error: Callable


HAND = OpSet(**{field.name: globals()[field.name] for field in fields(OpSet)})
"""Every gradient derived by hand."""

AUTO = OpSet(
    conv2d=conv.conv2d_forward,
    conv_transpose2d=conv.conv_transpose2d_forward,
    convolve2d=conv.convolve2d_forward,
    dense=dense_.dense_forward,
    max_pool=pool.max_pool_forward,
    avg_pool=pool.avg_pool_forward,
    sum_pool=pool.sum_pool_forward,
    global_avg_pool=pool.global_avg_pool_forward,
    relu=activation.relu_forward,
    leaky_relu=activation.leaky_relu_forward,
    sigmoid=activation.sigmoid_forward,
    tanh=activation.tanh_forward,
    dropout=activation.dropout_forward,
    softmax_cross_entropy=loss.softmax_cross_entropy_forward,
    weston_watkins_hinge=loss.weston_watkins_hinge_forward,
    crammer_singer_hinge=loss.crammer_singer_hinge_forward,
    squared_error=loss.squared_error_forward,
)
"""The same forward passes, differentiated by JAX."""

OPSETS = {"hand": HAND, "auto": AUTO}
