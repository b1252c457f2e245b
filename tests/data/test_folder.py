"""Folders of images as datasets: classes, splits, formats, sizes, and what is refused."""

import logging
import re

import numpy as np
import pytest
from PIL import Image

from convnet import data
from convnet.data import UnreadableImages


def colour(i, shape=(6, 8)):
    return np.random.default_rng(i).integers(0, 256, (*shape, 3), np.uint8)


def write(folder, *parts, pixels=None, **options):
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colour(0) if pixels is None else pixels).save(path, **options)
    return path


def from_folder(folder, **options):
    """In memory; and what stays in its files is the same, or refused in the same words."""
    try:
        dataset = data.from_folder(folder, **options)
    except ValueError as refused:
        with pytest.raises(type(refused), match=f"^{re.escape(str(refused))}$"):
            data.from_folder(folder, stored=True, **options)
        raise
    for kept in (data.from_folder(folder, stored=True, **options) for _ in range(2)):
        assert (kept.stored, dataset.stored) == (True, False)
        assert kept.description == dataset.description
        assert kept.class_names == dataset.class_names
        for found, expected in ((kept.mean, dataset.mean), (kept.std, dataset.std)):
            np.testing.assert_array_equal(found, expected)
        for name, split in kept.splits.items():
            np.testing.assert_array_equal(np.asarray(split.images), dataset.splits[name].images)
            np.testing.assert_array_equal(split.labels, dataset.splits[name].labels)
    return dataset


@pytest.fixture
def animals(tmp_path):
    """Two classes of ten images."""
    for number in range(20):
        write(tmp_path, "cat" if number < 10 else "ape", f"{number:02}.png", pixels=colour(number))
    return tmp_path


def images_of(dataset):
    return np.concatenate([split.images for split in dataset.splits.values()])


def test_classes_are_subfolders_and_every_image_is_in_one_split(animals):
    dataset = from_folder(animals)
    assert dataset.name == animals.name
    assert dataset.class_names == ("ape", "cat")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 14, "validation": 2, "test": 4}
    assert dataset.image_shape == (6, 8, 3)
    written = {colour(number).tobytes(): int(number < 10) for number in range(20)}
    for split in dataset.splits.values():
        assert [written.pop(image.tobytes()) for image in split.images] == split.labels.tolist()
    assert not written


