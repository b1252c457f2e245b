"""Networks seen from inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models
from convnet.analysis import View, in_chunks
from convnet.architectures import CNN, Linear, ResNet, Table
from convnet.architectures.layers import Conv, Dense, Flatten
from convnet.config import DataConfig, RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained

SHAPE = (5, 7, 1)
FACTS = Facts(SHAPE, (100.0,), (50.0,), ("no", "yes", "perhaps"))


def trained(model, crop=None):
    task = make_task(RunConfig(model=model, data=DataConfig(crop=crop)), FACTS)
    with task.precision():
        return Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)


@pytest.fixture(scope="module")
def network():
    return trained(CNN(widths=(3,), head_width=0))


@pytest.fixture(scope="module")
def view(network):
    return View.of(network)


@pytest.fixture
def images(rng):
    return rng.uniform(size=(4, *SHAPE)).astype(np.float32)


class TwoLayers(nn.Module):
    """Somebody's own module, which knows nothing of this library."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(2, (3, 3), name="edges")(x))
        return nn.Dense(3, name="scores")(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def own():
    module = TwoLayers()
    return View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), SHAPE)


def test_a_view_computes_what_the_network_does(network, view, images):
    np.testing.assert_allclose(view.logits(images), network.logits(images), rtol=1e-5, atol=1e-5)
    for name, values in network.activations(images).items():
        np.testing.assert_allclose(view.at(name, images), values, rtol=1e-5, atol=1e-5)


def test_layers_come_in_the_order_of_the_network_with_their_shapes(network, view, images):
    found = network.activations(images)
    assert list(view.layers) == list(found)
    assert view.layers == {name: values.shape[1:] for name, values in found.items()}


def test_uint8_and_floats_are_the_same_images(view):
    pixels = np.arange(35, dtype=np.uint8).reshape(1, 5, 7)
    np.testing.assert_allclose(view.images(pixels), view.images(pixels.astype(np.float32) / 255), rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((2, 7, 5, 1), np.float32), r"expected \[N, 5, 7, 1\]"),
        (np.full((1, *SHAPE), np.nan, np.float32), "nan"),
        (np.full((1, *SHAPE), 2.0, np.float32), "expected floats from 0 to 1"),
        (np.zeros((1, *SHAPE), np.int32), "int32"),
        (np.zeros((0, *SHAPE), np.float32), "N at least 1"),
    ],
)
def test_other_images_are_refused(view, images, told):
    with pytest.raises(ValueError, match=told):
        view.images(images)


def test_a_layer_or_unit_that_does_not_exist_is_named_beside_those_that_do(view, images):
    with pytest.raises(ValueError, match="layer is 'conv9': expected one of conv1, conv1_relu"):
        view.at("conv9", images)
    with pytest.raises(ValueError, match="layer is 'conv9': expected one of conv1, conv1_relu"):
        view.units("conv9")
    with pytest.raises(ValueError, match="units of conv1 hold 3: expected numbers from 0 to 2"):
        view.units("conv1", [0, 3])
    np.testing.assert_array_equal(view.units("conv1"), [0, 1, 2])
    np.testing.assert_array_equal(view.units("conv1", (2,)), [2])


def test_labels_are_classes_one_for_each_image(view):
    np.testing.assert_array_equal(view.labels([0, 2], 2), [0, 2])
    for labels in ([3, 0], [-1, 0]):
        with pytest.raises(ValueError, match="expected classes from 0 to 2"):
            view.labels(labels, 2)
    with pytest.raises(ValueError, match="expected 2 whole numbers"):
        view.labels([0], 2)
    with pytest.raises(ValueError, match="expected 2 whole numbers"):
        view.labels([0.0, 1.0], 2)


def test_another_backward_pass_leaves_the_values_as_they_are(view, images):
    @jax.custom_jvp
    def flipped(x):
        return jnp.maximum(x, 0)

    flipped.defjvp(lambda primals, tangents: (jnp.maximum(primals[0], 0), -tangents[0] * (primals[0] > 0)))
    other = view.replace_ops(relu=flipped)
    np.testing.assert_array_equal(other.logits(images), view.logits(images))
    mine, theirs = (jax.grad(lambda x, v=v: v.logits(x).sum())(jnp.asarray(images)) for v in (view, other))
    assert np.abs(mine).max() > 0
    np.testing.assert_allclose(theirs, -mine, rtol=1e-5, atol=1e-6)


def test_views_of_one_network_share_their_program(network, view, images):
    traced = []

    @jax.jit
    def logits(view, images):
        traced.append(1)
        return view.logits(images)

    logits(view, images)
    logits(View.of(network), images)
    other = view.with_variables(jax.tree.map(jnp.negative, view.variables))
    assert not np.allclose(logits(other, images), logits(view, images))
    assert len(traced) == 1


