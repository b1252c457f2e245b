"""Exercise 4: the gradient of the softmax cross-entropy."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from convnet.exercises.exercise import QUICK, Case, Exercise, Mistake, central_differences, drawn, fixed
from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import HAND


def _cases() -> list[Case]:
    rng = np.random.default_rng(4)

    def case(name, logits):
        n, k = logits.shape
        counts = {what: c for what, c in {"the number of examples": n, "the number of classes": k}.items() if c > 1}
        return Case(name, (logits, fixed(rng.integers(0, k, n), np.int32)), counts=counts)

    large = np.array(rng.normal(size=(3, 4)))
    large[0, 1], large[1, 2] = 300, -300
    return [
        case("one example, three classes", drawn(rng, 1, 3)),
        case("five examples, three classes", drawn(rng, 5, 3)),
        case("as many examples as classes", drawn(rng, 4, 4)),
        case("all logits equal", fixed(np.zeros((2, 5)))),
        case("logits that are all large, 90 to 110", fixed(100 + 10 * rng.uniform(-1, 1, (3, 4)))),
        case("a logit of 300, and one of −300", fixed(large)),
        case("logits of −300", fixed(rng.normal(size=(2, 3)) - 300)),
    ]


@partial(jax.jit, compiler_options=QUICK)
def _gradient(logits, labels):
    return jax.grad(lambda x: HAND.softmax_cross_entropy(x, labels).mean())(logits)


def _slopes(logits, labels):
    oracle = EVIDENCE["softmax_cross_entropy"].oracle
    return central_differences(lambda x: np.mean(oracle.value(x, labels)), logits)


def _softmax(logits, axis=1):
    shares = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return shares / shares.sum(axis=axis, keepdims=True)


def _targets(logits, labels):
    return np.eye(logits.shape[1])[labels]


def _overflowing(right, logits, labels):
    shares = np.exp(logits.astype(np.float32))
    shares = shares / shares.sum(axis=1, keepdims=True)
    return (shares - _targets(logits, labels)) / len(logits)


def _of_batch(right, logits, labels):
    shares = np.exp((logits - logits.max()).astype(np.float32))
    shares = shares / shares.sum(axis=1, keepdims=True)
    return (shares - _targets(logits, labels)) / len(logits)


EXERCISE = Exercise(
    number=4,
    title="the gradient of the softmax cross-entropy",
    function="cross_entropy_gradient",
    results=("d_logits",),
    draw=_cases,
    solution=_gradient,
    plain=lambda logits, labels: (_softmax(logits) - _targets(logits, labels)) / len(logits),
    reference="the gradient of the mean of convnet.HAND.softmax_cross_entropy (jax.grad)",
    home="convnet/ops/loss.py",
    slopes=_slopes,
    mistakes=(
        Mistake(
            "where exp overflows: exp(300) is more than float32 holds. What could be subtracted from all logits of an "
            "example without changing its probabilities?",
            _overflowing,
        ),
        Mistake(
            "where the largest logit of the batch is subtracted, not that of each example: another one may vanish",
            _of_batch,
        ),
        Mistake(
            "without the labels: that is softmax / N",
            lambda right, x, labels: _softmax(x) / len(x),
        ),
        Mistake("without the mean over examples: 1/N is missing", lambda right, x, labels: right(x, labels) * len(x)),
        Mistake("with the sign turned around", lambda right, x, labels: -right(x, labels)),
        Mistake(
            "where softmax runs over the examples, not over the classes",
            lambda right, x, labels: (_softmax(x, axis=0) - _targets(x, labels)) / len(x),
        ),
        Mistake(
            "where softmax is normalised over the whole batch",
            lambda right, x, labels: (_softmax(x.reshape(1, -1)).reshape(x.shape) - _targets(x, labels)) / len(x),
        ),
        Mistake(
            "of the logits less the targets: softmax is missing",
            lambda right, x, labels: (x - _targets(x, labels)) / len(x),
        ),
        Mistake(
            "where the mean is taken over classes, too",
            lambda right, x, labels: right(x, labels) / x.shape[1],
        ),
        Mistake(
            "where only the entry of the label gets a gradient: all logits move the loss",
            lambda right, x, labels: right(x, labels) * _targets(x, labels),
        ),
        Mistake(
            "of a squared error after softmax: p·(1 − p) is a factor too many",
            lambda right, x, labels: right(x, labels) * _softmax(x) * (1 - _softmax(x)),
        ),
        Mistake(
            "of the sigmoid in the place of softmax",
            lambda right, x, labels: (1 / (1 + np.exp(-np.clip(x, -700, 700))) - _targets(x, labels)) / len(x),
        ),
        Mistake(
            "where the labels are counted from 1",
            lambda right, x, labels: right(x, (labels - 1) % x.shape[1]),
        ),
    ),
)