def test_the_same_files_are_the_same_data_wherever_they_lie(animals, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / animals.name
    for path in sorted(animals.rglob("*.png"), reverse=True):
        (other / path.parent.name).mkdir(parents=True, exist_ok=True)
        (other / path.parent.name / path.name).write_bytes(path.read_bytes())
    assert from_folder(other).digest == from_folder(animals).digest
    assert from_folder(animals, seed=1).digest != from_folder(animals).digest


def test_what_is_no_image_or_hidden_is_not_looked_at_and_depth_does_not_matter(animals):
    before = from_folder(animals).digest
    (animals / "cat" / "notes.txt").write_text("mine")
    (animals / "cat" / ".trash").mkdir()
    (animals / "cat" / ".trash" / "old.png").write_bytes(b"no image")
    (animals / ".cache").mkdir()
    (animals / "README.md").write_text("apes and cats")
    (animals / "cat" / "09.png").rename(animals / "cat" / "99.png")
    assert from_folder(animals).digest == before
    (animals / "cat" / "zoo").mkdir()
    (animals / "cat" / "99.png").rename(animals / "cat" / "zoo" / "1.PNG")
    assert from_folder(animals).digest == before


@pytest.mark.parametrize("names", [("train", "val", "test"), ("train", "validation"), ("train", "test"), ("train",)])
def test_folders_of_splits_are_taken_as_they_are_and_the_others_held_out(tmp_path, names):
    for number in range(20):
        write(tmp_path, "train", "ab"[number % 2], f"{number}.png", pixels=colour(number))
    for part, name in enumerate(names[1:], 1):
        for number in range(4):
            write(tmp_path, name, "ab"[number % 2], f"{number}.png", pixels=colour(100 * part + number))
    dataset = from_folder(tmp_path)
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    validation, test = ("val" in names or "validation" in names), "test" in names
    held = (0 if validation else 2) + (0 if test else 4)
    assert sizes == {"train": 20 - held, "validation": 4 if validation else 2, "test": 4}
    for name, part in (("validation", 1), ("test", len(names) - 1)):
        if len(sizes) and (validation if name == "validation" else test):
            given = {colour(100 * part + number).tobytes() for number in range(4)}
            assert {image.tobytes() for image in dataset.splits[name].images} == given


RED = np.full((6, 8, 3), (255, 0, 0), np.uint8)


def transparent(tmp_path):
    return write(tmp_path, "a", "1.png", pixels=np.dstack([RED, np.full((6, 8), 0, np.uint8)]))


def one(tmp_path, **options):
    """The first image of a folder with a class of six equal images."""
    source = next((tmp_path / "a").iterdir())
    for copy in range(5):
        source.with_stem(f"copy{copy}").write_bytes(source.read_bytes())
    return images_of(from_folder(tmp_path, validation_fraction=0.2, **options))[0]


def test_transparent_pixels_are_white(tmp_path):
    transparent(tmp_path)
    np.testing.assert_array_equal(one(tmp_path), np.full((6, 8, 3), 255))


def test_grey_images_have_one_channel_unless_another_is_not(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    write(tmp_path, "a", "1.png", pixels=grey)
    np.testing.assert_array_equal(one(tmp_path), grey[..., None])
    np.testing.assert_array_equal(one(tmp_path, channels=3), np.repeat(grey[..., None], 3, axis=2))
    write(tmp_path, "a", "colour.png", pixels=RED)
    assert images_of(from_folder(tmp_path, validation_fraction=0.2)).shape[-1] == 3
    assert images_of(from_folder(tmp_path, validation_fraction=0.2, channels=1)).shape[-1] == 1


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.linspace(0, 65_535, 48).astype(np.uint16).reshape(6, 8)
    write(tmp_path, "a", "1.png", pixels=values)
    np.testing.assert_array_equal(one(tmp_path)[..., 0], np.rint(values / 257))


def test_palettes_and_cmyk_become_rgb(tmp_path):
    path = write(tmp_path, "a", "1.gif", pixels=RED)
    assert Image.open(path).mode in ("P", "L")
    np.testing.assert_array_equal(one(tmp_path), RED)
    (tmp_path / "cmyk" / "a").mkdir(parents=True)
    Image.fromarray(RED).convert("CMYK").save(tmp_path / "cmyk" / "a" / "1.tif")
    np.testing.assert_array_equal(one(tmp_path / "cmyk"), RED)


def test_images_are_turned_as_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° to the right
    write(tmp_path, "a", "1.png", pixels=colour(1), exif=exif)
    np.testing.assert_array_equal(one(tmp_path), np.rot90(colour(1), -1))


def test_sizes_are_covered_and_cut_to_the_centre(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    write(tmp_path, "a", "1.png", pixels=wide)
    np.testing.assert_array_equal(one(tmp_path, size=10), np.full((10, 10, 3), 255))
    assert one(tmp_path, size=(5, 7)).shape == (5, 7, 3)
    other = write(tmp_path, "a", "2.png", pixels=colour(2, (12, 9)))
    with pytest.raises(ValueError, match=r"^images have sizes of 10×30 and 12×9 pixels: expected one, or size= to cut"):
        from_folder(tmp_path, validation_fraction=0.2)
    other.unlink()


def test_unreadable_files_are_listed_or_left_out_and_counted(animals, caplog):
    whole = (animals / "cat" / "00.png").read_bytes()
    for name, content in (("torn.png", whole[: len(whole) // 2]), ("empty.jpg", b""), ("text.webp", b"no picture")):
        (animals / "ape" / name).write_bytes(content)
    with pytest.raises(
        UnreadableImages, match=r"(?s)^3 files cannot be read as images:.*empty.jpg.*text.webp.*torn.png"
    ):
        from_folder(animals)
    with caplog.at_level(logging.WARNING):
        assert len(images_of(from_folder(animals, skip_unreadable=True))) == 20
    assert "left out: 3 files cannot be read as images" in caplog.text


def test_no_more_than_ten_files_are_listed(animals):
    for number in range(12):
        (animals / "ape" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImages) as caught:
        from_folder(animals)
    assert len(str(caught.value).splitlines()) == 1 + 10 + 1 + 1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(size=0), r"^size is 0: expected pixels, 1 or more"),
        (dict(size=(3, -1)), r"^size is \(3, -1\): expected pixels, 1 or more"),
        (dict(channels=2), r"^channels is 2: expected 1, 3 or None"),
        (dict(test_fraction=1.5), r"^test_fraction must lie in \(0, 1\), got 1.5"),
    ],
)
def test_wrong_arguments(animals, options, match):
    with pytest.raises(ValueError, match=match):
        from_folder(animals, **options)


def test_folders_that_hold_no_dataset(tmp_path):
    with pytest.raises(ValueError, match=r"^folder is '.*nowhere': expected a directory"):
        from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"^folder is '.*': expected a subfolder with images for every class"):
        from_folder(tmp_path)
    write(tmp_path, "1.png")
    with pytest.raises(ValueError, match=r"expected a subfolder with images for every class"):
        from_folder(tmp_path)
    write(tmp_path, "lonely", "1.png")
    with pytest.raises(ValueError, match=r"^'lonely' has a single image to train on: none can be held out"):
        from_folder(tmp_path)


def test_a_class_that_is_only_tested_is_refused(tmp_path):
    for number in range(4):
        write(tmp_path, "train", "ab"[number % 2], f"{number}.png")
        write(tmp_path, "val", "ab"[number % 2], f"{number}.png")
        write(tmp_path, "test", "bc"[number % 2], f"{number}.png")
    with pytest.raises(ValueError, match=r"^'c' has no image to train on: expected some of every class"):
        from_folder(tmp_path)


def test_it_stands_beside_the_other_ways_to_a_dataset():
    assert {"from_folder", "from_arrays", "UnreadableImages"} <= set(data.__all__)
