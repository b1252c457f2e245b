"""Which examples a classifier gets wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [N, K] of logits [N, K]; each row sums to 1, for any finite logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts [K, K] of logits [N, K] against labels [N]: row the true class, column the predicted one."""
    matrix = np.zeros((logits.shape[1],) * 2, np.int64)
    np.add.at(matrix, (labels, logits.argmax(axis=1)), 1)
    return matrix


@dataclass(frozen=True)
class Mistake:
    """One misclassified example and the probability that the network gave to its wrong answer."""

    index: int
    label: int
    predicted: int
    probability: float


def confident_errors(logits: np.ndarray, labels: np.ndarray, count: int) -> list[Mistake]:
    """The up to `count` misclassified examples whose wrong answer got the highest probability, worst first."""
    probability = softmax(logits)
    predicted = logits.argmax(axis=1)
    confidence = np.where(predicted == labels, -1.0, probability.max(axis=1))
    worst = np.argsort(-confidence, kind="stable")[:count]
    return [
        Mistake(int(i), int(labels[i]), int(predicted[i]), float(confidence[i])) for i in worst if confidence[i] >= 0
    ]
