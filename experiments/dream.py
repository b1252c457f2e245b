"""What does a layer see in a photograph of one's own, if the photograph follows?

    make look-cifar                                                    once: trains the network that dreams
    python experiments/dream.py photo.jpg                              a minute or two on two cores
    python experiments/dream.py photo.jpg --layer conv2_relu --octaves 4 --out dream.png
    python experiments/dream.py photo.jpg --run runs/train/cnn         with another network

Deep dream (Mordvintsev, Olah & Tyka, 2015): pixels follow the gradient of ½‖layer‖², at a small size first, then at
larger ones, which take over what was dreamt before. The picture is a PNG; beside it stands, under the same name, a JSON
file that says how it was made. A network that was trained on the images of CIFAR-10 has seen ten things, at 32 pixels:
it dreams of eyes and muzzles, antlers, legs and wings as small as that, at every size that is dreamt at, and of no
larger scene. One that is still bad at telling them apart dreams of stripes and edges.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from convnet.analysis.deep_dream import Dream, deep_dream
from convnet.cli import run_command
from convnet.data.files import read_photograph
from convnet.progress import progress
from convnet.record import parameter_hash
from convnet.report.picture_file import check_place, write_picture
from convnet.settings import content_hash, require
from convnet.trained import Trained, load

USUAL = Path("runs", "look", "cifar10")


@dataclass(frozen=True)
class Command:
    """Dream a photograph: the picture of it in which a layer of a trained network sees more of what it sees."""

    image: Annotated[Path, tyro.conf.Positional]
    """The photograph: PNG, JPEG and whatever else Pillow reads."""
    run: Path = USUAL
    """Directory of the run whose network dreams: finished, or with a checkpoint. Default: what make look-cifar trains.
    """
    layer: str | None = None
    """The layer to excite, one before the first dense layer. Early ones dream of edges and textures, late ones of
    larger things. Default: the last such one."""
    octaves: int = 6
    """Sizes that are dreamt at, each 1.4 times as large as the one before: with more of them, larger structures."""
    iterations: int = 10
    """Steps at each size: with more of them, less is left of the photograph."""
    step: float = 0.006
    """How far a pixel moves in a step, in the mean; black is 0 and white is 1."""
    smooth: float = 0.5
    """Pixels by which each gradient is blurred: with more of it, broader strokes and flatter colours; with 0, as in the
    original, finer patterns."""
    size: int = 512
    """Pixels of the picture's longest side, at most; a smaller photograph keeps its size."""
    seed: int = 0
    """Of the jitter: the same seed gives the same picture."""
    out: Path | None = None
    """The picture, a PNG file. One that this command did not write is left alone. Default: in runs/dream, under the
    photograph's name."""


def dream(command: Command) -> None:
    """Write the picture and what is told of it, and print that.

    Raises ValueError before anything is written, for what cannot be dreamt: no such photograph, run or layer, a number
    out of range, a place that is taken.
    """
    if command.run == USUAL and not USUAL.exists():
        raise ValueError(f"run is {str(USUAL)!r}: nothing is there; make look-cifar trains it, or name another (--run)")
    require(command.size >= 1, "size", command.size, "1 or more pixels")
    network = load(command.run)
    photograph, done = read_photograph(command.image, channels=network.image_shape[2], longest=command.size)
    settings = {
        **{name: getattr(command, name) for name in ("octaves", "iterations", "step", "smooth", "seed", "size")},
        "layer": command.layer,
        "image": hashlib.sha256(command.image.read_bytes()).hexdigest(),
        "parameters": parameter_hash(network.variables),
    }
    out = command.out or Path("runs", "dream", f"{command.image.stem}-{content_hash(settings)}.png")
    check_place(out, "dream")
    with progress(command.octaves, "octave") as bar:
        found = deep_dream(
            network, photograph[None], command.layer, octaves=command.octaves, iterations=command.iterations,
            step=command.step, smooth=command.smooth, seed=command.seed, on_progress=bar.update,
        )  # fmt: skip
    facts = told(command, network, found, done)
    write_picture(
        out, found.images[0], "dream", {**facts, "settings": settings, "objectives": found.objectives[0].tolist()}
    )
    print("\n".join(f"{name:<12}{value}" for name, value in [*facts.items(), ("picture", out)]))


def told(command: Command, network: Trained, found: Dream, done: list[str]) -> dict[str, str]:
    """What the picture is, for people."""
    height, width = found.sizes[-1]
    smallest = "×".join(map(str, found.sizes[0]))
    values = found.objectives[0]
    rises = f"{values[-1, 0]:.3g} -> {values[-1, -1]:.3g} at the last size" if command.iterations else "no iterations"
    config = network.config
    return {
        "photograph": ", ".join([f"{command.image.name}, {height}×{width}", *done]),
        "network": f"{config.model.name} on {config.data.name}, epoch {network.epoch} ({command.run})",
        "layer": f"{found.layer}: ½ of its mean square {rises}",
        "dreamt": f"{command.octaves} octaves from {smallest} on, {command.iterations} iterations of step "
                  f"{command.step:g}, gradients blurred by {command.smooth:g} pixels, seed {command.seed}",
    }  # fmt: skip


def main(args: list[str] | None = None) -> int:
    return run_command(Command, dream, args)


if __name__ == "__main__":
    sys.exit(main())
