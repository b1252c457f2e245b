"""Deconvnet, guided back-propagation, gradient: against loops of NumPy, and by what must hold of them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models
from convnet.analysis import View
from convnet.analysis.backprojection import (
    RELU_RULES,
    backproject,
    backproject_each,
    backproject_seeds,
    saliency,
    under_rule,
)
from convnet.architectures import MLP, Linear
from convnet.architectures.layers import Activation, BatchNorm, Conv, Dense, Flatten, Pool, Residual
from convnet.config import RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.analysis.compilations import compilations
from tests.analysis.tiny_views import view_of

RULES = ("gradient", "deconvnet", "guided")

POOLED = (
    *(Conv("conv1", 4), Activation("conv1_relu"), Pool("pool1", "max", 2)),
    *(Conv("conv2", 3), Activation("conv2_relu"), Flatten(), Dense("dense1", 5), Activation("dense1_relu")),
)
FLAT = (Conv("conv1", 4), Activation("conv1_relu"), Conv("conv2", 3), Activation("conv2_relu"))


# Few networks, layers and numbers of images, so that the tests share what is compiled.


@pytest.fixture(scope="module")
def grey():
    return view_of(POOLED)


@pytest.fixture(scope="module")
def coloured():
    return view_of(POOLED, (8, 6, 3))


@pytest.fixture
def greys(rng):
    return rng.uniform(size=(3, 5, 7, 1)).astype(np.float32)


@pytest.fixture
def colours(rng):
    return rng.uniform(size=(3, 8, 6, 3)).astype(np.float32)


# --- against loops ----------------------------------------------------------------------------------------------------


def reference(view, image, layer, seed, rule):
    """The projection of one seed in loops, down from `layer` through the layers of POOLED."""
    parameters = {name: np.asarray(leaf, np.float64) for name, leaf in models.flatten(view.variables).items()}
    names = [placed.name for placed in view.placed]
    below, x = [], image.astype(np.float64)
    for name in names[: names.index(layer) + 1]:
        below.append((name, x))
        x = forward(name, x, parameters)
    g = seed
    for name, x in reversed(below):
        g = backward(name, x, g, parameters, rule)
    return g


def forward(name, x, parameters):
    if name.endswith("_relu"):
        return np.maximum(x, 0)
    if name == "flatten":
        return x.reshape(-1)
    if name.startswith("pool"):
        return np.array(
            [
                [x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(0, 1)) for j in range(x.shape[1] // 2)]
                for i in range(x.shape[0] // 2)
            ]
        )
    kernel, bias = parameters[f"params/{name}/kernel"], parameters[f"params/{name}/bias"]
    if kernel.ndim == 2:
        return x @ kernel + bias
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return np.array(
        [
            [np.tensordot(padded[i : i + 3, j : j + 3], kernel, axes=3) + bias for j in range(x.shape[1])]
            for i in range(x.shape[0])
        ]
    )


def backward(name, x, g, parameters, rule):
    if name.endswith("_relu"):
        alive = x > 0
        return {"gradient": g * alive, "deconvnet": np.maximum(g, 0), "guided": np.maximum(g, 0) * alive}[rule]
    if name == "flatten":
        return g.reshape(x.shape)
    found = np.zeros_like(x)
    if name.startswith("pool"):
        for i, j, k in np.ndindex(g.shape):
            first = np.argmax(x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, k])
            found[2 * i + first // 2, 2 * j + first % 2, k] += g[i, j, k]
        return found
    kernel = parameters[f"params/{name}/kernel"]
    if kernel.ndim == 2:
        return kernel @ g
    for i, j in np.ndindex(g.shape[:2]):
        for di, dj in np.ndindex(3, 3):
            h, w = i + di - 1, j + dj - 1
            if 0 <= h < x.shape[0] and 0 <= w < x.shape[1]:
                found[h, w] += kernel[di, dj] @ g[i, j]
    return found


def strongest(values, unit):
    """(the first place where a unit is largest on one image, the seed there)."""
    place = np.unravel_index(np.argmax(values[..., unit]), values.shape[:-1])
    seed = np.zeros(values.shape)
    seed[(*place, unit)] = values[(*place, unit)]
    return place, seed


@pytest.mark.parametrize("rule", RULES)
def test_projections_of_maps_are_those_of_loops(coloured, colours, rule):
    values, units = np.asarray(coloured.at("conv2_relu", jnp.asarray(colours))), [2, 0]
    found = backproject(coloured, colours, "conv2_relu", units, rule=rule)
    assert found.shape == (3, 2, 8, 6, 3)
    for n, u in np.ndindex(3, 2):
        _, seed = strongest(values[n], units[u])
        expected = reference(coloured, colours[n], "conv2_relu", seed, rule)
        np.testing.assert_allclose(found[n, u], expected, rtol=1e-4, atol=1e-5)
        assert np.abs(expected).max() > 0


@pytest.mark.parametrize("rule", RULES)
def test_seeds_of_either_sign_go_back_as_in_loops(grey, greys, rule, rng):
    """From dense1_relu, before which there are two convolutions."""
    seeds = rng.normal(size=(3, 3, 5))
    found = backproject_seeds(grey, greys, "dense1_relu", seeds, rule=rule)
    for n, s in np.ndindex(3, 3):
        expected = reference(grey, greys[n], "dense1_relu", seeds[n, s], rule)
        np.testing.assert_allclose(found[n, s], expected, rtol=1e-4, atol=1e-5)


def test_a_neuron_starts_from_its_activation(grey, greys):
    values = np.asarray(grey.at("dense1_relu", jnp.asarray(greys)))
    found = backproject(grey, greys, "dense1_relu", [4, 1, 0])
    seeds = np.eye(5)[[4, 1, 0]] * values[:, None]
    np.testing.assert_allclose(found, backproject_seeds(grey, greys, "dense1_relu", seeds), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_saliency_is_that_of_loops(grey, greys, rule):
    """And of the class that is predicted where none is given."""
    kernel = np.asarray(grey.variables["params"]["logits"]["kernel"], np.float64)
    predicted = np.argmax(grey.logits(jnp.asarray(greys)), axis=1)
    expected = np.array(
        [[reference(grey, image, "dense1_relu", kernel[:, label], rule) for label in range(3)] for image in greys]
    )
    found = saliency(grey, greys, [1, 0, 2], rule=rule)
    np.testing.assert_allclose(found, expected[[0, 1, 2], [1, 0, 2]], rtol=1e-4, atol=1e-5)
    assert found.min() < 0 < found.max()
    if rule == "gradient":
        np.testing.assert_allclose(saliency(grey, greys), expected[[0, 1, 2], predicted], rtol=1e-4, atol=1e-5)


# --- what must hold ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["gradient", "deconvnet"])
def test_without_a_relu_below_it_is_the_exact_adjoint(rule, rng):
    """⟨Lu, c⟩ = ⟨u, Lᵀc⟩ of the linear part L of layers that are affine."""
    view = view_of((Conv("a", 4, (3, 2), 2), Pool("mean", "avg", 2, 1), Conv("b", 3, dilation=2), Activation("c")))
    u = rng.uniform(size=(3, 5, 7, 1)).astype(np.float32)
    lu = np.asarray(view.at("b", jnp.asarray(u)) - view.at("b", jnp.zeros((3, 5, 7, 1))), np.float64)
    c = rng.normal(size=(3, 2, *view.layers["b"]))
    projected = backproject_seeds(view, u, "b", c, rule=rule)
    expected = np.einsum("nhwk,nshwk->ns", lu, c)
    np.testing.assert_allclose(np.einsum("nhwk,nshwk->ns", u, projected), expected, rtol=1e-4, atol=1e-4)


def test_weights_of_a_linear_classifier_are_its_saliency(rng):
    view = view_of(())
    images = rng.uniform(size=(2, 5, 7, 1)).astype(np.float32)
    kernel = np.asarray(view.variables["params"]["logits"]["kernel"])
    np.testing.assert_allclose(saliency(view, images, [2, 1]), kernel.T[[2, 1]].reshape(2, 5, 7, 1), rtol=1e-6)


def of_seeds(view, images, seeds):
    return {rule: backproject_seeds(view, images, "dense1_relu", seeds, rule=rule) for rule in RULES}


def test_where_weights_above_the_relus_are_not_negative_guided_is_the_gradient(greys, rng):
    view = view_of(POOLED, change=lambda name, values: values if "conv1" in name else np.abs(values))
    found = of_seeds(view, greys, rng.uniform(size=(3, 3, 5)))
    np.testing.assert_allclose(found["guided"], found["gradient"], rtol=1e-5, atol=1e-5)
    assert not np.allclose(found["deconvnet"], found["gradient"], rtol=0.1)


def test_where_every_relu_is_open_deconvnet_is_guided(greys, rng):
    biases = {"params/conv1/bias": 1e2, "params/conv2/bias": 1e4, "params/dense1/bias": 1e6}
    view = view_of(POOLED, change=lambda name, values: np.full_like(values, biases[name]) if name in biases else values)
    results = view.results(jnp.asarray(greys))
    assert min(float(results[layer].min()) for layer in ("conv1", "conv2", "dense1")) > 0
    found = of_seeds(view, greys, rng.uniform(size=(3, 3, 5)))
    np.testing.assert_allclose(found["deconvnet"], found["guided"], rtol=1e-5, atol=1e-5)
    assert not np.allclose(found["guided"], found["gradient"], rtol=0.1)


def test_a_seed_made_larger_makes_the_projection_larger_by_as_much(grey, greys, rng):
    seeds = rng.normal(size=(3, 1, 5))
    for projections in of_seeds(grey, greys, np.concatenate([seeds, 3 * seeds, 0 * seeds], axis=1)).values():
        one, three, none = projections.swapaxes(0, 1)
        np.testing.assert_allclose(three, 3 * one, rtol=1e-5, atol=1e-5)
        assert np.abs(one).max() > 0
        assert not none.any()


def test_a_projection_lies_within_the_receptive_field(grey, greys):
    """Under the deconvnet rule, which stops nowhere: the others stop at more places.

    conv2 at row i reads rows i − 1 … i + 1 of pool1, hence 2i − 2 … 2i + 3 of conv1, hence 2i − 3 … 2i + 4."""
    rows, cols = np.arange(5)[:, None], np.arange(7)[None]
    reached = np.zeros((5, 7), bool)
    for i, j in np.ndindex(grey.layers["conv2_relu"][:2]):
        found = backproject(grey, greys, "conv2_relu", rule="deconvnet", positions=np.broadcast_to([i, j], (3, 3, 2)))
        inside = (rows >= 2 * i - 3) & (rows <= 2 * i + 4) & (cols >= 2 * j - 3) & (cols <= 2 * j + 4)
        assert not found[:, :, ~inside].any()
        reached |= found.any(axis=(0, 1, 4))
    assert reached.all()


def test_without_pooling_the_deconvnet_of_a_given_seed_does_not_see_the_image(greys, rng):
    view = view_of(FLAT)
    seeds = np.repeat(rng.normal(size=(1, 1, 5, 7, 3)), 3, axis=0)
    deconvnet, guided = (backproject_seeds(view, greys, "conv2_relu", seeds, rule=r) for r in ("deconvnet", "guided"))
    np.testing.assert_allclose(deconvnet[1:], deconvnet[:2], rtol=1e-5, atol=1e-5)
    assert np.abs(deconvnet).max() > 0
    assert not np.allclose(guided[1:], guided[:2], rtol=0.1)


def test_batch_norm_takes_its_running_statistics_and_its_sign(rng):
    def change(name, values):
        return np.full_like(values, {"scale": -1.0, "var": 4.0}.get(name.split("/")[-1], 0.5))

    view = view_of((Conv("conv1", 2, 1, bias=False), BatchNorm("norm"), Activation("relu")), change=change)
    image = rng.uniform(size=(1, 5, 7, 1)).astype(np.float32)
    found = backproject_seeds(view, image, "relu", np.ones((1, 1, 5, 7, 2)), rule="deconvnet")
    np.testing.assert_allclose(found, np.full((1, 1, 5, 7, 1), -2 * 0.5 / np.sqrt(4 + 1e-5)), rtol=1e-4)


# --- seeds and places -------------------------------------------------------------------------------------------------


def test_of_equal_maxima_the_first_is_taken():
    """On a black image, with positive weights, every inner place of conv2 is as high."""
    coloured = view_of(POOLED, (8, 6, 3), lambda name, values: np.abs(values))
    black = np.zeros((3, 8, 6, 3), np.float32)
    values = np.asarray(coloured.at("conv2_relu", jnp.asarray(black)))[0]
    found = backproject(coloured, black, "conv2_relu", [2, 0])
    for u, unit in enumerate([2, 0]):
        _, seed = strongest(values, unit)
        assert np.sum(values[..., unit] == values[..., unit].max()) > 1
        expected = reference(coloured, black[0], "conv2_relu", seed, "guided")
        np.testing.assert_allclose(found[0, u], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_a_tie_in_pooling_goes_to_the_first_place(rule):
    """Where relu has left nothing but zeros the deconvnet goes on down at the first place, where the others stop."""
    table = (Conv("conv1", 1, 1, bias=False), Activation("relu"), Pool("pool", "max", 2))
    view = view_of(table, (4, 6, 1), lambda name, values: np.full_like(values, 0.75))
    expected = np.zeros((4, 6))
    expected[::2, ::2] = 0.75 if rule == "deconvnet" else 0
    dark = np.zeros((1, 4, 6, 1), np.float32)
    found = backproject_seeds(view, dark, "pool", np.ones((1, 1, 2, 3, 1)), rule=rule)
    np.testing.assert_allclose(found[0, 0, ..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_a_silent_unit_gives_nothing(coloured, colours, rule):
    quiet = view_of(POOLED, (8, 6, 3), lambda name, values: values - 100 * ("conv2/bias" in name))
    assert not backproject(quiet, colours, "conv2_relu", [2, 0], rule=rule).any()


def test_one_unit_for_each_image(grey, greys):
    positions, units = np.array([[0, 0], [1, 2], [1, 0]]), [1, 2, 0]
    found = backproject_each(grey, greys, "conv2_relu", units, rule="deconvnet", positions=positions)
    repeated = np.repeat(positions[:, None], 3, axis=1)
    expected = backproject(grey, greys, "conv2_relu", rule="deconvnet", positions=repeated)
    np.testing.assert_allclose(found, expected[[0, 1, 2], units], rtol=1e-5, atol=1e-5)


def test_one_unit_for_each_image_where_it_is_strongest(coloured, colours):
    found = backproject_each(coloured, colours, "conv2_relu", [0, 2, 2])
    expected = backproject(coloured, colours, "conv2_relu", [2, 0])
    np.testing.assert_allclose(found, expected[[0, 1, 2], [1, 0, 0]], rtol=1e-5, atol=1e-5)


def test_little_memory_changes_nothing(coloured, colours, grey, greys, rng):
    done, seeds = [], rng.normal(size=(3, 3, 5))
    for found, whole in (
        (
            backproject(coloured, colours, "conv2_relu", [2, 0], memory=1, on_progress=done.append),
            backproject(coloured, colours, "conv2_relu", [2, 0]),
        ),
        (
            backproject_seeds(grey, greys, "dense1_relu", seeds, memory=1, on_progress=done.append),
            backproject_seeds(grey, greys, "dense1_relu", seeds),
        ),
    ):
        np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-5)
    assert done == [1] * 6


# --- networks of all kinds --------------------------------------------------------------------------------------------


def trained(model, shape=(5, 7, 1)):
    task = make_task(RunConfig(model=model), Facts(shape, (100.0,), (50.0,), ("no", "yes", "perhaps")))
    with task.precision():
        return Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)


def test_it_is_with_respect_to_pixels_from_0_to_1():
    """Normalised by a mean of 100 and a deviation of 50 of 255, so the weights come back times 255 / 50."""
    network = trained(Linear())
    kernel = np.asarray(network.variables["params"]["logits"]["kernel"])
    found = saliency(network, np.full((1, 5, 7), 77, np.uint8), [1])
    np.testing.assert_allclose(found[0], kernel[:, 1].reshape(5, 7, 1) * 255 / 50, rtol=1e-5)


def test_a_residual_block_sends_its_seed_both_ways(rng):
    """f(x) = relu(Wx + x) with W a 1×1 convolution: what relu lets through comes back as (Wᵀ + 1)."""
    view = view_of((Residual("block", (Conv("conv1", 1, 1, bias=False),)),))
    weight = float(np.asarray(view.variables["params"]["block"]["conv1"]["kernel"]).item())
    seed = rng.normal(size=(1, 1, 5, 7, 1))
    found = backproject_seeds(view, np.ones((1, 5, 7), np.float32), "block", seed, rule="deconvnet")
    np.testing.assert_allclose(found, np.maximum(seed, 0) * (1 + weight), rtol=1e-5)


def test_float64_is_kept(greys):
    network = trained(MLP(widths=(3,), precision="float64"))
    assert saliency(network, greys, rule="guided").dtype == np.float64


class OneConv(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(2, (3, 3), name="edges")(x))
        return nn.Dense(3, name="scores")(x.reshape(x.shape[0], -1))


def test_a_module_of_ones_own_has_the_gradient(rng):
    module = OneConv()
    view = View.of_module(module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 5, 7, 1))), (5, 7, 1))
    image = rng.uniform(size=(1, 5, 7, 1)).astype(np.float32)
    expected = jax.grad(lambda x: module.apply(view.variables, x)[0, 1])(jnp.asarray(image))
    np.testing.assert_allclose(saliency(view, image, [1]), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="OneConv: its backward pass can be replaced only"):
        saliency(view, image, [1], rule="guided")


# --- what is refused, and what is shared ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_a_rule_for_relu_needs_one(rule, greys):
    network = trained(MLP(widths=(3,), activation="tanh"))
    for call in (
        lambda: backproject(network, greys, "dense1", rule=rule),
        lambda: saliency(network, greys, rule=rule),
    ):
        with pytest.raises(ValueError, match=f"rule is '{rule}': expected 'gradient' for a network without relu"):
            call()
    assert backproject(network, greys, "dense1_tanh", rule="gradient").any()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda v, x: backproject(v, x, "conv1", rule="relu"), "rule is 'relu': expected one of gradient, deconvnet"),
        (lambda v, x: backproject(v, x, "conv9"), "layer is 'conv9': expected one of conv1"),
        (lambda v, x: backproject(v, x, "conv1", [4]), "units of conv1 hold 4"),
        (lambda v, x: backproject(v, x, "conv1", []), r"units is \[\]: expected one or more"),
        (lambda v, x: backproject(v, x[:, 1:], "conv1"), "images have shape"),
        (lambda v, x: backproject(v, x, "conv1", [0], positions=[[0, 0]]), r"int64 \[1, 2\]: expected int \[3, 1, 2\]"),
        (lambda v, x: backproject(v, x, "conv1", [0], positions=np.full((3, 1, 2), 7)), r"hold \(7, 7\)"),
        (lambda v, x: backproject(v, x, "conv1", [0], positions=np.zeros((3, 1, 2))), "positions are float64"),
        (lambda v, x: backproject(v, x, "dense1", [0], positions=np.zeros((3, 1, 2), int)), "dense1 has no map"),
        (lambda v, x: backproject_each(v, x, "conv1", [0]), "number of units is 1: expected 3, one for each image"),
        (lambda v, x: backproject_seeds(v, x, "conv9", np.zeros((3, 1, 5, 7, 4))), "layer is 'conv9'"),
        (lambda v, x: backproject_seeds(v, x, "dense1", np.zeros((3, 5))), r"\[3, 5\]: expected \[3, S, 5\]"),
        (lambda v, x: backproject_seeds(v, x, "dense1", np.full((3, 1, 5), np.nan)), "finite"),
        (lambda v, x: saliency(v, x, [0, 1]), "expected 3 whole numbers"),
        (lambda v, x: saliency(v, x, [0, 1, 3]), "expected classes from 0 to 2"),
        (lambda v, x: saliency(replace(v, class_names=()), x), "network is 'a view without classes'"),
    ],
)
def test_what_there_is_not_is_refused(grey, greys, call, told):
    with pytest.raises(ValueError, match=told):
        call(grey, greys)


def test_the_rules_change_no_value(grey, greys):
    for rule in RELU_RULES:
        np.testing.assert_array_equal(under_rule(grey, rule).logits(greys), grey.logits(greys))


def test_other_weights_and_images_and_units_compile_nothing(coloured, colours):
    def all_three(network, images, units):
        backproject(network, images, "conv2_relu", units)
        backproject_each(network, images, "conv2_relu", [*units, 0])
        saliency(network, images)

    all_three(coloured, colours, [2, 0])
    other = coloured.with_variables(jax.tree.map(jnp.negative, coloured.variables))
    with compilations() as found:
        all_three(other, colours[::-1], [0, 1])
    assert found == []
