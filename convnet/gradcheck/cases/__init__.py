"""The calls of every op that are worth auditing, and what the ops declare at kinks and ties."""

from __future__ import annotations

from convnet.gradcheck.cases import linear, nonlinear
from convnet.gradcheck.cases.case import Case, Convention, Mask
from convnet.gradcheck.cases.conventions import CONVENTIONS

__all__ = ["CASES", "CONVENTIONS", "Case", "Convention", "Mask"]

CASES: dict[str, tuple[Case, ...]] = {
    "conv2d": linear.CONV2D,
    "conv_transpose2d": linear.CONV_TRANSPOSE2D,
    "convolve2d": linear.CONVOLVE2D,
    "dense": linear.DENSE,
    "max_pool": linear.MAX_POOL,
    "avg_pool": linear.AVG_POOL,
    "sum_pool": linear.SUM_POOL,
    "global_avg_pool": linear.GLOBAL_AVG_POOL,
    "relu": nonlinear.RELU,
    "leaky_relu": nonlinear.LEAKY_RELU,
    "sigmoid": nonlinear.SIGMOID,
    "tanh": nonlinear.TANH,
    "gelu": nonlinear.GELU,
    "softplus": nonlinear.SOFTPLUS,
    "silu": nonlinear.SILU,
    "dropout": nonlinear.DROPOUT,
    "batch_norm": nonlinear.BATCH_NORM,
    "batch_norm_inference": nonlinear.BATCH_NORM_INFERENCE,
    "layer_norm": nonlinear.LAYER_NORM,
    "group_norm": nonlinear.GROUP_NORM,
    "local_response_norm": nonlinear.LOCAL_RESPONSE_NORM,
    "softmax_cross_entropy": nonlinear.SOFTMAX_CROSS_ENTROPY,
    "weston_watkins_hinge": nonlinear.WESTON_WATKINS_HINGE,
    "crammer_singer_hinge": nonlinear.CRAMMER_SINGER_HINGE,
    "squared_error": nonlinear.SQUARED_ERROR,
    "logsumexp": nonlinear.LOGSUMEXP,
    "log_softmax": nonlinear.LOG_SOFTMAX,
    "total_variation": nonlinear.TOTAL_VARIATION,
    "gram_matrix": nonlinear.GRAM_MATRIX,
}
"""By op; the first case of each is the most revealing one."""
