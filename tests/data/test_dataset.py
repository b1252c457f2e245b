import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from convnet import data
from convnet.data import Dataset, Split, from_arrays, stored


def _split(rng, n=6, shape=(4, 5, 3), classes=3):
    return Split(rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % classes)


@pytest.fixture
def splits(rng):
    return {name: _split(rng) for name in ("train", "validation", "test")}


def _dataset(splits, class_names=("a", "b", "c")):
    return Dataset("own", **splits, class_names=class_names)


def test_dataset_knows_its_shape_and_classes(splits):
    own = _dataset(splits, class_names=["a", "b", "c"])
    assert own.image_shape == (4, 5, 3)
    assert own.num_classes == 3
    assert own.class_names == ("a", "b", "c")
    assert len(own.train) == 6


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_labels_of_any_integer_dtype_become_int32(dtype):
    split = Split(np.zeros((3, 2, 2, 1), np.uint8), np.array([2, 0, 1], dtype))
    assert split.labels.dtype == np.int32
    assert split.labels.tolist() == [2, 0, 1]


def test_take_selects_in_the_order_asked_for(rng):
    split = _split(rng)
    taken = split.take(np.array([4, 0]))
    np.testing.assert_array_equal(taken.images[0], split.images[4])
    np.testing.assert_array_equal(taken.labels, [split.labels[4], split.labels[0]])


IMAGES, LABELS = np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1])
NAN = np.full((2, 4, 4, 1), 0.5, np.float32)
NAN[1, 2, 3, 0] = np.nan


def test_what_the_caller_does_to_the_arrays_later_changes_nothing(rng):
    """A set without an official test split was always copied; one with it, and splits made directly, were not."""
    images, labels = rng.integers(0, 255, (60, 4, 4, 1), np.uint8), (np.arange(60) % 3).astype(np.int32)
    view = images[:]
    view.flags.writeable = False  # which does not keep its owner from writing
    dataset = from_arrays("own", images, labels, test_images=images, test_labels=labels)
    splits = [dataset.train, dataset.test, Split(images, labels), Split(view, labels)]
    before = [(split.images.copy(), split.labels.copy()) for split in splits]
    digest = dataset.digest
    images[:], labels[:] = 0, 0
    for split, (old_images, old_labels) in zip(splits, before, strict=True):
        np.testing.assert_array_equal(split.images, old_images)
        np.testing.assert_array_equal(split.labels, old_labels)
        with pytest.raises(ValueError, match="read-only"):
            split.images[0] = 0
    assert replace(dataset).digest == digest


def test_arrays_that_nobody_can_write_to_are_not_copied(rng):
    images = rng.integers(0, 255, (6, 4, 4, 1), np.uint8)
    images.flags.writeable = False
    assert Split(images, np.zeros(6, int)).images is images


def test_the_digest_sees_every_pixel_label_and_place(splits):
    dataset = _dataset(splits)
    seen = {dataset.digest}
    assert replace(dataset, name="other", class_names=("x", "y", "z")).digest in seen
    for name, split in dataset.splits.items():
        pixels, labels = split.images.copy(), split.labels.copy()
        pixels[-1, -1, -1, -1] ^= 1
        labels[0] = (labels[0] + 1) % 3
        turned, shorter = split.take(np.r_[1, 0, 2:6]), split.take(np.arange(5))
        for other in (Split(pixels, split.labels), Split(split.images, labels), turned, shorter):
            seen.add(replace(dataset, **{name: other}).digest)
    assert len(seen) == 1 + 3 * 4


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[..., 0], LABELS, r"images must have shape \[N, H, W, C\], got \(2, 4, 4\)"),
        (IMAGES[:0], LABELS[:0], r"images must have at least one example.* got shape \(0, 4, 4, 1\)"),
        (IMAGES[:, :, :0], LABELS, r"images must have at least one .* column"),
        (IMAGES / 255, LABELS, r"images must be uint8 .* 0 to 255, got float64 with values 0 to 0, no NaN"),
        (NAN, LABELS, "got float32 with values 0.5 to 0.5, some of them NaN"),
        (np.full_like(NAN, np.nan), LABELS, "got float32 with values nan to nan, some of them NaN"),
        (IMAGES.astype(np.int64), LABELS, "images must be uint8 .* got int64"),
        (IMAGES, LABELS.astype(float), "labels must be integers, got float64"),
        (IMAGES, np.array([True, False]), "labels must be integers, got bool"),
        (IMAGES, LABELS[:1], r"labels must have shape \[N\] = \(2,\), one for each image, got \(1,\)"),
        (IMAGES, LABELS[:, None], r"labels must have shape \[N\] = \(2,\).* got \(2, 1\)"),
        (IMAGES, np.array([0, -1]), "labels must be class indices from 0 on, got -1 at index 1"),
        (IMAGES, np.array([2**32 + 1, 0]), "labels must be class indices .* got 4294967297 at index 0"),
    ],
)
def test_split_refuses(images, labels, message):
    with pytest.raises(ValueError, match=message):
        Split(images, labels)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_dataset_names_the_split_and_the_label_out_of_range(splits, name):
    images = splits[name].images
    splits[name] = Split(images, [0, 1, 2, 0, 3, 1])
    with pytest.raises(ValueError, match=rf"{name} labels must be in \[0, 3\), .* got 3 at index 4"):
        _dataset(splits)


