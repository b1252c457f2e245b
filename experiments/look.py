"""What did a network learn, what does it look at, and can such pictures be trusted?

    python experiments/train.py --out runs/train/digits
    python experiments/look.py runs/train/digits                            two to three minutes on two cores
    python experiments/look.py runs/train/digits --sections units trust     only these
    python experiments/look.py runs/train/digits --images photo.png         through one's own pictures
    python experiments/look.py runs/train/digits --quick                    seconds: does everything run?

`make look` does the first two. The page is `report.html`, its pictures are beside it as PNG and its numbers as NPZ, and
`live.html` is the network itself, to be drawn for in a browser.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from convnet import data
from convnet.analysis import View, softmax
from convnet.cli import run_command
from convnet.data import Dataset
from convnet.data.files import read_image
from convnet.progress import progress
from convnet.report import study, write_report
from convnet.report.live import write_live_page
from convnet.report.look import SECTIONS, Effort, Look, look_page
from convnet.result import RunResult, load_result
from convnet.settings import require
from convnet.trained import Trained, load

STUDY = "look"


@dataclass(frozen=True)
class Command:
    """Look into a trained network: layers, weights, feature maps, receptive fields, units, occlusion, inversion, the
    image of each class, dreams, styles, and whether such explanations can be trusted. Writes report.html and
    live.html."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a run: finished, or with a checkpoint."""
    sections: tuple[str, ...] = tuple(SECTIONS)
    """Which parts of the page to make, in the page's order."""
    images: tuple[Path, ...] = ()
    """Image files to look at, brought to the network's size. Default: images of the data set's test split, among them
    the most confident error."""
    units: tuple[str, ...] = ()
    """Units to look at, as LAYER:NUMBER, or LAYER for some of it. Default: some of layers spread over the depth."""
    out: Path | None = None
    """Directory of the page; one that holds something else is refused. Default: RUN/look, and RUN/look-quick."""
    seed: int = 0
    """Of starts, noise and random orders: the same seed gives the same page."""
    live: bool = True
    """Write live.html, too."""
    quick: bool = False
    """Few images, units and steps: a check that everything runs, not pictures to judge by."""


def look(command: Command) -> int:
    """Write the page. Returns 0, or 1 where a part of it could not be made.

    Raises ValueError before anything is written, for what cannot be looked at: no run or nothing learned, a section,
    layer or unit that does not exist, a file that is no image, a directory that holds something else.
    """
    for name in command.sections:
        require(name in SECTIONS, "sections", name, f"some of {', '.join(SECTIONS)}")
    network = load(command.run)
    dataset = _dataset(network)
    subject = Look(
        network=network,
        **_images(command, network, dataset),
        dataset=dataset,
        result=_result(command.run, network),
        units=_units(command.units, network),
        effort=Effort.quick() if command.quick else Effort(),
        seed=command.seed,
    )
    out = command.out or command.run / ("look-quick" if command.quick else "look")
    wanted = [name for name in SECTIONS if name in command.sections]
    study.reserve(out, STUDY, {"run": str(command.run.resolve())})
    with progress(len(wanted), "section") as bar:
        missing = write_report(out / "report.html", *look_page(subject, wanted, bar.update))
    if command.live:
        missing += _live(out / "live.html", subject)
    print(f"report: {out / 'report.html'}")
    return study.report_missing(missing)


def _dataset(network: Trained) -> Dataset | None:
    """None where it is one's own, and no folder, or one that is gone."""
    config = network.config.data
    known = config.name in data.DATASETS if config.folder is None else Path(config.folder).is_dir()
    return data.from_config(config) if known else None


def _result(run: Path, network: Trained) -> RunResult | None:
    """None where the run is not finished."""
    return load_result(network.config, run) if (run / "result.npz").exists() else None


def _images(command: Command, network: Trained, dataset: Dataset | None) -> dict:
    """What is looked at: the files, else test images, of different classes, the most confident error last."""
    if command.images:
        read = [read_image(path, network.image_shape) for path in command.images]
        images = np.stack([image for image, _ in read]).astype(np.float32) / 255
        done = [f" ({', '.join(steps)})" if steps else "" for _, steps in read]
        titles = tuple(path.name + steps for path, steps in zip(command.images, done, strict=True))
        return {"images": images, "labels": network.predict(images), "titles": titles}
    if dataset is None:
        raise ValueError(f"data are {network.config.data.name!r}, one's own: give --images to look at")
    labels, most = dataset.test.labels, (Effort.quick() if command.quick else Effort()).images
    probabilities = softmax(network.logits(dataset.test.images[:2000]))
    predicted, labels = probabilities.argmax(axis=1), labels[:2000]
    wrong = np.flatnonzero(predicted != labels)
    rows = [int(wrong[probabilities[wrong].max(axis=1).argmax()])] if wrong.size and most > 1 else []
    for label in range(dataset.num_classes):
        right = np.flatnonzero((labels == label) & (predicted == label))
        rows = [*rows, int(right[0])] if right.size and len(rows) < most else rows
    rows = sorted(rows, key=lambda row: predicted[row] != labels[row])
    images = dataset.test.images[rows].astype(np.float32) / 255
    titles = tuple(f"test image {row}" for row in rows)
    return {"images": images, "labels": labels[rows], "titles": titles}


def _units(named: Sequence[str], network: Trained) -> tuple[tuple[str, int], ...]:
    """(layer, number) of each; all of a layer that is named alone. Raises ValueError for what does not exist."""
    view, found = View.of(network), []
    for name in named:
        layer, colon, number = name.rpartition(":") if ":" in name else (name, "", "")
        if colon and not number.isdigit():
            raise ValueError(f"units hold {name!r}: expected LAYER:NUMBER, or LAYER")
        found += [(layer, int(unit)) for unit in view.units(layer, [int(number)] if colon else None)]
    return tuple(found)


def _live(path: Path, subject: Look) -> list[str]:
    """Write the page to be drawn for; a line for why not."""
    try:
        images, labels = subject.held_out(24) if subject.dataset else (subject.images, subject.labels)
        write_live_page(path, subject.network, images, labels)
    except ValueError as error:
        return [f"live.html: {error}"]
    print(f"live:   {path}")
    return []


def main(args: list[str] | None = None) -> int:
    return run_command(Command, look, args)


if __name__ == "__main__":
    sys.exit(main())
