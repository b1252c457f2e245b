"""The references here are loops over pixels. Images encode the place of each pixel, so a draw can be read off."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.data import alternating_flip, augment, center_crop, flip, normalize, random_crop, shift

KEY = jax.random.key(0)


def _coordinates(n, height=7, width=9):
    """[n, height, width, 3] uint8, all pixels different: channels hold row + 1, column + 1, and image mod 256."""
    images = np.zeros((n, height, width, 3), np.uint8)
    for i in range(n):
        for row in range(height):
            for column in range(width):
                images[i, row, column] = row + 1, column + 1, i % 256
    return images


def _translated(image, down, right, fill):
    result = np.zeros_like(image)
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            inside = 0 <= row - down < height and 0 <= column - right < width
            for channel in range(channels):
                result[row, column, channel] = image[row - down, column - right, channel] if inside else fill[channel]
    return result


def _offset(shifted, fill):
    """The (down, right) that the center pixel of a shifted coordinate image tells."""
    height, width, _ = shifted.shape
    row, column = height // 2, width // 2
    return row + 1 - int(shifted[row, column, 0]), column + 1 - int(shifted[row, column, 1])


@pytest.mark.parametrize("fill", [0, 200, np.array([250, 0, 7], np.uint8), jnp.array([1, 2, 255], jnp.uint8)])
@pytest.mark.parametrize("pixels", [1, 3])
def test_shift_translates_each_image_whole(pixels, fill):
    images = _coordinates(40)
    channels = [fill] * 3 if isinstance(fill, int) else [int(value) for value in fill]
    shifted = np.asarray(shift(KEY, images, pixels=pixels, fill=fill))
    assert shifted.dtype == np.uint8
    for i in range(len(images)):
        down, right = _offset(shifted[i], channels)
        assert max(abs(down), abs(right)) <= pixels
        np.testing.assert_array_equal(shifted[i], _translated(images[i], down, right, channels))


def test_shift_draws_every_offset_equally_often_and_independently():
    n, pixels = 10_000, 2
    shifted = np.asarray(shift(KEY, np.broadcast_to(_coordinates(1), (n, 7, 9, 3)), pixels=pixels))
    counts = np.zeros((5, 5), int)
    for image in shifted:
        down, right = _offset(image, [0] * 3)
        counts[down + pixels, right + pixels] += 1
    # Each of the 25 offsets is Binomial(10000, 1/25): standard deviation 19.6. Uniform cells mean independent axes.
    assert np.abs(counts - n / 25).max() < 4.5 * 19.6


def test_neighbouring_images_are_shifted_independently():
    shifted = np.asarray(shift(KEY, np.broadcast_to(_coordinates(1), (4000, 7, 9, 3)), pixels=1))
    offsets = [_offset(image, [0] * 3) for image in shifted]
    same = sum(first == second for first, second in itertools.pairwise(offsets))
    assert abs(same - 4000 / 9) < 5 * 20  # Binomial(3999, 1/9): standard deviation 19.9


def test_shift_by_more_than_the_image_leaves_only_fill_or_pixels():
    images = np.full((200, 2, 2, 1), 9, np.uint8)
    shifted = np.asarray(shift(KEY, images, pixels=5, fill=3))
    assert set(shifted.ravel().tolist()) == {3, 9}


@pytest.mark.parametrize("moved", [lambda x: shift(KEY, x, pixels=5), lambda x: augment(KEY, x, shift_pixels=5)])
def test_the_border_is_black_unless_said_otherwise(moved):
    shifted = np.asarray(moved(np.full((200, 2, 2, 1), 9, np.uint8)))
    assert set(shifted.ravel().tolist()) == {0, 9}


@pytest.mark.parametrize("pixels", [1, 3])
def test_a_reflected_border_is_the_image_mirrored_at_its_outermost_pixels(pixels):
    images = _coordinates(40)
    shifted = np.asarray(shift(KEY, images, pixels=pixels, border="reflect", fill=77))
    assert shifted.dtype == np.uint8
    seen = set()
    for image, result in zip(images, shifted, strict=True):
        down, right = _offset(result, [77] * 3)
        seen.add((down, right))
        for row, column in np.ndindex(7, 9):
            source = [abs(row - down), abs(column - right)]  # −1 is 1, and one beyond the last is the last but one
            source = [i if i < side else 2 * (side - 1) - i for i, side in zip(source, (7, 9), strict=True)]
            np.testing.assert_array_equal(result[row, column], image[tuple(source)])
    assert len(seen) > 2 * pixels + 1


@pytest.mark.parametrize(("height", "width"), [(2, 3), (1, 4)])
def test_images_smaller_than_the_border_are_reflected_again(height, width):
    images, wide = _coordinates(30, height, width), ((5, 5), (5, 5), (0, 0))
    shifted = np.asarray(shift(KEY, images, pixels=5, border="reflect"))
    for image, result in zip(images, shifted, strict=True):
        padded = np.pad(image, wide, mode="reflect")
        windows = [padded[top : top + height, left : left + width] for top, left in np.ndindex(11, 11)]
        assert any(np.array_equal(result, window) for window in windows)


def test_the_border_has_no_say_in_where_an_image_goes():
    images = _coordinates(60)
    for one, other in zip(*(shift(KEY, images, pixels=3, border=b) for b in ("zero", "reflect")), strict=True):
        assert _offset(one, [0] * 3) == _offset(other, [0] * 3)
    whole = augment(KEY, images, shift_pixels=3, border="reflect")
    np.testing.assert_array_equal(whole, shift(jax.random.split(KEY, 3)[1], images, pixels=3, border="reflect"))


def test_shift_by_nothing_is_the_identity():
    images = _coordinates(3)
    np.testing.assert_array_equal(shift(KEY, images, pixels=0, fill=99), images)


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_rest():
    images = _coordinates(1000)
    flipped = np.asarray(flip(KEY, images))
    mirrored = 0
    for image, result in zip(images, flipped, strict=True):
        if result[0, 0, 1] == 1:
            np.testing.assert_array_equal(result, image)
        else:
            mirrored += 1
            for column in range(9):
                np.testing.assert_array_equal(result[:, column], image[:, 8 - column])
    assert abs(mirrored - 500) < 5 * 15.8


# --- alternating flips ------------------------------------------------------------------------------------------------


def _noise(rng, n, height=5, width=6, channels=3):
    return rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def _mirrored(images, results):
    """Which of the images are mirrored in `results`, where they are as they were or mirrored."""
    found = []
    for image, result in zip(images, np.asarray(results), strict=True):
        assert np.array_equal(result, image) != np.array_equal(result, image[:, ::-1])
        found.append(np.array_equal(result, image[:, ::-1]))
    return np.array(found)


@pytest.mark.parametrize("epoch", [0, 5])
def test_in_two_epochs_each_image_is_seen_once_as_it_is_and_once_mirrored(epoch, rng):
    images = _noise(rng, 1000)
    first, second, third = (_mirrored(images, alternating_flip(KEY, images, epoch + i)) for i in range(3))
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)
    assert abs(first.sum() - 500) < 5 * 15.8  # Binomial(1000, ½)


def test_an_epoch_may_be_traced(rng):
    images = _noise(rng, 20)
    run = jax.jit(alternating_flip)
    for epoch in (0, 3):
        np.testing.assert_array_equal(run(KEY, images, jnp.int32(epoch)), alternating_flip(KEY, images, epoch))


def test_an_image_is_mirrored_wherever_it_stands(rng):
    """In another order, in other batches, and alone."""
    images = _noise(rng, 24)
    whole, order = np.asarray(alternating_flip(KEY, images, 3)), rng.permutation(24)
    np.testing.assert_array_equal(alternating_flip(KEY, images[order], 3), whole[order])
    for start in range(0, 24, 8):
        np.testing.assert_array_equal(alternating_flip(KEY, images[start : start + 8], 3), whole[start : start + 8])
    np.testing.assert_array_equal(alternating_flip(KEY, images[5:6], 3), whole[5:6])


def test_another_key_mirrors_another_half(rng):
    images = _noise(rng, 1000)
    one, other = (_mirrored(images, alternating_flip(jax.random.key(s), images, 0)) for s in (1, 2))
    assert abs((one == other).sum() - 500) < 5 * 15.8


@pytest.mark.parametrize("likeness", ["one pixel of another", "all dark", "black and white"])
def test_images_that_are_alike_are_divided_as_others_are(likeness, rng):
    """Which half an image is in follows from its pixels, and so little as a last bit is enough."""
    if likeness == "one pixel of another":
        images = np.repeat(_noise(rng, 1, 20, 30, 2), 600, axis=0)
        images[np.arange(600), np.arange(600) // 30, np.arange(600) % 30, 0] ^= 1
    else:
        values = [0, 1] if likeness == "all dark" else [0, 128]
        images = np.asarray(values, np.uint8)[rng.integers(0, 2, (600, 6, 8, 1))]
    mirrored = _mirrored(images, alternating_flip(KEY, images, 0))
    assert abs(mirrored.sum() - 300) < 5 * 12.2


# --- crops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4, 7])
def test_random_crop_cuts_a_window_out_of_each_image(size):
    images = _coordinates(60)
    crops = np.asarray(random_crop(KEY, images, size=size))
    assert crops.shape == (60, size, size, 3)
    for image, crop in zip(images, crops, strict=True):
        top, left = int(crop[0, 0, 0]) - 1, int(crop[0, 0, 1]) - 1
        for row in range(size):
            for column in range(size):
                np.testing.assert_array_equal(crop[row, column], image[top + row, left + column])


def test_random_crop_places_the_window_everywhere_equally_often():
    n = 9000
    crops = np.asarray(random_crop(KEY, np.broadcast_to(_coordinates(1), (n, 7, 9, 3)), size=5))
    counts = np.zeros((3, 5), int)
    for crop in crops:
        counts[int(crop[0, 0, 0]) - 1, int(crop[0, 0, 1]) - 1] += 1
    assert np.abs(counts - n / 15).max() < 4.5 * 23.7  # Binomial(9000, 1/15)


def test_crop_of_the_whole_image_is_the_identity():
    images = _coordinates(5, 6, 6)
    np.testing.assert_array_equal(random_crop(KEY, images, size=6), images)
    np.testing.assert_array_equal(center_crop(images, size=6), images)


@pytest.mark.parametrize(("size", "top", "left"), [(1, 3, 4), (3, 2, 3), (4, 1, 2), (7, 0, 1)])
def test_center_crop_cuts_the_middle(size, top, left):
    images = _coordinates(2)
    crops = np.asarray(center_crop(images, size=size))
    assert crops.shape == (2, size, size, 3)
    for row in range(size):
        for column in range(size):
            np.testing.assert_array_equal(crops[:, row, column], images[:, top + row, left + column])


def test_normalize_is_the_formula_per_channel(rng):
    images = rng.integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    mean, std = np.array([1.5, 100, 250], np.float32), np.array([2, 50, 0.5], np.float32)
    found = normalize(images, mean, std)
    assert found.dtype == jnp.float32
    for place in np.ndindex(*images.shape):
        expected = (float(images[place]) - float(mean[place[-1]])) / float(std[place[-1]])
        np.testing.assert_allclose(found[place], expected, rtol=1e-6, atol=1e-6)


def test_normalize_takes_floating_images_and_single_ones_and_has_a_gradient():
    image, mean, std = jnp.ones((2, 2, 1), jnp.bfloat16), np.float32([3]), np.float32([4])
    assert normalize(image, mean, std).dtype == jnp.float32
    gradient = jax.grad(lambda x: normalize(x, mean, std).sum())(jnp.ones((2, 2, 1)))
    np.testing.assert_allclose(gradient, 0.25)


def test_augment_does_nothing_unless_asked():
    images = _coordinates(4)
    np.testing.assert_array_equal(augment(KEY, images), images)


def test_augment_crops_then_shifts_then_flips():
    images = _coordinates(50, 8, 8)
    crop_key, shift_key, flip_key = jax.random.split(KEY, 3)
    expected = random_crop(crop_key, images, size=6)
    np.testing.assert_array_equal(augment(KEY, images, crop_size=6), expected)
    expected = shift(shift_key, expected, pixels=2, fill=5)
    np.testing.assert_array_equal(augment(KEY, images, crop_size=6, shift_pixels=2, fill=5), expected)
    expected = flip(flip_key, expected)
    found = augment(KEY, images, crop_size=6, shift_pixels=2, flip_images=True, fill=5)
    np.testing.assert_array_equal(found, expected)


def test_enabling_one_augmentation_leaves_the_draws_of_another():
    images = _coordinates(30)
    flips = np.asarray(augment(KEY, images, flip_images=True))[:, 3, 4, 1] != images[:, 3, 4, 1]
    assert not flips.any()  # the middle column stays in the middle
    both = np.asarray(augment(KEY, images, flip_images=True, shift_pixels=1))
    shifted = np.asarray(augment(KEY, images, shift_pixels=1))
    alone = np.asarray(augment(KEY, images, flip_images=True))
    for i in range(30):
        was_flipped = alone[i, 0, 0, 1] != images[i, 0, 0, 1]
        np.testing.assert_array_equal(both[i], shifted[i][:, ::-1] if was_flipped else shifted[i])


def test_augmentation_is_a_pure_function_of_its_key():
    images = _coordinates(50)
    arguments = {"shift_pixels": 2, "flip_images": True, "crop_size": 6}
    first, again, other = (np.asarray(augment(jax.random.key(s), images, **arguments)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_augmentation_is_the_same_inside_jit_scan_and_vmap():
    images = jnp.asarray(_coordinates(8))
    keys = jax.random.split(KEY, 3)

    @jax.jit
    def apply(key):
        return augment(key, images, shift_pixels=2, flip_images=True, crop_size=6, fill=np.uint8([1, 2, 3]))

    expected = np.stack([apply(key) for key in keys])
    np.testing.assert_array_equal(jax.vmap(apply)(keys), expected)
    _, scanned = jax.lax.scan(lambda carry, key: (carry, apply(key)), 0, keys)
    np.testing.assert_array_equal(scanned, expected)


IMAGES = _coordinates(2)
SINGLE = r"images must be uint8 \[N, H, W, C\], got uint8 of shape \(7, 9, 3\)"
FLOATING = r"images must be uint8 \[N, H, W, C\], got float32 of shape \(2, 7, 9, 3\)"


@pytest.mark.parametrize(
    "call",
    [
        lambda images: shift(KEY, images, pixels=1),
        lambda images: flip(KEY, images),
        lambda images: alternating_flip(KEY, images, 0),
        lambda images: random_crop(KEY, images, size=3),
        lambda images: augment(KEY, images),
    ],
    ids=["shift", "flip", "alternating_flip", "random_crop", "augment"],
)
@pytest.mark.parametrize(("images", "message"), [(IMAGES[0], SINGLE), (IMAGES.astype(np.float32), FLOATING)])
def test_images_of_another_kind_are_refused(call, images, message):
    with pytest.raises(ValueError, match=message):
        call(images)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shift(KEY, IMAGES, pixels=-1), "pixels must be at least 0, got -1"),
        (lambda: augment(KEY, IMAGES, shift_pixels=-1), "pixels must be at least 0, got -1"),
        (lambda: shift(KEY, IMAGES, pixels=1, border="wrap"), "border must be one of zero, reflect, got 'wrap'"),
        (lambda: shift(KEY, IMAGES, pixels=1, fill=256), "fill must be a pixel value from 0 to 255, got 256"),
        (lambda: shift(KEY, IMAGES, pixels=1, fill=-1), "fill must be a pixel value from 0 to 255, got -1"),
        (lambda: shift(KEY, IMAGES, pixels=1, fill=0.5), r"fill must be an int, or uint8 .* got float64 of shape \(\)"),
        (
            lambda: shift(KEY, IMAGES, pixels=1, fill=np.zeros(2, np.uint8)),
            r"= \(3,\), got uint8 of shape \(2,\)",
        ),
        (lambda: shift(KEY, IMAGES, pixels=1, fill=np.zeros(3)), r"fill must be .* got float64 of shape \(3,\)"),
        (lambda: random_crop(KEY, IMAGES, size=8), "size must be from 1 to the image's smaller side, 7, got 8"),
        (lambda: center_crop(IMAGES[0], size=3), r"images must be \[N, H, W, C\], got shape \(7, 9, 3\)"),
        (lambda: center_crop(IMAGES, size=8), "size must be from 1 to the image's smaller side, 7, got 8"),
        (lambda: center_crop(IMAGES, size=0), "size must be from 1 .* got 0"),
        (lambda: augment(KEY, IMAGES, crop_size=0), "size must be from 1 .* got 0"),
        (lambda: normalize(IMAGES, np.zeros(1), np.ones(3)), r"mean must have shape \[C\] = \(3,\).* got \(1,\)"),
        (lambda: normalize(IMAGES, np.zeros(3), 1.0), r"std must have shape \[C\] = \(3,\).* got \(\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
