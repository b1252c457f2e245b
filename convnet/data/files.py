"""Image files, brought to what a network takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from convnet.settings import require

WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
GREY = ("1", "L", "LA", "La", *WIDE)
"""Modes of Pillow's: of more than 8 bits, and without colour."""


def read_image(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """The image as uint8 of `shape` (H, W, C), and what was done to it.

    Raises ValueError for a file that is no image, and for more than three channels.
    """
    height, width, channels = shape
    image, done = _opened(path, channels, f"images holds {str(path)!r}")
    return _resized(image, (width, height), done), done


def read_photograph(path: Path, *, channels: int, longest: int) -> tuple[np.ndarray, list[str]]:
    """The image as uint8 [H, W, channels] in its own proportions, its longest side `longest` pixels at most, and what
    was done to it.

    Raises ValueError for a file that is no image, for more than three channels, and for no pixels.
    """
    require(longest >= 1, "longest", longest, "1 or more")
    image, done = _opened(path, channels, f"image is {str(path)!r}")
    scale = min(longest / max(image.size), 1)
    return _resized(image, tuple(max(round(side * scale), 1) for side in image.size), done), done


def _opened(path: Path, channels: int, told: str) -> tuple[Image.Image, list[str]]:
    """The image upright, in 8 bits and in grey or colour, and what was done to make it so."""
    require(channels in (1, 3), "channels", channels, "1 or 3, for images from files")
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{told}: {_reason(error)}") from error
    done, grey = [], image.mode in GREY
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
        done.append("turned upright")
    if image.mode in WIDE:
        image = _eight_bits(image)
        done.append("made 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        done.append("laid over white")
    if grey != (channels == 1):
        done.append("made grey" if channels == 1 else "grey as three colours")
    return image.convert({1: "L", 3: "RGB"}[channels]), done


def _resized(image: Image.Image, size: tuple[int, int], done: list[str]) -> np.ndarray:
    """[H, W, C]; size: width and height. Says in `done` if it was of another."""
    if image.size != size:
        done.append(f"resized from {image.size[1]}×{image.size[0]}")
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).reshape(size[1], size[0], -1)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of wider pixels; their own range where they are not 16 bits, as nothing tells what white is."""
    values = np.asarray(image, np.float64)
    low, high = (0, 65535) if image.mode.startswith("I;16") else (values.min(), max(values.max(), values.min() + 1e-12))
    return Image.fromarray(np.round(255 * (values - low) / (high - low)).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image that can be read"
    return getattr(error, "strerror", None) or f"it cannot be read ({error})"