@pytest.mark.parametrize("shape", [(5, 5, 3), (4, 4, 3), (4, 5, 1)])
def test_dataset_refuses_splits_of_different_shape(splits, rng, shape):
    splits["test"] = _split(rng, shape=shape)
    with pytest.raises(ValueError, match=rf"test images .* \(4, 5, 3\), got \({shape[0]}, {shape[1]}, {shape[2]}\)"):
        _dataset(splits)


@pytest.mark.parametrize("class_names", ["abc", (), (0, 1, 2)])
def test_dataset_refuses_class_names_that_are_no_strings(splits, class_names):
    with pytest.raises(ValueError, match="class_names must be a non-empty sequence of strings, got"):
        _dataset(splits, class_names)


def test_dataset_refuses_what_is_no_split(splits):
    splits["train"] = splits["train"].images
    with pytest.raises(ValueError, match="train must be a Split, got ndarray"):
        _dataset(splits)


def test_mean_and_std_are_those_of_the_training_pixels_alone(splits):
    own = _dataset(splits)
    for channel in range(3):
        pixels = [float(row[channel]) for image in splits["train"].images for line in image for row in line]
        mean = sum(pixels) / len(pixels)
        std = (sum((pixel - mean) ** 2 for pixel in pixels) / len(pixels)) ** 0.5
        np.testing.assert_allclose(own.mean[channel], mean, rtol=1e-7)
        np.testing.assert_allclose(own.std[channel], std, rtol=1e-7)
    assert own.mean.dtype == own.std.dtype == np.float32
    assert own.mean.shape == own.std.shape == (3,)


def test_mean_and_std_do_not_depend_on_the_chunk(splits, monkeypatch):
    whole = _dataset(splits)
    expected = whole.mean, whole.std
    monkeypatch.setattr(stored, "CHUNK", 4 * whole.train.images[0].nbytes)  # leaves a last chunk of 2
    chunked = _dataset(splits)
    np.testing.assert_array_equal(chunked.mean, expected[0])
    np.testing.assert_array_equal(chunked.std, expected[1])


def test_mean_and_std_are_computed_once(splits):
    own = _dataset(splits)
    assert own.mean is own.mean
    assert own.std is own.std


def test_constant_channel_has_std_one(splits):
    images = splits["train"].images.copy()
    images[..., 1] = 255
    splits["train"] = Split(images, splits["train"].labels)
    own = _dataset(splits)
    assert own.mean[1] == 255
    assert own.std[1] == 1
    assert own.std[0] > 50


def test_std_is_exact_where_floats_would_cancel():
    # One pixel of a million differs by one: the variance is p(1 − p) with p = 1e-6, next to a mean square of 65025.
    images = np.full((1, 1000, 1000, 1), 255, np.uint8)
    images[0, 0, 0, 0] = 254
    split = Split(images, [0])
    own = Dataset("exact", split, split, split, ("a",))
    np.testing.assert_allclose(own.std[0], (1e-6 * (1 - 1e-6)) ** 0.5, rtol=1e-7)


