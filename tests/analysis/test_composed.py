"""Two convolutions are the one of their composed kernel."""

import numpy as np
import pytest

from convnet import HAND
from convnet.analysis import composed_kernel


def test_by_hand():
    first, second = np.array([[1, -1]], np.float32), np.array([[2, 3]], np.float32)
    found = composed_kernel(first[..., None, None], second[..., None, None])
    np.testing.assert_allclose(found[..., 0, 0], [[2, 1, -3]])
    gaps = composed_kernel(first[..., None, None], second[..., None, None], stride=2)
    np.testing.assert_allclose(gaps[..., 0, 0], [[2, -2, 3, -3]])


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_does_what_both_do(rng, stride):
    first, second = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3, 4, 5), (3, 2, 5, 2)))
    images = rng.normal(size=(2, 16, 17, 4)).astype(np.float32)
    both = HAND.conv2d(HAND.conv2d(images, first, stride=stride, padding="VALID"), second, stride=2, padding="VALID")
    whole = composed_kernel(first, second, stride=stride)
    np.testing.assert_allclose(
        HAND.conv2d(images, whole, stride=2 * stride, padding="VALID"), both, rtol=1e-4, atol=1e-4
    )
