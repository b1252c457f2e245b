"""Pure functions with hand-derived gradients, and `OpSet`, the value that chooses between them and autodiff.

Shapes: images [N, H, W, C], kernels [KH, KW, C // groups, K], dense [N, D] @ [D, K], labels [N], logits [N, K];
g is the upstream gradient dL/dy. Every op keeps the dtype of its input, works under strict rank promotion, and refuses
bad input with a ValueError that names it. For each op `f`, `f.forward` is the same forward pass without our gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from convnet.ops.activation import gelu, hard_swish, leaky_relu, relu, sigmoid, silu, softplus, tanh
from convnet.ops.conv import conv2d, conv_transpose2d, convolve2d
from convnet.ops.dense import dense
from convnet.ops.dropout import dropout
from convnet.ops.image import gram_matrix, total_variation
from convnet.ops.loss import crammer_singer_hinge, softmax_cross_entropy, squared_error, weston_watkins_hinge
from convnet.ops.norm import batch_norm, batch_norm_inference, group_norm, layer_norm
from convnet.ops.pool import avg_pool, global_avg_pool, max_pool, sum_pool
from convnet.ops.response import local_response_norm
from convnet.ops.softmax import log_softmax, logsumexp
from convnet.ops.window import Padding, Pair, ReceptiveField, Window, receptive_field, windows

__all__ = ["AUTO", "HAND", "OPSETS", "OpSet", "Padding", "Pair", "ReceptiveField", "Window"]
__all__ += ["receptive_field", "windows"]


@dataclass(frozen=True)
class OpSet:
    """The ops that a model computes with, and the one table of them: by default each has its hand-derived gradient.

    One with the same values and another rule changes the network's backward pass and nothing else:
    model.clone(ops=dataclasses.replace(HAND, relu=my_relu))
    """

    conv2d: Callable = conv2d
    conv_transpose2d: Callable = conv_transpose2d
    convolve2d: Callable = convolve2d
    dense: Callable = dense
    max_pool: Callable = max_pool
    avg_pool: Callable = avg_pool
    sum_pool: Callable = sum_pool
    global_avg_pool: Callable = global_avg_pool
    relu: Callable = relu
    leaky_relu: Callable = leaky_relu
    sigmoid: Callable = sigmoid
    tanh: Callable = tanh
    gelu: Callable = gelu
    softplus: Callable = softplus
    silu: Callable = silu
    hard_swish: Callable = hard_swish
    dropout: Callable = dropout
    batch_norm: Callable = batch_norm
    batch_norm_inference: Callable = batch_norm_inference
    layer_norm: Callable = layer_norm
    group_norm: Callable = group_norm
    local_response_norm: Callable = local_response_norm
    logsumexp: Callable = logsumexp
    log_softmax: Callable = log_softmax
    softmax_cross_entropy: Callable = softmax_cross_entropy
    weston_watkins_hinge: Callable = weston_watkins_hinge
    crammer_singer_hinge: Callable = crammer_singer_hinge
    squared_error: Callable = squared_error
    total_variation: Callable = total_variation
    gram_matrix: Callable = gram_matrix


__all__ += [op.name for op in fields(OpSet)]  # each op by its own name, too

HAND = OpSet()
"""Every gradient derived by hand."""

AUTO = OpSet(**{op.name: op.default.forward for op in fields(OpSet)})
"""The same forward passes, differentiated by JAX."""

OPSETS = {"hand": HAND, "auto": AUTO}
