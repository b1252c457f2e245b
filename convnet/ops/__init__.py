"""Pure functions with hand-derived gradients, and `OpSet`, the value that chooses between them and autodiff.

Shapes: images [N, H, W, C], kernels [KH, KW, C // groups, K], dense [N, D] @ [D, K], labels [N], logits [N, K];
g is the upstream gradient dL/dy. Every op keeps the dtype of its input, works under strict rank promotion, and refuses
bad input with a ValueError that names it. For each op `f`, `f_forward` in its module is the same forward pass without
our gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convnet.ops.activation import (
    dropout,
    dropout_forward,
    gelu,
    gelu_forward,
    leaky_relu,
    leaky_relu_forward,
    relu,
    relu_forward,
    sigmoid,
    sigmoid_forward,
    silu,
    silu_forward,
    softplus,
    softplus_forward,
    tanh,
    tanh_forward,
)  # fmt: skip
from convnet.ops.conv import (
    conv2d,
    conv2d_forward,
    conv_transpose2d,
    conv_transpose2d_forward,
    convolve2d,
    convolve2d_forward,
)  # fmt: skip
from convnet.ops.dense import dense, dense_forward
from convnet.ops.image import gram_matrix, gram_matrix_forward, total_variation, total_variation_forward
from convnet.ops.loss import (
    crammer_singer_hinge,
    crammer_singer_hinge_forward,
    softmax_cross_entropy,
    softmax_cross_entropy_forward,
    squared_error,
    squared_error_forward,
    weston_watkins_hinge,
    weston_watkins_hinge_forward,
)  # fmt: skip
from convnet.ops.norm import (
    batch_norm,
    batch_norm_forward,
    batch_norm_inference,
    batch_norm_inference_forward,
    group_norm,
    group_norm_forward,
    layer_norm,
    layer_norm_forward,
    local_response_norm,
    local_response_norm_forward,
)  # fmt: skip
from convnet.ops.pool import (
    avg_pool,
    avg_pool_forward,
    global_avg_pool,
    global_avg_pool_forward,
    max_pool,
    max_pool_forward,
    sum_pool,
    sum_pool_forward,
)  # fmt: skip
from convnet.ops.softmax import log_softmax, log_softmax_forward, logsumexp, logsumexp_forward
from convnet.ops.window import Padding, Pair, ReceptiveField, Window, receptive_field, windows

__all__ = [
    "AUTO", "HAND", "OPSETS", "OpSet", "Padding", "Pair", "ReceptiveField", "Window", "avg_pool", "batch_norm",
    "batch_norm_inference", "conv2d", "conv_transpose2d", "convolve2d", "crammer_singer_hinge", "dense", "dropout",
    "gelu", "global_avg_pool", "gram_matrix", "group_norm", "layer_norm", "leaky_relu", "local_response_norm",
    "log_softmax", "logsumexp", "max_pool", "receptive_field", "relu", "sigmoid", "silu", "softmax_cross_entropy",
    "softplus", "squared_error", "sum_pool", "tanh", "total_variation", "weston_watkins_hinge", "windows",
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
    gelu: Callable
    softplus: Callable
    silu: Callable
    dropout: Callable
    batch_norm: Callable
    batch_norm_inference: Callable
    layer_norm: Callable
    group_norm: Callable
    local_response_norm: Callable
    logsumexp: Callable
    log_softmax: Callable
    softmax_cross_entropy: Callable
    weston_watkins_hinge: Callable
    crammer_singer_hinge: Callable
    squared_error: Callable
    total_variation: Callable
    gram_matrix: Callable


HAND = OpSet(
    conv2d=conv2d,
    conv_transpose2d=conv_transpose2d,
    convolve2d=convolve2d,
    dense=dense,
    max_pool=max_pool,
    avg_pool=avg_pool,
    sum_pool=sum_pool,
    global_avg_pool=global_avg_pool,
    relu=relu,
    leaky_relu=leaky_relu,
    sigmoid=sigmoid,
    tanh=tanh,
    gelu=gelu,
    softplus=softplus,
    silu=silu,
    dropout=dropout,
    batch_norm=batch_norm,
    batch_norm_inference=batch_norm_inference,
    layer_norm=layer_norm,
    group_norm=group_norm,
    local_response_norm=local_response_norm,
    logsumexp=logsumexp,
    log_softmax=log_softmax,
    softmax_cross_entropy=softmax_cross_entropy,
    weston_watkins_hinge=weston_watkins_hinge,
    crammer_singer_hinge=crammer_singer_hinge,
    squared_error=squared_error,
    total_variation=total_variation,
    gram_matrix=gram_matrix,
)
"""Every gradient derived by hand."""

AUTO = OpSet(
    conv2d=conv2d_forward,
    conv_transpose2d=conv_transpose2d_forward,
    convolve2d=convolve2d_forward,
    dense=dense_forward,
    max_pool=max_pool_forward,
    avg_pool=avg_pool_forward,
    sum_pool=sum_pool_forward,
    global_avg_pool=global_avg_pool_forward,
    relu=relu_forward,
    leaky_relu=leaky_relu_forward,
    sigmoid=sigmoid_forward,
    tanh=tanh_forward,
    gelu=gelu_forward,
    softplus=softplus_forward,
    silu=silu_forward,
    dropout=dropout_forward,
    batch_norm=batch_norm_forward,
    batch_norm_inference=batch_norm_inference_forward,
    layer_norm=layer_norm_forward,
    group_norm=group_norm_forward,
    local_response_norm=local_response_norm_forward,
    logsumexp=logsumexp_forward,
    log_softmax=log_softmax_forward,
    softmax_cross_entropy=softmax_cross_entropy_forward,
    weston_watkins_hinge=weston_watkins_hinge_forward,
    crammer_singer_hinge=crammer_singer_hinge_forward,
    squared_error=squared_error_forward,
    total_variation=total_variation_forward,
    gram_matrix=gram_matrix_forward,
)
"""The same forward passes, differentiated by JAX."""

OPSETS = {"hand": HAND, "auto": AUTO}
