"""Images that are not in memory: they are those that would be there, read when asked for, and never all at once."""

import pickle
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from convnet import data
from convnet.data import Dataset, Split, StoredImages, UnreadableImages, from_arrays, measures, stored

SHAPE = (4, 5, 3)


class Alive:
    """How many arrays are held by anybody, of those that it was told of, and how many there were at most."""

    def __init__(self):
        self.now, self.most, self.lock = 0, 0, threading.Lock()

    def __call__(self, array):
        weakref.finalize(array, self.count, -len(array))
        self.count(len(array))

    def count(self, more):
        with self.lock:
            self.now += more
            self.most = max(self.most, self.now)


class Source:
    """Images of an array, one by one; says which were read."""

    def __init__(self, array, fingerprint=None):
        self.array, self.read = array, []
        if fingerprint:
            self.fingerprint = fingerprint

    def __len__(self):
        return len(self.array)

    def __getitem__(self, i):
        self.read.append(i)
        return self.array[i]


@pytest.fixture
def array(rng):
    return rng.integers(0, 256, (30, *SHAPE), dtype=np.uint8)


@pytest.fixture
def images(array):
    return StoredImages(Source(array), SHAPE)


def test_it_reads_like_an_array(images, array):
    assert (images.shape, images.dtype, images.ndim, images.nbytes, len(images)) == (
        array.shape, array.dtype, array.ndim, array.nbytes, len(array))  # fmt: skip
    for key in (3, -1, np.int64(2), slice(2, 20, 3), slice(None), slice(-3, None), [1, 1, 29, -30], np.arange(0)):
        np.testing.assert_array_equal(images[key], array[key])
    mask = array[:, 0, 0, 0] > 100
    np.testing.assert_array_equal(images[mask], array[mask])
    np.testing.assert_array_equal(np.asarray(images), array)
    np.testing.assert_array_equal(np.asarray(images, np.float32), array.astype(np.float32))
    np.testing.assert_array_equal(np.stack(list(images)), array)


def test_only_what_is_asked_for_is_read(array):
    source = Source(array)
    images = StoredImages(source, SHAPE)
    chosen = images.take([5, 3, 3]).take(slice(1, None))
    assert source.read == []
    np.testing.assert_array_equal(chosen[0], array[3])
    assert source.read == [3]
    np.testing.assert_array_equal(np.asarray(chosen), array[[3, 3]])


class Several(Source):
    """Gives several at once, but none together with image 7."""

    def __getitems__(self, rows):
        if 7 in rows:
            raise OSError("torn")
        self.read += rows
        return [self.array[i] for i in rows]

    def __getitem__(self, i):
        assert i in range(len(self))
        return self.array[i]


@pytest.mark.parametrize("threads", [1, 3])
def test_sources_may_give_several_at_once(array, threads):
    source = Several(array)
    images = StoredImages(source, SHAPE)
    rows = np.random.default_rng(0).integers(8, 30, 200)
    np.testing.assert_array_equal(images.read(rows, threads=threads), array[rows])
    assert sorted(source.read) == sorted(rows.tolist())
    np.testing.assert_array_equal(images.read(np.arange(30), threads=threads), array)
    with pytest.raises(UnreadableImages, match=r"image 3: expected uint8 \(4, 5, 1\), got uint8 \(4, 5, 3\)"):
        StoredImages(source, (4, 5, 1)).read(np.array([3]), threads=threads)


@pytest.mark.parametrize("threads", [1, 2, 7, None])
def test_the_order_does_not_depend_on_threads(images, array, threads):
    rows = np.random.default_rng(0).integers(0, 30, 200)
    np.testing.assert_array_equal(images.read(rows, threads=threads), array[rows])


@pytest.mark.parametrize("key", [30, -31, [0, 30]])
def test_an_index_out_of_range(images, key):
    with pytest.raises(IndexError, match=r"is out of range: there are 30 images"):
        images[key]


@pytest.mark.parametrize("key", [(0, 1), [0.5], np.ones((2, 2), int), None, np.ones(3, bool)])
def test_other_keys_are_refused(images, key):
    with pytest.raises(TypeError, match=r"indexed by an int, a slice, or an array \[n\]"):
        images[key]


def test_it_can_be_pickled(array):
    images = StoredImages(array, SHAPE).take([4, 2])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(images))), array[[4, 2]])


class Broken(Source):
    """Images 7 and 11 cannot be read, 13 is of another size."""

    def __getitem__(self, i):
        if i in (7, 11):
            raise OSError("torn")
        return self.array[i, :2] if i == 13 else self.array[i]

    def describe(self, i):
        return f"{i}.png"


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_that_cannot_be_read_is_named(array, threads):
    images = StoredImages(Broken(array), SHAPE)
    with pytest.raises(UnreadableImages, match=r"^1 file cannot be read as an image:\n  7.png: torn$"):
        images.read(np.arange(10).repeat(5), threads=threads)
    with pytest.raises(UnreadableImages, match=r"13.png: expected uint8 \(4, 5, 3\), got uint8 \(2, 5, 3\)"):
        images[13]


