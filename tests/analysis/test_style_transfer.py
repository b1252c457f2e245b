"""Style transfer: the published losses and their gradients, and what must hold of any picture."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models, ops
from convnet.analysis import View
from convnet.analysis.style_transfer import content_loss, style_loss, usual_layers
from convnet.analysis.style_transfer import style_transfer as with_margin
from convnet.architectures import CNN, VGG, Linear, ResNet
from convnet.config import RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.analysis.compilations import compilations

SHAPE, STYLE_SHAPE = (9, 12, 3), (14, 8, 3)
style_transfer = partial(with_margin, margin=0)


def view_of(model, shape=SHAPE):
    network = models.build(model, num_classes=3)
    return View.of_module(network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape))), shape)


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(4, 5), depth=2, head_width=0))


@pytest.fixture(scope="module")
def content():
    return np.random.default_rng(0).uniform(size=SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def style():
    """Red and blue stripes."""
    found = np.zeros(STYLE_SHAPE, np.float32)
    found[..., 0] = 0.1 + 0.8 * (np.arange(STYLE_SHAPE[1]) % 4 < 2)
    found[..., 2] = 0.9 - found[..., 0]
    return found


@pytest.fixture(params=[(5, 7, 4), (6, 4, 1)], ids=["5×7×4", "6×4×1"])
def maps(request, rng):
    """Two images' maps, [2, H, W, C]."""
    return rng.normal(size=(2, *request.param))


# --- the losses -------------------------------------------------------------------------------------------------------


def gram(maps):
    """G of one image's maps, in loops."""
    height, width, channels = maps.shape
    found = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            for h in range(height):
                for w in range(width):
                    found[i, j] += maps[h, w, i] * maps[h, w, j]
    return found


def published_style_loss(maps, wanted):
    """E of equation 4, from two images' maps of the same size."""
    height, width, channels = maps.shape
    total = 0.0
    for difference in (gram(maps) - gram(wanted)).ravel():
        total += difference**2
    return total / (4 * channels**2 * (height * width) ** 2)


def test_losses_are_the_published_ones(maps, rng, x64):
    others = rng.normal(size=maps.shape)
    found = style_loss(maps, ops.gram_matrix(others))
    np.testing.assert_allclose(found, [published_style_loss(*pair) for pair in zip(maps, others, strict=True)])
    np.testing.assert_allclose(content_loss(maps, others), ((maps - others) ** 2).sum(axis=(1, 2, 3)) / 2)


def test_the_gradient_of_the_style_loss_is_the_published_one(maps, rng, x64):
    others = rng.normal(size=maps.shape)
    found = jax.grad(lambda maps: style_loss(maps, ops.gram_matrix(others)).sum())(maps)
    _, height, width, channels = maps.shape
    for n in range(2):
        rows = maps[n].reshape(-1, channels)
        exact = rows @ (gram(maps[n]) - gram(others[n])) / (channels**2 * (height * width) ** 2)
        np.testing.assert_allclose(found[n].reshape(-1, channels), exact, atol=1e-12)


def test_gram_matrices_do_not_depend_on_places_and_have_no_negative_eigenvalue(maps, rng, x64):
    n, height, width, channels = maps.shape
    shuffled = rng.permutation(maps.reshape(n, -1, channels), axis=1).reshape(n, width, height, channels)
    grams = ops.gram_matrix(maps)
    np.testing.assert_allclose(ops.gram_matrix(shuffled), grams, atol=1e-12)
    assert (np.linalg.eigvalsh(grams) >= -1e-12).all()
    np.testing.assert_allclose(ops.gram_matrix(-1.5 * maps), 2.25 * grams, atol=1e-12)
    np.testing.assert_allclose(grams * height * width, [gram(one) for one in maps], atol=1e-12)


