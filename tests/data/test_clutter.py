"""Canvases hold one whole object each, where they say."""

import numpy as np

from convnet.data import cluttered, crops, windows_with_and_without


def objects(value=255):
    """Two of 4×4 pixels, all of one brightness."""
    return np.full((2, 4, 4, 1), value, np.uint8)


def test_a_canvas_has_a_whole_object_at_its_place():
    canvases, places = cluttered(objects(), 30, 12, np.random.default_rng(0))
    assert (canvases.shape, canvases.dtype, places.shape) == ((30, 12, 12, 1), np.uint8, (30, 2))
    np.testing.assert_array_equal(crops(canvases, places, 4), np.full((30, 4, 4, 1), 255))
    assert places.min() >= 0
    assert places.max() == 8
    assert 16 < (canvases > 0).sum(axis=(1, 2, 3)).mean() < 16 + 3 * 16  # fragments, too, and not everywhere


def test_the_brighter_pixel_is_seen():
    mixed = np.concatenate([objects(10)[:1], objects(200)[:1]])
    canvases, places = cluttered(mixed, 50, 8, np.random.default_rng(1))
    whole = crops(canvases, places, 4)
    assert set(np.unique(whole)) == {10, 200}
    assert any(set(np.unique(one)) == {10, 200} for one in whole)  # a bright fragment on a dark object


def test_a_crop_is_the_window_that_begins_there():
    canvas = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1)
    np.testing.assert_array_equal(crops(canvas, np.array([[1, 2]]), 2)[0, ..., 0], [[8, 9], [14, 15]])


def test_windows_without_an_object_do_not_overlap_it_much():
    rng = np.random.default_rng(0)
    windows = windows_with_and_without(objects(), 60, rng, near=1, names=("clutter", "thing"))
    assert (windows.name, windows.class_names) == ("thing or clutter", ("clutter", "thing"))
    parts = [(split.images, split.labels) for split in windows.splits.values()]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    assert (labels == 1).sum() == 60
    assert 150 < (labels == 0).sum() < 240
    assert (images[labels == 1] == 255).all()
