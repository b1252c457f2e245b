"""The nearest image is the one at the smallest distance."""

import numpy as np

from convnet.analysis import nearest_images


def test_by_hand():
    known = np.array([0, 102, 255], np.uint8).reshape(3, 1, 1, 1) * np.ones((1, 2, 2, 1), np.uint8)
    index, way = nearest_images(np.array([0.0, 0.5, 0.9]).reshape(3, 1, 1, 1) * np.ones((1, 2, 2, 1)), known)
    np.testing.assert_array_equal(index, [0, 1, 2])
    np.testing.assert_allclose(way, [0, 0.2, 0.2])  # of four pixels, each 0.1 off


def test_bytes_are_in_the_unit_of_floats_and_the_first_of_equals_is_taken():
    known = np.zeros((2, 1, 1, 1))
    index, way = nearest_images(np.full((1, 1, 1, 1), 51, np.uint8), known)
    assert (list(index), list(way)) == ([0], [0.2])