def test_losses_are_0_at_the_target(maps, rng, x64):
    shuffled = rng.permutation(maps.reshape(len(maps), -1, maps.shape[3]), axis=1).reshape(maps.shape)
    np.testing.assert_array_equal(content_loss(maps, maps), 0)
    np.testing.assert_allclose(style_loss(shuffled, ops.gram_matrix(maps)), 0, atol=1e-24)


def test_the_other_usual_normalisation_is_four_over_the_squared_channels_of_it(maps, rng, x64):
    """That of the mean squared difference of G / (C H W)."""
    others = rng.normal(size=maps.shape)
    channels = maps.shape[3]
    found = style_loss(maps, ops.gram_matrix(others))
    for n in range(2):
        mean = np.mean((gram(maps[n]) / maps[n].size - gram(others[n]) / maps[n].size) ** 2)
        np.testing.assert_allclose(mean, 4 / channels**2 * found[n])


def test_a_style_is_the_same_in_an_image_that_shows_it_twice(maps, x64):
    twice = np.concatenate([maps, maps], axis=2)
    np.testing.assert_allclose(style_loss(maps, ops.gram_matrix(twice)), 0, atol=1e-24)


# --- the objective ----------------------------------------------------------------------------------------------------


def reference(view, style_view, content, style, x, content_layer, style_layers, style_weight, variation_weight):
    """L of the image x, layer by layer."""

    def maps_of(view, image):
        found = view.results(jnp.asarray(image)[None])
        return {layer: np.asarray(found[layer][0], np.float64) for layer in {content_layer, *style_layers}}

    of_content, of_style, of_x = maps_of(view, content), maps_of(style_view, style), maps_of(view, x)
    scales = {name: (np.abs(of_content[name]).mean() + np.abs(of_style[name]).mean()) / 2 for name in of_x}
    total = np.mean(((of_x[content_layer] - of_content[content_layer]) / scales[content_layer]) ** 2) / 2
    for layer in style_layers:
        mine, wanted = (gram(maps[layer]) / maps[layer][..., 0].size / scales[layer] ** 2 for maps in (of_x, of_style))
        total += style_weight * ((mine - wanted) ** 2).sum() / (4 * len(mine) ** 2) / len(style_layers)
    variation = ((x[1:] - x[:-1]) ** 2).sum() + ((x[:, 1:] - x[:, :-1]) ** 2).sum()
    return total + variation_weight * variation / x.size


LAYERS = dict(content_layer="conv3_relu", style_layers=("conv1_relu", "conv4_relu"))
WEIGHTS = dict(style_weight=3.0, variation_weight=0.7)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_objective_is_that_of_the_docstring(cnn, content, style, pooling):
    found = style_transfer(cnn, content, style, steps=3, pooling=pooling, **LAYERS, **WEIGHTS)
    pool = {"avg": ops.avg_pool, "max": ops.max_pool}[pooling]
    views = [View.of(cnn, image_shape=shape).replace_ops(max_pool=pool) for shape in (SHAPE, STYLE_SHAPE)]
    for number, x in ((0, content), (-1, found.image)):
        exact = reference(*views, content, style, x, **LAYERS, **WEIGHTS)
        np.testing.assert_allclose(found.objectives[number], exact, rtol=1e-4)
    parts = found.content_loss + 3.0 * found.style_losses.mean() + 0.7 * found.variation
    np.testing.assert_allclose(parts, found.objectives[-1], rtol=1e-5)
    assert found.objectives.shape == (4,)


def test_the_objective_falls_with_every_step(cnn, content, style):
    for start in ("content", "noise"):
        found = style_transfer(cnn, content, style, steps=30, start=start)
        assert (np.diff(found.objectives) <= 0).all()
        assert found.objectives[-1] < 0.5 * found.objectives[0]
        assert found.image.shape == SHAPE
        assert found.image.dtype == np.float32
        assert 0 <= found.image.min() < found.image.max() <= 1


