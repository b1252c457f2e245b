"""Tiles are arrays, so they are tested as arrays."""

import numpy as np

from convnet.report import tiles


def test_grid_puts_every_tile_in_reading_order(rng):
    images = rng.uniform(size=(5, 2, 3, 3))
    canvas = tiles.grid(images, columns=2, gap=1)
    assert canvas.shape == (3 * 3 - 1, 2 * 4 - 1, 3)
    for i, image in enumerate(images):
        top, left = 3 * (i // 2), 4 * (i % 2)
        np.testing.assert_array_equal(canvas[top : top + 2, left : left + 3], image)
    assert (canvas[2] == 1).all()  # the gap between rows
    assert (canvas[6:8, 4:] == 1).all()  # the place of the missing sixth tile


def test_signed_scale_has_zero_in_the_middle():
    weights = np.array([-2.0, 0, 2, 1]).reshape(4, 1, 1, 1)
    blue, white, red, pink = tiles.signed_rgb(weights)[:, 0, 0]
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert white.min() > 0.95
    assert pink[0] > 0.8 > red[2] + 0.5
    np.testing.assert_allclose(tiles.signed_rgb(np.zeros((1, 1, 1, 3)))[0, 0, 0], 0.5)


def test_one_scale_each_uses_the_whole_range_of_each():
    weights = np.array([1.0, -1, 0.01, -0.01]).reshape(2, 1, 2, 1) * np.ones((1, 1, 1, 3))
    shared = tiles.signed_rgb(weights)
    own = tiles.signed_rgb(weights, np.array([1.0, 0.01]))
    np.testing.assert_allclose(shared[0, 0, :, 0], [1, 0])
    np.testing.assert_allclose(shared[1, 0, :, 0], [0.505, 0.495])
    np.testing.assert_allclose(own[1, 0, :, 0], [1, 0])


def test_other_numbers_of_channels_are_shown_by_their_mean():
    weights = np.stack([np.full((1, 1), 3.0), np.full((1, 1), -1.0)], axis=-1)[None]
    np.testing.assert_array_equal(tiles.signed_rgb(weights, 2.0), tiles.signed_rgb(np.ones((1, 1, 1, 1)), 2.0))


def test_pixels_of_one_channel_are_grey():
    images = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(tiles.pixel_rgb(images)[:, 0, 0], np.array([[0] * 3, [0.2] * 3, [1] * 3]))


def test_pixels_of_other_numbers_of_channels_are_their_mean_in_grey():
    for values in ([0, 102], [255, 0, 0, 153]):
        image = np.array(values, np.uint8).reshape(1, 1, 1, -1)
        np.testing.assert_allclose(tiles.pixel_rgb(image)[0, 0, 0], [np.mean(values) / 255] * 3)
    np.testing.assert_allclose(tiles.pixel_rgb(np.array([[[[51, 0, 255]]]], np.uint8))[0, 0, 0], [0.2, 0, 1])


def test_no_pixel_is_a_light_grey():
    image = np.full((1, 1, 1, 1), np.nan)
    np.testing.assert_allclose(tiles.pixel_rgb(image), tiles.NO_PIXEL / 255)
