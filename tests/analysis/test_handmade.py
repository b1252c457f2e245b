"""Features made by hand, and one linear classifier for all features."""

import colorsys

import jax.numpy as jnp
import numpy as np
import pytest

from convnet.analysis.handmade import (
    compare_features,
    handmade_features,
    hog,
    hue_histogram,
    layer_features,
    linear_accuracy,
)
from convnet.architectures.layers import Activation, Conv, Pool
from convnet.data import Dataset, Split
from tests.analysis.compilations import compilations
from tests.analysis.tiny_views import view_of

TABLE = (Conv("conv1", 3), Activation("conv1_relu"), Pool("pool1", "max", 2))


# --- hues -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_saturation", [True, False])
def test_hues_are_counted_pixel_by_pixel(rng, by_saturation):
    images = rng.integers(0, 256, size=(3, 5, 7, 3), dtype=np.uint8)
    images[0, :2] = 128  # grey: no hue
    expected = np.zeros((3, 10))
    for n, i, j in np.ndindex(3, 5, 7):
        hue, saturation, _ = colorsys.rgb_to_hsv(*(images[n, i, j] / 255))
        expected[n, int(10 * hue)] += saturation if by_saturation else 1
    found = hue_histogram(images, by_saturation=by_saturation)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-12)


def test_one_colour_is_in_one_bin():
    colours = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]], np.float32)
    images = np.broadcast_to(colours[:, None, None], (6, 5, 7, 3))
    np.testing.assert_array_equal(hue_histogram(images, 6), np.eye(6))
    # Lighter and darker colours have the hue that they had.
    np.testing.assert_array_equal(hue_histogram(0.3 + 0.5 * images, 6), np.eye(6))
    np.testing.assert_array_equal(hue_histogram(np.full((1, 5, 7, 3), 0.5)), np.zeros((1, 10)))


