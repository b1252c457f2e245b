"""Normalisation in models: what training computes, what it remembers, and what evaluation makes of that."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet import models
from convnet.architectures import Table
from convnet.architectures.layers import BatchNorm, Conv, Flatten
from convnet.ops import HAND
from convnet.train import init_state, make_train_step

IMAGE = (6, 5, 2)
CNN = dict(num_classes=3, widths=(4,), head_width=5, precision="float64", activation="tanh")


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.standard_normal((7, *IMAGE)))


def started(model, rng):
    """Variables as at the start, the normalisations' scales and biases away from 1 and 0."""
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *IMAGE)))
    return jax.tree.map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape) ** 2, variables)


def intermediate(model, variables, images, **settings):
    _, state = applied(model, variables, images, mutable=["activations"], **settings)
    return {name: np.asarray(x) for entry in state["activations"]["in_order"] for name, x in entry.items()}


def applied(model, variables, images, **settings):
    """`model.apply`, compiled as a whole."""
    return jax.jit(partial(model.apply, **settings))(variables, images)


def standardized(x, mean, var, params):
    return (x - mean) / np.sqrt(var + 1e-5) * np.asarray(params["scale"]) + np.asarray(params["bias"])


def test_in_training_batch_norm_takes_the_moments_of_the_batch(x64, images, rng):
    model = models.build("cnn", norm="batch", **CNN)
    variables = started(model, rng)
    found = intermediate(model, variables, images, train=True)
    for name, axes in (("conv1", (0, 1, 2)), ("dense1", (0,))):
        x = found[name]
        params = variables["params"][f"{name}_norm"]
        expected = standardized(x, x.mean(axes), x.var(axes), params)
        np.testing.assert_allclose(found[f"{name}_norm"], expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found[f"{name}_tanh"], np.tanh(expected), rtol=1e-10, atol=1e-12)


def test_in_evaluation_batch_norm_takes_the_running_moments_whatever_else_is_in_the_batch(x64, images, rng):
    model = models.build("cnn", norm="batch", **CNN)
    variables = started(model, rng)
    found = intermediate(model, variables, images)
    running = {k: np.asarray(v) for k, v in variables["batch_stats"]["conv1_norm"].items()}
    expected = standardized(found["conv1"], running["mean"], running["var"], variables["params"]["conv1_norm"])
    np.testing.assert_allclose(found["conv1_norm"], expected, rtol=1e-10, atol=1e-12)
    apply = jax.jit(model.apply)
    alone = np.concatenate([apply(variables, image[None]) for image in images])
    np.testing.assert_allclose(alone, found["logits"], rtol=1e-10, atol=1e-12)


