"""Declared gradients at kinks, ties and points where a formula would divide 0 by 0. The cotangents are all ones."""

from __future__ import annotations

import numpy as np

from convnet.gradcheck.cases.case import Convention, Mask


def _column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def _image(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float64)[None, :, :, None]


def _label(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


ACTIVATIONS = (
    Convention("relu", "0 and −0", (_column(-1, -0.0, 0, 2),), {}, (_column(0, 0, 0, 1),)),
    Convention("leaky_relu", "0", (_column(-1, 0, 2),), {"negative_slope": 0.25}, (_column(0.25, 0.25, 1),)),
    Convention("leaky_relu", "0, slopes of either sign", (_column(-1, 0, 2),), {"negative_slope": -2.0},
               (_column(-2, -2, 1),)),
    Convention("softplus", "0, smooth", (_column(0, -0.0),), {}, (_column(0.5, 0.5),)),
    Convention("softplus", "0, smooth, beta 8", (_column(0,),), {"beta": 8.0}, (_column(0.5),)),
    Convention("sigmoid", "far out, smooth", (_column(-800, 800),), {}, (_column(0, 0),)),
    Convention("tanh", "far out, smooth", (_column(-800, 800),), {}, (_column(0, 0),)),
    Convention("silu", "far out, smooth", (_column(-800, 800),), {}, (_column(0, 1),)),
    Convention("softplus", "far out, smooth", (_column(-800, 800),), {}, (_column(0, 1),)),
    Convention("gelu", "far out, smooth", (_column(-800, 800),), {}, (_column(0, 1),)),
    Convention("gelu", "far out, smooth, exact", (_column(-800, 800),), {"approximate": False}, (_column(0, 1),)),
    Convention("dropout", "rate 1", (_column(1, -2), np.array([True, False])), {"rate": 1.0}, (_column(0, 0), None)),
    Convention("dropout", "0 that is kept, and one that is not", (_column(0, 0), np.array([True, False])),
               {"rate": 0.5}, (_column(2, 0), None)),
)  # fmt: skip

POOLS = (
    Convention("max_pool", "all equal, tiling: the first", (np.ones((1, 2, 4, 1)),), {"window": 2},
               (_image([1, 0, 1, 0], [0, 0, 0, 0]),)),
    Convention("max_pool", "all equal, overlapping: the first of each window", (np.zeros((1, 3, 3, 1)),),
               {"window": 2, "stride": 1}, (_image([1, 1, 0], [1, 1, 0], [0, 0, 0]),)),
    Convention("max_pool", "two equal: row-major, not column-major", (_image([0, 5], [5, 1]),), {"window": 2},
               (_image([0, 1], [0, 0]),)),
    Convention("max_pool", "one winner of four windows", (_image([0, 0, 0], [0, 1, 0], [0, 0, 0]),),
               {"window": 2, "stride": 1}, (_image([0, 0, 0], [0, 4, 0], [0, 0, 0]),)),
    Convention("max_pool", "all equal, padded: padding never wins", (_image([-1, -1], [-1, -1]),),
               {"window": 2, "stride": 1, "padding": 1}, (_image([4, 2], [2, 1]),)),
)  # fmt: skip

LOSSES = (
    Convention("weston_watkins_hinge", "one margin met exactly", (np.array([[0.0, 1, 0.5]]), _label(1)), {},
               (np.array([[0.0, -1, 1]]), None)),
    Convention("weston_watkins_hinge", "all margins met exactly", (np.array([[2.0, 1, 1]]), _label(0)), {},
               (np.zeros((1, 3)), None)),
    Convention("crammer_singer_hinge", "the margin met exactly", (np.array([[0.0, 1, -3]]), _label(1)), {},
               (np.zeros((1, 3)), None)),
    Convention("crammer_singer_hinge", "equal rivals: the first", (np.array([[0.0, 3, 1, 3]]), _label(2)), {},
               (np.array([[0.0, 1, -1, 0]]), None)),
    Convention("crammer_singer_hinge", "all equal", (np.zeros((2, 3)), _label(0, 2)), {},
               (np.array([[-1.0, 1, 0], [1, 0, -1]]), None)),
    Convention("softmax_cross_entropy", "all equal, smooth", (np.zeros((1, 4)), _label(1)), {},
               (np.array([[0.25, -0.75, 0.25, 0.25]]), None)),
    Convention("squared_error", "0", (np.ones((1, 2)), np.ones((1, 2))), {}, (np.zeros((1, 2)), np.zeros((1, 2)))),
)  # fmt: skip

_KEPT = Mask([[True, True, False]])
_QUARTERS = np.array([[0.0, np.log(3), 5]])

SUMS = (
    Convention("logsumexp", "a masked entry", (_QUARTERS,), {"where": _KEPT}, (np.array([[0.25, 0.75, 0]]),)),
    Convention("logsumexp", "a masked entry that is the largest by far", (np.array([[0.0, 0, 800]]),),
               {"where": _KEPT}, (np.array([[0.5, 0.5, 0]]),)),
    Convention("logsumexp", "a row without entries", (np.zeros((1, 3)),), {"where": Mask([[False] * 3])},
               (np.zeros((1, 3)),)),
    Convention("log_softmax", "a masked entry", (_QUARTERS,), {"where": _KEPT}, (np.array([[0.5, -0.5, 0]]),)),
    Convention("total_variation", "flat, eps 0", (np.ones((1, 3, 2, 1)),), {"beta": 1.0, "eps": 0.0},
               (np.zeros((1, 3, 2, 1)),)),
    Convention("total_variation", "flat next to a step, eps 0", (_image([0, 0, 2]),), {"beta": 1.0, "eps": 0.0},
               (_image([0, -1, 1]),)),
    Convention("total_variation", "flat, eps 0, beta 2", (np.ones((1, 2, 3, 1)),), {"beta": 2.0, "eps": 0.0},
               (np.zeros((1, 2, 3, 1)),)),
)  # fmt: skip

_EQUAL = np.full((4, 2), 3.0)
_PER_CHANNEL = _column(1, 3), _column(0.5, -1)

NORMS = (  # no kinks, but a deviation of 0: a rule by way of the standard deviation would give NaN
    Convention("batch_norm", "constant channels", (_EQUAL, *_PER_CHANNEL), {"eps": 0.25},
               (np.full((4, 2), 0.25), np.zeros(2), np.full(2, 4.0))),
    Convention("layer_norm", "constant rows", (_EQUAL, *_PER_CHANNEL), {"eps": 0.25},
               (np.tile([-2.0, 2.0], (4, 1)), np.zeros(2), np.full(2, 4.0))),
    Convention("group_norm", "constant groups", (_EQUAL, *_PER_CHANNEL), {"eps": 0.25, "groups": 1},
               (np.tile([-2.0, 2.0], (4, 1)), np.zeros(2), np.full(2, 4.0))),
    Convention("local_response_norm", "zeros", (np.zeros((2, 3)),), {"k": 4.0, "alpha": 1.0, "beta": 0.5},
               (np.full((2, 3), 0.5),)),
)  # fmt: skip

CONVENTIONS: dict[str, tuple[Convention, ...]] = {}
for _convention in (*ACTIVATIONS, *POOLS, *LOSSES, *SUMS, *NORMS):
    CONVENTIONS[_convention.op] = (*CONVENTIONS.get(_convention.op, ()), _convention)
