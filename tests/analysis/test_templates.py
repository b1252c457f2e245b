"""What a linear classifier makes of images, as inner products with its templates."""

import numpy as np
import pytest

from convnet import data
from convnet.analysis import nearest_mean_accuracy, recognised_templates, template_scores
from convnet.architectures import Linear
from convnet.claims.networks import networks, recipe


@pytest.fixture(scope="module")
def trained():
    digits = data.load("digits", limit=300)
    ((network, _),) = networks(recipe(Linear(), 3), digits, range(1))
    return digits, network


def test_scores_are_the_networks_own(trained):
    digits, network = trained
    images = digits.test.images[:20]
    np.testing.assert_allclose(template_scores(network.variables, digits, images), network.logits(images), atol=1e-4)


def test_templates_that_are_mean_images_are_recognised_and_swapped_ones_are_not():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 2, 2, 1)).astype(np.uint8)
    toy = data.from_arrays("toy", images, np.arange(30) % 3, validation_fraction=0.1, test_fraction=0.1)
    means = np.stack([toy.train.images[toy.train.labels == k].mean(axis=0) for k in range(3)]).reshape(3, -1)
    variables = lambda kernel: {"params": {"logits": {"kernel": kernel, "bias": np.zeros(3)}}}  # noqa: E731
    assert recognised_templates(variables(means.T), toy) == 3
    assert recognised_templates(variables(means[[1, 0, 2]].T), toy) == 1


def test_the_nearest_mean_by_hand():
    split = lambda values, labels: data.Split(np.array(values, np.uint8).reshape(-1, 1, 1, 1), np.array(labels))  # noqa: E731
    train = split([0, 20, 100, 120], [0, 0, 1, 1])  # means 10 and 110, the middle between them 60
    toy = data.Dataset("toy", train, train, split([50, 70, 55, 65], [0, 1, 1, 1]), ("a", "b"))
    assert nearest_mean_accuracy(toy) == 0.75
