"""`python -m benchmarks.peers.jax_cifar10 DATA.npz '{"model": {"widths": [64, 256, 256]}}'` runs our recipe for the
seeds on its stdin.

DATA.npz has train_images, train_labels, test_images and test_labels; the second argument is a config
(`convnet.config.RunConfig`) as far as it differs from the recipe. Questions and answers are those of
`benchmarks.serve_runs`.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.serve import versions
from benchmarks.serve_runs import parsed, serve_runs
from convnet.allocator import keep_memory
from convnet.config import RunConfig
from convnet.data import Dataset, Split
from convnet.recipes import SPEED
from convnet.settings import from_dict, to_dict
from convnet.speed_run import SpeedRun
from convnet.threads import processors

NAMES = {"one": "accuracy", "mirror": "accuracy_mirror", "mirror_shift": "accuracy_views"}
"""Sets of views, and what the accuracy by them is called in an answer."""


class OurRacer:
    """Compiled when it is warmed up."""

    def __init__(self, config: RunConfig, dataset: Dataset):
        self._make = partial(SpeedRun, config, dataset)

    def warm_up(self) -> None:
        self._speed = self._make()

    def run(self, seed: int) -> dict[str, Any]:
        result = self._speed.run(seed)
        return {
            "seed": seed,
            "seconds": result.seconds,
            "phases": {"train": result.train_seconds, "evaluate": result.evaluate_seconds},
            **{name: result.accuracy.get(views) for views, name in NAMES.items()},
            "loss": float(result.losses[-1]),
            "steps": len(result.losses),
            "flops": self._speed.flops,
        }


def build(data: str, config: str = "{}") -> tuple[OurRacer, dict[str, Any]]:
    keeps = keep_memory()  # before the first large array
    chosen = from_dict(RunConfig, parsed(config, "the second argument", "JSON"), base=SPEED["0.94"])
    with np.load(data) as arrays:
        train, test = (Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in ("train", "test"))
    dataset = Dataset("cifar10", train, test, test, tuple(map(str, range(int(train.labels.max()) + 1))))
    device = jax.devices()[0]
    return OurRacer(chosen, dataset), {
        "versions": versions(),
        "device": device.device_kind,
        "threads": processors(),
        "keeps_memory": keeps,
        "settings": to_dict(chosen),
    }


if __name__ == "__main__":
    serve_runs(partial(build, *sys.argv[1:]))
