"""Losses of optax, and some that everybody writes by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from optax import losses

from convnet.gradcheck.evidence.right_functions.nn import logsumexp, softplus
from convnet.gradcheck.evidence.right_functions.right import (
    MODERATE,
    UNIT,
    RightFunction,
    normal,
    one_hot,
    probabilities,
    right,
)

PAIR = normal((4, 5), (4, 5))


def logits_and_one_hot(rng, scale):
    return scale * rng.standard_normal((6, 5)), one_hot(rng, 6, 5)


def logits_and_probabilities(rng, scale):
    return scale * rng.standard_normal((6, 5)), probabilities(rng, (6, 5))


def logits_and_labels(rng, scale):
    return scale * rng.standard_normal((6, 5)), rng.integers(5, size=6).astype(np.int32)


def logits_and_bits(rng, scale):
    return scale * rng.standard_normal((4, 5)), (rng.random((4, 5)) < 0.5).astype(float)


def logits_and_signs(rng, scale):
    return scale * rng.standard_normal((4, 5)), rng.choice([-1.0, 1.0], (4, 5))


def masks_of_probability(rng, scale):
    return scale * rng.standard_normal((2, 6, 6, 3)), np.eye(3)[rng.integers(3, size=(2, 6, 6))]


def bits_of_image(rng, scale):
    return scale * rng.standard_normal((2, 6, 6)), (rng.random((2, 6, 6)) < 0.4).astype(float)


def log_predictions(rng, scale):
    return np.log(probabilities(rng, (6, 5))), probabilities(rng, (6, 5))


def both_logarithms(rng, scale):
    return np.log(probabilities(rng, (6, 5))), np.log(probabilities(rng, (6, 5)))


def speech(rng, scale):
    """Logits [B, T, K], paddings, labels [B, N]: the second sequence is shorter."""
    paddings, label_paddings = np.zeros((2, 8)), np.zeros((2, 3))
    paddings[1, 6:], label_paddings[1, 2:] = 1, 1
    labels = np.array([[1, 2, 1], [3, 3, 0]], np.int32)
    return scale * rng.standard_normal((2, 8, 4)), paddings, labels, label_paddings


def triples(rng, scale):
    anchors = scale * rng.standard_normal((4, 6))
    return anchors, anchors + 0.5 * scale * rng.standard_normal((4, 6)), scale * rng.standard_normal((4, 6))


def embeddings(rng, scale):
    return scale * rng.standard_normal((6, 4)), np.array([0, 0, 1, 1, 2, 2], np.int32)


def cross_entropy(logits, labels):
    """Of probabilities."""
    return -(labels * (logits - logsumexp(logits)[:, None])).sum(-1)


def integer_cross_entropy(logits, labels):
    return logsumexp(logits) - jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]


def binary_cross_entropy(logits, labels):
    return labels * softplus(-logits) + (1 - labels) * softplus(logits)


def focal(logits, labels):
    p = jax.nn.sigmoid(jnp.where(labels == 1, logits, -logits))
    return (1 - p) ** 2 * softplus(jnp.where(labels == 1, -logits, logits))


def huber(x, y, delta=1.0):
    r = jnp.abs(x - y)
    return jnp.where(r <= delta, r**2 / 2, delta * (r - delta / 2))


def quantile(prediction, target, q=0.9):
    r = target - prediction
    return jnp.maximum(q * r, (q - 1) * r)


def hinge(scores, signs):
    return jnp.maximum(0, 1 - scores * signs)


def gaussian_nll(mean, log_variance, target):
    return jnp.mean(0.5 * (log_variance + (target - mean) ** 2 * jnp.exp(-log_variance)))


def mixture_nll(logits, means, log_scales, target):
    """Of a mixture of Gaussians, one number per example."""
    z = (target[:, None] - means) * jnp.exp(-log_scales)
    return -jax.nn.logsumexp(jax.nn.log_softmax(logits) - 0.5 * z**2 - log_scales, axis=-1)


def elbo(mean, log_std, noise, target):
    """Of a Gaussian posterior with a sample by reparameterisation."""
    sample = mean + jnp.exp(log_std) * noise
    kl = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_std) - 1 - 2 * log_std, -1)
    return jnp.mean(jnp.sum((sample - target) ** 2, -1) / 2 + kl)


def contrastive(a, b):
    """Symmetric, as language-image models are trained."""
    a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    logits = a @ b.T / 0.1
    own = jnp.diag(logits)
    return jnp.mean(2 * own - jax.nn.logsumexp(logits, axis=0) - jax.nn.logsumexp(logits, axis=1))


def margin_loss(scores, labels):
    own = jnp.take_along_axis(scores, labels[:, None], 1)
    others = jnp.where(jnp.arange(scores.shape[1]) == labels[:, None], -jnp.inf, scores)
    return jnp.maximum(0, 1 + others.max(1) - own[:, 0])


def policy_gradient(logits, actions, rewards):
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), actions[:, None], 1)[:, 0]
    return -jnp.mean(rewards * chosen)


def actions(rng, scale):
    return scale * rng.standard_normal((6, 5)), rng.integers(5, size=6), rng.standard_normal(6)


def cosine(a, b):
    return (a * b).sum(-1) / jnp.sqrt((a**2).sum(-1) * (b**2).sum(-1))


def numpy_cosine(a, b):
    """As one writes it first; `norm` takes absolute values, which no complex step survives."""
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def numpy_integer_cross_entropy(logits, labels):
    """In a loop, with a buffer of its own."""
    loss = np.zeros(len(logits), logits.dtype)
    for i, (row, label) in enumerate(zip(logits, labels, strict=True)):
        top = row.real.max()
        loss[i] = np.log(np.exp(row - top).sum()) + top - row[label]
    return loss


RIGHT: tuple[RightFunction, ...] = (
    right("l2_loss", losses.l2_loss, PAIR, oracle=lambda x, y: (x - y) ** 2 / 2),
    right("squared_error", losses.squared_error, PAIR, reference=lambda x, y: (x - y) ** 2),
    right("mean squared error", lambda x, y: jnp.mean((x - y) ** 2), PAIR, oracle=lambda x, y: ((x - y) ** 2).mean()),
    right("mean absolute error", lambda x, y: jnp.mean(jnp.abs(x - y)), PAIR,
          oracle=lambda x, y: np.abs(x - y).mean()),
    right("huber_loss", losses.huber_loss, PAIR, reference=huber),
    right("huber by hand", huber, PAIR, reference=lambda x, y: jnp.where(
        jnp.abs(x - y) < 1, (x - y) ** 2 / 2, jnp.abs(x - y) - 0.5)),
    right("log_cosh", losses.log_cosh, PAIR, reference=lambda x, y: softplus(2 * (x - y)) - (x - y) - np.log(2)),
    right("quantile", quantile, PAIR, reference=lambda p, t: jnp.where(t > p, 0.9 * (t - p), 0.1 * (p - t))),
    right("cosine_similarity", losses.cosine_similarity, PAIR, reference=cosine, oracle=numpy_cosine),
    right("cosine_distance", losses.cosine_distance, PAIR, reference=lambda a, b: 1 - cosine(a, b)),
    right("sigmoid_binary_cross_entropy", losses.sigmoid_binary_cross_entropy, logits_and_bits, argnums=0,
          reference=binary_cross_entropy),
    right("sigmoid_binary_cross_entropy, in both", losses.sigmoid_binary_cross_entropy, logits_and_bits,
          reference=binary_cross_entropy),
    right("softmax_cross_entropy", losses.softmax_cross_entropy, logits_and_one_hot, argnums=0,
          reference=cross_entropy),
    right("softmax_cross_entropy, in both", losses.softmax_cross_entropy, logits_and_probabilities,
          reference=cross_entropy),
    right("safe_softmax_cross_entropy", losses.safe_softmax_cross_entropy, logits_and_one_hot, argnums=0,
          reference=cross_entropy),
    right("integer cross-entropy", losses.softmax_cross_entropy_with_integer_labels, logits_and_labels,
          reference=integer_cross_entropy),
    right("integer cross-entropy, oracle", losses.softmax_cross_entropy_with_integer_labels, logits_and_labels,
          oracle=numpy_integer_cross_entropy),
    right("mean integer cross-entropy", lambda x, y: losses.softmax_cross_entropy_with_integer_labels(x, y).mean(),
          logits_and_labels, reference=lambda x, y: integer_cross_entropy(x, y).mean()),
    right("poly_loss_cross_entropy", losses.poly_loss_cross_entropy, logits_and_one_hot, argnums=0,
          reference=lambda x, y: cross_entropy(x, y) + 2 * (1 - (y * jax.nn.softmax(x)).sum(-1))),
    right("sigmoid_focal_loss", losses.sigmoid_focal_loss, logits_and_bits, argnums=0, reference=focal),
    right("hinge_loss", losses.hinge_loss, logits_and_signs, argnums=0, reference=hinge),
    right("squared hinge", lambda x, y: hinge(x, y) ** 2, logits_and_signs, argnums=0,
          reference=lambda x, y: jnp.where(x * y < 1, (1 - x * y) ** 2, 0)),
    right("perceptron_loss", losses.perceptron_loss, logits_and_signs, argnums=0,
          reference=lambda x, y: jnp.maximum(0, -x * y)),
    right("multiclass_hinge_loss", jax.vmap(losses.multiclass_hinge_loss), logits_and_labels,
          reference=margin_loss),
    right("multiclass_perceptron_loss", jax.vmap(losses.multiclass_perceptron_loss), logits_and_labels),
    right("multiclass_sparsemax_loss", losses.multiclass_sparsemax_loss, logits_and_labels),
    right("sparsemax_loss", losses.sparsemax_loss, logits_and_bits, argnums=0),
    right("fenchel_young_loss", losses.make_fenchel_young_loss(jax.nn.logsumexp), logits_and_probabilities,
          reference=lambda x, y: logsumexp(x) - (x * y).sum(-1)),
    right("kl_divergence", losses.kl_divergence, log_predictions, UNIT, argnums=0,
          reference=lambda p, q: (q * (jnp.log(q) - p)).sum(-1)),
    right("kl_divergence, in both", losses.kl_divergence, log_predictions, UNIT,
          reference=lambda p, q: (q * (jnp.log(q) - p)).sum(-1)),
    right("kl_divergence_with_log_targets", losses.kl_divergence_with_log_targets, both_logarithms, UNIT,
          oracle=lambda p, q: (np.exp(q) * (q - p)).sum(-1)),
    right("convex_kl_divergence", losses.convex_kl_divergence, log_predictions, UNIT,
          reference=lambda p, q: (q * (jnp.log(q) - p) + jnp.exp(p) - q).sum(-1)),
    right("ctc_loss", losses.ctc_loss, speech, MODERATE, argnums=0),
    right("triplet_margin_loss", losses.triplet_margin_loss, triples, MODERATE),
    right("ntxent", losses.ntxent, embeddings),
    right("ranking_softmax_loss", losses.ranking_softmax_loss, logits_and_bits, argnums=0),
    right("dice_loss", losses.dice_loss, masks_of_probability, argnums=0),
    right("binary_dice_loss", losses.binary_dice_loss, bits_of_image, argnums=0),
    right("Gaussian likelihood", gaussian_nll, normal(*[(6,)] * 3), (1e-3, 0.1, 1.0, 3.0),
          oracle=lambda m, s, t: (0.5 * (s + (t - m) ** 2 / np.exp(s))).mean()),
    right("mixture likelihood", mixture_nll, normal((6, 3), (6, 3), (6, 3), (6,)), (1e-3, 0.1, 1.0, 3.0)),
    right("evidence lower bound", elbo, normal(*[(4, 3)] * 4), (1e-3, 0.1, 1.0, 3.0)),
    right("contrastive", contrastive, normal((5, 4), (5, 4))),
    right("multiclass margin", margin_loss, logits_and_labels),
    right("ridge regression", lambda x, y, w, b: jnp.mean((x @ w + b - y) ** 2) + 0.1 * jnp.sum(w**2),
          normal((7, 3), (7,), (3,), ()), oracle=lambda x, y, w, b: ((x @ w + b - y) ** 2).mean() + 0.1 * (w**2).sum()),
    right("logistic regression", lambda x, y, w: jnp.mean(jax.nn.softplus(-y * (x @ w))),
          lambda rng, scale: (scale * rng.standard_normal((7, 3)), rng.choice([-1.0, 1.0], 7), rng.standard_normal(3)),
          argnums=(0, 2), reference=lambda x, y, w: jnp.mean(softplus(-y * (x @ w)))),
    right("policy gradient", policy_gradient, actions, argnums=0,
          reference=lambda x, a, r: jnp.mean(r * integer_cross_entropy(x, a))),
)  # fmt: skip
