"""The patches of a data set that excite a unit most."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet.analysis.backprojection import backproject
from convnet.analysis.top_patches import top_patches
from convnet.analysis.view import View
from convnet.architectures import CNN
from convnet.architectures.layers import Activation, Conv, Dense, Flatten, Pool
from convnet.config import DataConfig, RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.analysis.compilations import compilations
from tests.analysis.tiny_views import view_of

SHAPE = (9, 12, 1)
TABLE = (
    *(Conv("conv1", 3), Activation("conv1_relu"), Pool("pool1", "max", 2)),
    *(Conv("conv2", 4), Activation("conv2_relu"), Flatten(), Dense("dense1", 5), Activation("dense1_relu")),
)
FIELD = 8
"""Pixels that conv2 sees: 3 of pool1, which are 6 of conv1, which are 8 of the image, from 2p − 3 on."""


@pytest.fixture(scope="module")
def view():
    return view_of(TABLE, SHAPE)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(size=(10, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def found(view, images):
    return top_patches(view, images, "conv2_relu", [3, 0], count=4, rule="deconvnet")


def cut(image, corner, size):
    """The patch of an image with a border of NaN around it."""
    padded = np.pad(image, ((50, 50), (50, 50), (0, 0)), constant_values=np.nan)
    row, column = np.asarray(corner) + 50
    return padded[row : row + size, column : column + size]


def test_they_are_the_images_that_a_search_of_all_activations_finds(view, images, found):
    values = np.asarray(view.at("conv2_relu", jnp.asarray(images)))
    for u, unit in enumerate([3, 0]):
        largest = values[..., unit].max(axis=(1, 2))
        best = sorted(range(10), key=lambda n, largest=largest: -largest[n])[:4]
        np.testing.assert_array_equal(found.indices[u], best)
        np.testing.assert_allclose(found.activations[u], largest[best], rtol=1e-5)
        for k, n in enumerate(best):
            place = np.unravel_index(np.argmax(values[n, ..., unit]), values.shape[1:3])
            np.testing.assert_array_equal(found.positions[u, k], place)


def test_patches_are_cut_from_the_images_at_the_receptive_field(images, found):
    assert found.patches.shape == (2, 4, FIELD, FIELD, 1)
    for u, k in np.ndindex(2, 4):
        corner = 2 * found.positions[u, k] - 3
        np.testing.assert_array_equal(found.corners[u, k], corner)
        np.testing.assert_allclose(found.patches[u, k], cut(images[found.indices[u, k]], corner, FIELD), rtol=1e-6)
    assert np.isnan(found.patches).any()


def test_projections_are_cut_at_the_same_places_and_lose_nothing(view, images, found):
    whole = backproject(view, images, "conv2_relu", [3, 0], rule="deconvnet")
    for u, k in np.ndindex(2, 4):
        expected = whole[found.indices[u, k], u]
        patch = found.projections[u, k]
        np.testing.assert_allclose(patch, cut(expected, found.corners[u, k], FIELD), rtol=1e-4, atol=1e-5)
        assert np.nansum(np.abs(patch)) == pytest.approx(np.abs(expected).sum(), rel=1e-4)
        assert np.abs(expected).max() > 0


def test_a_unit_sees_its_patch_and_nothing_else(view, images, found, rng):
    """Noise in the place of all other pixels changes nothing; a pixel of the patch does."""
    u, k = 1, 2
    row, column = found.corners[u, k]
    noise = rng.uniform(size=SHAPE).astype(np.float32)
    patch = (slice(max(row, 0), row + FIELD), slice(max(column, 0), column + FIELD))
    noise[patch] = images[found.indices[u, k]][patch]
    other = noise.copy()
    other[patch] = 1 - other[patch]
    place = (..., *found.positions[u, k], 0)
    values = np.asarray(view.at("conv2_relu", jnp.stack([noise, other])))[place]
    assert values[0] == pytest.approx(found.activations[u, k], rel=1e-5)
    assert values[1] != pytest.approx(found.activations[u, k], rel=1e-2)


def test_little_memory_changes_nothing(view, images, found):
    done = []
    again = top_patches(
        view, images, "conv2_relu", [3, 0], count=4, rule="deconvnet", memory=40_000, on_progress=done.append
    )
    assert len(done) > 1
    assert sum(done) == 10
    for name in ("indices", "positions", "corners"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    for name in ("activations", "patches", "projections"):
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), rtol=1e-4, atol=1e-5)


def test_of_equal_activations_the_earlier_image_comes_first_and_each_image_once(view, images):
    """Each image twice, and the count is larger than the number of images."""
    twice = np.concatenate([images[:3], images[:3]])
    found = top_patches(view, twice, "conv2_relu", [3], count=9, memory=1)
    assert sorted(found.indices[0]) == list(range(6))
    pairs = found.indices[0].reshape(3, 2)
    np.testing.assert_array_equal(pairs[:, 1], pairs[:, 0] + 3)


def test_a_dead_unit_gives_the_first_images_with_an_activation_of_0(images):
    view = view_of(TABLE, SHAPE, lambda name, values: values - 100 * (name == "params/conv2/bias"))
    found = top_patches(view, images, "conv2_relu", [3, 0], count=4, rule="deconvnet")
    np.testing.assert_array_equal(found.indices, [[0, 1, 2, 3]] * 2)
    assert not found.activations.any()
    assert not np.nansum(np.abs(found.projections))


def test_where_a_unit_sees_the_whole_image_the_patch_is_the_image(view, images):
    found = top_patches(view, images, "dense1_relu", [1], count=2, rule="gradient")
    assert found.patches.shape == (1, 2, *SHAPE)
    np.testing.assert_array_equal(found.patches[0], images[found.indices[0]])
    np.testing.assert_array_equal(found.positions, np.zeros((1, 2, 2)))
    whole = backproject(view, images[found.indices[0]], "dense1_relu", [1], rule="gradient")
    np.testing.assert_allclose(found.projections[0], whole[:, 0], rtol=1e-4, atol=1e-5)


def test_an_axis_that_is_shorter_than_the_field_is_seen_whole(rng):
    """8 columns would be seen of an image of 6."""
    narrow = rng.uniform(size=(3, 12, 6, 1)).astype(np.float32)
    found = top_patches(view_of(TABLE, (12, 6, 1)), narrow, "conv2_relu", [0], count=1)
    assert found.patches.shape == (1, 1, FIELD, 6, 1)
    assert found.corners[0, 0, 1] == 0
    row = found.corners[0, 0, 0]
    inside = slice(max(row, 0), row + FIELD)
    expected = narrow[found.indices[0, 0], inside]
    np.testing.assert_allclose(found.patches[0, 0][~np.isnan(found.patches[0, 0])], expected.ravel(), rtol=1e-6)


def test_on_a_cropped_image_patches_are_cut_from_the_whole(rng):
    """Training crops 5×5 out of 8×9: the centre, from pixel (1, 2) on."""
    model = CNN(widths=(2,), head_width=0)
    config = RunConfig(model=model, data=DataConfig(crop=5))
    task = make_task(config, Facts((8, 9, 1), (100.0,), (50.0,), ("no", "yes")))
    network = Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)
    pixels = rng.integers(0, 256, size=(4, 8, 9), dtype=np.uint8)
    found = top_patches(network, pixels, "conv1", [1], count=2)
    for k, n in enumerate(found.indices[0]):
        corner = found.positions[0, k] + (1, 2) - 1
        np.testing.assert_array_equal(found.corners[0, k], corner)
        np.testing.assert_allclose(found.patches[0, k], cut(pixels[n, ..., None] / 255, corner, 3), rtol=1e-6)


class Own(nn.Module):
    """The layers of TABLE as somebody's own module."""

    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(3, (3, 3), name="conv1")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Conv(4, (3, 3), name="conv2")(x))
        return nn.Dense(3, name="logits")(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def own():
    module = Own()
    return View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), SHAPE)


