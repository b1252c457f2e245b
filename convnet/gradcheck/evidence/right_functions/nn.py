"""Activations, normalisations and attention of `jax.nn`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc

from convnet.gradcheck.evidence.right_functions.right import SCALES, RightFunction, in_float32, normal, right

X = normal((4, 5))


def sigmoid(x):
    """By the exponential that does not overflow."""
    small = jnp.exp(-jnp.abs(x))
    return jnp.where(x >= 0, 1.0, small) / (1 + small)


def softplus(x):
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def gelu_tanh(x):
    return 0.5 * x * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def elu(x, alpha=1.0):
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0)))


def logsumexp(x, axis=-1):
    top = jax.lax.stop_gradient(x.max(axis, keepdims=True))
    return jnp.log(jnp.exp(x - top).sum(axis)) + top.squeeze(axis)


def softmax(x, axis=-1):
    e = jnp.exp(x - jax.lax.stop_gradient(x.max(axis, keepdims=True)))
    return e / e.sum(axis, keepdims=True)


def standardize(x, epsilon=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)


def attention(query, key, value, mask=None, bias=None):
    """[B, T, N, H], softmax over the keys."""
    logits = jnp.einsum("btnh,bsnh->bnts", query, key) / np.sqrt(query.shape[-1])
    logits = logits if bias is None else logits + bias
    logits = logits if mask is None else jnp.where(mask, logits, -1e30)
    return jnp.einsum("bnts,bsnh->btnh", softmax(logits), value)


def masked_attention(query, key, value, mask):
    return jax.nn.dot_product_attention(query, key, value, mask=mask)


def biased_attention(query, key, value, bias):
    return jax.nn.dot_product_attention(query, key, value, bias)


def causal_attention(query, key, value):
    return jax.nn.dot_product_attention(query, key, value, is_causal=True)


def one_half_true(rng, shape):
    """A mask that leaves something to look at in every row."""
    mask = rng.random(shape) < 0.5
    mask[..., 0] = True
    return mask


def masked_row(rng, scale):
    return scale * rng.standard_normal((4, 5)), one_half_true(rng, (4, 5))


def with_mask(rng, scale):
    q, k, v = (scale * rng.standard_normal((2, 5, 2, 4)) for _ in range(3))
    return q, k, v, one_half_true(rng, (2, 1, 5, 5))


def masked_softmax(x, where):
    return jax.nn.softmax(x, where=where)


def masked_softmax_by_hand(x, where):
    e = jnp.where(where, jnp.exp(x - jnp.where(where, x, -jnp.inf).max(-1, keepdims=True)), 0)
    return e / e.sum(-1, keepdims=True)


def weighted_logsumexp(x, b):
    return jax.nn.logsumexp(x, axis=-1, b=b)


def with_weights(rng, scale):
    return scale * rng.standard_normal((4, 5)), rng.uniform(0.5, 2, (4, 5))


QKV = normal(*[(2, 5, 2, 4)] * 3)
ATTENTION_SCALES = (1e-3, 0.1, 1.0, 3.0)
"""Queries and keys multiply: at 3 most rows have one winner."""

RIGHT: tuple[RightFunction, ...] = (
    right("relu", jax.nn.relu, X, reference=lambda x: jnp.where(x > 0, x, 0)),
    right("relu6", jax.nn.relu6, X, reference=lambda x: jnp.clip(x, 0, 6)),
    right("leaky_relu", jax.nn.leaky_relu, X, reference=lambda x: jnp.where(x > 0, x, 0.01 * x),
          oracle=lambda x: np.where(np.real(x) > 0, x, 0.01 * x)),
    right("sigmoid", jax.nn.sigmoid, X, reference=sigmoid),
    right("sigmoid, oracle", jax.nn.sigmoid, X, scales=(1e-3, 0.1, 1.0, 30.0), oracle=lambda x: 1 / (1 + np.exp(-x))),
    right("tanh", jnp.tanh, X, oracle=np.tanh),
    right("softplus", jax.nn.softplus, X, reference=softplus),
    right("softplus, oracle", jax.nn.softplus, X, scales=(1e-3, 0.1, 1.0, 30.0),
          oracle=lambda x: np.log(1 + np.exp(x))),
    right("sparse_plus", jax.nn.sparse_plus, X,
          reference=lambda x: jnp.where(x <= -1, 0.0, jnp.where(x >= 1, x, (x + 1) ** 2 / 4))),
    right("sparse_sigmoid", jax.nn.sparse_sigmoid, X, reference=lambda x: jnp.clip((x + 1) / 2, 0, 1)),
    right("soft_sign", jax.nn.soft_sign, X, reference=lambda x: x / (1 + jnp.abs(x)),
          oracle=lambda x: x / (1 + np.abs(x))),
    right("silu", jax.nn.silu, X, reference=lambda x: x * sigmoid(x)),
    right("mish", jax.nn.mish, X, reference=lambda x: x * jnp.tanh(softplus(x))),
    right("log_sigmoid", jax.nn.log_sigmoid, X, reference=lambda x: -softplus(-x)),
    right("hard_sigmoid", jax.nn.hard_sigmoid, X, reference=lambda x: jnp.clip(x + 3, 0, 6) / 6),
    right("hard_silu", jax.nn.hard_silu, X, reference=lambda x: x * jnp.clip(x + 3, 0, 6) / 6),
    right("hard_tanh", jax.nn.hard_tanh, X, reference=lambda x: jnp.clip(x, -1, 1)),
    right("elu", jax.nn.elu, X, reference=elu),
    right("celu", jax.nn.celu, X, settings={"alpha": 1.5}, reference=lambda x, alpha: elu(x / alpha) * alpha),
    right("selu", jax.nn.selu, X, reference=lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    right("gelu, approximate", jax.nn.gelu, X, reference=gelu_tanh),
    right("gelu", jax.nn.gelu, X, settings={"approximate": False},
          reference=lambda x, approximate: 0.5 * x * erfc(-x / np.sqrt(2))),
    right("glu", jax.nn.glu, normal((3, 6)), reference=lambda x: x[:, :3] * sigmoid(x[:, 3:])),
    right("squareplus", jax.nn.squareplus, X, reference=lambda x: (x + jnp.sqrt(x**2 + 4)) / 2),
    right("squareplus, oracle", jax.nn.squareplus, X, scales=(1e-3, 0.1, 1.0, 10.0),
          oracle=lambda x: (x + np.sqrt(x**2 + 4)) / 2),
    right("log1mexp", jax.nn.log1mexp, lambda rng, scale: (scale * rng.uniform(0.1, 3, (4, 5)),),
          reference=lambda x: jnp.log(-jnp.expm1(-x))),
    right("identity", jax.nn.identity, X, reference=lambda x: x),
    right("softmax", jax.nn.softmax, X, reference=softmax),
    right("softmax, first axis", jax.nn.softmax, X, settings={"axis": 0}, reference=softmax),
    right("softmax, oracle", jax.nn.softmax, X, scales=(1e-3, 0.1, 1.0, 30.0),
          oracle=lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    right("softmax, masked", masked_softmax, masked_row, reference=masked_softmax_by_hand),
    right("log_softmax", jax.nn.log_softmax, X, reference=lambda x: x - logsumexp(x)[:, None]),
    right("log_softmax, oracle", jax.nn.log_softmax, X, scales=(1e-3, 0.1, 1.0, 30.0),
          oracle=lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    right("logsumexp", jax.nn.logsumexp, X, settings={"axis": -1}, reference=logsumexp),
    right("logsumexp, oracle", jax.nn.logsumexp, X, settings={"axis": -1}, scales=(1e-3, 0.1, 1.0, 30.0),
          oracle=lambda x, axis: np.log(np.exp(x).sum(axis))),
    right("logsumexp, weighted", weighted_logsumexp, with_weights,
          reference=lambda x, b: logsumexp(x + jnp.log(b))),
    right("logmeanexp", jax.nn.logmeanexp, X, settings={"axis": -1},
          reference=lambda x, axis: logsumexp(x) - np.log(5)),
    right("standardize", jax.nn.standardize, normal((4, 8)), reference=standardize),
    right("standardize, oracle", jax.nn.standardize, normal((4, 8)), scales=(0.1, 1.0, 30.0),
          oracle=lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)),
    right("attention", jax.nn.dot_product_attention, QKV, scales=ATTENTION_SCALES, reference=attention),
    right("attention, masked", masked_attention, with_mask, scales=ATTENTION_SCALES, reference=attention),
    right("attention, causal", causal_attention, QKV, scales=ATTENTION_SCALES,
          reference=lambda q, k, v: attention(q, k, v, mask=jnp.tri(5, dtype=bool))),
    right("attention, biased", biased_attention, normal(*[(2, 5, 2, 4)] * 3, (2, 2, 5, 5)), scales=ATTENTION_SCALES,
          reference=lambda q, k, v, bias: attention(q, k, v, bias=bias)),
    right("attention in float64", attention, QKV, scales=ATTENTION_SCALES),
    right("attention in float32", attention, in_float32(QKV), ATTENTION_SCALES),
    right("log_softmax in float32", jax.nn.log_softmax, in_float32(X), reference=lambda x: x - logsumexp(x)[:, None]),
    right("one-hot cotangents", lambda x: jnp.diag(jax.nn.softmax(x)), normal((5, 5)), scales=SCALES),
)  # fmt: skip
