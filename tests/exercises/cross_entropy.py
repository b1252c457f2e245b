"""The gradient of the softmax cross-entropy as a student writes it, right and with a mistake each."""

import numpy as np


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def one_hot(x, labels):
    return np.eye(x.shape[1], dtype=x.dtype)[labels]


def right(x, labels):
    p = softmax(x)
    p[np.arange(len(x)), labels] -= 1
    return p / len(x)


def overflows(x, labels):
    e = np.exp(x)
    return (e / e.sum(axis=1, keepdims=True) - one_hot(x, labels)) / len(x)


def sum_over_examples(x, labels):
    return right(x, labels) * len(x)


def uphill(x, labels):
    return (one_hot(x, labels) - softmax(x)) / len(x)


def over_examples(x, labels):
    return (softmax(x, axis=0) - one_hot(x, labels)) / len(x)


def no_labels(x, labels):
    return softmax(x) / len(x)


def only_the_label(x, labels):
    return (softmax(x) - 1) * one_hot(x, labels) / len(x)


def largest_of_the_batch(x, labels):
    e = np.exp(x - x.max())
    return (e / e.sum(axis=1, keepdims=True) - one_hot(x, labels)) / len(x)


def rows_instead_of_entries(x, labels):
    p = softmax(x)
    p[labels] -= 1
    return p / len(x)


def no_keepdims(x, labels):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1) - one_hot(x, labels)) / len(x)


def mean_over_classes(x, labels):
    return (softmax(x) - one_hot(x, labels)) / x.size


def clipped(x, labels):
    return right(np.clip(x, -80, 80), labels)


def sigmoid(x, labels):
    return (1 / (1 + np.exp(-x)) - one_hot(x, labels)) / len(x)


def squared_error(x, labels):
    p = softmax(x)
    return (p - one_hot(x, labels)) * p * (1 - p) / len(x)


def loss_itself(x, labels):
    return -np.log(softmax(x)[np.arange(len(x)), labels]).mean()


CROSS_ENTROPY = {
    overflows: "where exp overflows: exp(300) is more than float32 holds",
    sum_over_examples: "1/N is missing",
    uphill: "with the sign turned around",
    over_examples: "where softmax runs over the examples",
    no_labels: "without the labels",
    only_the_label: "where only the entry of the label gets a gradient",
    largest_of_the_batch: "where the largest logit of the batch is subtracted",
    rows_instead_of_entries: "raises IndexError: index 2 is out of bounds",
    no_keepdims: "raises ValueError: operands could not be broadcast together",
    mean_over_classes: "where the mean is taken over classes, too",
    clipped: "Case 5, d_logits: every entry is wrong",
    sigmoid: "of the sigmoid",
    squared_error: "of a squared error after softmax",
    loss_itself: "d_logits has shape []: expected [1, 3]",
}
