"""Networks of several seeds, and the curves that are drawn of them."""

import numpy as np
import pytest

from convnet import data
from convnet.architectures import Linear, Own
from convnet.architectures.layers import Dense, Flatten
from convnet.claims.networks import curve, networks, recipe, shifted_accuracies, trained_table
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Split


def config(**optim):
    return RunConfig(model=Linear(), optim=OptimConfig(**optim), train=TrainConfig(epochs=1, batch_size=256))


def test_each_network_is_its_seeds_own():
    digits = data.load("digits")
    found = networks(config(learning_rate=0.02), digits, range(3, 5))
    assert [result.config.seed for _, result in found] == [3, 4]
    for network, result in found:
        hits = (network.predict(digits.test.images) == digits.test.labels).sum()
        assert hits == result.test_hits
    kernels = [np.asarray(network.variables["params"]["logits"]["kernel"]) for network, _ in found]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_a_run_that_diverges_is_named():
    with pytest.raises(ValueError, match="seed 0 diverges"):
        networks(config(learning_rate=1e38), data.load("digits"), range(1))


def test_a_curve_has_the_interval_of_each_point():
    x, middle, low, high = curve([1, 2], np.array([[0.0, 5.0], [2.0, 5.0]]))
    np.testing.assert_array_equal(x, [1, 2])
    np.testing.assert_allclose(middle, [1, 5])
    np.testing.assert_allclose(high - middle, [12.706, 0], atol=1e-3)  # Student's t with 1 degree of freedom
    np.testing.assert_allclose(middle - low, high - middle)


def test_the_usual_recipe_and_what_a_claim_changes():
    found = recipe(Linear(), 3, rate=0.02, batch_size=64, decay=1e-3, shift=2)
    assert found == RunConfig(
        DataConfig(shift=2), Linear(), OptimConfig(learning_rate=0.02, warmup=0.1, weight_decay=1e-3),
        TrainConfig(epochs=3, batch_size=64),
    )  # fmt: skip
    usual = recipe(Linear(), 3)
    assert (usual.optim.learning_rate, usual.train.batch_size) == (0.05, 32)


def test_the_accuracy_of_shifted_images_is_that_of_predictions():
    border = lambda split: Split(np.pad(split.images, ((0, 0), (1, 1), (1, 1), (0, 0))), split.labels)  # noqa: E731
    digits = data.load("digits").mapped(border)
    found = shifted_accuracies(config(learning_rate=0.02), digits, range(2), 1)
    test = digits.test
    for own, (network, result) in zip(found, networks(config(learning_rate=0.02), digits, range(2)), strict=True):
        still, moved = own
        assert still == pytest.approx(result.test_accuracy)
        four = [np.roll(test.images, by, axis) for axis in (1, 2) for by in (-1, 1)]
        each = [(network.predict(images) == test.labels).mean() for images in four]
        assert moved == pytest.approx(np.mean(each), abs=0.002)


def test_a_table_of_layers_is_trained_on_its_data():
    digits = data.load("digits")
    network = trained_table((Flatten(), Dense("dense1", 16)), digits, recipe(Own(label="table"), 5))
    assert (network.predict(digits.test.images) == digits.test.labels).mean() > 0.8
    assert set(network.variables["params"]) == {"dense1", "logits"}