def test_an_image_in_its_own_style_stays_as_it_is(cnn, content):
    found = style_transfer(cnn, content, content, variation_weight=0.0, steps=5)
    np.testing.assert_array_equal(found.image, content)
    np.testing.assert_allclose(found.objectives, 0, atol=1e-9)


def test_without_style_noise_becomes_the_content(cnn, content, style):
    settings = dict(content_layer="conv1", style_weight=0.0, variation_weight=0.0, start="noise", steps=300)
    found = style_transfer(cnn, content, style, **settings)
    np.testing.assert_allclose(found.image, content, atol=0.02)


def test_with_more_weight_on_the_style_there_is_more_of_it(cnn, content, style):
    little, much = (style_transfer(cnn, content, style, steps=100, style_weight=weight) for weight in (1.0, 1000.0))
    assert much.style_losses.mean() < little.style_losses.mean()
    assert much.content_loss > little.content_loss


def test_variation_smooths(cnn, content, style):
    rough, smooth = (style_transfer(cnn, content, style, steps=50, variation_weight=w) for w in (0.0, 10.0))
    assert smooth.variation < 0.5 * rough.variation


def test_a_margin_is_painted_and_cut_off(cnn, content, style):
    mirrored = np.pad(content, ((16, 16), (16, 16), (0, 0)), "reflect")
    whole = style_transfer(cnn, mirrored, style, steps=3)
    found = with_margin(cnn, content, style, steps=3)
    np.testing.assert_array_equal(found.image, whole.image[16:-16, 16:-16])
    np.testing.assert_array_equal(found.objectives, whole.objectives)
    np.testing.assert_array_equal(with_margin(cnn, content, style, steps=0).image, content)


def test_without_steps_it_is_the_start(cnn, content, style):
    done = []
    found = style_transfer(cnn, content, style, steps=0, on_progress=done.append)
    np.testing.assert_array_equal(found.image, content)
    assert found.objectives.shape == (1,)
    assert sum(done) == 0
    one, again, other = (
        style_transfer(cnn, content, style, steps=0, start="noise", seed=seed).image for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


def test_progress_is_told_to_the_end(cnn, content, style):
    done = []
    style_transfer(cnn, content, style, steps=12, on_progress=done.append)
    assert done[:11] == [1] * 11
    assert sum(done) == 12
    done.clear()
    style_transfer(
        cnn, content, content, variation_weight=0.0, steps=12, on_progress=done.append
    )  # is at the bottom at once
    assert sum(done) == 12


def test_other_images_weights_and_networks_compile_nothing(cnn, content, style):
    style_transfer(cnn, content, style, steps=3, **LAYERS)
    others = cnn.with_variables(jax.tree.map(lambda leaf: 2 * leaf, cnn.variables))
    with compilations() as compiled:
        style_transfer(others, 1 - content, 1 - style, steps=7, **LAYERS, **WEIGHTS)
    assert compiled == []


# --- networks and images ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "content_layer", "style_layers"),
    [
        (CNN(widths=(4, 5), depth=2, head_width=0), "conv2_relu", ("conv1_relu", "conv3_relu")),
        (CNN(widths=(4,), norm="batch", activation="gelu"), "conv1_gelu", ("conv1_gelu",)),
        (
            VGG("vgg16", width=1 / 32),
            "conv4_3_relu",
            ("conv1_1_relu", "conv2_1_relu", "conv3_1_relu", "conv4_1_relu", "conv5_1_relu"),
        ),
        (
            ResNet("resnet8", width=0.25),
            "stage2/block1/conv1_relu",
            ("conv1_relu", "stage2/block1/conv1_relu", "stage3/block1/conv1_relu"),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_usual_layers(model, content_layer, style_layers):
    view = View(None, models.build(model, num_classes=3), lambda images: images, (32, 40, 3), ())
    assert usual_layers(view) == (content_layer, style_layers)


def test_the_usual_layers_are_taken(cnn, content, style):
    found = style_transfer(cnn, content, style, steps=1)
    assert (found.content_layer, found.style_layers) == ("conv2_relu", ("conv1_relu", "conv3_relu"))
    assert found.style_losses.shape == (2,)


def test_grey_images_of_other_sizes_than_those_of_training():
    facts = Facts((8, 8, 1), (100.0,), (50.0,), ("no", "yes"))
    task = make_task(RunConfig(model=CNN(widths=(3, 4), head_width=5)), facts)
    network = Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1))), 1)
    rng = np.random.default_rng(0)
    content, style = (rng.integers(0, 256, size=size).astype(np.uint8) for size in ((10, 17), (13, 11)))
    found = style_transfer(network, content, style, steps=10)
    assert found.image.shape == (10, 17, 1)
    same = style_transfer(network, content[..., None] / np.float32(255), style / np.float32(255), steps=10)
    np.testing.assert_allclose(found.image, same.image, atol=1e-3)


