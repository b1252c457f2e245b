"""What does one picture look like in the style of another, as a network trained here sees style?

    make look-cifar                                                    once: trains the network that looks
    python experiments/style_transfer.py photo.jpg painting.jpg        one to two minutes on two cores
    python experiments/style_transfer.py photo.jpg painting.jpg --style-weight 30 --size 512 --out picture.png
    python experiments/style_transfer.py photo.jpg painting.jpg --run runs/train/cnn      with another network

The picture has the features of CONTENT, and of STYLE the correlations between features, whatever their place (Gatys,
Ecker & Bethge, CVPR 2016). It is a PNG; beside it stands, under the same name, a JSON file that says how it was made.
A network that was trained on images of 32 pixels knows colours, grain, strokes and patterns of up to some 24 pixels,
and paints with those. It does not know larger forms, eyes say: those of the style do not come over. With a smaller
--size, strokes are larger beside the picture. Without training, a network gives the colours and blotches, no strokes.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from convnet.analysis.style_transfer import Start, Stylized, style_transfer
from convnet.cli import run_command
from convnet.data.files import read_photograph
from convnet.progress import progress
from convnet.record import parameter_hash
from convnet.report.picture_file import check_place, write_picture
from convnet.settings import content_hash, require
from convnet.trained import Trained, load

USUAL = Path("runs", "look", "cifar10")
NAME = "style_transfer"


@dataclass(frozen=True)
class Command:
    """Paint a photograph in the style of another picture, as a trained network sees content and style."""

    content: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONTENT")]
    """The photograph: PNG, JPEG and whatever else Pillow reads."""
    style: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STYLE")]
    """The picture whose colours and textures it is to have."""
    run: Path = USUAL
    """Directory of the run whose network looks: finished, or with a checkpoint. Default: what make look-cifar trains.
    """
    content_layer: str | None = None
    """The layer whose features are to be those of the photograph; an early one keeps more of it. Default: the last one
    before the last pooling."""
    style_layers: tuple[str, ...] = ()
    """Layers in which correlations between features are to be those of the style: early ones are about colours and
    grain, late ones about larger patterns. Default: the first of each size of maps."""
    style_weight: float = 100.0
    """How much the style counts beside the content: with more of it, less is left of the photograph."""
    variation_weight: float = 10.0
    """How much differences between neighbouring pixels count: with more of it, the picture is smoother."""
    steps: int = 200
    """Steps of L-BFGS."""
    start: Start = "content"
    """What the picture is at first: the photograph, or noise."""
    size: int = 384
    """Pixels of the picture's longest side, at most; a smaller photograph keeps its size."""
    style_size: int | None = None
    """Pixels of the style's longest side, at most: its strokes get finer with less of it. Default: --size."""
    seed: int = 0
    """Of the noise: the same seed gives the same picture."""
    out: Path | None = None
    """The picture, a PNG file. One that this command did not write is left alone. Default: in runs/style_transfer,
    under the names of both."""


def stylize(command: Command) -> None:
    """Write the picture and what is told of it, and print that.

    Raises ValueError before anything is written, for what cannot be painted: no such pictures, run or layers, a number
    out of range, a place that is taken.
    """
    if command.run == USUAL and not USUAL.exists():
        raise ValueError(f"run is {str(USUAL)!r}: nothing is there; make look-cifar trains it, or name another (--run)")
    require(command.size >= 1, "size", command.size, "1 or more pixels")
    require(command.seed >= 0, "seed", command.seed, "0 or more")
    require(command.style_size is None or command.style_size >= 1, "style_size", command.style_size, "1 or more pixels")
    network = load(command.run)
    sizes = {"content": command.size, "style": command.style_size or command.size}
    read = {name: _read(name, getattr(command, name), network, size) for name, size in sizes.items()}
    asked = {
        "content_layer": command.content_layer,
        "style_layers": command.style_layers or None,
        **{name: getattr(command, name) for name in ("style_weight", "variation_weight", "steps", "start", "seed")},
    }
    settings = {
        **asked,
        **sizes,
        "images": [hashlib.sha256(getattr(command, name).read_bytes()).hexdigest() for name in sizes],
        "parameters": parameter_hash(network.variables),
    }
    usual = f"{command.content.stem}-{command.style.stem}-{content_hash(settings)}.png"
    out = command.out or Path("runs", NAME, usual)
    check_place(out, NAME)
    with progress(command.steps, "step") as bar:
        found = style_transfer(network, *(image for image, _ in read.values()), on_progress=bar.update, **asked)
    facts = told(command, network, found, read)
    write_picture(out, found.image, NAME, {**facts, "settings": settings, "objectives": found.objectives.tolist()})
    print("\n".join(f"{name:<10}{value}" for name, value in [*facts.items(), ("picture", out)]))


def _read(name: str, path: Path, network: Trained, longest: int) -> tuple[Any, list[str]]:
    try:
        return read_photograph(path, channels=network.image_shape[2], longest=longest)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def told(command: Command, network: Trained, found: Stylized, read: dict[str, tuple]) -> dict[str, str]:
    """What the picture is, for people."""
    config, steps = network.config, len(found.objectives) - 1
    pictures = {
        name: ", ".join([getattr(command, name).name, "×".join(map(str, image.shape[:2])), *done])
        for name, (image, done) in read.items()
    }
    return {
        **pictures,
        "network": f"{config.model.name} on {config.data.name}, epoch {network.epoch} ({command.run})",
        "layers": f"content {found.content_layer}; style {', '.join(found.style_layers)}",
        "painted": f"{steps} steps from {command.start}, weight {command.style_weight:g} of the style and "
                   f"{command.variation_weight:g} of variation, seed {command.seed}",
        "losses": f"{found.objectives[0]:.3g} -> {found.objectives[-1]:.3g}: content {found.content_loss:.3g}, style "
                  f"{found.style_losses.mean():.3g}, variation {found.variation:.3g} before they are weighed",
    }  # fmt: skip


def main(args: list[str] | None = None) -> int:
    return run_command(Command, stylize, args)


if __name__ == "__main__":
    sys.exit(main())
