"""`flax.linen`: normalisation layers and attention, as functions of inputs and of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, Point, at
from convnet.board.cases.numpy_reductions import array_case, mean, variance
from convnet.board.vectors import matrix, rowwise, vector, with_each

EPS = mpf("1e-6")
GROUPED = (
    *at("generic", matrix([0.5, -1.25, 2.0, 1.5], [1.0, 0.25, -0.75, 3.0])),
    *at("tie", matrix([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, -1.0, -1.0])),
    *at("zero", matrix([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0])),
    *at("tail", matrix([1e-9, 3e-9, 2e-9, 5e-9], [1e-9, 2e-9, 4e-9, -1e-9])),
    *at("tail", matrix([1e4, 1e4 + 1, 1e4 + 3, 1e4 + 2], [-1e4, -1e4 + 2, 1 - 1e4, 5 - 1e4])),
)
"""[2, 4]: two examples of four features."""
PARAMETERS = with_each(GROUPED[:1], vector(1.5, 0.5, -1.0, 2.0), vector(0.25, -0.5, 1.0, 0.0))
WITH_PARAMETERS = {"args": "x, scale, bias", "wrt": (0, 1, 2)}
KERNELS = (
    *at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), vector(1.0, -0.5))),
    *at(
        "zero",
        (matrix([0.0, -1.25], [0.0, 0.75]), vector(1.0, -0.5)),
        (matrix([0.0, 0.0], [0.0, 0.0]), vector(1.0, -0.5)),
    ),
    *at("repeated", (matrix([1.0, 0.0], [0.0, 1.0]), vector(1.0, -0.5))),
    *at("tail", (matrix([1e-7, -2e-7], [3e-7, 1e-7]), vector(1.0, -0.5))),
)
"""Of a dense layer, and its input."""
ATTENDED = (
    *at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), matrix([1.0, 0.25], [-0.75, 2.0]),
        matrix([0.5, 3.0], [-1.0, 1.0]))),
    *at("zero", (np.zeros((2, 2)), np.zeros((2, 2)), matrix([0.5, 3.0], [-1.0, 1.0]))),
    *at("tail", (matrix([300.0, -100.0], [1.5, 0.75]), matrix([100.0, 25.0], [-75.0, 200.0]),
        matrix([0.5, 3.0], [-1.0, 1.0]))),
)  # fmt: skip
"""Queries, keys and values: [2 places, 2 features]."""
QKV = {"args": "q, k, v", "wrt": (0, 1, 2)}
WEIGHTS = at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), matrix([0.5, 1.0], [-1.0, 0.25])))
HEADS = "{'kernel': jnp.reshape(w, (2, 1, 2)), 'bias': jnp.zeros((1, 2))}"
OUT = "{'kernel': jnp.reshape(w, (1, 2, 2)), 'bias': jnp.zeros(2)}"
PROJECTIONS = f"{{'params': {{'query': {HEADS}, 'key': {HEADS}, 'value': {HEADS}, 'out': {OUT}}}}}"


def normed(x: np.ndarray, eps=EPS) -> np.ndarray:
    return (x - mean(x)) / mp.sqrt(variance(x) + eps)


def rms(x: np.ndarray) -> np.ndarray:
    return x / mp.sqrt((x**2).sum() / len(x) + EPS)


def grouped(x: np.ndarray) -> np.ndarray:
    return np.concatenate([normed(x[:2]), normed(x[2:])])


def columns(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: rowwise(f)(x.T).T


def affine(f: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda x, scale, bias: f(x) * scale + bias


def weight_normed(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Each column of the kernel over its length."""
    return x @ (w / exact.sqrt((w**2).sum(axis=0) + mpf("1e-12")))


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    return exact.softmax(q @ k.T / mp.sqrt(q.shape[1])) @ v


def causal(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([v[0], attended(q, k, v)[1]])


def attention_layer(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One head; the same weights for queries, keys, values and the result."""
    return attended(x @ w, x @ w, x @ w) @ w


def layer(name: str, settings: str, oracle: Callable, parameters: str = "{}", points=GROUPED, **options: Any) -> Case:
    call = f"nn.{name}({settings}).apply({parameters}, x)"
    return array_case(f"flax.linen.{name}", oracle, points, call=call, **options)


NO = "use_scale=False, use_bias=False"
BOTH = "{'params': {'scale': scale, 'bias': bias}}"
BATCH = "{'batch_stats': {'mean': jnp.zeros(4), 'var': jnp.ones(4)}}"
CASES: tuple[Case, ...] = (
    layer("LayerNorm", NO, rowwise(normed)),
    layer("LayerNorm", f"{NO}, use_fast_variance=False", rowwise(normed)),
    layer("LayerNorm", "", affine(rowwise(normed)), BOTH, PARAMETERS, **WITH_PARAMETERS),
    layer("RMSNorm", "use_scale=False", rowwise(rms)),
    layer("GroupNorm", f"num_groups=2, {NO}", rowwise(grouped)),
    array_case("flax.linen.BatchNorm", columns(lambda x: normed(x, mpf("1e-5"))), GROUPED,
               call=f"nn.BatchNorm(use_running_average=False, {NO}).apply({BATCH}, x, mutable=['batch_stats'])[0]"),
    layer("BatchNorm", f"use_running_average=True, {NO}", lambda x: x / mp.sqrt(1 + mpf("1e-5")), BATCH, GROUPED[:1]),
    array_case("flax.linen.InstanceNorm", rowwise(normed), GROUPED,
               call=f"nn.InstanceNorm({NO}).apply({{}}, x[:, :, None])"),
    array_case("flax.linen.WeightNorm", weight_normed, KERNELS, args="w, x", wrt=(0, 1),
               call="nn.WeightNorm(nn.Dense(2, use_bias=False), use_scale=False).apply("
                    "{'params': {'layer_instance': {'kernel': w}}}, x)"),
    array_case("flax.linen.dot_product_attention", attended, ATTENDED, **QKV,
               call="nn.dot_product_attention(q[:, None], k[:, None], v[:, None])"),
    array_case("flax.linen.dot_product_attention", causal, ATTENDED, **QKV,
               call="nn.dot_product_attention(q[:, None], k[:, None], v[:, None], "
                    "mask=nn.make_causal_mask(np.ones(2)))"),
    array_case("flax.linen.dot_product_attention_weights", lambda q, k: exact.softmax(q @ k.T / mp.sqrt(2)),
               tuple(Point(point.label, point.args[:2]) for point in ATTENDED), args="q, k", wrt=(0, 1),
               call="nn.dot_product_attention_weights(q[:, None], k[:, None])"),
    array_case("flax.linen.MultiHeadDotProductAttention", attention_layer, WEIGHTS, args="x, w", wrt=(0, 1),
               call=f"nn.MultiHeadDotProductAttention(num_heads=1).apply({PROJECTIONS}, x, x)"),
)  # fmt: skip

NOT_COVERED = {
    "flax.linen.MultiHeadAttention": "an older name of flax.linen.MultiHeadDotProductAttention",
    "flax.linen.SelfAttention": "an older form of flax.linen.MultiHeadDotProductAttention",
    "flax.linen.SpectralNorm": "its value comes of a power iteration that is no part of the derivative",
    "flax.linen.make_attention_mask": "makes a mask",
}
"""Functions without a gradient that anybody could want, and why."""
