"""What steers gradient ascent on images, piece by piece."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.ndimage import gaussian_filter

from convnet.analysis.ascent import (
    L2,
    Ball,
    Blur,
    Clip,
    Diversity,
    Ink,
    Jitter,
    TotalVariation,
    ascend,
    gaussian_blur,
)


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.uniform(size=(3, 5, 7, 2)), jnp.float32)


def test_an_image_climbs_as_if_it_were_alone(images):
    """Adam divides by what it has seen of each pixel: no image may see another's."""
    tops = jnp.linspace(0.2, 0.8, 3)[:, None, None, None]

    def slope(step, keys, images):
        return -0.5 * jnp.sum((images - tops[: len(images)]) ** 2, axis=(1, 2, 3)), tops[: len(images)] - images

    keys = jax.random.split(jax.random.key(0), 3)
    together, values = ascend(slope, images, keys, steps=60, optimizer=optax.adam(0.1))
    alone, _ = ascend(slope, images[:1], keys[:1], steps=60, optimizer=optax.adam(0.1))
    np.testing.assert_array_equal(together[:1], alone)
    assert values.shape == (60, 3)
    np.testing.assert_allclose(values[0], -0.5 * np.sum((np.asarray(images) - tops) ** 2, (1, 2, 3)), rtol=1e-5)
    assert np.abs(together - tops).max() < 0.1 * np.abs(images - tops).max()


def test_a_key_of_its_own_for_every_image_and_step(images):
    seen = []

    def slope(step, keys, images):
        jax.debug.callback(lambda data: seen.append(np.asarray(data)), jax.random.key_data(keys), ordered=True)
        return jnp.zeros(len(images)), jnp.zeros_like(images)

    ascend(slope, images, jax.random.split(jax.random.key(0), 3), steps=4, optimizer=optax.sgd(1.0))
    jax.effects_barrier()
    assert len(np.unique(np.concatenate(seen), axis=0)) == 12


def test_constraints_are_applied_in_order_after_every_step(images):
    def slope(step, keys, images):
        return jnp.zeros(len(images)), jnp.ones_like(images)

    def add_number(images, step):
        return images + step

    found, _ = ascend(
        slope, jnp.zeros_like(images), jax.random.split(jax.random.key(0), 3), steps=3, optimizer=optax.sgd(0.25),
        constraints=(add_number, Clip(high=1.5)),
    )  # fmt: skip
    np.testing.assert_allclose(found, 1.5)  # 0.25, then 0.25 + 0.25 + 1, then clipped


def test_jitter_rolls_by_up_to_its_pixels_both_ways(rng):
    image = jnp.asarray(rng.uniform(size=(5, 7, 1)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 200)
    rolled = np.asarray(jax.vmap(lambda key: Jitter(1)(key, image))(keys))
    expected = {np.roll(image, (i, j), (0, 1)).tobytes() for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {one.tobytes() for one in rolled} == expected
    np.testing.assert_array_equal(Jitter(0)(keys[0], image), image)


def test_penalties_are_the_sums_that_they_claim(images):
    x = np.asarray(images, np.float64)
    np.testing.assert_allclose(Ink(0.5)({}, images), [0.5 * np.abs(one).sum() for one in x], rtol=1e-5)
    np.testing.assert_allclose(L2(3.0)({}, images), [1.5 * (one**2).sum() for one in x], rtol=1e-5)
    np.testing.assert_allclose(L2(3.0, center=0.5)({}, images), [1.5 * ((one - 0.5) ** 2).sum() for one in x], 1e-5)
    variation = [(np.diff(one, axis=0) ** 2).sum() + (np.diff(one, axis=1) ** 2).sum() for one in x]
    np.testing.assert_allclose(TotalVariation(2.0)({}, images), 2 * np.array(variation), rtol=1e-4)


def test_the_slope_of_ink_is_its_weight_also_where_there_is_none():
    slope = jax.grad(lambda x: Ink(0.5)({}, x).sum())(jnp.zeros((1, 5, 7, 1)))
    np.testing.assert_array_equal(slope, np.full((1, 5, 7, 1), 0.5))


def test_diversity_compares_the_gram_matrices_of_each_pair_of_starts(rng):
    features = rng.normal(size=(3, 4, 6, 2)).astype(np.float32)
    rows = features.reshape(3, 24, 2)
    grams = [(one.T @ one).ravel() for one in rows]
    cosines = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in grams] for a in grams]
    expected = [0.7 * (sum(row) - row[i]) for i, row in enumerate(cosines)]
    found = Diversity("maps", 0.7)({"maps": jnp.asarray(features)}, jnp.zeros((3, 5, 7, 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_features_of_nothing_are_like_no_others_and_have_a_slope():
    def diversity(features):
        return Diversity("maps")({"maps": features}, jnp.zeros((2, 5, 7, 1))).sum()

    features = jnp.zeros((2, 4, 6, 2)).at[0].set(1.0)
    np.testing.assert_allclose(diversity(features), 0, atol=1e-6)
    assert np.isfinite(jax.grad(diversity)(features)).all()


def test_diversity_is_asked_of_maps_only():
    results = {"conv1": jnp.zeros((2, 3, 3, 1)), "logits": jnp.zeros((2, 4))}
    for layer in ("logits", "conv9"):
        with pytest.raises(ValueError, match=f"layer of diversity is '{layer}': expected one of conv1"):
            Diversity(layer)(results, jnp.zeros((2, 5, 7, 1)))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_the_blur_is_scipys(images, sigma):
    expected = gaussian_filter(np.asarray(images, np.float64), (0, sigma, sigma, 0), mode="nearest")
    np.testing.assert_allclose(gaussian_blur(images, sigma), expected, atol=1e-5)


def test_a_blur_is_due_every_so_many_steps(images):
    blur = Blur(1.0, every=3)
    for step in range(6):
        expected = gaussian_blur(images, 1.0) if step in (2, 5) else images
        np.testing.assert_allclose(blur(images, jnp.asarray(step)), expected, atol=1e-6)


def test_a_ball_takes_what_is_outside_to_its_surface(images):
    images = images.at[0].mul(0.01)
    found = Ball(1.0)(images, jnp.asarray(0))
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_allclose(found[1:], [one / np.linalg.norm(one) for one in images[1:]], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Jitter(-1), "pixels of jitter is -1: expected 0 or more"),
        (lambda: Blur(1.0, every=0), "every of blur is 0: expected 1 or more"),
        (lambda: Ball(0.0), "radius of the ball is 0.0: expected a positive number"),
        (lambda: gaussian_blur(jnp.zeros((1, 2, 2, 1)), 0.0), "sigma of blur is 0.0: expected a positive number"),
        (lambda: gaussian_blur(jnp.zeros((1, 2, 2, 1)), np.nan), "sigma of blur is nan"),
    ],
)
def test_numbers_out_of_range_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
