"""Several views of an image that is classified, against loops over pixels."""

from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.config import DataConfig
from convnet.data import averaged
from convnet.data.views import VIEWS


def _reflected(i, side):
    i = abs(i)
    return i if i < side else 2 * (side - 1) - i


def _view(image, by, mirrored):
    """The image moved down and right by `by` pixels, its border reflected; then mirrored."""
    height, width, _ = image.shape
    result = np.empty_like(image)
    for row, column in np.ndindex(height, width):
        result[row, column] = image[_reflected(row - by, height), _reflected(column - by, width)]
    return result[:, ::-1] if mirrored else result


VIEWS_OF = {
    "one": [(1, 0, False)],
    "mirror": [(1 / 2, 0, False), (1 / 2, 0, True)],
    "mirror_shift": [(weight, by, m) for weight, by in ((1 / 4, 0), (1 / 8, 1), (1 / 8, -1)) for m in (False, True)],
}
"""Weight, pixels and mirror of each view."""


@pytest.fixture
def images(rng):
    return rng.standard_normal((3, 5, 7, 2)).astype(np.float32)


def classify(weights):
    """Not linear: the mean of the logits is not the logits of the mean image."""
    return lambda images: jnp.tanh(images.reshape(len(images), -1) @ weights) ** 3


@pytest.mark.parametrize("name", VIEWS_OF)
def test_logits_are_the_weighted_mean_over_the_views(name, images, rng):
    weights = rng.standard_normal((70, 4)).astype(np.float32)
    found = averaged(classify(weights), name)(jnp.asarray(images))
    expected = np.zeros((3, 4))
    for weight, by, mirrored in VIEWS_OF[name]:
        views = np.stack([_view(image, by, mirrored) for image in images])
        expected += weight * np.tanh(views.reshape(3, -1).astype(np.float64) @ weights) ** 3
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_one_view_costs_nothing():
    function = classify(np.zeros((70, 4)))
    assert averaged(function, "one") is function


@pytest.mark.parametrize("name", VIEWS)
def test_a_constant_stays_what_it_is(name, images):
    np.testing.assert_allclose(averaged(lambda x: jnp.full((len(x), 2), 3.0), name)(images), 3, rtol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_the_same_inside_jit_and_vmap(name, images, rng):
    function = averaged(classify(rng.standard_normal((70, 4)).astype(np.float32)), name)
    expected = function(jnp.asarray(images))
    np.testing.assert_allclose(jax.jit(function)(images), expected, rtol=1e-5, atol=1e-6)
    found = jax.vmap(function)(jnp.stack([images, 2 * images]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


def test_images_of_one_pixel_have_views():
    image = jnp.ones((2, 1, 1, 3))
    np.testing.assert_allclose(averaged(lambda x: x.reshape(2, 3), "mirror_shift")(image), np.ones((2, 3)))


def test_the_names_are_those_of_the_setting():
    assert set(get_args(get_type_hints(DataConfig)["views"])) == set(VIEWS) == set(VIEWS_OF)


def test_another_name_is_refused():
    with pytest.raises(ValueError, match=r"^views is 'ten': expected one of one, mirror, mirror_shift$"):
        averaged(lambda images: images, "ten")
