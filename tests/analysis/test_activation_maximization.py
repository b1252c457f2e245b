"""Images that excite units: where the optimum is known, it is reached; elsewhere, what must hold of any network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from convnet import models
from convnet.analysis import View
from convnet.analysis.activation_maximization import (
    Neuron,
    Noise,
    maximize_classes,
    maximize_units,
    mean_activation,
    usual_ink,
    waking_relu,
)
from convnet.analysis.ascent import L2, Ball, Blur, Clip, Diversity, Ink, Jitter, TotalVariation
from convnet.architectures import CNN, Linear
from convnet.ops import relu

SHAPE = (5, 7, 1)


def view_of(model, shape=SHAPE, classes=3, seed=0):
    network = models.build(model, num_classes=classes)
    return View.of_module(network, jax.jit(network.init)(jax.random.key(seed), jnp.zeros((1, *shape))), shape)


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(4,), head_width=6))


@pytest.fixture(scope="module", params=[(5, 7, 1), (6, 4, 3)], ids=["5×7×1", "6×4×3"])
def linear(request):
    """A linear network, and its weights as images [K, H, W, C]."""
    shape, size = request.param, int(np.prod(request.param))
    weights = np.random.default_rng(3).normal(size=(size, 3)).astype(np.float32)
    view = view_of(Linear(), shape).with_variables(
        {"params": {"logits": {"kernel": jnp.asarray(weights), "bias": jnp.asarray([0.5, 0.0, -2.0])}}}
    )
    return view, weights.T.reshape(3, *shape)


# --- optima that are known --------------------------------------------------------------------------------------------


INK = dict(ink=0.4, steps=40, optimizer=optax.sgd, learning_rate=100.0, waking=0)


@pytest.mark.parametrize("settings", [INK, INK | dict(optimizer=optax.adam, learning_rate=1.0)], ids=["sgd", "adam"])
def test_a_linear_class_with_an_ink_penalty_is_white_exactly_where_it_is_worth_it(linear, settings):
    view, weights = linear
    assert np.abs(weights - 0.4).min() > 0.001
    found = maximize_classes(view, seeds=(0, 1), **settings)
    for start in range(2):
        np.testing.assert_array_equal(found.images[:, start], weights > 0.4)


def test_a_linear_class_with_l2_decay_is_its_weights(linear):
    view, weights = linear
    settings = dict(penalties=(L2(5.0),), steps=100, optimizer=optax.sgd, learning_rate=0.1, waking=0)
    free = maximize_units(view, "logits", constraints=(), **settings)
    np.testing.assert_allclose(free.images[:, 0], weights / 5, atol=1e-5)
    boxed = maximize_units(view, "logits", **settings)
    np.testing.assert_allclose(boxed.images[:, 0], np.clip(weights / 5, 0, 1), atol=1e-5)


def test_a_linear_class_within_a_ball_is_its_direction(linear):
    view, weights = linear
    found = maximize_units(view, "logits", constraints=(Ball(1.0),), steps=100, optimizer=optax.sgd, learning_rate=10.0)
    norms = np.sqrt((weights**2).sum(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(found.images[:, 0], weights / norms, atol=1e-4)


def test_what_is_reached_is_told(linear):
    view, weights = linear
    found = maximize_classes(view, seeds=(0, 1), **INK)
    logits = np.einsum("ushwc,khwc->usk", found.images, weights) + np.array([0.5, 0.0, -2.0])
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.activations, [logits[k, :, k] for k in range(3)], rtol=1e-4, atol=1e-4)
    odds = np.exp(logits)
    np.testing.assert_allclose(found.probabilities, odds / odds.sum(-1, keepdims=True), rtol=1e-3, atol=1e-6)
    assert (found.objectives[..., -1] > found.objectives[..., 0]).all()
    ended = found.activations - 0.4 * found.images.sum(axis=(2, 3, 4))
    np.testing.assert_allclose(found.objectives[..., -1], ended, rtol=1e-3, atol=1e-3)


# --- any network ------------------------------------------------------------------------------------------------------

GREY = Noise(0.5, deviation=0.0)
CHAIN = dict(
    penalties=(TotalVariation(0.01), L2(0.01, 0.5)),
    transforms=(Jitter(1),),
    constraints=(Blur(0.5, 3), Clip()),
    steps=6,
    waking=0,
)


@pytest.fixture(scope="module")
def maximized(cnn):
    return maximize_units(cnn, "conv1", seeds=(0, 1), **CHAIN)


def test_shapes_and_range(maximized):
    assert maximized.images.shape == (4, 2, *SHAPE)
    assert maximized.objectives.shape == (4, 2, 6)
    assert maximized.activations.shape == (4, 2)
    assert maximized.logits.shape == maximized.probabilities.shape == (4, 2, 3)
    np.testing.assert_array_equal(maximized.units, [0, 1, 2, 3])
    assert maximized.images.min() >= 0
    assert maximized.images.max() <= 1


def test_the_same_seed_gives_the_same_bits_and_another_another_image(cnn, maximized):
    again = maximize_units(cnn, "conv1", seeds=(0, 1), **CHAIN)
    np.testing.assert_array_equal(again.images, maximized.images)
    assert np.abs(maximized.images[:, 0] - maximized.images[:, 1]).max(axis=(1, 2, 3)).min() > 0.05


def test_together_is_as_one_by_one(cnn, maximized):
    for unit in range(4):
        for i, seed in enumerate((0, 1)):
            alone = maximize_units(cnn, "conv1", [unit], seeds=(seed,), **CHAIN)
            np.testing.assert_allclose(alone.images[0, 0], maximized.images[unit, i], atol=1e-4)
            np.testing.assert_allclose(alone.objectives[0, 0], maximized.objectives[unit, i], rtol=1e-3, atol=1e-4)


def test_in_chunks_is_as_at_once(cnn, maximized):
    done = []
    found = maximize_units(cnn, "conv1", seeds=(1,), memory=1, on_progress=done.append, **CHAIN)
    np.testing.assert_allclose(found.images[:, 0], maximized.images[:, 1], atol=1e-4)
    assert done == [1, 1, 1, 1]


def test_the_objective_rises(cnn, maximized):
    starts = maximize_units(cnn, "conv1", seeds=(0, 1), steps=0)
    assert starts.objectives.shape == (4, 2, 0)
    assert len(np.unique(starts.images.reshape(8, -1), axis=0)) == 8  # a start for each unit and seed
    assert (maximized.activations > starts.activations).all()


def test_no_step_leaves_the_start(cnn):
    found = maximize_units(cnn, "conv1", steps=0, start=GREY)
    np.testing.assert_array_equal(found.images, np.full((4, 1, *SHAPE), 0.5))


def test_sixty_four_units_are_one_program_and_so_are_others():
    view, traced = view_of(CNN(widths=(128,), head_width=0)), []

    def objective(values, unit):
        traced.append(1)
        return mean_activation(values, unit)

    settings = dict(objective=objective, steps=3, waking=0)
    found = maximize_units(view, "conv1_relu", range(64), **settings)
    assert found.images.shape == (64, 1, *SHAPE)
    once = len(traced)
    assert once > 0
    maximize_units(view, "conv1_relu", range(64, 128), seeds=(7,), **settings)
    maximize_units(view, "conv1_relu", range(64), learning_rate=0.01, **settings)
    other = view.with_variables(jax.tree.map(jnp.negative, view.variables))
    maximize_units(other, "conv1_relu", range(64), penalties=[], **settings)
    assert len(traced) == once


def test_penalties_are_of_the_image_itself_and_not_of_what_jitter_makes_of_it(cnn):
    def nothing(values, unit):
        return jnp.zeros(len(values))

    def corner(results, images):
        return images[:, 0, 0, 0]

    found = maximize_units(cnn, "conv1", [0], objective=nothing, penalties=(corner,), transforms=(Jitter(3),), steps=4,
                           start=GREY, waking=0)  # fmt: skip
    changed = np.argwhere(found.images[0, 0, ..., 0] != 0.5)
    np.testing.assert_array_equal(changed, [[0, 0]])


@pytest.mark.parametrize("layer", ["pool1", "dense1_relu", None])
def test_every_kind_of_layer_has_units(cnn, layer):
    found = maximize_units(cnn, layer, [1], steps=3, waking=0)
    value = cnn.at(layer or "logits", jnp.asarray(found.images[0]))[..., 1].mean()
    np.testing.assert_allclose(found.activations[0, 0], value, rtol=1e-4)


def test_a_neuron_changes_its_receptive_field_alone(cnn):
    for neuron, (row, column) in ((Neuron(), (2, 3)), (Neuron((0, 6)), (0, 6))):
        found = maximize_units(cnn, "conv1", [2], objective=neuron, steps=3, start=GREY, waking=0)
        changed = found.images[0, 0, ..., 0] != 0.5
        rows, columns = np.nonzero(changed)
        assert changed.any()
        assert (np.abs(rows - row) <= 1).all()
        assert (np.abs(columns - column) <= 1).all()


def test_diversity_makes_the_starts_differ():
    view = view_of(CNN(widths=(6,), head_width=0), (6, 9, 1))

    def likeness(found):
        features = np.asarray(view.at("conv1", jnp.asarray(found.images[0]))).reshape(3, -1, 6)
        grams = np.stack([one.T @ one for one in features])
        unit = grams.reshape(3, -1) / np.linalg.norm(grams.reshape(3, -1), axis=1, keepdims=True)
        return (unit @ unit.T).sum()

    settings = dict(seeds=(0, 1, 2), steps=40, waking=0)
    plain = maximize_units(view, "conv1", [0], **settings)
    diverse = maximize_units(view, "conv1", [0], penalties=(Diversity("conv1", 5.0),), **settings)
    assert likeness(diverse) < likeness(plain) - 0.1


# --- a dead unit ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dead():
    """Every unit of its first layer is dead on every image of grey noise, and none of them for ever."""
    view = view_of(CNN(widths=(4,), head_width=6))
    variables = jax.tree.map(jnp.asarray, view.variables)
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 1, 4)), jnp.float32)
    kernel = kernel - kernel.mean(axis=(0, 1, 2), keepdims=True)
    variables["params"]["conv1"] = {"kernel": kernel, "bias": jnp.full(4, -1.5)}
    return view.with_variables(variables)


INNER = dict(layer="conv1_relu", objective=Neuron((2, 3)), start=GREY)


def test_a_dead_unit_leaves_its_start_and_lives(dead):
    asleep = maximize_units(dead, steps=30, waking=0, **INNER)
    np.testing.assert_array_equal(asleep.images, np.full((4, 1, *SHAPE), 0.5))
    assert (asleep.activations == 0).all()
    woken = maximize_units(dead, steps=30, **INNER)
    assert (np.abs(woken.images - 0.5).max(axis=(1, 2, 3, 4)) > 0.1).all()
    assert (woken.activations > 0).all()


def test_a_class_behind_a_dead_layer_leaves_its_start_too(dead):
    woken = maximize_classes(dead, steps=30, start=GREY)
    assert (np.abs(woken.images - 0.5).max(axis=(1, 2, 3, 4)) > 0.1).all()


def test_waking_is_for_the_first_steps(dead):
    settings = dict(learning_rate=1e-3, optimizer=optax.sgd, waking=2, **INNER)
    two, five = (maximize_units(dead, steps=steps, **settings) for steps in (2, 5))
    assert (two.activations == 0).all()
    assert (np.abs(two.images - 0.5).max(axis=(1, 2, 3, 4)) > 0).all()
    np.testing.assert_array_equal(five.images, two.images)


def test_a_woken_relu_goes_its_usual_way_where_there_is_one(rng):
    x = rng.normal(size=(4, 3, 5)).astype(np.float32)
    x[1] = -np.abs(x[1])
    g = rng.normal(size=x.shape).astype(np.float32)
    value, back = jax.vjp(waking_relu, jnp.asarray(x))
    np.testing.assert_array_equal(value, relu(x))
    (found,) = back(jnp.asarray(g))
    expected = np.where(x > 0, g, 0)
    expected[1] = np.maximum(g[1], 0)
    np.testing.assert_array_equal(found, expected)


# --- other networks, and what is refused ------------------------------------------------------------------------------


class TwoLayers(nn.Module):
    """Somebody's own module, which knows nothing of this library."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(2, (3, 3), name="edges")(x))
        return 2 * nn.Dense(3, name="scores")(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def own():
    module = TwoLayers()
    return View.of_module(
        module, jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), SHAPE, class_names="abc"
    )


