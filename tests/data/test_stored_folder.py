"""Folders of images that stay in their files: formats, one pass, what is kept of it, and files that change later.

That they are the same data as in memory, `test_folder` asks wherever it makes a data set.
"""

import logging
import os
import pickle
import shutil

import numpy as np
import pytest

from convnet.data import UnreadableImages, decoding, from_folder, stored_folder
from convnet.data.feed import windows
from tests.data.test_folder import colour, write
from tests.data.test_folder import from_folder as in_both_ways


@pytest.fixture
def photos(tmp_path):
    """Two classes of ten images, in a folder of their own."""
    for number in range(20):
        write(tmp_path, "photos", "cat" if number < 10 else "ape", f"{number:02}.png", pixels=colour(number))
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded, in order."""
    seen, pixels = [], decoding.pixels

    def watched(path, size):
        seen.append(path)
        return pixels(path, size)

    monkeypatch.setattr(decoding, "pixels", watched)
    monkeypatch.setattr(stored_folder, "pixels", watched)
    return seen


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
@pytest.mark.parametrize("size", [None, 5])
def test_formats(tmp_path, suffix, size):
    for number in range(12):
        write(tmp_path, "ab"[number % 2], f"{number}.{suffix}", pixels=colour(number, (16, 24)))
    in_both_ways(tmp_path, size=size, test_fraction=0.25, validation_fraction=0.25)


def test_every_kind_of_image_in_one_folder(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [(16, 24), (30, 20), (24, 16), (16, 24)]
    for number in range(12):
        write(tmp_path, "ab"[number % 2], f"{number}.jpg", pixels=colour(number, shapes[number % 4]))
    exif = orientation_of(6)
    write(tmp_path, "a", "turned.jpg", pixels=colour(20, (10, 20)), exif=exif)
    write(tmp_path, "a", "grey.png", pixels=rng.integers(0, 256, (9, 9), np.uint8))
    write(tmp_path, "a", "wide.png", pixels=rng.integers(0, 65_536, (9, 11)).astype(np.uint16))
    write(tmp_path, "b", "clear.webp", pixels=rng.integers(0, 256, (12, 9, 4), np.uint8), lossless=True)
    write(tmp_path, "b", "palette.gif", pixels=colour(30, (12, 9)))
    write_cmyk(tmp_path / "b" / "print.tif")
    for channels in (None, 1, 3):
        dataset = in_both_ways(tmp_path, size=(8, 6), channels=channels)
        assert dataset.image_shape == (8, 6, channels or 3)


def orientation_of(number):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def write_cmyk(path):
    from PIL import Image

    Image.fromarray(colour(31, (14, 10))).convert("CMYK").save(path)


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_sizes_are_those_of_upright_images(tmp_path, orientation, suffix):
    for number in range(10):
        turned = number % 2 and orientation != 3
        options = {"exif": orientation_of(orientation)} if number % 2 else {}
        shape = (24, 16) if turned else (16, 24)
        write(tmp_path, "a", f"{number}.{suffix}", pixels=colour(number, shape), **options)
    assert in_both_ways(tmp_path).image_shape == (16, 24, 3)


def test_one_image_of_each_class(tmp_path):
    for part in ("train", "val", "test"):
        for number, label in enumerate("abc"):
            write(tmp_path, part, label, "only.png", pixels=colour(number + ord(part[0])))
    dataset = in_both_ways(tmp_path)
    assert [len(split) for split in dataset.splits.values()] == [3, 3, 3]


@pytest.mark.parametrize("size", [None, 4])
def test_a_split_of_nothing_that_can_be_read(tmp_path, size):
    for number in range(6):
        write(tmp_path, "train", "ab"[number % 2], f"{number}.png", pixels=colour(number))
    write(tmp_path, "val", "a", "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"^a split holds no image that can be read$"):
        in_both_ways(tmp_path, size=size, skip_unreadable=True)


def test_every_file_is_decoded_once(photos, decoded):
    dataset = from_folder(photos, size=4, stored=True)
    _ = dataset.digest, dataset.mean, dataset.std
    assert sorted(decoded) == sorted(map(str, photos.rglob("*.png")))
    decoded.clear()
    from_folder(photos, stored=True)
    assert len(decoded) == 20 + 1  # the first tells the size


def test_the_next_start_decodes_nothing_even_after_a_move(photos, decoded, monkeypatch):
    first = from_folder(photos, size=4, stored=True)
    told, decoded[:] = (first.digest, first.mean.tolist(), first.std.tolist()), []
    monkeypatch.setattr(stored_folder, "header", None)
    for place in (photos, photos.parent / "moved"):
        if not place.exists():
            shutil.move(photos, place)
        again = from_folder(place, size=4, stored=True)
        assert (again.digest, again.mean.tolist(), again.std.tolist()) == told
    assert decoded == []
    assert again.train.images[:2].any()


def test_other_files_and_other_settings_are_read_again(photos, decoded):
    seen = {from_folder(photos, size=4, stored=True).digest}
    for options in (dict(size=5), dict(size=4, seed=1), dict(size=4, channels=1)):
        decoded.clear()
        seen.add(from_folder(photos, stored=True, **options).digest)
        assert len(decoded) == 20
    write(photos, "cat", "00.png", pixels=colour(100))
    seen.add(from_folder(photos, size=4, stored=True).digest)
    (photos / "cat" / "new.png").write_bytes((photos / "ape" / "11.png").read_bytes())
    seen.add(from_folder(photos, size=4, stored=True).digest)
    assert len(seen) == 6


@pytest.mark.usefixtures("homeless")
def test_nor_is_a_file_decoded_twice_where_nothing_can_be_kept(photos, decoded):
    _ = from_folder(photos, size=4, stored=True).mean
    assert len(decoded) == 20


def test_what_is_left_out_is_remembered_and_told_again(photos, decoded, caplog):
    whole = (photos / "cat" / "00.png").read_bytes()
    (photos / "cat" / "torn.png").write_bytes(whole[: len(whole) // 2])
    (photos / "ape" / "text.png").write_bytes(b"no image")
    first = from_folder(photos, size=4, stored=True, skip_unreadable=True)
    decoded.clear()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        again = from_folder(photos, size=4, stored=True, skip_unreadable=True)
    assert again.digest == first.digest
    assert decoded == []
    assert caplog.text.count("left out: 2 files cannot be read as images") == 1
    assert "text.png" in caplog.text
    assert "torn.png" in caplog.text
    with pytest.raises(UnreadableImages, match=r"(?s)^2 files .*skip_unreadable leaves them out$"):
        from_folder(photos, size=4, stored=True)


def test_images_of_several_sizes_are_refused_before_any_is_decoded(photos, decoded):
    write(photos, "cat", "large.png", pixels=colour(9, (12, 9)))
    with pytest.raises(ValueError, match=r"^images have sizes of 6×8 and 12×9 pixels: expected one, or size= to cut"):
        from_folder(photos, stored=True)
    assert decoded == []


def test_a_file_that_goes_or_changes_afterwards_is_named(photos):
    dataset = from_folder(photos, stored=True)
    files = [dataset.train.images.source.describe(row) for row in dataset.train.images.rows]
    os.remove(files[3])
    with pytest.raises(UnreadableImages, match=r"^1 file cannot be read as an image:\n  .*\.png: .*No such file"):
        dataset.train.images[3]
    os.utime(files[4], ns=(1, 1))
    with pytest.raises(UnreadableImages, match=rf"{files[4]}: it has changed since the data set was made$"):
        dataset.train.images[4]
    found = windows(dataset.train.images, dataset.train.labels, np.array([[0, 1], [2, 3]]), per_window=1)
    next(found)
    with pytest.raises(UnreadableImages, match=rf"{files[3]}: .*No such file"):
        next(found)


@pytest.mark.parametrize("place", [".", "photos/.", "../photos"])
def test_a_relative_path_is_meant_from_where_it_was_given(photos, monkeypatch, caplog, place):
    (photos / "cat" / "torn.png").write_bytes((photos / "cat" / "00.png").read_bytes()[:60])
    monkeypatch.chdir(photos.parent if place.startswith("photos") else photos)
    with pytest.raises(UnreadableImages, match=r"^1 file .*\n.*torn.png"):
        from_folder(place, stored=True)
    dataset = from_folder(place, stored=True, skip_unreadable=True)
    monkeypatch.chdir(photos.parent.parent)
    np.testing.assert_array_equal(dataset.test.images[:2], from_folder(photos, skip_unreadable=True).test.images[:2])


def test_another_process_may_read_them(photos):
    images = from_folder(photos, stored=True).test.images
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(images))), np.asarray(images))


def test_a_folder_without_classes(tmp_path):
    write(tmp_path, "1.png")
    with pytest.raises(ValueError, match=r"expected a subfolder with images for every class"):
        from_folder(tmp_path, stored=True)
