"""Occlusion: of linear networks in closed form, of any network beside a plain loop."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models
from convnet.analysis.grid import Grid, inside
from convnet.analysis.occlusion import occlusion
from convnet.analysis.view import View
from convnet.architectures import CNN, MLP, Linear
from convnet.config import DataConfig, RunConfig
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.analysis.compilations import compilations

SHAPE = (5, 7, 1)
MEAN = 100 / 255


def view_of(architecture, shape=SHAPE, seed=0):
    model = models.build(architecture, num_classes=3)
    return View.of_module(model, jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, *shape))), shape)


def trained(model, shape=SHAPE, crop=None):
    config = RunConfig(model=model, data=DataConfig(crop=crop))
    task = make_task(config, Facts(shape, (100.0,) * shape[2], (50.0,) * shape[2], ("a", "b", "c")))
    return Trained(task, jax.jit(task.model.init)(jax.random.key(0), jnp.zeros((1, *task.input_shape))), 1)


@pytest.fixture(scope="module")
def network():
    return trained(CNN(widths=(3,), head_width=4))


@pytest.fixture
def images(rng):
    return rng.uniform(size=(4, *SHAPE)).astype(np.float32)


def hidden(image, row, col, window, value):
    """One image with one window hidden, pixel by pixel."""
    found = image.copy()
    for i, j in product(range(window[0]), range(window[1])):
        if row + i < image.shape[0] and col + j < image.shape[1]:
            found[row + i, col + j] = value
    return found


# --- the windows ------------------------------------------------------------------------------------------------------


def test_how_often_each_pixel_of_a_5_by_5_image_is_hidden():
    np.testing.assert_array_equal(
        Grid.over((5, 5, 1), 3).coverage,
        [[1, 2, 3, 2, 1], [2, 4, 6, 4, 2], [3, 6, 9, 6, 3], [2, 4, 6, 4, 2], [1, 2, 3, 2, 1]],
    )
    np.testing.assert_array_equal(
        Grid.over((5, 5, 1), 2, 2).coverage,  # the last windows are cut off
        np.ones((5, 5)),
    )
    np.testing.assert_array_equal(
        Grid.over((4, 5, 1), (1, 3), (1, 2)).coverage,
        [[1, 1, 2, 1, 1]] * 4,
    )


@pytest.mark.parametrize(
    ("shape", "window"),
    [((28, 28, 1), (7, 7)), ((32, 32, 3), (8, 8)), ((8, 8, 1), (2, 2)), ((5, 7, 1), (1, 2)), ((1, 100, 1), (1, 25))],
)
def test_a_window_is_a_quarter_of_the_image(shape, window):
    assert Grid.over(shape).window == window


@pytest.mark.parametrize(("window", "stride"), [((2, 3), (1, 1)), ((2, 3), (2, 2)), ((5, 7), (5, 7)), ((1, 1), (1, 1))])
def test_windows_lie_where_their_boxes_say_and_cover_every_pixel(window, stride):
    grid = Grid.over(SHAPE, window, stride)
    assert len(grid.boxes) == grid.counts[0] * grid.counts[1]
    masks = np.asarray(inside(jnp.asarray(grid.boxes), SHAPE))
    for number, (i, j) in enumerate(product(*map(range, grid.counts))):
        expected = hidden(np.zeros(SHAPE), i * stride[0], j * stride[1], window, 1)
        np.testing.assert_array_equal(masks[number], expected)
        assert expected.any()
    np.testing.assert_array_equal(masks.sum(axis=0)[..., 0], grid.coverage)
    assert grid.coverage.min() >= 1


def test_a_map_by_pixel_is_the_mean_over_the_windows_that_cover_it(rng):
    grid = Grid.over(SHAPE, (2, 3), (1, 2))
    values = rng.normal(size=(2, *grid.counts))
    found = grid.per_pixel(values)
    for n, row, col in np.ndindex(2, 5, 7):
        mine = [
            values[n, i, j]
            for i, j in product(*map(range, grid.counts))
            if i <= row < i + 2 and 2 * j <= col < 2 * j + 3
        ]  # fmt: skip
        assert found[n, row, col] == pytest.approx(np.mean(mine))


# --- what the network says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "window", "stride"),
    [(SHAPE, 2, 1), ((6, 4, 3), (3, 2), (2, 1)), ((4, 4, 1), 1, 1), ((3, 5, 2), (3, 5), 1)],
)
def test_of_a_linear_network_the_drop_is_the_sum_over_the_window_of_weight_times_change(rng, shape, window, stride):
    view = view_of(Linear(), shape)
    weights = np.asarray(view.variables["params"]["logits"]["kernel"]).reshape(*shape, 3)
    images, base = rng.uniform(size=(3, *shape)).astype(np.float32), rng.uniform(size=shape).astype(np.float32)
    labels = np.array([2, 0, 1])
    found = occlusion(view, images, labels, window=window, stride=stride, baseline=base)
    for n, (i, j) in product(range(3), product(*map(range, found.grid.counts))):
        (height, width), (down, across) = found.grid.window, found.grid.stride
        here = np.s_[i * down : i * down + height, j * across : j * across + width]
        expected = (weights[..., labels[n]] * (images[n] - base))[here].sum()
        assert found.logit_drop[n, i, j] == pytest.approx(expected, abs=1e-5)


def test_every_map_is_that_of_a_plain_loop(network, images):
    labels, layer = np.array([0, 1, 2, 0]), "conv1_relu"
    found = occlusion(network, images, labels, window=(2, 3), stride=(2, 1), layer=layer)
    maps = np.asarray(network.activations(images)[layer]).sum(axis=(1, 2))
    np.testing.assert_array_equal(found.unit, maps.argmax(axis=1))
    np.testing.assert_allclose(found.clean.total, maps.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.clean.logit, network.logits(images)[range(4), labels], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.clean.predicted, network.predict(images))
    for n, (i, j) in product(range(4), product(*map(range, found.grid.counts))):
        one = hidden(images[n], 2 * i, j, (2, 3), MEAN)[None]
        (logits,), (chances,) = network.logits(one), network.probabilities(one)
        total = np.asarray(network.activations(one)[layer])[0, ..., found.unit[n]].sum()
        assert found.hidden.logit[n, i, j] == pytest.approx(logits[labels[n]], abs=1e-5)
        assert found.hidden.probability[n, i, j] == pytest.approx(chances[labels[n]], abs=1e-5)
        assert found.hidden.predicted[n, i, j] == logits.argmax()
        assert found.hidden.total[n, i, j] == pytest.approx(total, abs=1e-5)


def test_a_planted_feature_is_found_where_it_is_and_not_where_its_axes_are_swapped():
    """A network that answers to one place of an image that is wider than high."""
    view = view_of(Linear(), (5, 9, 1))
    kernel = np.zeros((5, 9, 1, 3), np.float32)
    kernel[2, 6, 0, 1] = 5
    parameters = {"kernel": jnp.asarray(kernel.reshape(45, 3)), "bias": jnp.zeros(3)}
    view = view.with_variables({"params": {"logits": parameters}})
    found = occlusion(view, np.ones((1, 5, 9, 1), np.float32), [1], window=(2, 3), baseline=0.0)
    drop = found.grid.per_pixel(found.logit_drop)[0]
    assert drop.shape == (5, 9)
    assert np.unravel_index(drop.argmax(), drop.shape) == (2, 6)
    assert drop[2, 6] == pytest.approx(5)  # every window over it takes all of it
    assert drop[:, :4] == pytest.approx(0)  # and those that are further off nothing


def test_grey_on_grey_changes_nothing(network):
    images = np.full((2, *SHAPE), MEAN, np.float32)
    found = occlusion(network, images, [0, 2])
    assert found.logit_drop == pytest.approx(0, abs=1e-6)
    for name in ("predicted", "total", "probability"):
        hidden, clean = (getattr(answers, name) for answers in (found.hidden, found.clean))
        assert hidden.shape == (2, 5, 6)
        np.testing.assert_allclose(hidden, np.broadcast_to(clean[:, None, None], hidden.shape), rtol=1e-5)


def test_a_batch_gives_what_its_images_give_one_by_one(network, images):
    together, done = occlusion(network, images, [0, 1, 2, 1], window=2), []
    for found in (
        [occlusion(network, images[n : n + 1], [label], window=2) for n, label in enumerate([0, 1, 2, 1])],
        [occlusion(network, images, [0, 1, 2, 1], window=2, memory=2**15, on_progress=done.append)],
    ):
        for name in ("logit", "probability", "predicted", "total"):
            joined = np.concatenate([getattr(one.hidden, name) for one in found])
            np.testing.assert_allclose(joined, getattr(together.hidden, name), rtol=1e-4, atol=1e-5)
    assert sum(done) == 4


def test_baselines_come_in_many_shapes(images):
    view = view_of(Linear(), (5, 7, 2))
    images = np.repeat(images, 2, axis=3)
    each = np.broadcast_to(np.float32([0.25, 0.75]), images.shape)
    expected = occlusion(view, images, baseline=each).hidden.logit
    for baseline in ([0.25, 0.75], each[0]):
        np.testing.assert_allclose(occlusion(view, images, baseline=baseline).hidden.logit, expected, atol=1e-5)
    number = occlusion(view, images, baseline=1).hidden.logit
    np.testing.assert_allclose(occlusion(view, images, baseline=np.ones((5, 7, 2))).hidden.logit, number, atol=1e-5)
    assert np.abs(number - expected).max() > 1e-3


def test_without_labels_the_predicted_classes_are_asked_about(network, images):
    found = occlusion(network, images)
    np.testing.assert_array_equal(found.labels, network.predict(images))
    np.testing.assert_allclose(found.clean.logit, network.logits(images).max(axis=1), rtol=1e-5)


def test_a_network_without_maps_has_no_totals(images):
    found = occlusion(view_of(MLP(widths=(4,))), images, baseline=0.5)
    assert found.layer is None
    assert found.unit is None
    assert found.clean.total is None
    assert found.hidden.total is None
    assert found.hidden.logit.shape == (4, 5, 6)


def test_pixels_that_are_cropped_away_do_not_matter():
    network = trained(Linear(), crop=3)
    found = occlusion(network, np.linspace(0, 1, 35, dtype=np.float32).reshape(1, 5, 7), window=1)
    seen = np.zeros((5, 7), bool)
    seen[1:4, 2:5] = True
    assert np.abs(found.logit_drop[0][~seen]).max() < 1e-6
    assert np.abs(found.logit_drop[0][seen]).min() > 1e-6


def test_logits_of_hundreds_give_probabilities(images):
    view = view_of(Linear())
    view = view.with_variables(jax.tree.map(lambda leaf: 1000 * leaf, view.variables))
    found = occlusion(view, images, baseline=0.0)
    assert np.isfinite(found.hidden.probability).all()
    assert np.abs(found.hidden.logit).max() > 300


def test_a_second_call_compiles_nothing(network, images):
    occlusion(network, images, [0, 1, 2, 0])
    other = Trained(network.task, jax.tree.map(jnp.negative, network.variables), 1)
    with compilations() as found:
        occlusion(other, images[::-1], [1, 1, 1, 1])
    assert found == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"window": 6}, r"window is \(6, 6\): expected from 1 to the image's \(5, 7\) pixels"),
        ({"window": 0}, r"window is \(0, 0\)"),
        ({"window": 2.5}, r"window is 2\.5: expected a whole number of pixels, or two"),
        ({"window": (2, 2, 1)}, r"window is \(2, 2, 1\): expected a whole number of pixels, or two"),
        ({"window": 2, "stride": 3}, r"stride is \(3, 3\): expected from 1 to the window's \(2, 2\) pixels"),
        ({"stride": 0}, r"stride is \(0, 0\)"),
        ({"baseline": 128}, r"baseline holds 128 … 128: expected values from 0 to 1"),
        ({"baseline": np.nan}, r"baseline holds nan"),
        (
            {"baseline": np.zeros((7, 5, 1))},
            r"baseline is float64 \[7, 5, 1\]: expected a number, \[1\], \[5, 7, 1\] or",
        ),
        ({"baseline": "black"}, r"baseline is <U5 \[\]"),
        ({"layer": "conv9"}, "layer is 'conv9': expected one of conv1, conv1_relu"),
        ({"layer": "dense1"}, "layer is 'dense1': expected one with maps, conv1, conv1_relu"),
        ({"labels": [0, 1, 2, 3]}, "labels hold 0 … 3: expected classes from 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(network, images, settings, told):
    with pytest.raises(ValueError, match=told):
        occlusion(network, images, **settings)


def test_a_view_does_not_know_the_grey_of_its_data(network, images):
    with pytest.raises(ValueError, match="baseline is None: expected values from 0 to 1, as a View"):
        occlusion(View.of(network), images)


def test_maps_of_a_network_that_has_none_are_refused(images):
    with pytest.raises(ValueError, match="layer is 'dense1': expected a network with maps"):
        occlusion(view_of(MLP(widths=(4,))), images, baseline=0.5, layer="dense1")
