"""Image files of a data set, decoded: in memory or on demand, every file to the same pixels."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of one channel."""
_LAYOUT = 1  # to be raised when the same file gives other pixels
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


class ImageFiles:
    """A source of `StoredImages`: files in `root`, decoded whenever they are asked for.

    size: (H, W) that images are brought to; None: they keep theirs. channels: 1 or 3.

    A file that has another length or time than when this was made is not read any more: ValueError.
    """

    def __init__(self, root: Path, names: Sequence[str], size: tuple[int, int] | None, channels: int = 3):
        self.root, self.names, self.size, self.channels = str(root), tuple(names), size, channels
        self.stamps = np.array([_stamp(self.describe(i)) for i in range(len(self))], np.int64).reshape(-1, 2)

    def in_channels(self, channels: int) -> ImageFiles:
        """The same files, as they were when this was made."""
        other = copy.copy(self)
        other.channels = channels
        return other

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> np.ndarray:
        path = self.describe(i)
        if _stamp(path) != tuple(self.stamps[i]):
            raise ValueError("it has changed since the data set was made")
        return with_channels(pixels(path, self.size), self.channels)

    def describe(self, i: int) -> str:
        return os.path.join(self.root, self.names[i])

    @property
    def fingerprint(self) -> str:
        """Of names below the root, lengths and times; of how they are decoded, and with which Pillow."""
        from PIL import __version__ as pillow

        text = repr((_LAYOUT, pillow, self.names, self.size, self.channels)).encode("utf-8", "surrogateescape")
        return hashlib.sha256(text + np.ascontiguousarray(self.stamps, "<i8").tobytes()).hexdigest()


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def header(path: Path | str) -> tuple[int, int, bool]:
    """Height and width, turned as EXIF says, and whether it is grey, without decoding the image.

    Raises what Pillow raises for a file that is no image.
    """
    from PIL import Image

    with Image.open(path) as opened:
        # Not the format's own: that of PNG decodes the whole image, as EXIF may follow it.
        turned = Image.Image.getexif(opened).get(_ORIENTATION) in _TURNED
        width, height = reversed(opened.size) if turned else opened.size
        return height, width, opened.mode in GREY


def pixels(path: Path | str, size: tuple[int, int] | None) -> np.ndarray:
    """The image, uint8 [H, W, 1 or 3], upright and laid over white, resized until it covers `size` (H, W) and cut to
    its centre. Raises ValueError for pixels of unknown range, and what Pillow raises."""
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
        found = np.asarray(image, np.uint8)
    return found[..., None] if found.ndim == 2 else found


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """[H, W, 1 or 3] uint8 -> [H, W, channels]."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow's own
    return np.rint(image @ weights).astype(np.uint8)[..., None]


def _in_eight_bits(image):
    """Of 16 bits the upper eight, rounded: 65,535 is 255."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise ValueError("pixels beyond 16 bits")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
