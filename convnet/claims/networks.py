"""The networks that a claim is about: one config, trained from several seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convnet import models
from convnet.ablation import Replicates
from convnet.architectures import Table
from convnet.architectures.layers import Layer
from convnet.claims.estimate import mean_of
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset
from convnet.result import RunResult
from convnet.run import Trainer
from convnet.task import Facts, make_task
from convnet.train import NonFiniteLoss
from convnet.trained import Trained


def recipe(
    model: Any, epochs: int, *, rate: float = 0.05, batch_size: int = 32, decay: float = 0.0, **data: Any
) -> RunConfig:
    """How small networks are trained, where a claim is not about that: Nesterov's momentum, a rate that rises over a
    tenth of the run and falls along a cosine. data: settings of `DataConfig`."""
    optim = OptimConfig(learning_rate=rate, warmup=0.1, weight_decay=decay)
    return RunConfig(DataConfig(**data), model, optim, TrainConfig(epochs=epochs, batch_size=batch_size))


def networks(config: RunConfig, dataset: Dataset, seeds: Iterable[int]) -> list[tuple[Trained, RunResult]]:
    """The network of each seed, and its result, trained on `dataset` as `config` says, in one compiled program.

    Raises ValueError for what `Replicates` refuses, and where training diverges: a claim about networks that learn
    nothing would be one about the learning rate.
    """
    runs, found = Replicates(config, dataset), []
    for own, result in runs.run_all([replace(config, seed=seed) for seed in seeds]):
        if isinstance(result, NonFiniteLoss):
            raise ValueError(f"training from seed {own.seed} diverges ({result}): expected a smaller learning rate")
        found.append((Trained(runs.trainer.task, result.variables, result.best_epoch), result))
    return found


def trained_table(layers: Sequence[Layer], dataset: Dataset, config: RunConfig) -> Trained:
    """One network of a table of layers, trained as `config` says, whose model is `Own`."""
    task = make_task(config, Facts.of(dataset, config.model))
    task = replace(task, model=models.build(Table(tuple(layers)), num_classes=dataset.num_classes))
    result = Trainer(config, dataset, task=task).run()
    return Trained(task, result.variables, result.best_epoch)


def shifted_accuracies(config: RunConfig, dataset: Dataset, seeds: Iterable[int], reach: int) -> np.ndarray:
    """[seeds, reach + 1]: the accuracy on test images that were shifted by 0, 1, … pixels, mean over the four
    directions. Images need an empty border of `reach` pixels, as they move around it."""
    runs, test = Replicates(config, dataset), dataset.test
    shifts = [[np.roll(test.images, sign * n, axis) for axis in (1, 2) for sign in (-1, 1)] for n in range(reach + 1)]
    found = [
        [[runs.trainer.programs().test(run.variables, {}, x, test.labels)[0]["hits"] for x in four] for four in shifts]
        for _, run in runs.run_all([replace(config, seed=seed) for seed in seeds])
    ]
    return np.mean(found, axis=2) / len(test)


def curve(x: Iterable[float], values: np.ndarray) -> tuple[np.ndarray, ...]:
    """(x, mean, low, high), each [points], of `values` [seeds, points], as `convnet.report.figures.bands` draws them.
    Where values are all equal the band has no width."""
    means = [mean_of(column) for column in np.transpose(values)]
    middle, low, high = np.transpose([mean[:3] for mean in means])
    missing = np.isnan(low)
    return np.asarray(list(x), float), middle, np.where(missing, middle, low), np.where(missing, middle, high)
