"""Deep dream: against loops of NumPy's where the layer is simple, and what must hold of any."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from convnet import models
from convnet.analysis import View
from convnet.analysis.deep_dream import deep_dream, octave_sizes
from convnet.architectures import CNN, Linear, Table
from convnet.architectures.layers import Conv, Flatten
from convnet.ops import relu

SHAPE = (5, 7, 1)


def view_of(model, shape=SHAPE):
    network = models.build(model, num_classes=3)
    return View.of_module(network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape))), shape)


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(4,), head_width=6))


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def pixelwise(request):
    """A network that looks at each pixel by itself, and the weights by which it does."""
    channels = request.param
    view = view_of(Table((Conv("mix", 2, kernel=1, bias=False), Flatten())), (5, 7, channels))
    weights = np.random.default_rng(1).normal(size=(channels, 2)).astype(np.float32)
    variables = jax.tree.map(jnp.asarray, view.variables)
    variables["params"]["mix"]["kernel"] = jnp.asarray(weights)[None, None]
    return view.with_variables(variables), weights


@pytest.fixture
def photographs(rng):
    return rng.uniform(0.2, 0.8, size=(2, 12, 17, 1)).astype(np.float32)


def reference_gradient(x, weights):
    """Of ½ Σ (w·x)², pixel by pixel."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape[:2]):
        gradient[place] = weights @ (weights.T @ x[place])
    return gradient


