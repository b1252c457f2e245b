"""How long does training take until 99 % of MNIST's validation images are recognised?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.device.document import Document
from benchmarks.interleave import Gap
from convnet import data
from convnet.architectures import CNN, Linear
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset, DatasetNotPrepared
from convnet.run import Trainer

TARGET, SEEDS = 0.99, 3
CONFIG = RunConfig(
    data=DataConfig("mnist"),
    model=CNN(widths=(32, 64), precision="tf32"),  # as JAX by itself multiplies float32 on GPUs
    optim=OptimConfig(learning_rate=0.05),
    train=TrainConfig(epochs=5, batch_size=128),
)
TINY_CONFIG = replace(CONFIG, model=Linear(), train=TrainConfig(epochs=1, batch_size=64))


def measure(document: Document) -> None:
    dataset = _dataset(document)
    config = TINY_CONFIG if document.tiny else CONFIG
    trainer = Trainer(config, dataset)
    for seed in range(1 if document.tiny else SEEDS):
        if seed and not document.left:
            document.cut(f"seed {seed}")
            continue
        result = trainer.run(seed)
        seconds = np.cumsum([record.seconds for record in result.records])
        accuracies = [record.validation_accuracy for record in result.records]
        found = dict(
            seed=seed, seconds=result.seconds_to(TARGET), epoch_ends=seconds.tolist(), validation_accuracies=accuracies
        )
        found |= dict(test_accuracy=float(result.test_accuracy), compile_seconds=trainer.compile_seconds)
        document.add([found])
        print(found, flush=True)


def _dataset(document: Document) -> Dataset:
    """Raises Gap where there is no MNIST."""
    if document.mnist is not None:
        with np.load(document.mnist) as arrays:
            found = {name: arrays[name] for name in ("images", "labels", "test_images", "test_labels")}
    elif document.tiny:
        rng = np.random.default_rng(0)
        found = {"images": rng.integers(0, 256, (300, 28, 28, 1)).astype(np.uint8), "labels": np.arange(300) % 10}
    else:
        try:
            return data.load("mnist")
        except (DatasetNotPrepared, ImportError) as error:
            raise Gap(f"no MNIST: {str(error).splitlines()[0]}") from None
    images, labels = found.pop("images"), found.pop("labels")
    return data.from_arrays("mnist", images, labels, **found)
