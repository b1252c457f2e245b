"""A dataset from a folder of image files: a subfolder per class, divided into splits or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from convnet.data.arrays import from_arrays
from convnet.data.dataset import Dataset, Split
from convnet.data.decoding import pixels, with_channels
from convnet.data.splits import hold_out
from convnet.data.stored import UnreadableImages, listed
from convnet.data.stored_folder import ADVICE, Files, StoredFolder, one_size
from convnet.progress import progress
from convnet.settings import require

SPLITS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
"""Names of the folders of splits."""
_log = logging.getLogger(__name__)


def from_folder(
    folder: Path | str,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    skip_unreadable: bool = False,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    stored: bool = False,
) -> Dataset:
    """A dataset of `folder/CLASS/…/image`, or `folder/train/CLASS/…` beside `validation` (or `val`) and `test`.

    Every file that Pillow has a format for by its suffix is an image, at any depth; hidden files are not looked at.
    Classes are the names of the subfolders, in the order of their letters, and so are the images of each: the dataset
    depends on the files alone. Splits that have no folder are held out of the training images as `from_arrays` does.

    size: (H, W), or both. Images are resized until they cover it, smoothly, and cut to the centre. None: all have one
    size already.
    channels: 1 or 3; None: 1 where all images are grey. Images are turned as EXIF says. What is transparent is white;
    palettes and CMYK become RGB, 16 bits become 8; of moving images the first frame counts.
    skip_unreadable: leave out what cannot be read, with a warning that counts it.
    stored: leave the images where they are, and decode each when it is asked for, to the same pixels. Every file is
    read once now, unless that was done before: to see that it can be, and for digest, mean and std.

    Raises UnreadableImages, a ValueError that lists files that cannot be read, ValueError for a folder without classes,
    images of several sizes, and what `from_arrays` refuses, a class with a single image say.
    """
    folder = Path(folder)
    height_width = (size, size) if isinstance(size, int) else size
    require(height_width is None or all(n > 0 for n in height_width), "size", size, "pixels, 1 or more")
    require(channels in (None, 1, 3), "channels", channels, "1, 3 or None")
    found = {name: _files(place) for name, place in _places(folder).items()}
    names = tuple(sorted({label for files in found.values() for _, label in files}))
    if not names:
        raise ValueError(f"folder is {str(folder)!r}: expected a subfolder with images for every class")
    fractions = dict(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed)

    def dataset(splits: dict[str, Split]) -> Dataset:
        return _dataset(folder.resolve().name, splits, names, fractions)

    if stored:
        on_disk = StoredFolder(folder, found, names, height_width, channels)
        result, failures = on_disk.dataset(dataset, skip_unreadable, (names, *fractions.values()))
    else:
        splits, failures = _read(found, names, height_width, channels, skip_unreadable)
        result = dataset(splits)
    if failures:
        _log.warning("left out: %s", listed(failures))
    return result


def _places(folder: Path) -> dict[str, Path]:
    """Where the images of each split are; those of a folder without splits are to train on."""
    if not folder.is_dir():
        raise ValueError(f"folder is {str(folder)!r}: expected a directory")
    inside = {path.name: path for path in folder.iterdir() if path.is_dir()}
    if "train" not in inside:
        return {"train": folder}
    return {name: inside[alias] for name, aliases in SPLITS.items() for alias in aliases if alias in inside}


def _files(place: Path) -> Files:
    """(file, class) of every image."""
    from PIL import Image

    suffixes, found = set(Image.registered_extensions()), []
    for label in sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in label.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        hidden = {path for path in files if any(part.startswith(".") for part in path.relative_to(place).parts)}
        found += [(path, label.name) for path in files if path not in hidden]
    return found


def _read(
    found: dict[str, Files], names: Sequence[str], size: tuple[int, int] | None, channels: int | None, skip: bool
) -> tuple[dict[str, Split], dict[str, str]]:
    """The images of every split, in memory, and why those were left out that cannot be read."""
    failures: dict[str, str] = {}
    with progress(sum(map(len, found.values())), "image") as bar:
        images = {name: _decoded(files, size, failures, bar.update) for name, files in found.items()}
    if failures and not skip:
        raise UnreadableImages(failures, ADVICE)
    if channels is None:
        channels = 1 if all(image.shape[2] == 1 for part in images.values() for image, _ in part) else 3
    return {name: _split(part, names, channels) for name, part in images.items()}, failures


def _decoded(
    files: Iterable[tuple[Path, str]], size: tuple[int, int] | None, failures: dict[str, str], tick: Callable
) -> list[tuple[np.ndarray, str]]:
    """(pixels [H, W, 1 or 3] uint8, class) of every file that can be read; why not of the others, in `failures`."""
    found = []
    for path, label in files:
        try:
            found.append((pixels(path, size), label))
        except Exception as error:  # of Pillow's decoders each raises its own
            failures[str(path)] = str(error)
        tick()
    return found


def _split(images: Sequence[tuple[np.ndarray, str]], names: Sequence[str], channels: int) -> Split:
    arrays = [with_channels(image, channels) for image, _ in images]
    one_size([array.shape[:2] for array in arrays])
    numbers = {name: number for number, name in enumerate(names)}
    return Split(np.stack(arrays), np.array([numbers[label] for _, label in images]))


def _dataset(name: str, splits: dict[str, Split], names: tuple[str, ...], fractions: dict) -> Dataset:
    """With validation and test held out of the training images where they have no folder."""
    train, rest = splits["train"], {part: split for part, split in splits.items() if part != "train"}
    missing = sorted(set(range(len(names))) - set(train.labels.tolist()))
    if missing:
        raise ValueError(f"{names[missing[0]]!r} has no image to train on: expected some of every class")
    for label in (int(one) for one in np.flatnonzero(np.bincount(train.labels) == 1)):
        if len(rest) < 2:
            raise ValueError(f"{names[label]!r} has a single image to train on: none can be held out")
    if "validation" in rest and "test" in rest:
        return Dataset(name, train, rest["validation"], rest["test"], names)
    if "validation" in rest:
        size = round(fractions["test_fraction"] * len(train))
        kept, held = hold_out(train.labels, size, seed=fractions["seed"])
        return Dataset(name, train.take(kept), rest["validation"], train.take(held), names)
    test = dict(test_images=rest["test"].images, test_labels=rest["test"].labels) if "test" in rest else {}
    return from_arrays(name, train.images, train.labels, class_names=names, **fractions, **test)
