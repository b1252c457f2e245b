"""SmoothGrad: an estimate of the gradient of the smoothed function, where that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.stats import norm

from convnet import models
from convnet.analysis.smoothgrad import smoothgrad
from convnet.analysis.view import View
from convnet.architectures import CNN, Linear
from tests.analysis.compilations import compilations

SHAPE = (5, 7, 1)


def view_of(architecture, shape=SHAPE):
    model = models.build(architecture, num_classes=3)
    return View.of_module(model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *shape))), shape)


class Square(nn.Module):
    """Logits ± Σ x²."""

    @nn.compact
    def __call__(self, x):
        total = (x**2).sum(axis=(1, 2, 3))
        return jnp.stack([total, -total], axis=1)


class Hinge(nn.Module):
    """Logits ± relu(Σ x − bend)."""

    bend: float

    @nn.compact
    def __call__(self, x):
        above = nn.relu(x.sum(axis=(1, 2, 3)) - self.bend)
        return jnp.stack([above, -above], axis=1)


def gradient(view, images, labels):
    return jax.grad(lambda x: view.logits(x)[np.arange(len(labels)), np.asarray(labels)].sum())(jnp.asarray(images))


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(3,), head_width=0))


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, *SHAPE)).astype(np.float32)


def test_without_noise_it_is_the_gradient(cnn, images):
    expected = gradient(cnn, images, [0, 1, 2])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(smoothgrad(cnn, images, [0, 1, 2], noise=0.0, samples=3), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [SHAPE, (4, 6, 3)])
def test_of_a_linear_network_noise_changes_nothing(rng, shape):
    view = view_of(Linear(), shape)
    weights = np.asarray(view.variables["params"]["logits"]["kernel"]).reshape(*shape, 3)
    found = smoothgrad(view, rng.uniform(size=(2, *shape)), [2, 0], noise=0.5, samples=5)
    np.testing.assert_allclose(found, np.moveaxis(weights[..., [2, 0]], -1, 0), rtol=1e-5)


def test_of_a_square_it_is_twice_the_mean_of_the_noisy_images(images):
    """E 2(x + ε) = 2x; the mean of n samples is off by 2σ/√n, σ being the share times the image's range."""
    view, samples = View.of_module(Square(), {}, SHAPE), 400
    images = images * np.float32([1, 0.1, 0.5])[:, None, None, None]
    off = smoothgrad(view, images, [0, 0, 0], noise=0.2, samples=samples) - 2 * images
    sigma = 0.2 * (images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3)))
    np.testing.assert_allclose(off.std(axis=(1, 2, 3)), 2 * sigma / np.sqrt(samples), rtol=0.35)  # of 35 pixels


def test_of_a_hinge_it_converges_to_the_gradient_of_the_smoothed_hinge(images):
    """Σ(x + ε) is normal with deviation σ√D, so the slope is 1 with probability Φ((Σ x − c) / (σ√D))."""
    totals = images.sum(axis=(1, 2, 3))
    view, samples = View.of_module(Hinge(float(totals.mean())), {}, SHAPE), 1000
    sigma = 0.5 * (images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3)))
    expected = norm.cdf((totals - totals.mean()) / (sigma * np.sqrt(35)))
    assert ((expected > 0.01) & (expected < 0.99)).all()
    found = smoothgrad(view, images, [0, 0, 0], noise=0.5, samples=samples)
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1, :1], found.shape))
    assert found[:, 0, 0, 0] == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(samples))


def test_an_image_of_one_value_has_no_range_and_gets_no_noise(cnn):
    image = np.full((1, *SHAPE), 0.25, np.float32)
    np.testing.assert_allclose(smoothgrad(cnn, image, [1], noise=0.5, samples=4), gradient(cnn, image, [1]), atol=1e-6)


def test_one_key_gives_one_map(cnn, images):
    first = smoothgrad(cnn, images, samples=6, key=5)
    np.testing.assert_array_equal(smoothgrad(cnn, images, samples=6, key=jax.random.key(5)), first)
    assert np.abs(smoothgrad(cnn, images, samples=6, key=6) - first).max() > 1e-4


def test_a_batch_gives_what_its_images_give_one_by_one_in_any_memory(cnn, images):
    expected, done = smoothgrad(cnn, images, [0, 1, 2], samples=7), []
    alone = [smoothgrad(cnn, images[n : n + 1], [n], samples=7) for n in range(3)]
    np.testing.assert_allclose(np.concatenate(alone), expected, atol=1e-5)
    small = smoothgrad(cnn, images, [0, 1, 2], samples=7, memory=1, on_progress=done.append)
    np.testing.assert_allclose(small, expected, atol=1e-5)
    assert done == [1, 1, 1]


def test_without_labels_the_predicted_classes_are_explained(cnn, images):
    predicted = np.asarray(cnn.logits(jnp.asarray(images))).argmax(axis=1)
    np.testing.assert_allclose(smoothgrad(cnn, images), smoothgrad(cnn, images, predicted), atol=1e-6)


def test_a_second_call_compiles_nothing(cnn, images):
    smoothgrad(cnn, images, [0, 1, 2], samples=7)
    other = cnn.with_variables(jax.tree.map(jnp.negative, cnn.variables))
    with compilations() as found:
        smoothgrad(other, images[::-1], [1, 1, 1], samples=7, noise=0.3, key=8)
    assert found == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"samples": 0}, "samples is 0: expected 1 or more"),
        ({"noise": -0.1}, r"noise is -0\.1: expected 0 or more"),
        ({"noise": np.nan}, "noise is nan"),
        ({"labels": [0, 1, 3]}, "labels hold 0 … 3"),
    ],
)
def test_what_does_not_fit_is_refused(cnn, images, settings, told):
    with pytest.raises(ValueError, match=told):
        smoothgrad(cnn, images, **settings)
