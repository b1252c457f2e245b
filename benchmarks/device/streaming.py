"""Epochs of images that are read from a file while they are trained on, beside the same epochs of images in memory."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.device.document import Document
from benchmarks.networks import CLASSES, NETWORKS
from benchmarks.ratios import Sample
from benchmarks.streaming import WAYS, facts, results_of, turns, ways
from convnet.architectures import Linear
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset, Split, StoredImages, cache
from convnet.data.tfds import Decoded
from convnet.record import parameter_hash

ROUNDS, TINY_ROUNDS = 4, 1
IMAGES, TINY_IMAGES = 51_200, 600
SHAPE, TINY_SHAPE = (32, 32, 3), (8, 8, 1)
HELD_OUT = 500
"""Images of the validation and of the test split."""
NAME = "random"
CONFIG = RunConfig(
    model=replace(NETWORKS["small_vgg"].architecture, precision="bfloat16"),
    optim=OptimConfig(learning_rate=1e-3, schedule="constant"),
    train=TrainConfig(epochs=1, batch_size=512),
)
TINY_CONFIG = replace(CONFIG, model=Linear(), train=TrainConfig(epochs=1, batch_size=32))


def measure(document: Document) -> None:
    config, rounds = (TINY_CONFIG, TINY_ROUNDS) if document.tiny else (CONFIG, ROUNDS)
    label = "a linear model" if document.tiny else NETWORKS["small_vgg"].label
    with tempfile.TemporaryDirectory() as folder:
        found = datasets(Path(folder), tiny=document.tiny)
        shared = dict(case=NAME, label=label, gap=None, **facts(config, found[WAYS[0]]))
        document.facts["plan"] = {"rounds": rounds, "threads": None}
        runs = ways(config, found)
        # The first use of a device's kernels is slow, so that these epochs are not timed.
        bits = {way: parameter_hash(runs[way]().variables)[:16] for way in found}
        samples: dict[str, list[Sample]] = {way: [] for way in runs}
        for number in range(rounds):
            if number and not document.left:
                document.cut(f"round {number + 1}")
                continue
            for way, taken in turns(runs, 1, lambda way: print(way, flush=True)).items():
                samples[way] += taken
            document.results[:] = [r | {"digest": bits[r["way"]]} for r in results_of(samples, **shared)]
            document.store()


def datasets(folder: Path, *, tiny: bool) -> dict[str, Dataset]:
    """The same images in memory, and in a file in `folder`, as a first load leaves those of a prepared data set."""
    images, shape = (TINY_IMAGES, TINY_SHAPE) if tiny else (IMAGES, SHAPE)
    sizes = dict(train=images, validation=HELD_OUT, test=HELD_OUT)
    rng = np.random.default_rng(0)

    def build() -> cache.Arrays:
        return {name: rng.integers(0, 256, (n, *shape), dtype=np.uint8) for name, n in sizes.items()}

    resident = cache.load_or_build(NAME, build, cache_dir=folder)
    if (mapped := cache.mapped(NAME, cache_dir=folder)) is None:
        raise OSError(f"{folder} cannot hold {sum(array.nbytes for array in resident.values()):,} bytes of images")
    stored, digest = mapped
    labels = {name: np.arange(n, dtype=np.int32) % CLASSES for name, n in sizes.items()}
    read = {
        name: StoredImages(Decoded(pixels, f"{digest} {name}"), shape) for name, pixels in stored.items()
    }  # fmt: skip
    names = tuple(map(str, range(CLASSES)))
    return {
        way: Dataset(NAME, **{name: Split(images[name], labels[name]) for name in sizes}, class_names=names)
        for way, images in zip(WAYS[:2], (resident, read), strict=True)
    }
