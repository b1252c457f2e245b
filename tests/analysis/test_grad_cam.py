"""Grad-CAM: the formula layer by layer, CAM where that exists, and where on the image its maps lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models, ops
from convnet.analysis.grad_cam import grad_cam
from convnet.analysis.view import View
from convnet.architectures import CNN, MLP, Table
from convnet.architectures.layers import Activation, Block, Conv, Dense, Flatten, GlobalAvgPool, Pool, Residual
from convnet.config import DataConfig, RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.analysis.compilations import compilations

SHAPE = (6, 8, 1)
MEANS = Table((Conv("conv1", 4), Activation("conv1_relu"), Pool("pool1"), Conv("conv2", 5), GlobalAvgPool("mean")))


def view_of(table, shape=SHAPE):
    model = models.build(table, num_classes=3)
    return View.of_module(model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *shape))), shape)


class Own(nn.Module):
    """Somebody's own module, which knows nothing of this library."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(2, (3, 3), name="edges")(x))
        return nn.Dense(3, name="scores")(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def means():
    return view_of(MEANS)


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, *SHAPE)).astype(np.float32)


def half_pixel_bilinear(maps, size):
    """Enlarged, the pixels taken as squares side by side; beyond the outer centres the outer values go on."""
    found = np.empty((len(maps), *size))
    for n, i, j in np.ndindex(*found.shape):
        at = [(p + 0.5) * side / large - 0.5 for p, side, large in zip((i, j), maps.shape[1:], size, strict=True)]
        value = 0.0
        for row in (int(np.floor(at[0])), int(np.floor(at[0])) + 1):
            for col in (int(np.floor(at[1])), int(np.floor(at[1])) + 1):
                inside = maps[n, np.clip(row, 0, maps.shape[1] - 1), np.clip(col, 0, maps.shape[2] - 1)]
                value += (1 - abs(at[0] - row)) * (1 - abs(at[1] - col)) * inside
        found[n, i, j] = value
    return found


def test_of_a_network_that_ends_in_a_mean_and_a_dense_layer_it_is_cam(means, images):
    """Zhou et al.: Σ_k w_k A_k; the gradient of the mean divides it by the number of positions."""
    maps = np.asarray(means.at("conv2", jnp.asarray(images)))
    weights = np.asarray(means.variables["params"]["logits"]["kernel"])
    cam = np.stack([maps[n] @ weights[:, label] for n, label in enumerate([0, 1, 2])]) / (3 * 4)
    found = grad_cam(means, images, [0, 1, 2], relu=False, upsample=False)
    assert found.shape == (3, 3, 4)
    np.testing.assert_allclose(found, cam, atol=1e-6)
    np.testing.assert_allclose(grad_cam(means, images, [0, 1, 2], upsample=False), np.maximum(cam, 0), atol=1e-6)
    assert cam.min() < -1e-3
    assert cam.max() > 1e-3


def test_maps_are_enlarged_between_the_centres_of_their_pixels(means, images):
    small = grad_cam(means, images, [0, 1, 2], upsample=False)
    found = grad_cam(means, images, [0, 1, 2])
    np.testing.assert_allclose(found, half_pixel_bilinear(small, (6, 8)), atol=1e-6)


def test_in_a_layer_below_it_is_the_gradient_of_what_stands_above(images):
    """conv1 -> relu -> mean of windows -> dense: ∂y/∂relu by hand."""
    table = (Conv("conv1", 4), Activation("conv1_relu"), Pool("pool1", "avg"), Flatten(), Dense("dense1", 6))
    view = view_of(Table(table))
    params = jax.tree.map(np.asarray, view.variables["params"])
    relu = np.asarray(view.at("conv1_relu", jnp.asarray(images)))
    above = (params["dense1"]["kernel"] @ params["logits"]["kernel"][:, 1]).reshape(3, 4, 4)  # of the means
    slope = above.repeat(2, axis=0).repeat(2, axis=1) / 4
    for layer, maps, alive in (
        ("conv1_relu", relu, 1.0),
        ("conv1", np.asarray(view.at("conv1", jnp.asarray(images))), relu > 0),
    ):
        weights = (slope * alive * np.ones_like(relu)).mean(axis=(1, 2), keepdims=True)
        found = grad_cam(view, images, [1, 1, 1], layer=layer, relu=False, upsample=False)
        np.testing.assert_allclose(found, (weights * maps).sum(axis=3), atol=1e-6)


def test_it_goes_by_the_last_maps_of_several_pixels(images):
    view = view_of(Table((Conv("conv1", 4), Pool("pool1"), Pool("whole", "max", (3, 4)), Flatten())))
    assert view.layers["whole"] == (1, 1, 4)
    np.testing.assert_array_equal(grad_cam(view, images), grad_cam(view, images, layer="pool1"))


