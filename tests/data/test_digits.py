import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits as load_from_sklearn

from convnet import data


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_split_sizes_and_shape(digits):
    assert [len(digits.train), len(digits.validation), len(digits.test)] == [1079, 359, 359]
    assert digits.image_shape == (8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    assert digits.name == "digits"


def test_every_class_has_its_share_of_every_split(digits):
    total = np.bincount(load_from_sklearn().target)
    for split in (digits.train, digits.validation, digits.test):
        assert (np.abs(np.bincount(split.labels) - total * len(split) / 1797) < 2).all()


def test_pixels_map_one_to_one_and_every_example_is_there_once(digits):
    source = load_from_sklearn()
    expected = sorted(
        (int(label), *(int(value) for value in image.ravel()))
        for image, label in zip(source.images, source.target, strict=True)
    )
    back = {round(value * 255 / 16): value for value in range(17)}
    assert len(back) == 17
    found = sorted(
        (int(label), *(back[int(value)] for value in image.ravel()))
        for split in (digits.train, digits.validation, digits.test)
        for image, label in zip(split.images, split.labels, strict=True)
    )
    assert found == expected


def test_the_whole_range_of_pixels_is_used(digits):
    assert digits.train.images.min() == 0
    assert digits.train.images.max() == 255


def test_the_split_is_the_same_on_every_platform(digits):
    parts = [
        part.tobytes()
        for split in (digits.train, digits.validation, digits.test)
        for part in (split.images, split.labels.astype("<i4"))
    ]
    assert (
        hashlib.sha256(b"".join(parts)).hexdigest()
        == "279ec96321fea8981f883c7591c5d6966ffc8efbd78d8620e6ad5e4c7e5c7d1d"
    )


def test_limit_takes_a_fixed_stratified_subset_of_training_only(digits):
    limited, again = (data.load("digits", limit=100) for _ in range(2))
    np.testing.assert_array_equal(limited.train.images, again.train.images)
    np.testing.assert_array_equal(limited.validation.images, digits.validation.images)
    np.testing.assert_array_equal(limited.test.images, digits.test.images)
    share = np.bincount(digits.train.labels) * 100 / len(digits.train)
    assert (np.abs(np.bincount(limited.train.labels) - share) < 1).all()
    whole = {image.tobytes() for image in digits.train.images}
    assert {image.tobytes() for image in limited.train.images} <= whole


def test_limit_recomputes_the_statistics(digits):
    limited = data.load("digits", limit=10)
    np.testing.assert_allclose(limited.mean, limited.train.images.mean(dtype=np.float64), rtol=1e-6)
    assert limited.mean != digits.mean


@pytest.mark.parametrize("limit", [10, 1070, 1078, 1079])
def test_limit_from_one_example_per_class_to_all(limit):
    limited = data.load("digits", limit=limit)
    assert len(limited.train) == limit
    assert (np.bincount(limited.train.labels, minlength=10) > 0).all()


@pytest.mark.parametrize("limit", [0, 9, 1080, -5])
def test_limit_out_of_range_is_refused(limit):
    with pytest.raises(ValueError, match=rf"limit {limit} does not suit digits: .* from 10 .* to 1079"):
        data.load("digits", limit=limit)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"data\.name is 'imagenet': expected one of digits, mnist, cifar10"):
        data.load("imagenet")
