"""Epochs of images in memory beside the same epochs of images that are read while they are trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from benchmarks.made import made
from benchmarks.ratios import Sample
from convnet import data
from convnet.config import MeshConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.data.batching import epoch_order
from convnet.data.feed import windows
from convnet.recipes import RECIPES
from convnet.run import Trainer
from convnet.train.feeding import window_of
from convnet.train.state import TrainState

WAYS = ("resident", "from the cache", "from the records")
"""In memory; from the file of decoded arrays that the first load leaves; each image decoded from the prepared records,
as before there is such a file."""
READ = "only read"
CASES = ("mnist", "cifar10")
QUICK_IMAGES = 600


def config_of(name: str) -> RunConfig:
    """The comparison's CNN, on one device."""
    if name == "made":
        return RunConfig(train=TrainConfig(epochs=1, batch_size=32))
    return RECIPES[name].runs["cnn"]


def datasets(name: str, limit: int | None, stack: ExitStack) -> dict[str, Dataset]:
    """The same images by way, so many to train on. Raises DatasetNotPrepared (a ValueError) where there are none."""
    if name == "made":
        shape = 8, 8, 1
        return {way: made(QUICK_IMAGES, shape, stored=way != "resident") for way in WAYS[:2]}
    empty = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    places = dict(stored=False), dict(stored=True), dict(stored=True, cache_dir=empty)
    return {way: data.load(name, limit=limit, **place) for way, place in zip(WAYS, places, strict=True)}


def epochs(config: RunConfig, dataset: Dataset) -> Callable[[], TrainState]:
    """Each call trains an epoch more, up to the state that it gives; all is compiled before the first."""
    trainer = Trainer(config, dataset, mesh=MeshConfig(batch=1))
    key, values = trainer.inputs([trainer.config])
    feed, state = trainer.feed(), trainer.programs().init(key, values)

    def epoch() -> TrainState:
        nonlocal state
        state, _ = jax.block_until_ready(feed.epoch(state, values))
        return state

    return epoch


def reading(config: RunConfig, dataset: Dataset) -> Callable[[], None]:
    """Each call reads an epoch's windows, and does nothing with them."""
    split, batch = dataset.train, config.train.batch_size
    order = np.asarray(epoch_order(jax.random.key(0), len(split), batch))
    per_window = window_of(split, *order.shape)

    def read() -> None:
        for _ in windows(split.images, split.labels, order, per_window=per_window):
            pass

    return read


def ways(config: RunConfig, found: Mapping[str, Dataset]) -> dict[str, Callable[[], Any]]:
    """Way -> an epoch; and the reading alone of those that read."""
    trained = {way: epochs(config, dataset) for way, dataset in found.items()}
    read = {f"{way}, {READ}": reading(config, dataset) for way, dataset in found.items() if dataset.stored}
    return trained | read


def turns(
    found: Mapping[str, Callable[[], Any]], rounds: int, on_run: Callable[[str], Any] = lambda way: None
) -> dict[str, list[Sample]]:
    """Each way once a round. A sample is disturbed where other processes were busy. on_run: called before each."""
    samples: dict[str, list[Sample]] = {way: [] for way in found}
    for _ in range(rounds):
        for way, run in found.items():
            on_run(way)
            start = machine.now()
            run()
            end = machine.now()
            foreign = machine.foreign_cores(start, end) or 0.0
            samples[way].append(Sample(end.wall - start.wall, disturbed=foreign > machine.FOREIGN_LIMIT))
    return samples


def facts(config: RunConfig, dataset: Dataset) -> dict[str, Any]:
    """What an epoch is: images, steps, and windows of how many steps."""
    batch = config.train.batch_size
    steps = len(dataset.train) // batch
    window = window_of(dataset.train, steps, batch)
    return dict(images=steps * batch, batch=batch, steps=steps, windows=-(-steps // window))


def results_of(samples: Mapping[str, list[Sample]], **shared: Any) -> list[dict[str, Any]]:
    """One entry per way: seconds of an epoch by round, and of reading its images alone. shared: what all have."""
    return [
        dict(
            **shared,
            way=way,
            read=[sample.seconds for sample in samples.get(f"{way}, {READ}", [])],
            seconds=[sample.seconds for sample in taken],
            disturbed=[sample.disturbed for sample in taken],
        )
        for way, taken in samples.items()
        if not way.endswith(READ)
    ]