def test_a_residual_network_is_looked_into_by_the_full_names_of_its_layers():
    view = View.of(trained(ResNet("resnet8", width=0.125)))
    assert {"stage2/block1/conv1", "stage2/block1/sum", "stage2/block1"} <= set(view.layers)
    assert [placed.name for placed in view.placed][:2] == ["conv1", "conv1_norm"]


def test_layers_stand_where_the_cropped_image_puts_them():
    view = View.of(trained(CNN(widths=(3,), head_width=0), crop=4))
    assert view.placed[0].input == (4, 4, 1)
    assert view.image_shape == SHAPE


def test_a_module_of_ones_own_is_looked_into_by_its_submodules(own, images):
    assert own.layers["edges"] == (5, 7, 2)
    assert own.layers["scores"] == (3,)
    assert own.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(own.at("scores", jnp.asarray(images)), own.logits(jnp.asarray(images)))


def test_what_a_module_of_ones_own_lacks_is_said(own):
    with pytest.raises(ValueError, match="TwoLayers: its backward pass can be replaced only"):
        own.replace_ops(relu=jnp.abs)
    with pytest.raises(ValueError, match="TwoLayers: it has no table of layers"):
        _ = own.placed


def test_a_network_made_of_a_table_has_a_view_too(images):
    model = models.build(Table((Conv("only", 2, padding="VALID"), Flatten(), Dense("d", 4))), num_classes=2)
    view = View.of_module(
        model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), SHAPE, class_names="ab"
    )
    assert view.layers == {"only": (3, 5, 2), "d": (4,), "logits": (2,)}
    assert view.class_names == ("a", "b")


def test_a_chunk_fits_the_memory_it_is_given(view):
    values = sum(int(np.prod(shape)) for shape in view.layers.values()) + 2 * 35
    assert view.chunk(memory=10 * 2 * 4 * values) == 10
    assert view.chunk(memory=1) == 1
    assert view.chunk(memory=10**12, most=64) == 64


def test_chunks_come_to_the_whole_and_are_compiled_once(rng):
    items, done, traced = {"a": rng.normal(size=(7, 2)), "b": np.arange(7)}, [], []

    @jax.jit
    def function(chunk):
        traced.append(1)
        return chunk["a"] * chunk["b"][:, None], chunk["b"] + 1

    found, numbers = in_chunks(function, items, size=3, on_progress=done.append)
    np.testing.assert_allclose(found, items["a"] * items["b"][:, None], rtol=1e-6)
    np.testing.assert_array_equal(numbers, np.arange(1, 8))
    assert done == [3, 3, 1]
    assert len(traced) == 1


def test_a_network_that_computes_in_float64_is_seen_in_it(images):
    view = View.of(trained(CNN(widths=(3,), head_width=0, precision="float64")))
    with view.precision():
        assert view.images(images).dtype == jnp.float64
        assert view.logits(view.images(images)).dtype == jnp.float64


def test_a_network_that_computes_in_tf32_is_seen_in_it(images):
    view = View.of(trained(CNN(widths=(3,), head_width=0, precision="tf32")))
    with view.precision():
        assert view.logits(view.images(images)).dtype == jnp.float32
        assert jax.config.jax_default_matmul_precision == "tensorfloat32"
    assert jax.config.jax_default_matmul_precision is None


def test_layers_before_the_dense_ones_take_images_of_any_size(network, rng):
    large = rng.uniform(size=(2, 9, 8, 1)).astype(np.float32)
    view = View.of(network, image_shape=(9, 8, 1))
    assert list(view.layers) == ["conv1", "conv1_relu", "pool1"]
    assert view.layers["conv1"] == (9, 8, 3)
    # Away from the border a convolution sees the same pixels, whatever is around them.
    small = View.of(network).at("conv1", jnp.asarray(large[:, :5, :7]))
    np.testing.assert_allclose(view.at("conv1", jnp.asarray(large))[:, 1:4, 1:6], small[:, 1:4, 1:6], atol=1e-5)


def test_on_another_size_no_crop_is_made():
    assert View.of(trained(CNN(widths=(3,), head_width=0), crop=4), image_shape=(9, 8, 1)).layers["conv1"] == (9, 8, 3)


def test_a_network_that_ends_in_a_mean_keeps_its_classes_on_any_size():
    view = View.of(trained(CNN(widths=(3,), head="global_avg")), image_shape=(9, 8, 1))
    assert view.layers["logits"] == (3,)
    assert view.class_names == FACTS.class_names


@pytest.mark.parametrize(
    ("model", "image_shape", "told"),
    [
        (Linear(), (9, 8, 1), "begins with convolutions"),
        (CNN(widths=(3,)), (9, 8, 3), r"image_shape .* \(H, W, 1\)"),
        (CNN(widths=(3,)), (1, 8, 1), "does not fit"),
    ],
)
def test_images_that_a_network_cannot_take_are_refused(model, image_shape, told):
    with pytest.raises(ValueError, match=told):
        View.of(trained(model), image_shape=image_shape)
