"""Curves, matrices and images of trained networks show the values they were given, where they belong."""

import numpy as np
import pytest

from convnet.report import figures, tiles
from tests.report.drawn import cells, legend_colours, lines, panel_of, ticks_of, titled

CURVES = {
    "mlp": {"loss": np.array([[4.0, 2.0], [2.0, 1.0]]), "error": np.array([[0.5, 0.25], [0.3, 0.15]])},
    "cnn": {"loss": np.array([[8.0, 6.0, 1.0]]), "error": np.array([[0.7, 0.6, 0.1]])},
}


def test_learning_curves_are_the_runs_and_their_mean():
    figure = figures.learning_curves(CURVES, {"error": "validation error", "loss": "training loss (log)"})
    assert [panel.get_ylabel() for panel in figure.axes] == ["validation error", "training loss"]
    assert [panel.get_yscale() for panel in figure.axes] == ["linear", "log"]
    assert {panel.get_xlabel() for panel in figure.axes} == {"epoch"}
    colours = legend_colours(*figure.legends)
    assert list(colours) == ["mlp", "cnn"]
    assert lines(panel_of(figure, "training loss"), colours["mlp"]) == [
        ([1, 2], [4.0, 2.0]),
        ([1, 2], [2.0, 1.0]),
        ([1, 2], [3.0, 1.5]),
    ]
    assert lines(panel_of(figure, "validation error"), colours["cnn"]) == [([1, 2, 3], [0.7, 0.6, 0.1])] * 2


def test_the_thick_line_is_the_mean():
    figure = figures.learning_curves({"mlp": CURVES["mlp"]}, {"loss": "loss"})
    assert figure.legends == []  # one model needs none
    (panel,) = figure.axes
    (thick,) = (line for line in panel.lines if line.get_linewidth() >= 2)
    assert list(thick.get_ydata()) == [3.0, 1.5]


def test_a_confusion_matrix_has_truth_in_rows():
    matrix = np.array([[5, 2, 1], [0, 9, 0], [3, 0, 0]])
    figure = figures.confusion_matrices({"cnn": matrix, "mlp": 2 * matrix}, ["cat", "dog", "owl"])
    panel = titled(figure)["cnn"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("predicted", "true")
    assert ticks_of(panel.xaxis) == ticks_of(panel.yaxis) == {0: "cat", 1: "dog", 2: "owl"}
    assert cells(panel) == {(0, 0): "5", (0, 1): "2", (0, 2): "1", (1, 1): "9", (2, 0): "3"}
    assert cells(titled(figure)["mlp"])[0, 1] == "4"
    (image,) = panel.images
    np.testing.assert_allclose(image.get_array() ** 2, [[5 / 8, 2 / 8, 1 / 8], [0, 1, 0], [1, 0, 0]])
    assert image.get_clim() == (0, 1)


def test_a_class_without_images_is_no_division_by_zero():
    figure = figures.confusion_matrices({"m": np.array([[0, 0], [1, 1]])}, ["a", "b"])
    np.testing.assert_allclose(titled(figure)["m"].images[0].get_array() ** 2, [[0, 0], [0.5, 0.5]])


@pytest.mark.parametrize(("classes", "numbers"), [(30, 30), (31, 0)])
def test_cells_that_are_too_narrow_have_no_numbers(classes, numbers):
    figure = figures.confusion_matrices({"m": np.eye(classes, dtype=int)}, [str(i) for i in range(classes)])
    assert len(titled(figure)["m"].texts) == numbers


def test_images_stand_under_their_titles_and_beside_their_rows():
    images = np.arange(3.0).reshape(3, 1, 1, 1) / 4 * np.ones((1, 2, 2, 3))
    figure = figures.labelled_images({"cnn": images, "mlp": images[::-1]}, {"cnn": ["a", "b", "c"]})
    shown = {title: panel.images[0].get_array()[0, 0, 0] for title, panel in titled(figure).items()}
    assert shown == {"a": 0.0, "b": 0.25, "c": 0.5}
    assert panel_of(figure, "cnn").images[0].get_array()[0, 0, 0] == 0.0
    assert panel_of(figure, "mlp").images[0].get_array()[0, 0, 0] == 0.5


def test_filters_are_shown_on_one_scale_and_on_one_each(rng):
    weights = np.array([1.0, 0.1]).reshape(2, 1, 1, 1) * rng.uniform(-1, 1, (2, 3, 3, 3))
    panels = titled(figures.filters(weights, columns=2))
    shared, own = panels["one scale for all"].images[0], panels["one scale each"].images[0]
    np.testing.assert_array_equal(shared.get_array(), tiles.grid(tiles.signed_rgb(weights), columns=2))
    larger, smaller = own.get_array()[:, :3], own.get_array()[:, 4:]
    for tile, kernel in ((larger, weights[0]), (smaller, weights[1])):
        np.testing.assert_allclose(tile, 0.5 + 0.5 * kernel / np.abs(kernel).max())
