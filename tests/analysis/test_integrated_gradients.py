"""Integrated gradients: the axioms of the paper, and networks whose integral is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import models
from convnet.analysis.integrated_gradients import integrated_gradients
from convnet.analysis.view import View
from convnet.architectures import CNN, MLP, Linear
from tests.analysis.compilations import compilations

SHAPE = (5, 7, 1)


def view_of(architecture, shape=SHAPE, seed=0):
    model = models.build(architecture, num_classes=3)
    return View.of_module(model, jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, *shape))), shape)


class Powers(nn.Module):
    """Logits Σ x², Σ x³ and Σ x⁴ over the pixels."""

    @nn.compact
    def __call__(self, x):
        return jnp.stack([(x**power).sum(axis=(1, 2, 3)) for power in (2, 3, 4)], axis=1)


class Hinge(nn.Module):
    """Logits ± relu(Σ x − bend)."""

    bend: float

    @nn.compact
    def __call__(self, x):
        above = nn.relu(x.sum(axis=(1, 2, 3)) - self.bend)
        return jnp.stack([above, -above], axis=1)


class AsConvolution(nn.Module):
    """What the MLP of a table computes, by a convolution whose kernel is as large as the image."""

    @nn.compact
    def __call__(self, x):
        hidden = nn.relu(nn.Conv(4, x.shape[1:3], padding="VALID", name="dense1")(x)).reshape(len(x), -1)
        return nn.Dense(3, name="logits")(hidden)


@pytest.fixture(scope="module")
def cnn():
    return view_of(CNN(widths=(3,), head_width=0))


@pytest.fixture
def images(rng):
    return rng.uniform(size=(4, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("shape", [SHAPE, (4, 6, 3)])
def test_of_a_linear_network_it_is_weight_times_difference(rng, shape):
    view = view_of(Linear(), shape)
    weights = np.asarray(view.variables["params"]["logits"]["kernel"]).reshape(*shape, 3)
    images, base = rng.uniform(size=(2, 3, *shape)).astype(np.float32)
    found = integrated_gradients(view, images, [2, 0, 1], baseline=base, steps=1)
    expected = np.moveaxis(weights[..., [2, 0, 1]], -1, 0) * (images - base)
    np.testing.assert_allclose(found.attributions, expected, atol=1e-6)
    assert found.gap == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("label", "steps"), [(0, 1), (1, 2), (2, 2)])
def test_of_a_polynomial_few_steps_are_exact(images, label, steps):
    """n points integrate a gradient of degree 2n − 1: x^p − b^p of each pixel, as each stands alone."""
    view = View.of_module(Powers(), {}, SHAPE)
    found = integrated_gradients(view, images, [label] * 4, baseline=0.25, steps=steps)
    power = label + 2
    np.testing.assert_allclose(found.attributions, images**power - 0.25**power, atol=1e-5)
    assert found.gap == pytest.approx(0, abs=1e-5)


def test_too_few_steps_leave_a_gap(images):
    view = View.of_module(Powers(), {}, SHAPE)
    found = integrated_gradients(view, images, [2] * 4, baseline=0.25, steps=1)
    # The midpoint's gradient, 4((x + b) / 2)³, in the place of its mean.
    expected = abs((4 * ((images + 0.25) / 2) ** 3 * (images - 0.25) - images**4 + 0.25**4).sum(axis=(1, 2, 3)))
    assert expected.min() > 0.1
    np.testing.assert_allclose(found.gap, expected, rtol=1e-3)


def test_past_a_kink_it_converges_to_the_share_of_the_path_behind_it(images):
    """f = relu(Σ x − c) bends at α = c / Σ x, and then has slope 1."""
    view = View.of_module(Hinge(5.0), {}, SHAPE)
    totals = images.sum(axis=(1, 2, 3))
    assert totals.min() > 6
    expected = images * (1 - 5.0 / totals)[:, None, None, None]
    for steps in (10, 300):
        found = integrated_gradients(view, images, [0] * 4, steps=steps)
        bound = np.pi / 2 / steps  # no weight of the quadrature is larger
        np.testing.assert_allclose(found.attributions, expected, atol=bound)
        assert (found.gap <= bound * totals + 1e-5).all()


def test_attributions_come_to_the_difference_of_the_logits(cnn, images):
    base = np.full((1, *SHAPE), 0.5, np.float32)
    expected = (cnn.logits(jnp.asarray(images)) - cnn.logits(jnp.asarray(base)))[:, 1]
    found = integrated_gradients(cnn, images, [1] * 4, baseline=0.5, steps=500)
    np.testing.assert_allclose(found.attributions.sum(axis=(1, 2, 3)), expected, atol=5e-3)
    np.testing.assert_allclose(found.gap, abs(found.attributions.sum(axis=(1, 2, 3)) - expected), atol=1e-5)
    coarse = integrated_gradients(cnn, images, [1] * 4, baseline=0.5, steps=3)
    assert coarse.gap.max() > found.gap.max()


def test_two_networks_that_compute_the_same_have_the_same_attributions(images):
    """Implementation invariance: f decides, not how it is computed."""
    view = view_of(MLP(widths=(4,)))
    params = dict(view.variables["params"])
    params["dense1"] = params["dense1"] | {"kernel": params["dense1"]["kernel"].reshape(5, 7, 1, 4)}
    other = View.of_module(AsConvolution(), {"params": params}, SHAPE)
    mine, theirs = (integrated_gradients(v, images, steps=20) for v in (view, other))
    assert np.abs(mine.attributions).max() > 0.1
    np.testing.assert_allclose(theirs.attributions, mine.attributions, atol=1e-5)


def test_pixels_that_play_the_same_part_get_the_same_and_those_without_a_part_nothing(images):
    """Symmetry: pixels 3 and 17 have the same weights and values. Dummy: pixel 20 has none."""
    view = view_of(MLP(widths=(4,)))
    params = dict(view.variables["params"])
    kernel = params["dense1"]["kernel"]
    params["dense1"] = params["dense1"] | {"kernel": kernel.at[17].set(kernel[3]).at[20].set(0)}
    flat = images.reshape(4, 35).copy()
    flat[:, 17] = flat[:, 3]
    found = integrated_gradients(view.with_variables({"params": params}), flat.reshape(4, *SHAPE), steps=20)
    attributions = found.attributions.reshape(4, 35)
    np.testing.assert_allclose(attributions[:, 17], attributions[:, 3], rtol=1e-5)
    np.testing.assert_array_equal(attributions[:, 20], 0)
    assert np.abs(np.delete(attributions, 20, axis=1)).min() > 0


def test_where_image_and_baseline_agree_there_is_nothing(cnn, images):
    found = integrated_gradients(cnn, images, baseline=images)
    np.testing.assert_array_equal(found.attributions, 0)
    np.testing.assert_array_equal(found.gap, 0)


def test_baselines_are_black_a_mean_or_noise(cnn, images, rng):
    mean, noise = images.mean(axis=0), rng.uniform(size=images.shape).astype(np.float32)
    found = {
        name: integrated_gradients(cnn, images, [0, 1, 2, 0], baseline=base, steps=20).attributions
        for name, base in {"black": 0, "black image": 0 * mean, "mean": mean, "noise": noise}.items()
    }
    np.testing.assert_allclose(found["black image"], found["black"], atol=1e-6)
    assert np.abs(found["mean"] - found["black"]).max() > 1e-2
    for n, label in enumerate([0, 1, 2, 0]):
        alone = integrated_gradients(cnn, images[n : n + 1], [label], baseline=noise[n], steps=20)
        np.testing.assert_allclose(alone.attributions[0], found["noise"][n], atol=1e-5)


def test_a_little_memory_gives_the_same_in_more_chunks(cnn, images):
    done, each = [], 2**30 // cnn.chunk(2**30, most=2**30)  # bytes of an image
    expected = integrated_gradients(cnn, images, [0, 1, 2, 0], steps=7)
    for memory in (1, 2 * each):
        found = integrated_gradients(cnn, images, [0, 1, 2, 0], steps=7, memory=memory, on_progress=done.append)
        np.testing.assert_allclose(found.attributions, expected.attributions, atol=1e-5)
        np.testing.assert_allclose(found.gap, expected.gap, atol=1e-5)
    assert done == [1, 1, 1, 1, 2, 2]


def test_without_labels_the_predicted_classes_are_explained(cnn, images):
    predicted = np.asarray(cnn.logits(jnp.asarray(images))).argmax(axis=1)
    found = integrated_gradients(cnn, images, steps=5)
    np.testing.assert_array_equal(found.labels, predicted)
    expected = integrated_gradients(cnn, images, predicted, steps=5)
    np.testing.assert_allclose(found.attributions, expected.attributions, atol=1e-6)


def test_a_network_in_float64_is_explained_in_it():
    model = models.build(CNN(widths=(3,), head_width=0, precision="float64"), num_classes=3)
    with jax.enable_x64(True):
        view = View(
            jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))),
            model,
            lambda x: x,
            SHAPE,
            tuple("abc"),
            "float64",
        )
    found = integrated_gradients(view, np.linspace(0, 1, 35).reshape(1, 5, 7), steps=5)
    assert found.attributions.dtype == np.float64


def test_a_second_call_compiles_nothing(cnn, images):
    integrated_gradients(cnn, images, [0, 1, 2, 0], steps=5)
    other = cnn.with_variables(jax.tree.map(jnp.negative, cnn.variables))
    with compilations() as found:
        integrated_gradients(other, images[::-1], [1, 1, 1, 1], baseline=images, steps=5)
    assert found == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"steps": 0}, "steps is 0: expected 1 or more"),
        ({"baseline": -0.5}, r"baseline holds -0\.5 … -0\.5: expected values from 0 to 1"),
        (
            {"baseline": np.zeros((3, *SHAPE))},
            r"baseline is float64 \[3, 5, 7, 1\]: expected a number, \[1\], \[5, 7, 1\]",
        ),
        ({"labels": [0, 1]}, "expected 4 whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(cnn, images, settings, told):
    with pytest.raises(ValueError, match=told):
        integrated_gradients(cnn, images, **settings)


def test_a_view_without_classes_is_refused(rng):
    model = models.build(CNN(widths=(3,)), num_classes=3).trunk(SHAPE)
    view = View(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE))), model, lambda x: x, SHAPE, ())
    with pytest.raises(ValueError, match="network is 'a view without classes': expected one that has logits"):
        integrated_gradients(view, rng.uniform(size=(1, *SHAPE)))
