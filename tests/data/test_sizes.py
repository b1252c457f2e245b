"""Images of other sizes in the middle of a canvas."""

import numpy as np

from convnet.data import Split, mixed_sizes, on_canvas


def test_by_hand():
    image = np.full((1, 2, 2, 1), 100, np.uint8)
    expected = np.zeros((5, 5))
    expected[1:3, 1:3] = 100  # the odd row and column are behind
    np.testing.assert_array_equal(on_canvas(image, 2, 5)[0, ..., 0], expected)
    large = on_canvas(image, 4, 5, told=True)
    assert large.dtype == np.uint8
    np.testing.assert_array_equal(large[0, :4, :4, 0], np.full((4, 4), 100))
    np.testing.assert_array_equal(large[0, ..., 1], np.full((5, 5), 204))  # 255 · 4/5
    assert not large[0, 4, :, 0].any()


def test_every_image_is_there_once_at_one_of_the_sizes():
    split = Split(np.full((200, 3, 3, 1), 255, np.uint8), np.arange(200) % 7)
    mixed = mixed_sizes(split, (3, 6), 6)
    np.testing.assert_array_equal(mixed.labels, split.labels)
    areas = (mixed.images > 0).sum(axis=(1, 2, 3))
    assert set(areas) == {9, 36}
    assert 60 < (areas == 9).sum() < 140
