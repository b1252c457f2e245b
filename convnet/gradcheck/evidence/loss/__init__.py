"""Losses."""

from __future__ import annotations

from functools import partial

import numpy as np

from convnet.gradcheck.evidence.case import (
    Case,
    Convention,
    Evidence,
    drawing,
    gaussian,
    label,
    labels,
    off_margin,
    wide,
)
from convnet.gradcheck.evidence.draws import Draws, strategy
from convnet.gradcheck.evidence.loss.mutants import CONTROLS, MUTANTS
from convnet.gradcheck.evidence.softmax import log_softmax
from convnet.gradcheck.oracle import by_complex_step, by_walking

__all__ = ["CONTROLS", "CONVENTIONS", "EVIDENCE", "MUTANTS"]


def _loss(op: str, name: str, shape: tuple, terms: int, logits=gaussian, **settings) -> Case:
    def draw(rng):
        return logits(rng, shape), labels(rng, *shape)

    return Case(op, name, draw, settings, terms, batch=(0, 0))


SOFTMAX_CROSS_ENTROPY = (
    _loss("softmax_cross_entropy", "label smoothing 0.1", (6, 5), 10, label_smoothing=0.1),
    _loss("softmax_cross_entropy", "no smoothing", (6, 5), 10),
    _loss("softmax_cross_entropy", "two classes", (5, 2), 4),
    _loss("softmax_cross_entropy", "far apart", (5, 7), 14, wide, label_smoothing=0.7),
    _loss("softmax_cross_entropy", "one class", (3, 1), 2),
)


def _hinges(op: str) -> tuple[Case, ...]:
    named = {
        "margin 1": ((6, 5), 1.0),
        "margin 0.25": ((5, 7), 0.25),
        "two classes": ((8, 2), 1.0),
        "margin 5": ((4, 3), 5.0),
    }
    return tuple(
        _loss(op, name, shape, shape[1], partial(off_margin, margin=margin), margin=margin)
        for name, (shape, margin) in named.items()
    )


WESTON_WATKINS_HINGE, CRAMMER_SINGER_HINGE = _hinges("weston_watkins_hinge"), _hinges("crammer_singer_hinge")
SQUARED_ERROR = tuple(
    Case("squared_error", name, drawing(shape, shape), {}, 2, batch=(0, 0))
    for name, shape in {"matrix": (3, 4), "4 axes": (2, 3, 2, 3), "one number per example": (5,)}.items()
)
CONVENTIONS = (
    Convention("weston_watkins_hinge", "one margin met exactly", (np.array([[0.0, 1, 0.5]]), label(1)), {},
               (np.array([[0.0, -1, 1]]), None)),
    Convention("weston_watkins_hinge", "all margins met exactly", (np.array([[2.0, 1, 1]]), label(0)), {},
               (np.zeros((1, 3)), None)),
    Convention("crammer_singer_hinge", "the margin met exactly", (np.array([[0.0, 1, -3]]), label(1)), {},
               (np.zeros((1, 3)), None)),
    Convention("crammer_singer_hinge", "equal rivals: the first", (np.array([[0.0, 3, 1, 3]]), label(2)), {},
               (np.array([[0.0, 1, -1, 0]]), None)),
    Convention("crammer_singer_hinge", "all equal", (np.zeros((2, 3)), label(0, 2)), {},
               (np.array([[-1.0, 1, 0], [1, 0, -1]]), None)),
    Convention("softmax_cross_entropy", "all equal, smooth", (np.zeros((1, 4)), label(1)), {},
               (np.array([[0.25, -0.75, 0.25, 0.25]]), None)),
    Convention("squared_error", "0", (np.ones((1, 2)), np.ones((1, 2))), {}, (np.zeros((1, 2)), np.zeros((1, 2)))),
)  # fmt: skip


# --- oracles: hinges walked class by class, definitions of what is smooth ---------------------------------------------


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
        for n, (z, y) in enumerate(zip(logits, labels, strict=True)):
            losses[n], slope = of_example(z, y, margin)
            dz[n] = g[n] * np.array(slope)
        return losses, dz, None

    return walk


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


# --- random calls -----------------------------------------------------------------------------------------------------


def _cross_entropy(draws: Draws) -> tuple[tuple, dict]:
    n, k, smoothing = draws.number(1, 6), draws.number(1, 6), draws.choice(0.0, 0.1, 0.9)
    size, rng = draws.choice(1.0, 5.0), draws.rng()
    return (size * gaussian(rng, (n, k)), labels(rng, n, k)), {"label_smoothing": smoothing}


def _hinge(draws: Draws) -> tuple[tuple, dict]:
    n, k, margin, rng = draws.number(1, 6), draws.number(2, 6), draws.choice(1.0, 0.25, 5.0), draws.rng()
    return (off_margin(rng, (n, k), margin), labels(rng, n, k)), {"margin": margin}


def _squared_error(draws: Draws) -> tuple[tuple, dict]:
    shape = draws.shape()
    return draws.gaussians(shape, shape), {}


EVIDENCE = {
    "softmax_cross_entropy": Evidence(
        SOFTMAX_CROSS_ENTROPY, by_complex_step(softmax_cross_entropy), strategy(_cross_entropy)
    ),
    "weston_watkins_hinge": Evidence(WESTON_WATKINS_HINGE, by_walking(hinge(weston_watkins)), strategy(_hinge)),
    "crammer_singer_hinge": Evidence(CRAMMER_SINGER_HINGE, by_walking(hinge(crammer_singer)), strategy(_hinge)),
    "squared_error": Evidence(SQUARED_ERROR, by_complex_step(squared_error), strategy(_squared_error)),
}
