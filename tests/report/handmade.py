"""Small results made by hand, all of whose numbers differ, and what a page shows of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from convnet.ablation import Arm
from convnet.ablation.cells import Cell, Done
from convnet.ablation.family import Family
from convnet.architectures import CNN, Linear
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Dataset, Split
from convnet.report.page import made
from convnet.run import RunResult
from convnet.settings import to_dict
from convnet.train import EpochRecord

WHERE = {
    "started": "2026-03-04T05:06:07+00:00",
    "command": "experiments/some.py --seeds 3",
    "platform": "Linux-6",
    "cpus": 7,
    "python": "3.11.9",
    "packages": {"jax": "0.10.1"},
    "device": "abacus",
}
CARD = {
    "machine": "abacus, 7 CPU cores, Linux-6",
    "versions": "Python 3.11.9, JAX 0.10.1",
    "date": "2026-03-04",
    "command": "experiments/some.py --seeds 3",
}


def sections_of(page):
    """Title -> section; nothing could not be made."""
    failures = []
    sections = made(page.parts, failures)
    assert failures == []
    assert len({section.title for section in sections}) == len(sections)
    return {section.title: section for section in sections}


def picture_of(section):
    (picture,) = section.pictures
    assert picture.alt
    return picture


def columns_of(table):
    """Row name -> heading -> cell."""
    head, *rows = table
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


# --- a comparison -----------------------------------------------------------------------------------------------------


def _split(labels, darkest):
    """Images [N, 2, 3, 1] of one grey each, 10 more than the one before."""
    greys = darkest + 10 * np.arange(len(labels), dtype=np.uint8)
    return Split(np.tile(greys[:, None, None, None], (1, 2, 3, 1)), np.array(labels))


PETS = Dataset(
    "pets",
    train=_split([0, 1, 2, 0, 1, 2, 0], 10),
    validation=_split([0, 1, 2, 1, 0], 100),
    test=_split([0, 0, 1, 2], 150),
    class_names=("cat", "dog", "owl"),
)
"""7 training, 5 validation and 4 test images."""
CONFIG = RunConfig(
    data=DataConfig("pets"), model=Linear(), optim=OptimConfig("sgd", 0.25), train=TrainConfig(epochs=2, batch_size=3)
)


def records(*epochs):
    """epochs: (training loss, validation loss, validation accuracy, seconds) of each."""
    return tuple(
        EpochRecord(i, 10 * i, loss, 0.125, 17.0, validation, accuracy, seconds)
        for i, (loss, validation, accuracy, seconds) in enumerate(epochs, 1)
    )


KERNEL = np.arange(18.0).reshape(6, 3) - 9
"""Of the linear model: [2·3·1, classes]."""


def result(config, seed, epochs, answers, test_loss, best_epoch, variables, sure=2.0):
    """answers: to the four test images, each with `sure` more than the others before the softmax."""
    hits = int(sum(np.array(answers) == PETS.test.labels))
    config = replace(config, seed=seed)
    return RunResult(config, records(*epochs), variables, best_epoch, test_loss, hits, sure * np.eye(3)[answers], 1.0)


def linear_family():
    """Three seeds: hits 3, 2 and 4 of 4; medians per epoch 2, 4 and 10 s; 0.7 reached after 4 s, 2 s and never."""
    variables = {"params": {"logits": {"kernel": KERNEL, "bias": np.zeros(3)}}}
    runs = (
        result(CONFIG, 0, [(4.0, 3.0, 0.5, 1.0), (2.0, 1.5, 1.0, 3.0)], [0, 1, 1, 2], 0.25, 2, variables),
        result(CONFIG, 1, [(6.0, 5.0, 0.75, 2.0), (1.0, 2.5, 0.5, 6.0)], [0, 2, 2, 2], 0.75, 1, variables),
        result(CONFIG, 2, [(8.0, 7.0, 0.25, 10.0), (3.0, 3.5, 0.625, 10.0)], [0, 0, 1, 2], 0.125, 2, variables),
    )
    runs = tuple(Family.Run(one.config.seed, one) for one in runs)
    return Family("linear", CONFIG, runs, parameters=1234, flops_per_image=5.6e6, compile_seconds=7.3, target=0.7)


def cnn_family():
    """Three seeds, of which two diverged; gradients by autodiff, adam, shifted, mirrored and cropped images."""
    config = replace(
        CONFIG,
        model=CNN(widths=(2,), head_width=0),
        data=DataConfig("pets", shift=1, flip=True, crop=2, limit=6),
        optim=OptimConfig("adam", 0.003),
        train=TrainConfig(epochs=1, batch_size=2),
        gradient="auto",
    )
    kernels = np.stack([np.full((3, 3, 1), 0.5), np.full((3, 3, 1), -2.0)], axis=-1)
    variables = {"params": {"conv1": {"kernel": kernels}}}
    one = result(config, 0, [(9.0, 8.0, 0.875, 0.5)], [1, 0, 2, 2], 0.5, 1, variables, sure=3.0)
    lost = tuple(Family.Run(seed, None, f"not finite at step {seed}") for seed in (1, 2))
    facts = dict(parameters=98, flops_per_image=4321.0, compile_seconds=0.44, target=0.7)
    return Family("cnn", config, (Family.Run(0, one), *lost), **facts)


# --- an ablation ------------------------------------------------------------------------------------------------------


def arm(name, **changes):
    return Arm(name, {"optimiser": name.split()[0], "width": name.split()[1]}, replace(CONFIG, **changes))


ARMS = (
    arm("sgd narrow"),
    arm("sgd wide", optim=OptimConfig("sgd", 0.5)),
    arm("adam narrow", optim=OptimConfig("adam", 0.125)),
)
"""Three of the four combinations."""
PLAN = {
    "study": "ablate",
    "name": "own",
    "question": "Does it matter?",
    "changed": True,
    "design": "random",
    "factors": {"optimiser": {"sgd": {}, "adam": {}}, "width": {"narrow": {}, "wide": {}}},
    "base": to_dict(CONFIG),
    "seeds": 3,
    "arms": [{"name": a.name, "levels": dict(a.levels), "hash": a.name, "config": to_dict(a.config)} for a in ARMS],
}


def cell(of_arm, seed, hits, seconds, epochs=((4.0, 3.0, 0.5, 1.0), (1.0, 1.0, 0.75, 1.0)), **facts):
    """A finished cell with `hits` of 100."""
    facts = WHERE | {
        "status": "finished",
        "test_hits": hits,
        "test_images": 100,
        "test_accuracy": hits / 100,
        "test_loss": hits / 100,
        "best_epoch": 2,
        "parameters": 55,
        "train_seconds": seconds,
        "compile_seconds": 1.5 + seed,
        "replicates": 3,
        "parameter_hash": f"{of_arm.name} {seed}",
        "classes": 4,
        **facts,
    }
    place = Cell(of_arm, seed, Path("cells", f"{of_arm.name}-{seed}".replace(" ", "-")))
    return Done(place, False, facts, records(*epochs))


def diverged(of_arm, seed):
    facts = WHERE | {"status": "diverged", "at_step": 13, "parameters": 55, "compile_seconds": 9.0, "replicates": 3,
                     "classes": 4}  # fmt: skip
    return Done(Cell(of_arm, seed, Path("cells", "lost")), True, facts, ())


def finished_cells():
    """The base has 90, 80 and 70 hits, the wide one 2, 3 and 7 fewer; of adam's two cells one diverged."""
    base, wide, adam = ARMS
    losses = {0: ((4.0, 3.0, 0.5, 1.0), (1.0, 1.0, 0.75, 1.0)), 1: ((9.0, 2.0, 0.25, 1.0), (4.0, 4.0, 1.0, 1.0))}
    return [
        cell(base, 0, 90, 5.0, losses[0]),
        cell(base, 1, 80, 1.0, losses[1]),
        cell(base, 2, 70, 2.0, losses[0]),
        cell(wide, 0, 88, 11.0),
        cell(wide, 1, 77, 12.0),
        cell(wide, 2, 63, 40.0, device="another abacus"),
        cell(adam, 0, 95, 7.0),
        diverged(adam, 1),
    ]
