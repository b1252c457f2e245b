"""Windows of batches: those of the order, all of them, whatever reads them, and not many at a time."""

import configparser
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from convnet.data import StoredImages, UnreadableImages, feed
from convnet.data.feed import windows
from tests.data.test_stored import SHAPE, Broken, Source

pytest.importorskip("grain", reason="grain is not installed")
LABELS = np.arange(30) % 7


@pytest.fixture
def array(rng):
    return rng.integers(0, 256, (30, *SHAPE), dtype=np.uint8)


@pytest.fixture
def order(rng):
    return rng.integers(0, 30, (11, 6))


def expected(array, order, per_window):
    parts = [order[start : start + per_window] for start in range(0, len(order), per_window)]
    return [(array[part], LABELS[part]) for part in parts]


def equal(found, wanted):
    found = list(found)
    assert len(found) == len(wanted)
    for (images, labels), (their_images, their_labels) in zip(found, wanted, strict=True):
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(images, their_images)
        np.testing.assert_array_equal(labels, their_labels)


class Slow(Source):
    """Images take different times, so that threads overtake each other."""

    def __getitem__(self, i):
        time.sleep(0.002 * (i % 4))
        return super().__getitem__(i)


@pytest.mark.parametrize("threads", [1, 2, 8, None])
@pytest.mark.parametrize("per_window", [1, 4, 11, 20])
def test_windows_are_the_order_whatever_the_number_of_threads(array, order, threads, per_window):
    images = StoredImages(Slow(array), SHAPE)
    equal(windows(images, LABELS, order, per_window=per_window, threads=threads), expected(array, order, per_window))


def test_images_in_memory_come_in_the_same_way(array, order):
    equal(windows(array, LABELS, order, per_window=3), expected(array, order, 3))


@pytest.mark.parametrize("rows", [slice(0, 3), slice(3, 6), slice(1, None, 2)])
def test_a_share_of_each_batch_is_all_that_is_read(array, order, rows):
    source = Source(array)
    found = windows(StoredImages(source, SHAPE), LABELS, order, per_window=4, rows=rows)
    equal(found, expected(array, order[:, rows], 4))
    assert sorted(source.read) == sorted(order[:, rows].ravel())


@pytest.mark.parametrize(("per_window", "batch"), [(1, 6), (3, 6), (2, 200)])
def test_two_windows_are_read_ahead_and_no_more(array, per_window, batch):
    order = np.random.default_rng(0).integers(0, 30, (20, batch))
    source, window = Source(array), per_window * batch
    found = windows(StoredImages(source, SHAPE), LABELS, order, per_window=per_window, threads=3)
    assert source.read == []  # before the first is asked for
    for number in range(1, 20 // per_window):
        next(found)
        ahead = min((number + feed.AHEAD) * window, order.size)
        reached(lambda: len(source.read), ahead)
        assert len(source.read) == ahead
    found.close()


def reached(count, wanted):
    """Wait for so many, as long as a busy machine may take, and a little for one too many."""
    deadline = time.monotonic() + 60
    while count() < wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.02)


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("grain-prefetch")]


def gone():
    deadline = time.monotonic() + 60
    while readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not readers()


@pytest.mark.parametrize("end", ["closed", "exhausted", "dropped"])
def test_the_threads_end_with_the_iterator(array, order, end):
    assert gone()
    source = Slow(array)
    found = windows(StoredImages(source, SHAPE), LABELS, order, per_window=2, threads=4)
    next(found)
    assert readers()
    if end == "closed":
        found.close()
    elif end == "exhausted":
        list(found)
    else:
        del found
    assert gone()
    read = len(source.read)
    time.sleep(0.05)
    assert len(source.read) == read


@pytest.mark.parametrize("threads", [1, 4])
def test_an_image_that_cannot_be_read_is_named_to_the_consumer(array, threads):
    order = np.array([[0, 1], [2, 3], [4, 7], [8, 9]])
    found = windows(StoredImages(Broken(array), SHAPE), LABELS, order, per_window=1, threads=threads)
    equal([next(found), next(found)], expected(array, order[:2], 1))
    with pytest.raises(UnreadableImages, match=r"^1 file cannot be read as an image:\n  7.png: torn$"):
        next(found)
    assert gone()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(order=np.arange(6)), r"^order is 'int64 \(6,\)': expected integers \[steps, B\]"),
        (dict(order=np.ones((2, 2))), r"^order is 'float64 \(2, 2\)': expected integers"),
        (dict(order=np.array([[0, 30]])), r"^order is \[30\]: expected numbers of the 30 images, from 0 on"),
        (dict(order=np.array([[-1, 3]])), r"^order is \[-1\]: expected numbers of the 30 images"),
        (dict(per_window=0), r"^per_window is 0: expected steps, 1 or more"),
        (dict(threads=0), r"^threads is 0: expected 1 or more, or None"),
        (dict(rows=slice(6, 9)), r"^rows is slice\(6, 9, None\): expected some of the 6 columns"),
        (dict(labels=LABELS[:5]), r"^labels is 5: expected one for each of the 30 images"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(array, order, options, match):
    with pytest.raises(ValueError, match=match):
        windows(**dict(images=array, labels=LABELS, order=order, per_window=2) | options)


def test_where_grain_is_missing_one_line_says_what_to_install(array, order, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ValueError, match=r"^images that are not in memory .* -m pip install 'grain>=0\.2\.12'$") as e:
        windows(array, LABELS, order, per_window=2)
    assert "\n" not in str(e.value)


def test_what_is_to_be_installed_is_what_the_extra_installs():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    assert setup["options.extras_require"]["stream"].split() == list(feed.READING)