def test_grey_images_have_gradients_alone(rng):
    grey, colour = rng.uniform(size=(2, 8, 12, 1)), rng.uniform(size=(2, 8, 12, 3))
    with pytest.raises(ValueError, match="images have 1 channels: expected 3"):
        hue_histogram(grey)
    np.testing.assert_array_equal(handmade_features(grey), hog(grey))
    np.testing.assert_array_equal(handmade_features(colour), np.hstack([hog(colour), hue_histogram(colour)]))


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "cell"),
    [((28, 28), 7), ((32, 32), 8), ((64, 80), 8), ((8, 8), 2), ((14, 30), 3), ((5, 7), 1), ((3, 2), 1)],
)
def test_cells_are_8_pixels_or_in_proportion(sides, cell):
    found = hog(np.zeros((2, *sides)))
    blocks = [max(side // cell - 1, 1) for side in sides]
    assert found.shape == (2, blocks[0] * blocks[1] * 2 * 2 * 9)
    np.testing.assert_array_equal(found, hog(np.zeros((2, *sides, 1)), cell=cell))


@pytest.mark.parametrize("angle", [0, 40, 80, 120, 160])
def test_edges_of_one_direction_are_in_one_bin(angle):
    """A plane wave's gradient points along it, whichever its sign; nine bins of 20° from 0°."""
    rows, columns = np.arange(24)[:, None], np.arange(40)
    radians = np.radians(angle + 10)  # the middle of the bin
    wave = 0.5 + 0.5 * np.sin(0.2 * (np.cos(radians) * columns + np.sin(radians) * rows))
    energy = hog(wave[None], cell=8).reshape(-1, 9)
    assert (energy.argmax(axis=1) == angle // 20).all()
    assert energy.sum(axis=0)[angle // 20] > 0.8 * energy.sum()  # the border has half of a gradient, in other bins


def test_contrast_and_brightness_change_little(rng):
    images = rng.uniform(size=(2, 16, 24, 1))
    np.testing.assert_allclose(hog(0.3 + 0.4 * images), hog(images), atol=1e-3)


def test_progress_is_told_of_each_image(rng):
    done = []
    hog(rng.uniform(size=(3, 8, 8)), on_progress=done.append)
    assert done == [1, 1, 1]


@pytest.mark.parametrize(
    ("images", "settings", "told"),
    [
        (np.zeros((8, 8)), {}, r"images have shape \[8, 8\]: expected \[N, H, W, C\]"),
        (np.zeros((0, 8, 8, 1)), {}, "none of them 0"),
        (np.full((1, 8, 8), np.nan), {}, "images are float64, nan … nan"),
        (np.full((1, 8, 8), 200.0), {}, "expected uint8, or"),
        (np.zeros((1, 8, 8), int), {}, "images are int64"),
        (np.zeros((1, 8, 6)), {"cell": 7}, "cell is 7: expected from 1 to 6 pixels"),
        (np.zeros((1, 8, 6)), {"orientations": 0}, "orientations is 0: expected 1 or more"),
    ],
)
def test_what_are_no_images_is_refused(images, settings, told):
    with pytest.raises(ValueError, match=told):
        hog(images, **settings)


# --- a network's features ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 1), (6, 4, 3)], ids=str)
def test_a_layers_features_are_its_results_in_chunks(rng, shape):
    view = view_of(TABLE, shape)
    images, done = rng.uniform(size=(5, *shape)).astype(np.float32), []
    expected = np.asarray(view.at("pool1", jnp.asarray(images))).reshape(5, -1)
    found = layer_features(view, images, "pool1", memory=1, on_progress=done.append)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert done == [1] * 5
    other = view.with_variables({**view.variables})
    with compilations() as compiled:
        layer_features(other, images, "pool1", memory=1)
    assert not [line for line in compiled if "_flat" in line]
    with pytest.raises(ValueError, match="layer is 'pool9'"):
        layer_features(view, images, "pool9")


# --- the classifier ---------------------------------------------------------------------------------------------------


def blobs(rng, count, spread=0.1, noise=0):
    """Three classes about three points, and features that know nothing."""
    labels = np.arange(count) % 3
    points = np.array([[0.0, 0], [1, 0], [0, 1]])[labels] + spread * rng.normal(size=(count, 2))
    return np.hstack([points, rng.normal(size=(count, noise))]), labels


def test_what_a_line_divides_is_all_right_and_noise_is_chance(rng):
    train, test = blobs(rng, 60), blobs(rng, 90)
    found = linear_accuracy(*train, *test)
    assert found.accuracy == 1
    assert found.converged
    noise = linear_accuracy(
        rng.normal(size=(300, 4)), np.arange(300) % 3, rng.normal(size=(3000, 4)), np.arange(3000) % 3
    )
    assert 0.25 < noise.accuracy < 0.42


def test_units_and_shapes_of_features_do_not_matter(rng):
    (x, y), (x_test, y_test) = blobs(rng, 60, 0.5, 4), blobs(rng, 200, 0.5, 4)
    scale, shift = np.array([1e4, 1e-3, 1, 10, 0.1, 1]), np.arange(6) * 1e2
    plain = linear_accuracy(x, y, x_test, y_test)
    moved = linear_accuracy(*(np.reshape(part, shape) for part, shape in [
        (x * scale + shift, (60, 3, 2)), (y, 60), (x_test * scale + shift, (200, 3, 2)), (y_test, 200)
    ]))  # fmt: skip
    assert moved.validation == pytest.approx(plain.validation)
    assert moved.accuracy == pytest.approx(plain.accuracy, abs=0.011)
    constant = linear_accuracy(np.hstack([x, np.ones((60, 1))]), y, np.hstack([x_test, np.ones((200, 1))]), y_test)
    assert constant.accuracy == pytest.approx(plain.accuracy, abs=0.011)


def halves(rng, labels, wrong=()):
    """Ten features that know a little of two classes, and thirty that know nothing. wrong: labels that are others."""
    features = rng.normal(size=(len(labels), 40))
    features[:, :10] += 0.5 * (2 * labels - 1)[:, None]
    return features, np.where(np.isin(np.arange(len(labels)) % 10, wrong), 1 - labels, labels)


@pytest.mark.parametrize(
    ("labels", "wrong", "best"),
    [
        (np.arange(60) % 2, (0, 1), 1e-3),  # a fifth of the labels is wrong, and not to be learned by heart
        (np.arange(60) // 50, (), 1e3),  # one class is rare: a classifier that is held back answers the other
    ],
)
def test_the_strength_is_the_one_that_does_best_on_the_validation_part(rng, labels, wrong, best):
    train = halves(rng, labels, wrong)
    test, held = (halves(rng, np.arange(500) % 2) for _ in range(2))
    found = linear_accuracy(*train, *test, validation=held, strengths=(1e3, 1e-3))
    weak, strong = found.validation
    assert abs(weak - strong) > 0.05
    assert found.strength == best == (1e3 if weak > strong else 1e-3)
    alone = linear_accuracy(*train, *test, validation=test, strengths=(best,))
    assert alone.accuracy == found.accuracy == alone.validation[0]


def test_test_examples_change_nothing_but_the_accuracy(rng):
    train, (x_test, y_test) = blobs(rng, 60, 0.5, 5), blobs(rng, 50, 0.5)
    x_test = np.hstack([x_test, rng.normal(size=(50, 5))])
    one, other = linear_accuracy(*train, x_test, y_test), linear_accuracy(*train, 100 * x_test + 7, (y_test + 1) % 3)
    assert one[1:] == other[1:]
    assert linear_accuracy(*train, x_test, y_test) == one
    seeds = {linear_accuracy(*train, x_test, y_test, seed=seed).validation for seed in range(4)}
    assert len(seeds) > 1


def test_what_was_held_out_is_learned_from_afterwards(rng):
    train, test = halves(rng, np.arange(80) % 2), halves(rng, np.arange(2000) % 2)
    found = linear_accuracy(*train, *test, validation=0.5, strengths=(0.1,))
    assert len(found.validation) == 1
    assert (40 * found.validation[0]) % 1 == pytest.approx(0)
    assert found.accuracy == linear_accuracy(*train, *test, validation=test, strengths=(0.1,)).accuracy
    half = [part[:40] for part in train]
    assert found.accuracy > linear_accuracy(*half, *test, validation=test, strengths=(0.1,)).accuracy


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (dict(x=np.zeros((6, 0))), r"train_features and train_labels have shapes \[6, 0\] and \[6\]"),
        (dict(y=np.zeros(5, int)), r"have shapes \[6, 2\] and \[5\]: expected \[N, D\] and \[N\]"),
        (dict(x=np.full((6, 2), np.inf)), "train_features hold what is no finite number"),
        (dict(x_test=np.zeros((2, 3))), "test_features are 3 numbers: expected 2"),
        (dict(y=np.zeros(6)), "train_labels' type is 'float64': expected whole numbers"),
        (dict(y=np.ones(6, int)), "train_labels is 'all 1': expected two classes or more"),
        (
            dict(y=np.array([0, 0, 0, 0, 0, 1])),
            "validation is 0.5 of 6 training examples in 2 classes, of the smallest 1",
        ),
        (dict(validation=0.1), "expected one and more of each class on either side"),
        (dict(validation=1.0), "validation is 1.0: expected a share"),
        (dict(validation=(np.zeros((2, 3)), np.zeros(2, int))), "validation_features are 3 numbers: expected 2"),
        (dict(strengths=()), "strengths is .*: expected one positive number"),
        (dict(strengths=(1.0, 0.0)), "strengths is .*: expected one positive number"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, told):
    usual = dict(x=np.arange(12.0).reshape(6, 2), y=np.arange(6) % 2, x_test=np.zeros((2, 2)), validation=0.5)
    usual |= change
    given = [usual.pop(name) for name in ("x", "y", "x_test")]
    with pytest.raises(ValueError, match=told):
        linear_accuracy(*given, np.array([0, 1]), **usual)


def dataset_of(rng, shape):
    """Where the brighter half tells the class."""

    def split(count):
        labels = np.arange(count) % 2
        images = rng.integers(0, 100, size=(count, *shape), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, label * shape[1] // 2 :][:, : shape[1] // 2] += 120
        return Split(images, labels)

    return Dataset("halves", split(30), split(20), split(40), ("left", "right"))


@pytest.mark.parametrize("shape", [(5, 8, 1), (8, 6, 3)], ids=str)
def test_all_kinds_of_features_meet_the_same_classifier(rng, shape):
    view, dataset, done = view_of(TABLE, shape), dataset_of(rng, shape), []
    found = compare_features(view, dataset, ["pool1", "logits"], on_progress=done.append)
    assert list(found) == ["pixels", "hand-made", "pool1", "logits"]
    assert done == [1] * 4
    assert found["pixels"].accuracy == found["pool1"].accuracy == 1
    parts = [f(split) for split in (dataset.train, dataset.test, dataset.validation)
             for f in (lambda s: handmade_features(s.images), lambda s: s.labels)]  # fmt: skip
    assert found["hand-made"] == linear_accuracy(*parts[:4], validation=tuple(parts[4:]))
    with pytest.raises(ValueError, match="layer is 'pool9'"):
        compare_features(view, dataset, ["pool9"])
