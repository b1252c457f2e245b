"""Many seeds of one config, trained one after the other, in threads, and vmapped: whole runs, timed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from convnet import data
from convnet.ablation import Replicates
from convnet.architectures import CNN
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.run import Trainer

IMAGES = 4000
"""Of the noise: enough for an epoch to outweigh what surrounds it."""


@dataclass(frozen=True)
class Case:
    """A config and how many of it are trained."""

    label: str
    config: RunConfig
    replicates: int


# tf32 is how JAX by itself multiplies float32 on GPUs; on CPUs it is float32.
CASES = {
    "digits": Case(
        "CNN 32-64 on digits",
        RunConfig(model=CNN(widths=(32, 64), precision="tf32"), train=TrainConfig(epochs=8, batch_size=32)),
        16,
    ),
    "like-mnist": Case(
        "CNN 32-64 on 28² noise",
        RunConfig(
            model=CNN(widths=(32, 64), precision="tf32"),
            optim=OptimConfig(learning_rate=1e-3),
            train=TrainConfig(epochs=2, batch_size=128),
        ),
        6,
    ),
}


def dataset_of(name: str, images: int) -> Dataset:
    if name == "digits":
        return data.load("digits")
    rng = np.random.default_rng(0)
    return data.from_arrays(name, rng.integers(0, 256, (images, 28, 28, 1)).astype(np.uint8), np.arange(images) % 10)


WAYS = ("single", "threads", "vmapped")


def ways(
    config: RunConfig, dataset: Dataset, replicates: int, names: Sequence[str] = WAYS
) -> dict[str, Callable[[], None]]:
    """Each trains all seeds once. single: one run after the other; threads, vmapped: those of `Replicates`.
    one: the first seed alone."""
    configs = [replace(config, seed=seed) for seed in range(replicates)]

    @cache
    def trainer() -> Trainer:
        return Trainer(config, dataset)

    def together(*, vmapped: bool) -> Callable[[], None]:
        shared = Replicates(config, dataset, vmapped=vmapped, chunk=replicates)
        return lambda: list(shared.run_all(configs))

    def alone(configs: Sequence[RunConfig]) -> Callable[[], None]:
        return lambda: [trainer().run_as(one) for one in configs]

    makers = {
        "one": partial(alone, configs[:1]),
        "single": partial(alone, configs),
        "threads": partial(together, vmapped=False),
        "vmapped": partial(together, vmapped=True),
    }
    return {name: makers[name]() for name in names}


def timed(
    found: Mapping[str, Callable[[], None]],
    rounds: int,
    on_run: Callable[[str], Any] = lambda way: None,
) -> dict[str, list[float]]:
    """Seconds of each way, by round. A round before them compiles. on_run: called before each."""
    samples: dict[str, list[float]] = {way: [] for way in found}
    for number in range(1 + rounds):
        for way, run in found.items():
            on_run(way)
            start = time.perf_counter()
            run()
            if number:
                samples[way].append(time.perf_counter() - start)
    return samples
