"""How a family of models is trained where nothing else is said, and what is left of it in a quick run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from convnet.architectures import CNN, MLP, Linear
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig, recorded
from convnet.recipes import RECIPES, quick, usual_run

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


@pytest.mark.parametrize("data_set", sorted(RECIPES))
def test_the_published_tables_are_of_the_recipes(data_set):
    """Whoever changes a recipe has to train anew."""
    families = json.loads((RESULTS / data_set / "summary.json").read_text(encoding="utf-8"))["families"]
    assert {one["family"]: recorded(one["config"]) for one in families} == RECIPES[data_set].runs
    assert {one["target"] for one in families} == {RECIPES[data_set].target}


def test_the_usual_run_is_the_recipes():
    assert usual_run("digits", "mlp") == RunConfig(
        DataConfig("digits", shift=1),
        MLP(widths=(512,), dropout=0.5),
        OptimConfig(learning_rate=0.05),
        TrainConfig(epochs=40, batch_size=32),
    )


def test_a_model_without_a_recipe_is_trained_as_the_cnn_is():
    cnn, lenet = usual_run("cifar10", "cnn"), usual_run("cifar10", "lenet5")
    assert lenet.model.name == "lenet5"
    assert replace(lenet, model=cnn.model) == cnn


@pytest.mark.parametrize(("model", "expected"), [("linear", Linear()), ("cnn", CNN())])
def test_data_without_recipes_are_trained_on_by_the_librarys_own_settings(model, expected):
    assert usual_run("own", model) == RunConfig(DataConfig("own"), expected)


@pytest.mark.parametrize("data_set", ["digits", "own"])
def test_an_unknown_model_is_refused(data_set):
    with pytest.raises(ValueError, match=r"model.name is 'lenet': did you mean lenet5"):
        usual_run(data_set, "lenet")


@pytest.mark.parametrize(
    ("name", "limit", "epochs", "expected"),
    [
        ("digits", None, 40, (None, 2)),
        ("mnist", None, 3, (2000, 2)),
        ("mnist", None, 2, (2000, 2)),
        ("mnist", 5000, 1, (5000, 1)),
        ("digits", 100, 1, (100, 1)),
    ],
)
def test_a_quick_run_has_two_epochs_and_few_images_unless_it_says_how_many(name, limit, epochs, expected):
    config = RunConfig(DataConfig(name, limit=limit, shift=1), Linear(), train=TrainConfig(epochs=epochs), seed=7)
    short = quick(config)
    assert (short.data.limit, short.train.epochs) == expected
    assert replace(short, data=config.data, train=config.train) == config
    assert short.data.shift == 1
    assert short.train.batch_size == config.train.batch_size
