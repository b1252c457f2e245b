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

from convnet.cli import run_command
from convnet.data.files import read_image
from convnet.report import text_table
from convnet.settings import require
from convnet.trained import load


@dataclass(frozen=True)
class Predict:
    """Tell the likeliest classes of images, with their probabilities, as a run's network sees them."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a run: finished, or with a checkpoint."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files: PNG, JPEG and whatever else Pillow reads."""
    top: int = 5
    """How many classes are told."""


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
