"""Weights come back as the images they act on."""

import jax
import numpy as np
import pytest

from convnet import models
from convnet.analysis import class_means, first_layer_filters, templates
from convnet.data import Split

SHAPE = (4, 3, 2)


def variables(name, **settings):
    model = models.build(name, num_classes=5, **settings)
    return model, model.init(jax.random.key(0), np.zeros((1, *SHAPE), np.float32))


def test_logits_are_inner_products_with_the_templates(rng):
    model, weights = variables("linear")
    images = rng.normal(size=(6, *SHAPE)).astype(np.float32)
    logits = np.array([[np.sum(image * t) for t in templates(weights, SHAPE)] for image in images])
    np.testing.assert_allclose(model.apply(weights, images), logits, atol=1e-5)


def test_templates_refuse_other_models():
    with pytest.raises(ValueError, match=r"layers \['dense1', 'logits'\]: expected those of a linear model"):
        templates(variables("mlp")[1], SHAPE)
    with pytest.raises(ValueError, match=r"linear model on \(9, 9, 1\)"):
        templates(variables("linear")[1], (9, 9, 1))


def test_filters_are_the_kernels_by_falling_norm():
    _, weights = variables("cnn", widths=(6,))
    filters = first_layer_filters(weights)
    kernel = np.asarray(weights["params"]["conv1"]["kernel"])
    norms = [np.linalg.norm(f) for f in filters]
    assert filters.shape == (6, 3, 3, 2)
    assert norms == sorted(norms, reverse=True)
    largest = max(range(6), key=lambda k: np.linalg.norm(kernel[..., k]))
    np.testing.assert_array_equal(filters[0], kernel[..., largest])


def test_filters_refuse_models_without_convolutions():
    with pytest.raises(ValueError, match="expected a first convolution"):
        first_layer_filters(variables("linear")[1])


def test_class_means(rng):
    images = rng.integers(0, 256, size=(9, *SHAPE), dtype=np.uint8)
    labels = np.array([0, 1, 1, 0, 3, 3, 3, 1, 0], np.int32)
    means = class_means(Split(images, labels), 4)
    for label in (0, 1, 3):
        np.testing.assert_allclose(means[label], images[labels == label].astype(float).mean(0), rtol=1e-6)
    assert np.isnan(means[2]).all()
