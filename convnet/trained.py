"""A network that was trained, ready to be used: where every picture and every prediction starts.

network = convnet.load("runs/train/cnn")
network.predict(images)                 # [N] numbers of classes
network.activations(images)["conv1"]    # [N, H, W, C]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import data, models
from convnet.config import RunConfig, recorded
from convnet.data.batching import batched_map
from convnet.identity import WHAT
from convnet.record import parameter_hash, read_manifest
from convnet.result import load_result
from convnet.settings import differences, to_dict
from convnet.task import Facts, Task, make_task
from convnet.train import Checkpoints
from convnet.train.programs import EVALUATION_BATCH


@dataclass(frozen=True, eq=False)
class Trained:
    """A task and the variables that a run of it found. epoch: the one they are of.

    Methods take images [N, H, W, C], or [N, H, W] where there is one channel, of the size that the network was trained
    on: uint8, or floats from 0 to 1. They raise ValueError for any other.
    """

    task: Task
    variables: Any
    epoch: int

    @property
    def config(self) -> RunConfig:
        return self.task.config

    @property
    def model(self) -> Any:
        return self.task.model

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.task.facts.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the methods take."""
        return self.task.facts.image_shape

    def logits(self, images: Any) -> np.ndarray:
        """[N, K], the mean over `data.views`; of the test images those of the run's result, to rounding."""
        with self.task.precision():
            return np.asarray(self._forward(self.variables, self._pixels(images)))

    def probabilities(self, images: Any) -> np.ndarray:
        """[N, K]: the softmax of the logits, whatever loss they were trained with."""
        return np.asarray(jax.nn.softmax(self.logits(images), axis=1))

    def predict(self, images: Any) -> np.ndarray:
        """[N] int: the class with the largest logit; its name is in `class_names`."""
        return np.argmax(self.logits(images), axis=1)

    def activations(self, images: Any) -> dict[str, Array]:
        """Every named intermediate result, in the order in which the network computes them."""
        with self.task.precision():
            names, values = self._look_inside
            found = values(self.variables, self._pixels(images))
        return dict(zip(names, found, strict=True))

    def preprocess(self, images: Any) -> Array:
        """What the model sees of `images`: normalised, float32 [N, H, W, C], cropped where training crops."""
        with self.task.precision():
            return self.task.preprocess(self._pixels(images))

    @cached_property
    def _forward(self):
        def forward(variables, images):
            return batched_map(lambda batch: self.task.classify(variables, batch), images, EVALUATION_BATCH)

        return jax.jit(forward)

    @cached_property
    def _look_inside(self):
        """Names in the order of the network, once it has been traced (a dict out of jit is sorted), and the values."""
        names: list[str] = []

        def values(variables, images):
            found = models.activations(self.model, variables, self.task.preprocess(images))
            names[:] = found
            return list(found.values())

        return names, jax.jit(values)

    def _pixels(self, images: Any) -> Array:
        """In the unit of uint8."""
        images = data.check_images(images, self.image_shape)
        return images if images.dtype == jnp.uint8 else 255 * images


def load(run: Path | str, *, task: Task | None = None) -> Trained:
    """The network of the run in directory `run`: as it was best on the validation images, if the run is finished, else
    as its newest checkpoint has it.

    task: with the parts of one's own that the run was made with (`convnet.task`); None: the library's.

    Raises ValueError, in a line, where there is no run or nothing that it has learned, for parts that only the run's
    own program has, and for a run recorded by an older version on data that are not the library's; DamagedResult and
    OtherRun for what is not as it was written.
    """
    run = Path(run)
    manifest = read_manifest(run)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("config"), dict):
        raise ValueError(f"run is {str(run)!r}: it has no manifest.json that can be read")
    config = recorded(manifest["config"], manifest.get("folder"))
    if task is None:
        _check_parts(run, manifest)
        task = make_task(config, _facts(run, manifest, config))
    elif changed := differences(to_dict(config), to_dict(replace(task.config, data=config.data))):
        raise ValueError(f"task is of another config than {str(run)!r}: {next(iter(changed))} differs")
    if manifest.get("status") == "finished":
        result = load_result(config, run)
        return Trained(task, result.variables, result.best_epoch)
    with Checkpoints(run / "checkpoints", {name: manifest.get(name) for name in WHAT}, parameter_hash) as checkpoints:
        found = checkpoints.newest()
    if found is None:
        raise ValueError(f"run is {str(run)!r}: its status is {manifest.get('status')!r}, and it has no checkpoint")
    arrays, facts = found
    prefix = "best_variables."
    names = {name.removeprefix(prefix).replace(".", "/"): a for name, a in arrays.items() if name.startswith(prefix)}
    return Trained(task, models.unflatten(names), facts["best_epoch"])


def _check_parts(run: Path, manifest: Mapping[str, Any]) -> None:
    """ValueError for a model, ops or preprocessing of one's own: what was learned is used with these alone."""
    computes = manifest.get("computes", {})
    ops, model = computes.get("ops", "hand"), computes.get("model")
    own = [computes.get(name, name) for name in computes.get("own", ()) if name in ("model", "preprocess")]
    own += [model] if model is not None and not model.startswith("convnet.models.") else []
    own += list(ops.values()) if isinstance(ops, dict) else []
    if own:
        raise ValueError(f"run is {str(run)!r}: {own[0]!r} is not the library's; give the task that it was made with")


def _facts(run: Path, manifest: Mapping[str, Any], config: RunConfig) -> Facts:
    if "images" in manifest:
        return Facts.from_dict(manifest["images"])
    if config.data.name in data.DATASETS:  # recorded before these facts were
        return Facts.of(data.from_config(config.data), config.model)
    raise ValueError(
        f"run is {str(run)!r}: it does not tell how images of {config.data.name!r} were normalised, as runs of newer "
        "versions do; give the task that it was made with"
    )
