"""How each family of models is trained on each data set: the budget of a comparison, stated.

The settings were chosen on the validation split, never on the test split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from convnet.architectures import CNN, MLP, Airbench, Architecture, Linear
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.settings import apply

QUICK_LIMIT, QUICK_EPOCHS, QUICK_SEEDS = 2000, 2, 2
"""What is left of a study of which only is asked whether it runs."""


@dataclass(frozen=True)
class Recipe:
    """One run per family, and the validation accuracy that training is timed to."""

    target: float
    runs: dict[str, RunConfig]


LINEAR = Linear(initializer="constant", initializer_scale=0.0)
"""Its loss is convex, so any start leads to the same place; from zero, all that a template shows was learned."""


def _digits(model: Architecture, optim: OptimConfig, *, shift: int = 0) -> RunConfig:
    train = TrainConfig(epochs=40, batch_size=32)
    return RunConfig(DataConfig("digits", shift=shift), model, optim, train)


def _mnist(model: Architecture, optim: OptimConfig, *, shift: int = 0) -> RunConfig:
    train = TrainConfig(epochs=5, batch_size=128)
    return RunConfig(DataConfig("mnist", shift=shift), model, optim, train)


def _cifar10(model: Architecture, optim: OptimConfig, *, shift: int = 0, flip: bool = False) -> RunConfig:
    train = TrainConfig(epochs=5, batch_size=128)
    return RunConfig(DataConfig("cifar10", shift=shift, flip=flip), model, optim, train)


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        target=0.95,
        runs={
            "linear": _digits(LINEAR, OptimConfig(learning_rate=0.02)),
            "mlp": _digits(MLP(widths=(512,), dropout=0.5), OptimConfig(learning_rate=0.05), shift=1),
            "cnn": _digits(
                CNN(widths=(32,), depth=2, dropout=0.5),
                OptimConfig(learning_rate=0.02, warmup=0.1),
                shift=1,
            ),
        },
    ),
    "mnist": Recipe(
        target=0.97,
        runs={
            "linear": _mnist(Linear(), OptimConfig(learning_rate=0.05)),
            "mlp": _mnist(MLP(widths=(512,), dropout=0.2), OptimConfig(learning_rate=0.1, warmup=0.1)),
            "cnn": _mnist(CNN(widths=(32, 64), dropout=0.3), OptimConfig(learning_rate=0.1, warmup=0.1), shift=1),
        },
    ),
    "cifar10": Recipe(
        target=0.5,
        runs={
            "linear": _cifar10(Linear(), OptimConfig(learning_rate=0.002), flip=True),
            "mlp": _cifar10(MLP(widths=(1024,), dropout=0.2), OptimConfig(learning_rate=0.01, warmup=0.1), flip=True),
            "cnn": _cifar10(
                CNN(dropout=0.3),
                OptimConfig(learning_rate=0.02, warmup=0.1, weight_decay=5e-4),
                shift=2,
                flip=True,
            ),
        },
    ),
}


_TO_94 = RunConfig(
    DataConfig("cifar10", shift=2, flip=True, alternate=True, border="reflect", views="mirror_shift"),
    Airbench(),
    OptimConfig(
        name="muon",
        learning_rate=0.24,
        momentum=0.6,
        rest_momentum=0.85,
        newton_schulz_steps=3,
        rescale=True,
        schedule="linear",
        # Those of the published entry, for the mean over the batch instead of the sum, and logits that are not divided
        # by 256: 0.053 · 2000, and 0.67 · 2000 / 256².
        rates=("whiten/bias=106@0.375", "*/bias=106", "logits/kernel=0.0204"),
        weight_decay=0.196,
    ),
    TrainConfig(epochs=8, batch_size=2000, label_smoothing=0.2),
)
SPEED: dict[str, RunConfig] = {
    "0.94": _TO_94,
    "0.9": apply(_TO_94, {"model.widths": (32, 128, 128), "train.epochs": 5}),
}
"""CIFAR-10 to an accuracy, by what it is to be: after Jordan's airbench94 with Muon,
https://github.com/KellerJordan/cifar10-airbench. Whether they get there has not been measured yet."""


def usual_run(data_set: str, model: str) -> RunConfig:
    """How `model` is trained on `data_set` where nothing else is said: by its recipe; a model that has none as the CNN
    is; and on data without recipes by the library's own settings.

    Raises ValueError for an unknown model.
    """
    runs = RECIPES[data_set].runs if data_set in RECIPES else {}
    if model in runs:
        return runs[model]
    base = replace(runs.get("cnn", RunConfig()), model=CNN())
    return apply(base, {"data.name": data_set, "model.name": model})


def quick(config: RunConfig) -> RunConfig:
    """`config` with two epochs, and at most 2,000 training images unless it says how many: does everything run?"""
    limit = config.data.limit
    if limit is None and (config.data.name != "digits" or config.data.folder):  # there are fewer of the digits
        limit = QUICK_LIMIT
    epochs = min(config.train.epochs, QUICK_EPOCHS)
    return replace(config, data=replace(config.data, limit=limit), train=replace(config.train, epochs=epochs))