def test_a_pass_names_all_that_cannot_be_read(array):
    split = Split(StoredImages(Broken(array), SHAPE), np.arange(30) % 2)
    with pytest.raises(UnreadableImages) as caught:
        _ = Dataset("own", split, split, split, ("a", "b")).digest
    assert sorted(caught.value.failures) == ["11.png", "13.png", "7.png"]


# --- as splits of a data set ------------------------------------------------------------------------------------------


def both(array, fingerprint=None):
    """(stored, in memory) of the same images."""
    labels = np.arange(len(array)) % 3
    source = Source(array, fingerprint)
    return from_arrays("own", StoredImages(source, SHAPE), labels), from_arrays("own", array, labels), source


def same(one, other):
    assert one.digest == other.digest
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.std, other.std)
    for name, split in one.splits.items():
        np.testing.assert_array_equal(np.asarray(split.images), other.splits[name].images)
        np.testing.assert_array_equal(split.labels, other.splits[name].labels)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_the_same_data_whether_stored_or_in_memory(array, monkeypatch, size):
    monkeypatch.setattr(stored, "CHUNK", size * array[0].nbytes)
    ours, theirs, source = both(array)
    assert source.read == []
    assert (ours.stored, theirs.stored, ours.nbytes) == (True, False, theirs.nbytes)
    assert ours.description == theirs.description
    same(ours, theirs)
    same(ours.first(train=5, test=2), theirs.first(train=5, test=2))
    same(ours.limited(10), theirs.limited(10))
    reversed_ = [one.mapped(lambda split: split.take(np.arange(len(split))[::-1]), "back") for one in (ours, theirs)]
    assert reversed_[0].stored
    same(*reversed_)


def test_one_split_may_be_stored_and_another_not(array):
    ours, theirs, _ = both(array)
    mixed = replace(ours, test=theirs.test, train=theirs.train)
    assert mixed.stored
    same(mixed, theirs)


def test_digest_and_statistics_come_from_one_pass(array):
    ours, _, source = both(array)
    _ = ours.digest, ours.mean, ours.std, ours.digest
    assert sorted(source.read) == list(range(30))


def test_a_pass_holds_a_chunk_at_most(rng, monkeypatch):
    array = rng.integers(0, 256, (400, *SHAPE), dtype=np.uint8)
    monkeypatch.setattr(stored, "CHUNK", 10 * array[0].nbytes)
    alive, read = Alive(), StoredImages.read

    def watched(images, rows, **options):
        found = read(images, rows, **options)
        alive(found)
        return found

    monkeypatch.setattr(StoredImages, "read", watched)
    ours, theirs, source = both(array)
    assert ours.digest == theirs.digest
    assert alive.most <= 20  # the chunk that is read, and the one before
    assert sorted(source.read) == list(range(400))


def test_what_was_measured_is_kept_for_images_that_say_which_they_are(array):
    first, theirs, source = both(array, "mine, of yesterday")
    assert first.digest == theirs.digest
    again, _, source = both(array, "mine, of yesterday")
    assert (again.digest, again.mean.tolist(), again.std.tolist()) == (
        first.digest, first.mean.tolist(), first.std.tolist())  # fmt: skip
    assert source.read == []
    for other in (both(array, "mine, of today")[0], again.first(train=9), again.mapped(lambda s: s.take([1, 0]))):
        _ = other.digest
    assert len(source.read) > 0


def test_labels_are_part_of_what_is_kept(array):
    first, _, _ = both(array, "mine")
    other = replace(first, train=Split(first.train.images, 2 - first.train.labels))
    assert len({first.digest, other.digest}) == 2


def test_in_memory_nothing_is_kept(array):
    _, theirs, _ = both(array)
    _ = theirs.digest, theirs.mean
    assert not data.cache.cache_directory().exists()


def test_splits_check_stored_images_as_they_do_others(array):
    for shape, match in (((4, 5, 0), r"at least one example, row, column and channel"),):
        with pytest.raises(ValueError, match=match):
            Split(StoredImages(Source(array), shape), np.arange(30))
    with pytest.raises(ValueError, match=r"^labels must have shape \[N\] = \(30,\)"):
        Split(StoredImages(Source(array), SHAPE), np.arange(29))
    with pytest.raises(ValueError, match=r"^shape must be \(H, W, C\), got \(4, 5\)"):
        StoredImages(Source(array), (4, 5))


def test_measures_are_told_apart_by_their_key(array):
    ours, theirs, _ = both(array, "mine")
    found = measures.measured(ours.splits)
    assert found.digest == theirs.digest
    assert found.histograms.sum() == theirs.train.images.size