def test_a_module_of_ones_own_is_maximized_but_not_woken(own):
    classes = maximize_classes(own, steps=3)
    np.testing.assert_allclose(classes.activations[:, 0], np.diagonal(classes.logits[:, 0]), rtol=1e-5)
    assert maximize_units(own, "edges", steps=3).images.shape == (2, 1, *SHAPE)
    with pytest.raises(ValueError, match="TwoLayers: its backward pass can be replaced only"):
        maximize_units(own, "edges", waking=3)


def test_on_another_size_units_have_images_and_no_classes(cnn):
    view = View.of(cnn, image_shape=(9, 8, 1))
    found = maximize_units(view, "conv1", [1], steps=2)
    assert found.images.shape == (1, 1, 9, 8, 1)
    assert found.probabilities.shape == (1, 1, 0)
    with pytest.raises(ValueError, match="layer is None: expected a layer's name, for this view has no classes"):
        maximize_classes(view)


@pytest.mark.parametrize(("precision", "dtype"), [("float64", np.float64), ("bfloat16", np.float32)])
def test_images_are_as_precise_as_the_network_or_more(precision, dtype):
    view = view_of(CNN(widths=(2,), head_width=0))
    module = models.build(CNN(widths=(2,), head_width=0, precision=precision), num_classes=3)
    view = View(view.variables, module, view.preprocess, SHAPE, view.class_names, computes_in=precision)
    found = maximize_units(view, "conv1", steps=2, waking=0)
    assert found.images.dtype == found.objectives.dtype == found.activations.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"layer": "conv9"}, "layer is 'conv9': expected one of conv1, conv1_relu"),
        ({"units": [4]}, "units of conv1 hold 4: expected numbers from 0 to 3"),
        ({"units": []}, r"units is \[\]: expected one or more"),
        ({"layer": None, "units": ()}, r"units is \[\]: expected one or more"),
        ({"layer": None, "units": [3]}, "expected classes from 0 to 2"),
        ({"steps": -1}, "steps is -1: expected 0 or more"),
        ({"seeds": ()}, r"seeds is \(\): expected one or more"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0: expected a positive number"),
        ({"learning_rate": np.nan}, "learning_rate is nan"),
        ({"waking": -1}, "waking is -1: expected 0 or more"),
        ({"objective": Neuron((5, 0))}, r"position is \(5, 0\): expected a place of the 5×7 map"),
        ({"layer": "logits", "objective": Neuron()}, r"layer is \[3\]: expected maps"),
        ({"penalties": (Diversity("logits"),)}, "layer of diversity is 'logits'"),
    ],
)
def test_what_cannot_be_done_is_refused(cnn, arguments, told):
    with pytest.raises(ValueError, match=told):
        maximize_units(cnn, **{"layer": "conv1"} | arguments)


