"""Losses and other sums: hinges walked class by class with their gradient, smooth ones as definitions that take complex
numbers."""

import numpy as np

# --- winners: (logits, labels, g) -> L, dL/dz, None -------------------------------------------------------------------


def weston_watkins(z, label, margin):
    """L and its slope for one example; a margin met exactly is not violated."""
    loss, slope = 0.0, [0.0] * len(z)
    for k in range(len(z)):
        if k != label and margin + (z[k] - z[label]) > 0:
            loss += margin + (z[k] - z[label])
            slope[k] += 1.0
            slope[label] -= 1.0
    return loss, slope


def crammer_singer(z, label, margin):
    """L and its slope for one example; of equal rivals the first, and a margin met exactly is not violated."""
    rival = next(k for k in range(len(z)) if k != label)
    for k in range(len(z)):
        if k != label and z[k] > z[rival]:
            rival = k
    loss, slope = margin + (z[rival] - z[label]), [0.0] * len(z)
    if loss <= 0:
        return 0.0, slope
    slope[rival], slope[label] = 1.0, -1.0
    return loss, slope


def hinge(of_example):
    """The hinge of a batch from that of one example."""

    def walk(logits, labels, g, *, margin=1.0):
        g = np.broadcast_to(g, labels.shape)
        losses, dz = np.zeros(labels.shape), np.zeros(logits.shape)
        for n, (z, label) in enumerate(zip(logits, labels, strict=True)):
            losses[n], slope = of_example(z, label, margin)
            dz[n] = g[n] * np.array(slope)
        return losses, dz, None

    return walk


# --- smooth -----------------------------------------------------------------------------------------------------------


def logsumexp(x, *, axis=-1, where=None):
    """log Σ e^x over the entries that `where` keeps; −∞ where it keeps none."""
    where = np.ones(x.shape, bool) if where is None else where
    largest = np.max(x.real, axis=axis, keepdims=True, initial=-np.inf, where=where)
    largest = np.where(np.isfinite(largest), largest, 0)  # a constant: any number may be taken out of the sum
    total = np.sum(np.where(where, np.exp(np.where(where, x - largest, 0)), 0), axis=axis)
    with np.errstate(divide="ignore"):
        return np.log(total) + np.squeeze(largest, axis)


def log_softmax(x, *, axis=-1, where=None):
    """x − logsumexp(x), and −∞ where `where` masks."""
    where = np.ones(x.shape, bool) if where is None else where
    total = np.expand_dims(logsumexp(x, axis=axis, where=where), axis)
    return np.where(where, x - np.where(np.isfinite(total), total, 0), -np.inf)


def softmax_cross_entropy(logits, labels, *, label_smoothing=0.0):
    """−Σ_k q_k log p_k with q = (1 − ε)·onehot + ε/K; a class with q = 0 takes no part, whatever its log p."""
    log_p, classes = log_softmax(logits), logits.shape[1]
    losses = np.zeros(labels.shape, logits.dtype)
    for n, k in np.ndindex(logits.shape):
        q = (1 - label_smoothing) * (k == labels[n]) + label_smoothing / classes
        if q:
            losses[n] -= q * log_p[n, k]
    return losses


def squared_error(pred, target):
    return np.sum((pred - target) ** 2, axis=tuple(range(1, pred.ndim)))


def total_variation(x, *, beta=2.0, eps=1e-8):
    """Σ (∂h² + ∂w² + ε)^(β/2) per example; a difference past the border is 0."""
    down, right = np.zeros(x.shape, x.dtype), np.zeros(x.shape, x.dtype)
    down[:, :-1] = x[:, 1:] - x[:, :-1]
    right[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    return np.sum((down**2 + right**2 + eps) ** (beta / 2), axis=(1, 2, 3))


def gram_matrix(f):
    """G[c, d] = Σ_places f[c] · f[d] / (H·W) per example."""
    n, height, width, channels = f.shape
    gram = np.zeros((n, channels, channels), f.dtype)
    for h, w in np.ndindex(height, width):
        gram += f[:, h, w, :, None] * f[:, h, w, None, :] / (height * width)
    return gram
