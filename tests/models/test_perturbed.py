"""What a change of one layer's result does to the network's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models
from convnet.architectures import Table
from convnet.architectures.layers import Activation, Block, Conv, Dense, Flatten, Residual
from convnet.models.perturbed import perturbed

TABLE = Table(
    (
        *(Conv("conv1", 2), Activation("conv1_relu")),
        Block("stage", (Residual("block", (Conv("inner", 2),)),)),
        *(Flatten(), Dense("hidden", 3)),
    )
)


class Own(nn.Module):
    """A module that knows nothing of this library, and calls one of its parts twice."""

    @nn.compact
    def __call__(self, x):
        twice = nn.Dense(2, name="twice")
        return nn.Dense(3, name="last")(twice(jnp.tanh(twice(x.reshape(len(x), -1)[:, :2]))))


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.normal(size=(2, 3, 4, 1)), jnp.float32)


@pytest.fixture(scope="module")
def network():
    model = models.build(TABLE, num_classes=2)
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 3, 4, 1)))


def test_nothing_added_changes_nothing(network, images):
    expected = network[0].apply(network[1], images)
    for name, value in models.activations(*network, images).items():
        for change in (None, jnp.zeros_like(value)):
            output, there = perturbed(*network, images, name, change)
            np.testing.assert_array_equal(output, expected)
            np.testing.assert_array_equal(there, value)


def test_what_is_added_goes_through_all_that_stands_above(network, images):
    found, params = models.activations(*network, images), network[1]["params"]
    below = found["stage/block/sum"]
    changed = jnp.maximum(below + 0.5, 0).reshape(2, -1)
    for layer in ("hidden", "logits"):
        changed = changed @ params[layer]["kernel"] + params[layer]["bias"][None]
    result, there = perturbed(*network, images, "stage/block/sum", jnp.full_like(below, 0.5))
    np.testing.assert_array_equal(there, below)
    np.testing.assert_allclose(result, changed, rtol=1e-5, atol=1e-6)
    assert np.abs(result - network[0].apply(network[1], images)).max() > 1e-3


def test_derivatives_are_those_with_respect_to_the_layer(network, images):
    """Of a bias that is added to it, say."""

    def of_bias(bias):
        params = network[1]["params"]
        inner = {"inner": params["stage"]["block"]["inner"] | {"bias": bias}}
        variables = {"params": params | {"stage": {"block": inner}}}
        return network[0].apply(variables, images)[:, 1].sum()

    change = jnp.zeros_like(models.activations(*network, images)["stage/block/inner"])
    slope = jax.grad(lambda change: perturbed(*network, images, "stage/block/inner", change)[0][:, 1].sum())(change)
    bias = network[1]["params"]["stage"]["block"]["inner"]["bias"]
    np.testing.assert_allclose(slope.sum(axis=(0, 1, 2)), jax.grad(of_bias)(bias), rtol=1e-5)


def test_of_a_module_of_ones_own_the_first_call_is_meant(images):
    model = Own()
    variables = jax.jit(model.init)(jax.random.key(0), images)
    dense = {name: lambda x, p=p: x @ p["kernel"] + p["bias"][None] for name, p in variables["params"].items()}
    first = dense["twice"](images.reshape(2, -1)[:, :2])
    np.testing.assert_allclose(models.activations(model, variables, images)["twice"], first, rtol=1e-5)
    expected = dense["last"](dense["twice"](jnp.tanh(first + 1)))
    result, _ = perturbed(model, variables, images, "twice", jnp.ones_like(first))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    whole, there = perturbed(model, variables, images, "output", jnp.ones((2, 3)))
    np.testing.assert_allclose(whole, there + 1, rtol=1e-5)


def test_a_layer_that_is_not_there_is_refused(network, images):
    with pytest.raises(ValueError, match="layer is 'conv9': the model computes nothing of that name"):
        perturbed(*network, images, "conv9", jnp.zeros(1))
