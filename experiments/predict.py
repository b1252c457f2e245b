"""What does a trained network say about images of one's own?

    python experiments/train.py --out runs/train/cnn
    python experiments/predict.py runs/train/cnn photo.png scan.jpg       the five likeliest classes of each

Images are brought to what the network was trained on: transparency is laid over white, colours become grey where it
knows grey only (and grey three equal colours), other sizes are resized. Whatever was done is said beside the image.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from convnet.cli import run_command
from convnet.report import text_table
from convnet.settings import require
from convnet.trained import load

WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
GREY = ("1", "L", "LA", "La", *WIDE)
"""Modes of Pillow's: of more than 8 bits, and without colour."""


@dataclass(frozen=True)
class Predict:
    """Tell the likeliest classes of images, with their probabilities, as a run's network sees them."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a run: finished, or with a checkpoint."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files: PNG, JPEG and whatever else Pillow reads."""
    top: int = 5
    """How many classes are told."""


def read_image(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """The image as uint8 of `shape` (H, W, C), and what was done to it.

    Raises ValueError for a file that is no image, and for more than three channels.
    """
    height, width, channels = shape
    require(channels in (1, 3), "channels", channels, "1 or 3, for images from files")
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"images holds {str(path)!r}: {_reason(error)}") from error
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
    mode = {1: "L", 3: "RGB"}[channels]
    if grey != (channels == 1):
        done.append("made grey" if channels == 1 else "grey as three colours")
    image = image.convert(mode)
    if image.size != (width, height):
        done.append(f"resized from {image.size[1]}×{image.size[0]}")
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).reshape(shape), done


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of wider pixels; their own range where they are not 16 bits, as nothing tells what white is."""
    values = np.asarray(image, np.float64)
    low, high = (0, 65535) if image.mode.startswith("I;16") else (values.min(), max(values.max(), values.min() + 1e-12))
    return Image.fromarray(np.round(255 * (values - low) / (high - low)).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image that can be read"
    return getattr(error, "strerror", None) or f"it cannot be read ({error})"


def predict(settings: Predict) -> None:
    require(settings.top >= 1, "top", settings.top, "1 or more")
    require(len(settings.images) >= 1, "images", settings.images, "one file or more")
    network = load(settings.run)
    height, width, channels = network.image_shape
    found = [read_image(path, network.image_shape) for path in settings.images]
    top = min(settings.top, len(network.class_names))
    rows = [["image", *(f"{i + 1}." for i in range(top)), "to fit the network"]]
    for path, row, (_, done) in zip(
        settings.images, network.probabilities(np.stack([image for image, _ in found])), found, strict=True
    ):
        likeliest = np.argsort(-row, kind="stable")[:top]
        rows.append([path.name, *(f"{network.class_names[k]} {row[k]:.1%}" for k in likeliest), ", ".join(done)])
    config, colours = network.config, "grey" if channels == 1 else "colour"
    print(f"{config.model.name} on {config.data.name}, epoch {network.epoch}: {height}×{width} in {colours}\n")
    print(text_table(rows))


def main(args: list[str] | None = None) -> int:
    return run_command(Predict, predict, args)


if __name__ == "__main__":
    sys.exit(main())
