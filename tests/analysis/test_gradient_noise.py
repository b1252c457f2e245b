"""The noise of a batch's gradient, by hand and by taking gradients of batches."""

import jax
import numpy as np
import pytest

from convnet import HAND, models
from convnet.analysis import batch_noise, gradient_products
from convnet.architectures import Table
from convnet.architectures.layers import BatchNorm, Conv, Flatten


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    model = models.build("linear", num_classes=3)
    images, labels = rng.normal(size=(6, 2, 2, 1)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2])
    return model, jax.jit(model.init)(jax.random.key(0), images[:1]), images, labels


def flat_gradient(model, variables, images, labels):
    loss = lambda v: HAND.softmax_cross_entropy(model.apply(v, images), labels).mean()  # noqa: E731
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(variables))])


def test_products_are_those_of_single_gradients_less_their_mean(drawn):
    model, variables, images, labels = drawn
    products, length = gradient_products(model, variables, images, labels)
    single = np.array([flat_gradient(model, variables, images[i : i + 1], labels[i : i + 1]) for i in range(6)])
    apart = single - single.mean(axis=0)
    np.testing.assert_allclose(products, apart @ apart.T, atol=1e-5)
    whole = flat_gradient(model, variables, images, labels)
    np.testing.assert_allclose(length, np.linalg.norm(whole), rtol=1e-5)


def test_only_what_is_trained_has_a_gradient(rng):
    """Neither running statistics nor a frozen kernel."""
    layers = (Conv("conv", 2, 1, frozen=True), BatchNorm("norm", use_scale=False), Flatten())
    model = models.build(Table(layers), num_classes=3)
    images, labels = rng.normal(size=(4, 2, 2, 1)).astype(np.float32), np.array([0, 1, 2, 0])
    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    rest = {name: value for name, value in variables.items() if name != "params"}

    def gradient(i):
        def loss(params):
            logits = model.apply({"params": params, **rest}, images[i : i + 1])
            return HAND.softmax_cross_entropy(logits, labels[i : i + 1])[0]

        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(variables["params"]))])

    single = np.array([gradient(i) for i in range(4)])
    apart = single - single.mean(axis=0)
    products, length = gradient_products(model, variables, images, labels)
    np.testing.assert_allclose(products, apart @ apart.T, atol=1e-5)
    np.testing.assert_allclose(length, np.linalg.norm(single.mean(axis=0)), rtol=1e-5)


def test_the_noise_of_one_image_and_of_all(rng):
    """Two images whose gradients are 3 and −3 off."""
    products = np.array([[9.0, -9.0], [-9.0, 9.0]])
    assert batch_noise(products, 1, rng) == pytest.approx(3)
    assert batch_noise(products, 2, rng, again=False) == pytest.approx(0)
    # Of two draws both are one image in half of the cases, at a distance of 3.
    assert batch_noise(products, 2, rng, count=20_000) == pytest.approx(3 / np.sqrt(2), rel=0.03)


def test_it_falls_as_the_root_of_the_size_where_images_may_come_again():
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(50, 4))
    apart -= apart.mean(axis=0)
    one, many = (batch_noise(apart @ apart.T, size, rng, count=20_000) for size in (1, 16))
    assert many / one == pytest.approx(1 / 4, rel=0.03)
