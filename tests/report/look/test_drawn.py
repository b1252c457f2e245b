"""What the sections of a look draw, as arrays; and what they choose to show."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from convnet import data
from convnet.analysis import effective_deviation, effective_size
from convnet.architectures import CNN, MLP, Airbench
from convnet.config import RunConfig
from convnet.report import tiles
from convnet.report.look import SECTIONS, Effort, Look, look_page
from convnet.report.look.fields import BORDER, fields, with_box
from convnet.report.look.image import DEAD, maps_canvas
from convnet.report.look.subject import spread
from convnet.report.look.training import layers
from convnet.report.look.units import histogram
from convnet.task import Facts, make_task
from convnet.trained import Trained


def test_a_histogram_stands_on_the_ground_and_its_heights_are_square_roots():
    image = histogram(np.array([0, 25, 100]), height=10)
    assert image.shape == (10, 6, 3)
    filled = (image != image[0, 0]).any(axis=2)
    np.testing.assert_array_equal(filled.sum(axis=0), [0, 0, 5, 5, 10, 10])
    assert filled[-1, 2:].all()


def test_dead_maps_are_framed_in_red_and_no_others(rng):
    maps = rng.uniform(size=(3, 4, 5))
    canvas = maps_canvas(maps, np.array([False, True, False]), 0.0, 1.0)
    assert canvas.shape == (6, 3 * 7, 3)
    red = (canvas == DEAD).all(axis=2)
    expected = np.zeros((6, 21), bool)
    expected[:, 7:14] = True
    expected[1:5, 8:13] = False
    np.testing.assert_array_equal(red, expected)
    np.testing.assert_allclose(canvas[1:5, 1:6], tiles.heat_rgb(maps[:1], 0.0, 1.0)[0])


def test_a_box_is_drawn_around_its_pixels_also_where_it_reaches_beyond_the_image():
    image = np.zeros((5, 33, 1), np.float32)  # four pixels of the picture for each of its own
    inside = (with_box(image, ((1, 2), (10, 12))) == BORDER).all(axis=2)
    rows, columns = np.nonzero(inside)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 11, 40, 51)
    assert not inside[6:10, 42:50].any()
    beyond = (with_box(image, ((-2, 6), (30, 40))) == BORDER).all(axis=2)
    rows, columns = np.nonzero(beyond)
    assert set(columns) == {120, 121}
    assert set(rows) == set(range(20))


def test_layers_are_spread_over_the_depth():
    names = list("abcdefghi")
    assert spread(names, 4) == ("a", "d", "f", "i")
    assert spread(names, 20) == tuple(names)
    assert spread(names[:1], 1) == ("a",)


def look(model, **changes):
    dataset = data.load("digits")
    task = make_task(RunConfig(model=model), Facts.of(dataset, model))
    variables = jax.jit(task.model.init)(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    images = dataset.test.images[:2].astype(np.float32) / 255
    return Look(Trained(task, variables, 1), images, dataset.test.labels[:2], ("one", "two"), dataset, **changes)


def test_what_is_looked_into_is_what_comes_after_an_activation():
    subject = look(CNN(widths=(2, 3), depth=1, head_width=0))
    assert subject.candidates == ("conv1_relu", "conv2_relu")
    assert look(MLP(widths=(4,))).candidates == ()
    asked = look(CNN(widths=(2, 3), depth=1, head_width=0), units=(("pool1", 1), ("pool1", 0)))
    assert asked.candidates == ("pool1",)
    assert asked.chosen_units("pool1", np.array([True, True]), np.array([0.1, 0.2])) == [1, 0]


def test_units_are_chosen_by_interest_among_those_alive():
    subject = look(CNN(widths=(2,), head_width=0), effort=Effort(units=2))
    alive, interest = np.array([True, False, True, True]), np.array([0.1, 0.9, np.nan, 0.5])
    assert subject.chosen_units("conv1_relu", alive, interest) == [0, 3]


def test_filters_belong_to_the_first_convolution_and_its_activation():
    subject = look(CNN(widths=(2, 3), depth=1, head_width=0))
    for name in ("conv1", "conv1_relu"):
        assert subject.first_filters(name).shape == (2, 3, 3, 1)
    assert subject.first_filters("conv2_relu") is None
    assert look(MLP(widths=(4,))).filters is None


def test_a_network_that_whitens_has_its_filters_and_its_twin_whitens_too():
    subject = look(Airbench(widths=(12,)))
    kernel = np.asarray(subject.network.variables["batch_stats"]["whiten"]["kernel"])
    np.testing.assert_array_equal(subject.first_filters("whiten_gelu"), np.moveaxis(kernel, -1, 0))
    at_random = subject.at_random.variables
    np.testing.assert_allclose(at_random["batch_stats"]["whiten"]["kernel"], kernel, rtol=1e-5)
    assert np.abs(at_random["params"]["conv1"]["kernel"] - subject.network.variables["params"]["conv1"]["kernel"]).max()


def test_the_table_of_layers_counts_what_is_trained():
    """Biases of eight whitened maps; two convolutions and norms of two maps; logits."""
    table = layers(look(Airbench(widths=(2,)))).table
    counted = {row[0]: row[5] for row in table[1:]}
    assert (counted["whiten"], counted["conv1"], counted["conv1_norm"], counted["pool1"]) == ("8", "144", "2", "")
    assert counted["in all"] == str(8 + 9 * (8 * 2 + 2 * 2) + 2 * 2 + 2 * 10)


def test_fields_are_told_with_their_width_and_their_deviation():
    section = fields(look(CNN(widths=(2, 3), depth=1, head_width=0), units=(("conv1_relu", 0),)))
    heads, (layer, theoretical, _, trained) = section.table
    assert (heads[3], layer, theoretical.label) == ("effective field, trained", "conv1_relu", "3×3 pixels, every 1")
    field = section.arrays["conv1_relu, trained"]
    side, (down, across) = effective_size(field), effective_deviation(field)
    assert trained.label == f"{side:.1f} pixels wide, deviation {down:.1f}×{across:.1f}"
    assert 0 < min(down, across) <= max(down, across) <= 1  # 1: half of it at each end of three pixels


def test_test_images_are_taken_evenly():
    subject = look(CNN(widths=(2,), head_width=0))
    images, labels = subject.held_out(3)
    rows = [0, 179, 358]
    np.testing.assert_array_equal(labels, subject.data.test.labels[rows])
    np.testing.assert_allclose(images * 255, subject.data.test.images[rows], rtol=1e-6)


def test_a_section_that_fails_costs_no_more_than_its_place():
    done = []
    subject = SimpleNamespace(network=look(MLP(widths=(4,))).network, dataset=None, result=None, seed=0)
    page = look_page(subject, ["layers"], done.append)
    with pytest.raises(AttributeError, match="placed"):
        page.parts[0].make()
    assert done == [1]
    assert page.parts[0].title == SECTIONS["layers"][0]
