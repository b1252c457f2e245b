"""A dataset from a folder of image files: a subfolder per class, divided into splits or not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from convnet.data.dataset import Dataset, Split, from_arrays
from convnet.data.splits import hold_out
from convnet.progress import progress
from convnet.settings import require

SPLITS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
"""Names of the folders of splits."""
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of one channel."""
TOLD = 10
"""Files that an error lists."""
_log = logging.getLogger(__name__)


class UnreadableImages(ValueError):
    """Files that should be images and are not, or have no size of their own that the others share."""


def from_folder(
    folder: Path | str,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    skip_unreadable: bool = False,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Reads `folder/CLASS/…/image`, or `folder/train/CLASS/…` beside `validation` (or `val`) and `test`, into memory.

    Every file that Pillow has a format for by its suffix is an image, at any depth; hidden files are not looked at.
    Classes are the names of the subfolders, in the order of their letters, and so are the images of each: the dataset
    depends on the files alone. Splits that have no folder are held out of the training images as `from_arrays` does.

    size: (H, W), or both. Images are resized until they cover it, smoothly, and cut to the centre. None: all have one
    size already.
    channels: 1 or 3; None: 1 where all images are grey. Images are turned as EXIF says. What is transparent is white;
    palettes and CMYK become RGB, 16 bits become 8; of moving images the first frame counts.
    skip_unreadable: leave out what cannot be read, with a warning that counts it.

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
    read = _Reader(height_width, skip_unreadable)
    with progress(sum(map(len, found.values())), "image") as bar:
        images = {name: read(files, bar.update) for name, files in found.items()}
    read.report()
    everything = [image for part in images.values() for image, _ in part]
    if channels is None:
        channels = 1 if all(image.shape[2] == 1 for image in everything) else 3
    splits = {name: _split(part, names, channels) for name, part in images.items()}
    fractions = dict(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed)
    return _dataset(folder.resolve().name, splits, names, fractions)


def _places(folder: Path) -> dict[str, Path]:
    """Where the images of each split are; those of a folder without splits are to train on."""
    if not folder.is_dir():
        raise ValueError(f"folder is {str(folder)!r}: expected a directory")
    inside = {path.name: path for path in folder.iterdir() if path.is_dir()}
    if "train" not in inside:
        return {"train": folder}
    return {name: inside[alias] for name, aliases in SPLITS.items() for alias in aliases if alias in inside}


def _files(place: Path) -> list[tuple[Path, str]]:
    """(file, class) of every image."""
    from PIL import Image

    suffixes, found = set(Image.registered_extensions()), []
    for label in sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in label.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        hidden = [path for path in files if any(part.startswith(".") for part in path.relative_to(place).parts)]
        found += [(path, label.name) for path in files if path not in hidden]
    return found


class _Reader:
    """Reads images, and remembers which it could not."""

    def __init__(self, size: tuple[int, int] | None, skip: bool):
        self.size, self.skip, self.failures = size, skip, []

    def __call__(self, files: Iterable[tuple[Path, str]], tick: Callable) -> list[tuple[np.ndarray, str]]:
        """(pixels [H, W, 1 or 3] uint8, class) of every file that can be read."""
        found = []
        for path, label in files:
            try:
                found.append((_pixels(path, self.size), label))
            except Exception as error:  # of Pillow's decoders each raises its own
                self.failures.append(f"{path}: {error}")
            tick()
        return found

    def report(self) -> None:
        if not self.failures:
            return
        shown = [*self.failures[:TOLD], *(["…"] if len(self.failures) > TOLD else [])]
        listed = f"{len(self.failures)} files cannot be read as images:\n  " + "\n  ".join(shown)
        if not self.skip:
            raise UnreadableImages(f"{listed}\nskip_unreadable leaves them out")
        _log.warning("left out: %s", listed)


def _pixels(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        if opened.mode == "F":
            raise ValueError("floating-point pixels, whose range nobody knows")
        image = ImageOps.exif_transpose(opened)
        grey, image = image.mode in GREY, _in_eight_bits(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
        if size is not None:
            image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _in_eight_bits(image):
    """Of 16 bits the upper eight, rounded: 65,535 is 255."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise ValueError("pixels beyond 16 bits")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _split(images: Sequence[tuple[np.ndarray, str]], names: Sequence[str], channels: int) -> Split:
    arrays = [_with_channels(image, channels) for image, _ in images]
    shapes = sorted({array.shape[:2] for array in arrays})
    if len(shapes) > 1:
        told = " and ".join(f"{height}×{width}" for height, width in shapes[:2])
        raise ValueError(f"images have sizes of {told} pixels: expected one, or size= to cut them to")
    if not arrays:
        raise ValueError("a split holds no image that can be read")
    return Split(np.stack(arrays), np.array([names.index(label) for _, label in images]))


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow's own
    return np.rint(image @ weights).astype(np.uint8)[..., None]


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