def test_the_running_moments_follow_those_of_the_batches_by_a_tenth(x64, images, rng):
    model = models.build("cnn", norm="batch", **CNN)
    variables = started(model, rng)
    x = intermediate(model, variables, images, train=True)["conv1"]
    _, changed = applied(model, variables, images, train=True, mutable=["batch_stats"])
    for name, now in (("mean", x.mean((0, 1, 2))), ("var", x.var((0, 1, 2)))):
        before = np.asarray(variables["batch_stats"]["conv1_norm"][name])
        after = changed["batch_stats"]["conv1_norm"][name]
        np.testing.assert_allclose(after, 0.9 * before + 0.1 * now, rtol=1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_the_running_moments_keep_as_much_as_a_layers_momentum_says(momentum, x64, images, rng):
    table = Table((Conv("conv", 4, bias=False), BatchNorm("norm", momentum), Flatten()))
    model = models.build(table, num_classes=3, precision="float64")
    variables = started(model, rng)
    x = intermediate(model, variables, images, train=True)["conv"]
    _, changed = applied(model, variables, images, train=True, mutable=["batch_stats"])
    for name, now in (("mean", x.mean((0, 1, 2))), ("var", x.var((0, 1, 2)))):
        expected = momentum * np.asarray(variables["batch_stats"]["norm"][name]) + (1 - momentum) * now
        np.testing.assert_allclose(changed["batch_stats"]["norm"][name], expected, rtol=1e-10)


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_without_a_scale_each_channel_has_deviation_1(train, x64, images, rng):
    table = Table((Conv("conv", 4, bias=False), BatchNorm("norm", use_scale=False), Flatten()))
    model = models.build(table, num_classes=3, precision="float64")
    variables = started(model, rng)
    assert variables["params"]["norm"].keys() == {"bias"}
    found = intermediate(model, variables, images, train=train)
    x, running = found["conv"], variables["batch_stats"]["norm"]
    moments = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if train else (running["mean"], running["var"])
    params = {"scale": np.ones(4), "bias": variables["params"]["norm"]["bias"]}
    np.testing.assert_allclose(found["norm"], standardized(x, *map(np.asarray, moments), params), rtol=1e-10)


def test_without_a_scale_all_else_has_the_gradient_that_it_has_with_one(x64, images, rng):
    def gradient(use_scale):
        table = Table((Conv("conv", 4, bias=False), BatchNorm("norm", use_scale=use_scale), Flatten()))
        model = models.build(table, num_classes=3, precision="float64")
        variables = jax.jit(model.init)(jax.random.key(0), images)

        def loss(params):
            found = model.apply({**variables, "params": params}, images, train=True)
            return (found * jnp.sin(jnp.arange(21.0).reshape(7, 3))).sum()

        return models.flatten(jax.grad(loss)(variables["params"]))

    found, expected = gradient(False), gradient(True)
    assert expected.keys() - found.keys() == {"norm/scale"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_training_step_moves_the_running_moments_and_trains_everything_else(x64, images, rng):
    model = models.build("cnn", norm="batch", **CNN)
    state = init_state(model, optax.sgd(0.1), jax.random.key(3), IMAGE)
    step = jax.jit(make_train_step(model, optax.sgd(0.1), HAND.softmax_cross_entropy, lambda key, images: images))
    after, _ = step(state, (images, jnp.arange(7) % 3))
    _, expected = applied(model, state.variables, images, train=True, mutable=["batch_stats"])
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10), after.batch_stats, expected["batch_stats"])
    still = [
        jax.tree_util.keystr(path)
        for (path, new), old in zip(
            jax.tree_util.tree_leaves_with_path(after.params), jax.tree.leaves(state.params), strict=True
        )
        if np.array_equal(new, old)
    ]
    assert not still


def test_layer_norm_looks_at_the_channels_of_one_place(x64, images, rng):
    model = models.build("cnn", norm="layer", **CNN)
    variables = started(model, rng)
    found = intermediate(model, variables, images)
    x = found["conv1"]
    moments = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    expected = standardized(x, *moments, variables["params"]["conv1_norm"])
    np.testing.assert_allclose(found["conv1_norm"], expected, rtol=1e-10, atol=1e-12)
    assert "batch_stats" not in variables


def test_local_response_norm_follows_the_activation_of_maps_as_in_alexnet(x64, images, rng):
    model = models.build("cnn", norm="local_response", **CNN)
    variables = started(model, rng)
    found = intermediate(model, variables, images)
    a = found["conv1_tanh"]
    squares = np.stack([(a[..., max(c - 2, 0) : c + 3] ** 2).sum(-1) for c in range(a.shape[-1])], -1)
    np.testing.assert_allclose(found["conv1_norm"], a / (2 + 1e-4 / 5 * squares) ** 0.75, rtol=1e-10)
    names = list(found)
    assert names.index("conv1_norm") == names.index("conv1_tanh") + 1
    assert "dense1_norm" not in names
    assert set(variables["params"]) == {"conv1", "dense1", "logits"}


@pytest.mark.parametrize(("norm", "biased"), [("none", True), ("layer", True), ("batch", False)])
def test_a_bias_that_batch_norm_would_take_away_is_left_out(norm, biased, x64):
    model = models.build("cnn", norm=norm, **CNN)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *IMAGE)))["params"]
    assert ["bias" in params[name] for name in ("conv1", "dense1", "logits")] == [biased, biased, True]


def test_in_bfloat16_the_running_moments_stay_float32(images, rng):
    model = models.build("mlp", norm="batch", num_classes=3, widths=(4,), precision="bfloat16")
    variables = started(model, rng)
    logits, changed = applied(model, variables, images, train=True, mutable=["batch_stats"])
    assert {leaf.dtype for leaf in jax.tree.leaves(changed)} == {jnp.dtype("float32")}
    assert logits.dtype == jnp.float32