def test_the_field_of_a_module_of_ones_own_is_found_by_gradients(own, images):
    found = top_patches(own, images, "conv2", count=3, rule="gradient")
    np.testing.assert_array_equal(found.corners, 2 * found.positions - 3)
    assert found.patches.shape == (4, 3, FIELD, FIELD, 1)
    assert top_patches(own, images, "logits", count=1, rule="gradient").patches.shape == (3, 1, *SHAPE)


def test_a_module_of_ones_own_that_lets_nothing_through_has_no_field(own, images):
    dead = own.with_variables(jax.tree.map(jnp.zeros_like, own.variables))
    with pytest.raises(ValueError, match="no table of layers, and gradients reach no pixel"):
        top_patches(dead, images, "conv2", rule="gradient")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda v, x: top_patches(v, x, "conv9"), "layer is 'conv9'"),
        (lambda v, x: top_patches(v, x, "conv2", [4]), "units of conv2 hold 4"),
        (lambda v, x: top_patches(v, x, "conv2", []), r"units is \[\]"),
        (lambda v, x: top_patches(v, x, "conv2", count=0), "count is 0: expected 1 or more"),
        (lambda v, x: top_patches(v, x, "conv2", rule="no"), "rule is 'no'"),
        (lambda v, x: top_patches(v, 2 * x, "conv2"), "expected floats from 0 to 1"),
    ],
)
def test_what_there_is_not_is_refused(view, images, call, told):
    with pytest.raises(ValueError, match=told):
        call(view, images)


def test_other_weights_and_images_compile_nothing(view, images, found):
    other = view.with_variables(jax.tree.map(jnp.negative, view.variables))
    with compilations() as compiled:
        again = top_patches(other, images[::-1], "conv2_relu", [1, 2], count=4, rule="deconvnet")
    assert compiled == []
    assert not np.array_equal(again.activations, found.activations)