def test_less_than_no_ink_is_refused(cnn):
    with pytest.raises(ValueError, match="ink is -1: expected 0 or more"):
        maximize_classes(cnn, ink=-1)


def test_the_usual_ink_is_a_share_of_the_slopes_of_a_networks_logits(linear, rng):
    view, weights = linear
    images = rng.uniform(size=(5, *view.image_shape)).astype(np.float32)
    slopes = np.abs(weights).mean(axis=(1, 2, 3))
    expected = 0.25 * np.mean([slopes[label] for label in (2, 0, 0, 1, 2)])
    assert usual_ink(view, images, [2, 0, 0, 1, 2]) == pytest.approx(expected, rel=1e-5)
    assert usual_ink(view, images, [2, 0, 0, 1, 2], share=1.0, memory=1) == pytest.approx(4 * expected, rel=1e-5)
    with pytest.raises(ValueError, match="share is 0: expected a positive number"):
        usual_ink(view, images, [2, 0, 0, 1, 2], share=0)
    with pytest.raises(ValueError, match="expected 5 whole numbers"):
        usual_ink(view, images, [0])


def test_ink_joins_other_penalties(linear):
    view, _ = linear
    settings = dict(steps=5, optimizer=optax.sgd, learning_rate=0.01)
    both = maximize_classes(view, ink=0.3, penalties=(L2(0.5),), **settings)
    listed = maximize_units(view, "logits", penalties=(Ink(0.3), L2(0.5)), **settings)
    np.testing.assert_allclose(both.images, listed.images, atol=1e-5)
