"""The network of the CIFAR-10 speed race: its layers, sizes and parameters, and what its first layer starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import data, models
from convnet.architectures import Airbench
from convnet.architectures.layers import BatchNorm, Conv, Pool
from convnet.architectures.shapes import cost, count_parameters, parameter_shapes, trained_values, walk

CIFAR = (32, 32, 3)
DIGITS = dict(num_classes=10, widths=(4, 8))


def placed(image=CIFAR, classes=10, **settings):
    return {p.name: p for p in walk(Airbench(**settings).layers(image, classes), image) if hasattr(p.layer, "name")}


def test_parameters_of_the_network_for_cifar10():
    """Biases of 24 whitened maps and of the norms; kernels; logits without a bias. The whitening kernel is not trained,
    but where nothing is whitened."""
    kernels = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    expected = 24 + kernels + 2 * (64 + 256 + 256) + 256 * 10
    assert expected == 1_971_352
    assert count_parameters(Airbench().layers(CIFAR, 10), CIFAR) == expected
    assert count_parameters(Airbench(whiten=False).layers(CIFAR, 10), CIFAR) == expected + 2 * 2 * 3 * 24
    whiten = placed()["whiten"]
    assert parameter_shapes(whiten) == {"kernel": (2, 2, 3, 24), "bias": (24,)}
    assert trained_values(whiten) == 24
    assert cost(Airbench().layers(CIFAR, 10), CIFAR).weights == expected


def test_maps_are_halved_three_times_and_then_the_largest_value_of_each_is_left():
    found = placed()
    sides = [found[name].output for name in ("whiten", "conv1", "pool1", "conv2", "pool3", "conv4", "pool5", "conv6")]
    assert sides == [(31, 31, 24), (31, 31, 64), (15, 15, 64), (15, 15, 64), (7, 7, 256), (7, 7, 256), (3, 3, 256),
                     (3, 3, 256)]  # fmt: skip
    assert (found["pool_all"].output, found["logits"].output) == ((1, 1, 256), (10,))


def test_the_layers_and_their_order():
    unit = ["conv{0}", "conv{0}_norm", "conv{0}_gelu"]
    pooled = ["conv{0}", "pool{0}", "conv{0}_norm", "conv{0}_gelu"]
    groups = [name.format(i) for i in range(1, 7) for name in (pooled if i % 2 else unit)]
    found = placed()
    assert list(found) == ["whiten", "whiten_gelu", *groups, "pool_all", "logits"]
    layers = [p.layer for p in found.values()]
    assert {layer.bias for layer in layers[1:] if isinstance(layer, Conv)} == {False}
    assert {(layer.momentum, layer.use_scale) for layer in layers if isinstance(layer, BatchNorm)} == {(0.6, False)}
    assert {layer.kind for layer in layers if isinstance(layer, Pool)} == {"max"}
    assert not found["logits"].layer.bias
    assert list(placed(activation="silu"))[1] == "whiten_silu"


@pytest.mark.parametrize(
    ("image", "widths", "left"), [((8, 8, 1), (4, 8), (1, 1)), ((5, 7, 3), (4, 8), (1, 1)), ((9, 20, 2), (4,), (4, 9))]
)
def test_images_of_any_shape_that_is_large_enough(image, widths, left):
    found = placed(image, widths=widths)
    assert found["pool_all"].input[:2] == found["pool_all"].layer.window == left
    assert found["pool_all"].output == (1, 1, widths[-1])
    assert found["whiten"].output == (image[0] - 1, image[1] - 1, 8 * image[2])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ((8, 8, 1), "^layer pool5 does not fit an input of 1×1×256: the output is empty"),
        ((1, 9, 1), "^layer whiten does not fit an input of 1×9×1: the output is empty"),
    ],
)
def test_smaller_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        placed(image)


# --- the start --------------------------------------------------------------------------------------------------------


def started(image=(8, 8, 1), **settings):
    model = models.build("airbench", **(DIGITS | settings))
    return models.flatten(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *image))))


def test_the_first_layer_whitens_the_patches_of_the_training_images():
    """Its results on them are uncorrelated, of deviation 1; and then come the same with the sign changed."""
    digits = data.load("digits")
    model = models.build("airbench", **DIGITS, patch_moment=tuple(digits.patch_moment(2).ravel()))
    images = jnp.asarray((digits.train.images - digits.mean) / digits.std)
    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    assert variables["params"]["whiten"].keys() == {"bias"}
    np.testing.assert_array_equal(variables["params"]["whiten"]["bias"], np.zeros(8))
    found = np.asarray(models.activations(model, variables, images)["whiten"], np.float64).reshape(-1, 8)
    np.testing.assert_allclose(found[:, :4].T @ found[:, :4] / len(found), np.eye(4), atol=0.01)
    np.testing.assert_allclose(found[:, 4:], -found[:, :4], rtol=1e-6, atol=1e-6)


def test_without_a_moment_the_frozen_kernel_starts_as_any_other():
    found = started(initializer="constant", initializer_scale=0.5)
    np.testing.assert_array_equal(found["batch_stats/whiten/kernel"], np.full((2, 2, 1, 8), 0.5))
    assert "params/whiten/kernel" in started(whiten=False)


def test_kernels_hand_on_what_comes_in_and_logits_start_small():
    found = started(num_classes=3000)
    kernel = np.asarray(found["params/conv3/kernel"])
    np.testing.assert_array_equal(kernel[1, 1, :, :4], np.eye(4))
    assert np.abs(kernel).sum() > 4.5
    logits = np.asarray(found["params/logits/kernel"])
    np.testing.assert_allclose(logits.std(), 1 / 256, rtol=0.03)
    other = np.asarray(started(num_classes=3000, initializer="zeros")["params/logits/kernel"])
    np.testing.assert_array_equal(other, logits)


def test_in_float64_all_is_kept_in_float64(x64):
    moment = tuple(data.load("digits").patch_moment(2).ravel())
    found = started(precision="float64", patch_moment=moment)
    assert {array.dtype for array in found.values()} == {jnp.dtype("float64")}
    narrow = started(precision="bfloat16", patch_moment=moment)
    assert {array.dtype for array in narrow.values()} == {jnp.dtype("float32")}
    name = "batch_stats/whiten/kernel"
    np.testing.assert_allclose(found[name], narrow[name], rtol=1e-5)
