"""Kernels that are not trained: where they are kept, and that nothing moves them; kernels with a start of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet import models, optim
from convnet.architectures import Table
from convnet.architectures.layers import Activation, BatchNorm, Conv, Dense, Flatten
from convnet.architectures.shapes import count_parameters, multiply_adds, trained_shapes, walk
from convnet.config import OptimConfig
from convnet.initializers import build
from convnet.ops import AUTO, HAND, conv2d
from convnet.train import init_state, make_train_step

IMAGE = (6, 5, 2)
BODY = (
    Conv("first", 3, 2, frozen=True),
    BatchNorm("norm"),
    Activation("tanh", "tanh"),
    Conv("second", 4, frozen=True, bias=False),
    Flatten(),
)


def network(body=BODY, **settings):
    return models.build(Table(body), num_classes=3, **settings)


def init(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *IMAGE)))


def batch(rng):
    return jnp.asarray(rng.standard_normal((8, *IMAGE)), jnp.float32), jnp.arange(8) % 3


def test_a_frozen_kernel_is_kept_beside_the_running_statistics():
    variables = init(network())
    assert {name: array.shape for name, array in models.flatten(variables).items()} == {
        "params/first/bias": (3,),
        "params/norm/scale": (3,),
        "params/norm/bias": (3,),
        "params/logits/kernel": (6 * 5 * 4, 3),
        "params/logits/bias": (3,),
        "batch_stats/first/kernel": (2, 2, 2, 3),
        "batch_stats/second/kernel": (3, 3, 3, 4),
        "batch_stats/norm/mean": (3,),
        "batch_stats/norm/var": (3,),
    }
    assert np.abs(variables["batch_stats"]["first"]["kernel"]).max() > 0.1


def test_the_layer_computes_with_it(rng):
    model, (images, _) = network(), batch(rng)
    variables = init(model)
    found = models.activations(model, variables, images)
    kernel, bias = variables["batch_stats"]["first"]["kernel"], variables["params"]["first"]["bias"]
    np.testing.assert_allclose(found["first"], conv2d(images, kernel, bias), rtol=1e-5, atol=1e-6)
    kernel = variables["batch_stats"]["second"]["kernel"]
    np.testing.assert_allclose(found["second"], conv2d(found["tanh"], kernel), rtol=1e-5, atol=1e-6)


def test_it_is_counted_as_what_it_is():
    """Not among what is trained, but among what is computed."""
    layers = network().table(IMAGE)
    trained = 3 + 2 * 3 + 6 * 5 * 4 * 3 + 3
    assert count_parameters(layers, IMAGE) == trained == models.count_parameters(init(network()))
    placed = {p.name: p for p in walk(layers, IMAGE) if hasattr(p.layer, "name")}
    assert trained_shapes(placed["first"]) == {"bias": (3,)}
    assert trained_shapes(placed["second"]) == {}
    assert multiply_adds(placed["second"]) == 6 * 5 * 9 * 3 * 4


@pytest.mark.parametrize("opset", [HAND, AUTO], ids=["hand", "auto"])
@pytest.mark.parametrize(
    "config",
    [
        OptimConfig("nesterov", 0.1, weight_decay=0.1),
        OptimConfig("adamw", 0.1, weight_decay=0.1),
        OptimConfig("muon", 0.1, weight_decay=0.1, decoupled=True, rescale=True),
    ],
    ids=lambda config: config.name,
)
def test_training_moves_everything_but_the_frozen_kernels(config, opset, rng):
    model, optimizer = network(ops=opset), optim.build(config, 3)
    start = state = init_state(model, optimizer, jax.random.key(1), IMAGE)
    step = jax.jit(make_train_step(model, optimizer, opset.softmax_cross_entropy, lambda key, images: images))
    for _ in range(3):
        state, _ = step(state, batch(rng))
    before, after = models.flatten(start.variables), models.flatten(state.variables)
    still = {name for name in before if np.array_equal(before[name], after[name])}
    assert still == {"batch_stats/first/kernel", "batch_stats/second/kernel"}
    moments = [leaf.shape for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert (2, 2, 2, 3) not in moments


def test_layers_below_a_frozen_kernel_get_their_gradients_through_it(rng):
    """Those of the same network whose kernel is trained."""
    body = [Conv("first", 3, 2), Activation("tanh", "tanh"), Conv("second", 4), Flatten()]
    images, labels = batch(rng)
    frozen = network((*body[:2], Conv("second", 4, frozen=True), Flatten()))
    variables = models.flatten(init(frozen))
    name = "batch_stats/second/kernel"
    moved = {n.replace(name, "params/second/kernel"): array for n, array in variables.items()}

    def gradient(model, variables):
        def loss(params):
            return optax.softmax_cross_entropy_with_integer_labels(
                model.apply({**variables, "params": params}, images), labels
            ).mean()

        return models.flatten(jax.grad(loss)(variables["params"]))

    expected = gradient(network(body), models.unflatten(moved))
    found = gradient(frozen, models.unflatten(variables))
    assert expected.keys() - found.keys() == {"second/kernel"}
    for path, value in found.items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-4, atol=1e-6, err_msg=path)


# --- a start of its own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, 0.5),
        (dict(initializer="constant"), 0.01),  # the usual value of that one
        (dict(initializer="constant", initializer_scale=2.0), 2.0),
        (dict(initializer_scale=3.0), 3.0),
        (dict(initializer_scale=0.0), 0.0),
        (dict(initializer="zeros"), 0.0),
    ],
)
@pytest.mark.parametrize("make", [Conv, Dense], ids=["conv", "dense"])
def test_a_layers_own_initializer_and_scale_go_first(make, own, expected):
    body = (make("own", 3, **own),) if make is Conv else (Flatten(), make("own", 3, **own))
    model = network((*body, Flatten()), initializer="constant", initializer_scale=0.5)
    params = init(model)["params"]
    np.testing.assert_array_equal(params["own"]["kernel"], np.full(params["own"]["kernel"].shape, expected, np.float32))
    np.testing.assert_array_equal(params["logits"]["kernel"], np.full(params["logits"]["kernel"].shape, 0.5))


def test_a_layers_own_distribution():
    params = init(network((Flatten(), Dense("own", 2000, initializer="uniform", initializer_scale=0.3))))["params"]
    kernel = np.asarray(params["own"]["kernel"])
    assert 0.29 < kernel.max() < 0.3
    np.testing.assert_allclose(kernel.std(), 0.3 / np.sqrt(3), rtol=0.03)
    assert np.abs(build()(jax.random.key(0), kernel.shape)).max() < 0.06


def test_an_unknown_initializer_of_a_layer_is_refused():
    with pytest.raises(ValueError, match=r"^initializer is 'xavier': expected one of zeros, constant"):
        jax.eval_shape(lambda: init(network((Flatten(), Dense("own", 2, initializer="xavier")))))