def reference_resized(x, size):
    """Triangles around each new pixel's centre, as wide as a pixel of the coarser image; past the border is nothing."""
    for axis, count in enumerate(size):
        before = x.shape[axis]
        scale = before / count
        centres = (np.arange(count) + 0.5) * scale - 0.5
        weights = np.maximum(1 - np.abs(centres[:, None] - np.arange(before)) / max(scale, 1), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        x = np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def reference_dream(photograph, weights, sizes, *, iterations, step):
    detail = np.zeros_like(photograph)
    for size in sizes:
        base = reference_resized(photograph, size)
        x = base + reference_resized(detail, size)
        for _ in range(iterations):
            gradient = reference_gradient(x, weights)
            x = np.clip(x + step * gradient / np.abs(gradient).mean(), 0, 1)
        detail = x - base
    return x


def test_the_octaves_of_an_image():
    assert octave_sizes((98, 140), 3, 1.4) == ((50, 71), (70, 100), (98, 140))


PIXELWISE = dict(layer="mix", octaves=2, iterations=4, step=0.02, jitter=5)


def test_details_are_carried_from_octave_to_octave_whatever_the_jitter(pixelwise, rng):
    """To a network that sees single pixels, where they are rolled to makes no difference if they come back."""
    view, weights = pixelwise
    photograph = rng.uniform(size=(12, 17, len(weights)))
    found = deep_dream(view, photograph[None].astype(np.float32), **PIXELWISE)
    expected = reference_dream(photograph, weights, ((9, 12), (12, 17)), iterations=4, step=0.02)
    assert found.sizes == ((9, 12), (12, 17))
    np.testing.assert_allclose(found.images[0], expected, atol=1e-4)


def test_a_step_follows_the_blurred_gradient_by_its_mean(pixelwise, rng):
    view, weights = pixelwise
    photograph = rng.uniform(0.3, 0.6, size=(12, 17, len(weights))).astype(np.float32)
    found = deep_dream(view, photograph[None], "mix", smooth=0.8, octaves=1, iterations=1, step=0.02)
    blurred = gaussian_filter(reference_gradient(photograph, weights), (0.8, 0.8, 0), mode="nearest")
    expected = np.clip(photograph + 0.02 * blurred / np.abs(blurred).mean(), 0, 1)
    np.testing.assert_allclose(found.images[0], expected, atol=1e-5)
    # The objective is half the mean square of the layer.
    np.testing.assert_allclose(found.objectives, [[[np.mean((photograph @ weights) ** 2) / 2]]], rtol=1e-4)


def test_no_iterations_give_the_images_back_exactly_and_tell_of_each_octave(cnn, photographs):
    done = []
    found = deep_dream(cnn, photographs, "conv1", iterations=0, octaves=3, on_progress=done.append)
    np.testing.assert_array_equal(found.images, photographs)
    assert found.objectives.shape == (2, 3, 0)
    assert done == [1, 1, 1]
    pixels = np.arange(2 * 12 * 17).astype(np.uint8).reshape(2, 12, 17, 1)
    back = deep_dream(cnn, pixels, "conv1", iterations=0, octaves=3).images
    np.testing.assert_array_equal(np.round(255 * back), pixels)


@pytest.fixture(scope="module")
def dreamt(cnn):
    photographs = np.random.default_rng(0).uniform(0.2, 0.8, size=(2, 12, 17, 1)).astype(np.float32)
    return deep_dream(cnn, photographs, "conv1_relu", octaves=2, iterations=5, jitter=2)


def test_each_octave_rises_and_pixels_stay_in_range(dreamt, photographs):
    assert dreamt.images.shape == photographs.shape
    assert dreamt.objectives.shape == (2, 2, 5)
    assert (dreamt.objectives[..., -1] > dreamt.objectives[..., 0]).all()
    assert dreamt.images.min() >= 0
    assert dreamt.images.max() <= 1


def test_the_same_seed_gives_the_same_bits_and_another_another_image(cnn, dreamt, photographs):
    settings = dict(octaves=2, iterations=5, jitter=2)
    again = deep_dream(cnn, photographs, "conv1_relu", **settings)
    np.testing.assert_array_equal(again.images, dreamt.images)
    other = deep_dream(cnn, photographs, "conv1_relu", seed=1, **settings)
    assert np.abs(other.images - dreamt.images).max() > 1e-3


def test_an_image_among_others_is_as_alone(cnn, dreamt, photographs):
    alone = deep_dream(cnn, photographs[:1], "conv1_relu", octaves=2, iterations=5, jitter=2)
    np.testing.assert_allclose(dreamt.images[:1], alone.images, atol=1e-4)


def test_a_layer_that_sees_nothing_leaves_the_image(pixelwise):
    view, weights = pixelwise
    black = np.zeros((1, 12, 17, len(weights)), np.float32)
    found = deep_dream(view, black, **PIXELWISE)
    np.testing.assert_array_equal(found.images, black)


def test_images_of_the_same_size_run_the_same_programs(cnn, photographs):
    traced = []

    def counting(x):
        traced.append(1)
        return relu(x)

    view = cnn.replace_ops(relu=counting)
    other = view.with_variables(jax.tree.map(jnp.negative, view.variables))

    def traces(view, images, **settings):
        before = len(traced)
        deep_dream(view, images, "conv1_relu", octaves=2, iterations=1, **settings)
        return len(traced) - before

    first, *others = (
        traces(view, photographs),
        traces(view, 1 - photographs),
        traces(other, photographs, step=0.1, seed=3),
    )
    assert others == [others[0]] * 2  # to look up the layers
    assert first > others[0]


def test_without_a_layer_it_dreams_of_the_last_maps(cnn, photographs):
    assert deep_dream(cnn, photographs, iterations=0, octaves=1).layer == "pool1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"layer": "dense1"}, "layer is 'dense1': expected one of conv1, conv1_relu, pool1"),
        ({"octaves": 0}, "octaves is 0: expected 1 or more"),
        ({"octaves": 9}, r"octaves is 9: the smallest would be 1×1, where layer pool1 does not fit"),
        ({"octaves": 30}, r"octaves is 30: the smallest would be 0×0, where"),
        ({"octave_scale": 1.0}, "octave_scale is 1.0: expected a factor above 1"),
        ({"iterations": -1}, "iterations is -1: expected 0 or more"),
        ({"step": 0.0}, "step is 0.0: expected a positive number"),
        ({"step": np.nan}, "step is nan"),
        ({"smooth": -1.0}, "smooth is -1.0: expected 0 or a positive number of pixels"),
        ({"jitter": -1}, "jitter is -1: expected 0 or more"),
        ({"images": np.zeros((12, 17, 1), np.float32)}, r"images is 'an array \[12, 17, 1\]': expected \[N, H, W, C\]"),
        ({"images": np.zeros((1, 12, 17, 3), np.float32)}, r"image_shape is .* expected \(H, W, 1\)"),
        ({"images": np.full((1, 12, 17, 1), np.nan, np.float32)}, "expected floats from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_refused(cnn, photographs, arguments, told):
    with pytest.raises(ValueError, match=told):
        deep_dream(cnn, **{"images": photographs, "layer": "conv1"} | arguments)


def test_a_network_without_convolutions_does_not_dream(photographs):
    with pytest.raises(ValueError, match="begins with convolutions"):
        deep_dream(view_of(Linear()), photographs, "logits")
