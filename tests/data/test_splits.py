import hashlib

import numpy as np
import pytest

from convnet.data.splits import hold_out, subset


def _labels(rng, counts):
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))


BALANCED, SKEWED = (100,) * 10, (500, 250, 40, 7, 3)


@pytest.mark.parametrize("counts", [BALANCED, SKEWED])
@pytest.mark.parametrize("size", [10, 123, 400])
def test_hold_out_divides_and_keeps_every_class_share(rng, counts, size):
    labels = _labels(rng, counts)
    kept, held = hold_out(labels, size)
    assert len(held) == size
    assert sorted([*kept, *held]) == list(range(len(labels)))
    rare = sum(size * count < len(labels) for count in counts)  # what these get, others give
    for label, count in enumerate(counts):
        assert abs((labels[held] == label).sum() - size * count / len(labels)) < 1 + rare


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_the_rarest_class_has_an_example_on_both_sides(seed, fraction):
    """Two examples, a tenth of which is none."""
    counts = (400, 2, 150, 2, 46)
    labels = _labels(np.random.default_rng(seed), counts)
    size = round(fraction * len(labels))
    kept, held = hold_out(labels, size, seed=seed)
    assert len(held) == size
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        assert {label} <= set(labels[kept]) & set(labels[held])
        assert abs((labels[held] == label).sum() - size * count / len(labels)) < 2


def test_hold_out_is_in_random_order_even_for_sorted_labels():
    labels = np.repeat(np.arange(10), 100)
    for part in hold_out(labels, 500):
        assert len(set(labels[part[:50]])) == 10


def test_hold_out_of_other_seeds_differs(rng):
    labels = _labels(rng, BALANCED)
    assert set(hold_out(labels, 100, seed=0)[1]) == set(hold_out(labels, 100, seed=0)[1])
    assert set(hold_out(labels, 100, seed=0)[1]) != set(hold_out(labels, 100, seed=1)[1])


def test_splits_are_the_same_on_every_platform():
    """The hash pins the indices for every Python, NumPy and scikit-learn: a change would change published results."""
    labels = np.arange(6000) * 7 % 11
    parts = [*hold_out(labels, 500), subset(labels, 1000)]
    digest = hashlib.sha256(b"".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()
    assert digest == "7b6ca1387f610cef62a1c4e860c6f39659b2ad799f844c502df12dcbe8460b40"


@pytest.mark.parametrize("counts", [BALANCED, SKEWED])
@pytest.mark.parametrize("size", [10, 77, 791, 795, 796, 799, 800])
def test_subset_of_every_size_keeps_every_class_share(rng, counts, size):
    labels = _labels(rng, counts)
    size += len(labels) - 800 if size > 790 else 0  # near the whole, where a plain hold-out is impossible
    chosen = subset(labels, size)
    assert len(chosen) == len(set(chosen)) == size
    for label, count in enumerate(counts):
        # The few left out of nearly all are those of a stratified choice of one per class, not all of it.
        rare = sum(size * c < len(labels) for c in counts)
        slack = len(counts) if size > 790 else 1 + rare
        assert abs((labels[chosen] == label).sum() - size * count / len(labels)) < slack


def test_subset_of_all_is_all_in_order(rng):
    labels = _labels(rng, BALANCED)
    np.testing.assert_array_equal(subset(labels, 1000), np.arange(1000))


@pytest.mark.parametrize("size", [0, 9, 1001, -1])
def test_subset_refuses_sizes_out_of_range(rng, size):
    with pytest.raises(ValueError, match=rf"size must be from 10 .* to 1000 .* got {size}"):
        subset(_labels(rng, BALANCED), size)


@pytest.mark.parametrize("size", [0, 9, 991, 1000])
def test_hold_out_refuses_sizes_too_small_on_either_side(rng, size):
    with pytest.raises(ValueError, match=f"10 classes on both sides, 10 to 990 of 1000 examples, got {size}"):
        hold_out(_labels(rng, BALANCED), size)


def test_hold_out_refuses_a_class_of_one():
    with pytest.raises(ValueError, match="at least two examples of each class, class 5 has one"):
        hold_out(np.array([0, 0, 5, 1, 1]), 3)
