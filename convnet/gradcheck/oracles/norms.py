"""Normalisations, as definitions that take complex numbers: no derivative is written down here."""

import math

import numpy as np


def standardised(x, axes, eps):
    """(x − mean) / √(var + eps), mean and biased variance over `axes`, which stay. No abs: x may be complex."""
    count = math.prod(x.shape[axis] for axis in axes)
    mean = np.sum(x, axis=axes, keepdims=True) / count
    var = np.sum((x - mean) ** 2, axis=axes, keepdims=True) / count
    return (x - mean) / np.sqrt(var + eps), mean, var


def batch_norm(x, scale, bias, *, eps=1e-5):
    """(y, mean, var) over all axes but the last."""
    hat, mean, var = standardised(x, tuple(range(x.ndim - 1)), eps)
    return hat * scale + bias, mean.reshape(-1), var.reshape(-1)


def batch_norm_inference(x, scale, bias, mean, var, *, eps=1e-5):
    return (x - mean) / np.sqrt(var + eps) * scale + bias


def layer_norm(x, scale, bias, *, eps=1e-5):
    """Over the last axis."""
    return standardised(x, (x.ndim - 1,), eps)[0] * scale + bias


def group_norm(x, scale, bias, *, groups, eps=1e-5):
    """Over all places and the channels of one group, for each example."""
    y = np.empty(x.shape, np.result_type(x, scale, bias))
    width = x.shape[-1] // groups
    for group in range(groups):
        own = slice(group * width, (group + 1) * width)
        y[..., own] = standardised(x[..., own], tuple(range(1, x.ndim)), eps)[0] * scale[own] + bias[own]
    return y


def local_response_norm(x, *, size=5, k=2.0, alpha=1e-4, beta=0.75):
    """x[c] · (k + α/size · Σ x[j]²)^−β over the channels j = c − size//2 … c + (size − 1)//2 that exist."""
    y = np.empty(x.shape, x.dtype)
    for c in range(x.shape[-1]):
        first, last = max(c - size // 2, 0), c + (size - 1) // 2
        total = np.sum(x[..., first : last + 1] ** 2, axis=-1)
        y[..., c] = x[..., c] * (k + alpha / size * total) ** -beta
    return y
