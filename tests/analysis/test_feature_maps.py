"""The maps of one image, layer by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet.analysis.feature_maps import feature_maps
from convnet.analysis.view import View
from convnet.architectures.layers import Activation, Block, Conv, Dense, Flatten, Pool
from tests.analysis.compilations import compilations
from tests.analysis.tiny_views import view_of

TABLE = (
    *(Conv("conv1", 6), Activation("conv1_relu"), Block("stage", (Conv("conv2", 4), Pool("pool", "max", 2)))),
    *(Flatten(), Dense("dense1", 5)),
)


def change(name, values):
    """Channel 2 of conv1 never opens; channel 4 does not look at the image; 1 and 3 are equal."""
    values = np.array(values)
    if name.startswith("params/conv1"):
        values[..., 3] = values[..., 1]
        values[..., 4] = 0
    if name == "params/conv1/bias":
        values[2] = -100
        values[4] = 0.25
    return values


BOTH_SHAPES = pytest.mark.parametrize("view", [(5, 7, 1), (8, 6, 3)], indirect=True, ids=str)


@pytest.fixture(scope="module")
def view(request):
    return view_of(TABLE, getattr(request, "param", (5, 7, 1)), change)


@pytest.fixture
def image(view, rng):
    return rng.uniform(size=view.image_shape).astype(np.float32)


@BOTH_SHAPES
def test_they_are_the_results_of_the_layers_sorted_by_their_maximum(view, image):
    results = view.results(jnp.asarray(image[None]))
    found = feature_maps(view, image)
    assert list(found) == ["conv1", "conv1_relu", "stage/conv2", "stage/pool"]
    for layer, maps in found.items():
        values = np.asarray(results[layer][0])
        assert maps.layer == layer
        assert sorted(maps.units) == list(range(values.shape[-1]))
        largest = [values[..., unit].max() for unit in maps.units]
        assert largest == sorted(largest, reverse=True)
        for map_, unit in zip(maps.maps, maps.units, strict=True):
            np.testing.assert_allclose(map_, values[..., unit], rtol=1e-5, atol=1e-6)
        assert (maps.low, maps.high) == pytest.approx((min(values.min(), 0), max(values.max(), 0)), rel=1e-5)


@BOTH_SHAPES
def test_a_map_that_is_one_value_everywhere_is_dead(view, image):
    found = feature_maps(view, image, ["conv1_relu", "conv1"])
    assert set(found["conv1_relu"].units[found["conv1_relu"].dead]) == {2, 4}
    assert set(found["conv1"].units[found["conv1"].dead]) == {4}


def test_of_equal_maxima_the_lower_channel_comes_first(view, image):
    order = list(feature_maps(view, image, ["conv1"])["conv1"].units)
    assert order.index(3) == order.index(1) + 1


def test_a_map_of_one_place_is_dead_only_where_it_is_zero(rng):
    view = view_of((Conv("conv1", 6, (5, 7), padding="VALID"), Activation("conv1_relu")), change=change)
    maps = feature_maps(view, rng.uniform(size=(5, 7)).astype(np.float32))["conv1_relu"]
    assert maps.maps.shape == (6, 1, 1)
    np.testing.assert_array_equal(maps.dead, maps.maps[:, 0, 0] == 0)
    assert {2} <= set(maps.units[maps.dead])
    assert 4 not in maps.units[maps.dead]


def test_all_maps_of_a_layer_are_negative():
    """Then the scale ends at 0."""
    view = view_of(
        (Conv("conv1", 2),), change=lambda name, values: -np.ones_like(values) if "conv1" in name else values
    )
    maps = feature_maps(view, np.full((5, 7), 200, np.uint8))["conv1"]
    assert maps.low < -1
    assert maps.high == 0


class Own(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(2, (3, 3), name="edges")(x))
        return nn.Dense(3, name="scores")(x.reshape(x.shape[0], -1))


def test_a_module_of_ones_own_has_maps_too(rng):
    module = Own()
    view = View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 5, 7, 1))), (5, 7, 1))
    assert feature_maps(view, rng.uniform(size=(5, 7)).astype(np.float32))["edges"].maps.shape == (2, 5, 7)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda v, x: feature_maps(v, x, ["conv9"]), "layer is 'conv9': expected one with maps: conv1, conv1_relu"),
        (lambda v, x: feature_maps(v, x, ["dense1"]), "layer is 'dense1': expected one with maps"),
        (lambda v, x: feature_maps(v, x[1:]), "images have shape"),
        (lambda v, x: feature_maps(v, x[None]), "images have shape"),
        (lambda v, x: feature_maps(v, x * np.nan), "nan"),
        (
            lambda v, x: feature_maps(view_of((Flatten(),), v.image_shape), x),
            "layers logits: expected one with maps",
        ),
    ],
)
def test_what_there_is_not_is_refused(view, image, call, told):
    with pytest.raises(ValueError, match=told):
        call(view, image)


def test_another_image_and_other_weights_compile_nothing(view, image):
    other = view.with_variables(jax.tree.map(jnp.negative, view.variables))
    feature_maps(view, image)
    with compilations() as found:
        feature_maps(other, image[::-1])
    assert found == []
