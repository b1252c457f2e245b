"""Confusions and confident errors against counts made by hand."""

import numpy as np
import pytest

from convnet.analysis import confident_errors, confusion_matrix, softmax

LOGITS = np.array([[2.0, 0, 0], [0, 3, 0], [0, 9, 0], [0, 0, 1], [5, 0, 0]])
LABELS = np.array([0, 0, 2, 2, 1])


def test_confusion_matrix_counts_every_example_once():
    expected = np.zeros((3, 3), int)
    for row, label in zip(LOGITS, LABELS, strict=True):
        expected[label, max(range(3), key=lambda k: row[k])] += 1
    matrix = confusion_matrix(LOGITS, LABELS)
    assert (matrix == expected).all()
    assert matrix.sum() == len(LABELS)


def test_confident_errors_are_the_wrong_ones_worst_first():
    mistakes = confident_errors(LOGITS, LABELS, 10)
    assert [m.index for m in mistakes] == [2, 4, 1]
    assert [(m.label, m.predicted) for m in mistakes] == [(2, 1), (1, 0), (0, 1)]
    assert mistakes[0].probability == pytest.approx(np.exp(9) / (np.exp(9) + 2))
    assert len(confident_errors(LOGITS, LABELS, 2)) == 2


def test_no_errors_give_an_empty_list():
    assert confident_errors(np.eye(3), np.arange(3), 5) == []


def test_softmax_of_extreme_logits():
    p = softmax(np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]]))
    np.testing.assert_allclose(p, [[1, 0, 0], [1 / 3] * 3], atol=1e-15)