def test_inside_a_residual_block_all_ways_to_the_logits_count(images):
    block = Residual("block", (Conv("inner", 4),))
    view = view_of(Table((Conv("conv1", 4, stride=2), Block("stage", (block,)), GlobalAvgPool())))
    found = {
        layer: grad_cam(view, images, [1, 1, 1], layer=f"stage/block{layer}", relu=False, upsample=False)
        for layer in ("", "/sum")
    }
    # The block's relu goes to the mean and the dense layer, so CAM is known of both.
    after, before = (np.asarray(view.at(f"stage/block{name}", jnp.asarray(images))) for name in ("", "/sum"))
    weights = np.asarray(view.variables["params"]["logits"]["kernel"])[:, 1] / (3 * 4)
    np.testing.assert_allclose(found[""], after @ weights, atol=1e-6)
    slopes = (weights * (before > 0)).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found["/sum"], (slopes * before).sum(axis=3), atol=1e-6)
    # Of what the shortcut carries, too: y = w · mean(relu(x + conv(x))).
    layer = "conv1"
    maps = view.at(layer, jnp.asarray(images))
    params = view.variables["params"]["stage"]["block"]["inner"]

    def logit(maps):
        inner = ops.conv2d(maps, params["kernel"], params["bias"])
        return (jnp.maximum(maps + inner, 0).mean(axis=(1, 2)) @ view.variables["params"]["logits"]["kernel"])[
            :, 1
        ].sum()

    slopes = np.asarray(jax.grad(logit)(maps)).mean(axis=(1, 2), keepdims=True)
    whole = grad_cam(view, images, [1, 1, 1], layer=layer, relu=False, upsample=False)
    np.testing.assert_allclose(whole, (slopes * np.asarray(maps)).sum(axis=3), atol=1e-6)


def test_a_module_of_ones_own_has_it_too(images):
    module = Own()
    view = View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), SHAPE)
    maps = np.asarray(view.at("edges", jnp.asarray(images)))
    kernel = np.asarray(view.variables["params"]["scores"]["kernel"])[:, 2].reshape(6, 8, 2)
    weights = (kernel * (maps > 0)).mean(axis=(1, 2), keepdims=True)
    found = grad_cam(view, images, [2, 2, 2], relu=False)
    np.testing.assert_allclose(found, (weights * maps).sum(axis=3), atol=1e-6)


def test_of_a_network_that_sees_the_centre_the_map_lies_there(rng):
    facts = Facts((7, 10, 1), (100.0,), (50.0,), ("a", "b", "c"))
    task = make_task(RunConfig(model=CNN(widths=(3,), head_width=0), data=DataConfig(crop=4)), facts)
    network = Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)
    images = rng.uniform(size=(2, 7, 10, 1)).astype(np.float32)
    found = grad_cam(network, images, [0, 1], relu=False)
    small = grad_cam(network, images, [0, 1], relu=False, upsample=False)
    np.testing.assert_allclose(found[:, 1:5, 3:7], half_pixel_bilinear(small, (4, 4)), atol=1e-6)
    outside = np.ones((7, 10), bool)
    outside[1:5, 3:7] = False
    assert (found[:, outside] == 0).all()


def test_a_batch_gives_what_its_images_give_one_by_one(means, images):
    expected, done = grad_cam(means, images, [0, 1, 2]), []
    alone = [grad_cam(means, images[n : n + 1], [n]) for n in range(3)]
    np.testing.assert_allclose(np.concatenate(alone), expected, atol=1e-6)
    small = grad_cam(means, images, [0, 1, 2], memory=1, on_progress=done.append)
    np.testing.assert_allclose(small, expected, atol=1e-6)
    assert done == [1, 1, 1]


def test_without_labels_the_predicted_classes_are_explained(means, images):
    predicted = np.asarray(means.logits(jnp.asarray(images))).argmax(axis=1)
    np.testing.assert_allclose(grad_cam(means, images), grad_cam(means, images, predicted), atol=1e-6)


def test_a_second_call_compiles_nothing(means, images):
    grad_cam(means, images, [0, 1, 2])
    other = means.with_variables(jax.tree.map(jnp.negative, means.variables))
    with compilations() as found:
        grad_cam(other, images[::-1], [1, 1, 1])
    assert found == []


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("conv9", "layer is 'conv9': expected one of conv1, conv1_relu"),
        ("mean", "layer is 'mean': expected one with maps, conv1, conv1_relu, pool1, conv2$"),
    ],
)
def test_a_layer_without_maps_is_refused(means, images, layer, told):
    with pytest.raises(ValueError, match=told):
        grad_cam(means, images, layer=layer)


def test_a_network_without_maps_is_refused(images):
    with pytest.raises(
        ValueError, match="layer is None: expected a network with maps, but this one has dense1, dense1_relu"
    ):
        grad_cam(view_of(MLP(widths=(4,))), images)