class Own(nn.Module):
    """Somebody's own module."""

    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(4, (3, 3), name="edges")(x)), (2, 2), (2, 2))
        return nn.Dense(3, name="scores")(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def own():
    return View.of_module(Own(), jax.jit(Own().init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), SHAPE)


def test_a_module_of_ones_own(own, content):
    layers = dict(content_layer="edges", style_layers=("edges",))
    found = style_transfer(own, content, np.ascontiguousarray(content[::-1]), pooling="max", steps=10, **layers)
    assert found.objectives[-1] < found.objectives[0]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(content=np.zeros((1, *SHAPE), np.float32)), r"content is 'an array \[1, 9, 12, 3\]': expected one image"),
        (dict(content=np.zeros((9, 12), np.float32)), r"content: image_shape is \(9, 12, 1\): expected \(H, W, 3\)"),
        (dict(content=np.full(SHAPE, np.nan, np.float32)), "content: images hold nan"),
        (dict(style=np.full(STYLE_SHAPE, 2, np.float32)), r"style: images hold 2 … 2: expected floats from 0 to 1"),
        (dict(style=np.zeros((1, 1, 3), np.float32)), "style: layer pool1 does not fit an input of 1×1×4"),
        (dict(content_layer="conv9"), "content_layer is 'conv9': expected maps of one of conv1, conv1_relu"),
        (dict(content_layer="logits"), "content_layer is 'logits': expected maps of one of conv1, conv1_relu"),
        (dict(style_layers=("conv1", "conv9")), "style_layers is 'conv9': expected maps of conv1, conv1_relu"),
        (dict(style_layers=()), r"style_layers is \(\): expected one layer or more"),
        (dict(style_weight=-1.0), "style_weight is -1.0: expected 0 or more"),
        (dict(variation_weight=np.nan), "variation_weight is nan: expected 0 or more"),
        (dict(steps=-1), "steps is -1: expected 0 or more"),
        (dict(margin=-1), "margin is -1: expected 0 or more pixels"),
        (dict(start="style"), "start is 'style': expected one of content, noise"),
        (dict(pooling="sum"), "pooling is 'sum': expected one of avg, max"),
    ],
)
def test_what_is_refused(cnn, content, style, changed, told):
    with pytest.raises(ValueError, match=told):
        style_transfer(cnn, **({"content": content, "style": style} | changed))


def test_networks_that_will_not_do(own, content, style):
    with pytest.raises(ValueError, match=r"style: .*has no table of layers"):
        style_transfer(own, content, style)
    with pytest.raises(ValueError, match=r"content: .*has no table of layers"):
        with_margin(own, content, content)
    with pytest.raises(ValueError, match="it has no table of layers"):
        style_transfer(own, content, content)
    layers = dict(content_layer="edges", style_layers=("edges",))
    with pytest.raises(ValueError, match="its backward pass can be replaced only where it computes through an OpSet"):
        style_transfer(own, content, content, **layers)
    with pytest.raises(ValueError, match="expected one with maps that go through an activation"):
        style_transfer(view_of(Linear()), content, content)