def test_statistics_need_little_memory_beside_the_images():
    split = Split(np.zeros((4096, 32, 32, 3), np.uint8), np.zeros(4096, int))
    own = Dataset("large", split, split, split, ("a",))
    tracemalloc.start()
    assert own.std.tolist() == [1, 1, 1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6  # one channel as int64 would take 34e6


# --- patches ----------------------------------------------------------------------------------------------------------


def _moment(images, mean, std, side):
    """Mean of pᵀp over patches, one after the other."""
    total, count = 0, 0
    for image in images:
        normal = (image - mean.astype(float)) / std
        for row in range(image.shape[0] - side + 1):
            for column in range(image.shape[1] - side + 1):
                patch = [normal[row + i, column + j, c] for i in range(side) for j in range(side) for c in range(3)]
                total, count = total + np.outer(patch, patch), count + 1
    return total / count


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_the_moment_of_patches_is_that_of_normalised_training_pixels(splits, side):
    own = _dataset(splits)
    found = own.patch_moment(side)
    assert (found.shape, found.dtype) == ((3 * side**2, 3 * side**2), np.float64)
    np.testing.assert_allclose(found, _moment(own.train.images, own.mean, own.std, side), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)


def test_few_images_are_taken_from_all_over_the_data(splits, rng):
    """Sorted by class, the first ones would be of one class."""
    splits["train"] = _split(rng, n=10)
    own = _dataset(splits)
    expected = _moment(own.train.images[[0, 3, 6]], own.mean, own.std, 2)
    np.testing.assert_allclose(own.patch_moment(2, count=3), expected, rtol=1e-9)
    np.testing.assert_array_equal(own.patch_moment(2, count=11), own.patch_moment(2))
    assert own.patch_moment(2) is own.patch_moment(2)


def test_the_moment_of_a_single_pixel_is_1(splits):
    np.testing.assert_allclose(np.diag(_dataset(splits).patch_moment(1)), 1, rtol=1e-6)


def test_patches_of_many_images_are_added_up_without_rounding():
    """More than are cut out at a time; by whole numbers, offset by offset."""
    images = np.random.default_rng(0).integers(0, 256, (600, 48, 50, 1), dtype=np.uint8)
    split = Split(images, np.zeros(600, int))
    own = Dataset("large", split, split, split, ("a",))
    parts = [images[:, i : i + 47, j : j + 49].astype(int).ravel() for i in range(2) for j in range(2)]
    sums, products = [part.sum() for part in parts], [[(one * other).sum() for other in parts] for one in parts]
    n, m, s = parts[0].size, float(own.mean[0]), float(own.std[0])
    expected = [[(p / n - m * (a + b) / n + m * m) / s**2 for p, b in zip(row, sums, strict=True)]
                for row, a in zip(products, sums, strict=True)]  # fmt: skip
    np.testing.assert_allclose(own.patch_moment(2), expected, rtol=1e-12, atol=1e-13)


def test_the_moment_of_stored_images_has_the_bits_of_those_in_memory(splits):
    own = _dataset(splits)
    elsewhere = own.mapped(lambda split: Split(stored.StoredImages(split.images, split.images.shape[1:]), split.labels))
    assert elsewhere.stored
    np.testing.assert_array_equal(elsewhere.patch_moment(2), own.patch_moment(2))


@pytest.mark.parametrize("side", [0, 5])
def test_patches_that_no_image_has_are_refused(splits, side):
    with pytest.raises(ValueError, match=rf"^images of 4×5 pixels have no patches of {side}×{side}$"):
        _dataset(splits).patch_moment(side)


# --- one's own arrays -------------------------------------------------------------------------------------------------


def _arrays(rng, n=200, classes=4):
    """Every image says which it is: row 0 holds its number."""
    images = rng.integers(0, 256, (n, 3, 3), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(n) // 256, np.arange(n) % 256
    return images, np.arange(n) % classes


def _numbers(split):
    return (split.images[:, 0, 0, 0].astype(int) * 256 + split.images[:, 0, 1, 0]).tolist()


def test_from_arrays_divides_every_example_into_one_split(rng):
    images, labels = _arrays(rng)
    own = from_arrays("own", images, labels)
    assert own.image_shape == (3, 3, 1)
    assert [len(own.train), len(own.validation), len(own.test)] == [140, 20, 40]
    numbers = _numbers(own.train) + _numbers(own.validation) + _numbers(own.test)
    assert sorted(numbers) == list(range(200))
    for split in (own.train, own.validation, own.test):
        np.testing.assert_array_equal(split.labels, labels[_numbers(split)])
        np.testing.assert_array_equal(np.bincount(split.labels), len(split) // 4)
    assert own.class_names == ("0", "1", "2", "3")


def test_from_arrays_keeps_an_official_test_split(rng):
    images, labels = _arrays(rng)
    own = from_arrays(
        "own", images[:160], labels[:160], test_images=images[160:], test_labels=labels[160:].astype(np.uint8)
    )
    assert _numbers(own.test) == list(range(160, 200))
    assert [len(own.train), len(own.validation)] == [144, 16]
    assert sorted(_numbers(own.train) + _numbers(own.validation)) == list(range(160))


def test_from_arrays_is_fixed_by_its_seed(rng):
    images, labels = _arrays(rng)
    first, again, other = (_numbers(from_arrays("own", images, labels, seed=seed).test) for seed in (0, 0, 1))
    assert first == again
    assert sorted(first) != sorted(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_fraction": 0}, r"validation_fraction must lie in \(0, 1\), got 0"),
        ({"test_fraction": 1.0}, r"test_fraction must lie in \(0, 1\), got 1.0"),
        ({"test_fraction": np.nan}, r"test_fraction must lie in \(0, 1\), got nan"),
        ({"test_fraction": 0.01}, "test_fraction 0.01 of 200 examples cannot be held out: size must .* got 2"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, "validation_fraction 0.5 of 200 .* 4 to 96 of 100"),
        ({"test_images": np.zeros((4, 3, 3), np.uint8)}, "test_images and test_labels must be given together"),
        ({"test_labels": np.zeros(4, int)}, "test_images and test_labels must be given together"),
        ({"class_names": ("a", "b", "c")}, r"labels must be in \[0, 3\), .* got 3 at index"),
    ],
)
def test_from_arrays_refuses(rng, arguments, message):
    images, labels = _arrays(rng)
    with pytest.raises(ValueError, match=message):
        from_arrays("own", images, labels, **arguments)


def test_from_arrays_refuses_a_class_of_one(rng):
    images, labels = _arrays(rng)
    labels[7] = 9
    with pytest.raises(ValueError, match="at least two examples of each class, class 9 has one"):
        from_arrays("own", images, labels)


@pytest.mark.parametrize(("labels", "missing"), [([0, 1, 3], 2), ([1, 2, 3], 0), ([0, 1, 1_000_000], 2)])
def test_from_arrays_refuses_numbers_of_classes_without_an_example(rng, labels, missing):
    """A network would get an output for each of a million."""
    labels = np.tile(labels, 20)
    images = rng.integers(0, 255, (60, 4, 4), np.uint8)
    with pytest.raises(ValueError, match=rf"gap, got none of class {missing} and up to {labels.max()}: give cl"):
        from_arrays("own", images, labels)
    names = [f"class {i}" for i in range(min(labels.max() + 1, 5))]
    if labels.max() < 5:
        assert from_arrays("own", images, labels, class_names=names).num_classes == len(names)


def test_from_arrays_gives_every_split_an_example_of_a_rare_class(rng):
    labels = np.r_[np.zeros(300, int), np.ones(300, int), [2] * 3]
    dataset = from_arrays("own", rng.integers(0, 255, (603, 4, 4), np.uint8), rng.permutation(labels))
    assert all(set(split.labels) == {0, 1, 2} for split in dataset.splits.values())


def test_the_first_examples_of_some_splits():
    whole = data.load("digits")
    few = whole.first(validation=7, test=10**6)
    np.testing.assert_array_equal(few.validation.images, whole.validation.images[:7])
    np.testing.assert_array_equal(few.validation.labels, whole.validation.labels[:7])
    assert [len(split) for split in few.splits.values()] == [len(whole.train), 7, len(whole.test)]
    assert few.name == whole.name


def test_every_split_is_changed():
    whole = data.load("digits")
    dark = whole.mapped(lambda split: Split(split.images // 2, split.labels), "dark")
    for name, split in dark.splits.items():
        np.testing.assert_array_equal(split.images, whole.splits[name].images // 2)
        np.testing.assert_array_equal(split.labels, whole.splits[name].labels)
    assert (dark.name, whole.mapped(lambda split: split).name) == ("dark", "digits")
