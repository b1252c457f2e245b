"""Rows of images, maps and matrices; and graphs of what is computed."""

import numpy as np

from convnet.report import figures
from convnet.report.figures import Image
from tests.report.drawn import cells, titled


def test_every_image_is_where_it_belongs_in_its_own_colours():
    rows = [
        [Image(np.eye(2), "a", low=0, high=4), Image(np.ones((2, 2, 3)), "b")],
        [Image(2 * np.eye(3), "c"), Image(np.eye(2), "d")],
    ]
    panels = titled(figures.images(rows, size=(4, 4)))
    assert list(panels) == ["a", "b", "c", "d"]
    (shown,) = panels["a"].images
    np.testing.assert_array_equal(shown.get_array(), np.eye(2))
    assert shown.get_clim() == (0, 4)
    (shown,) = panels["c"].images
    assert shown.get_clim() == (0, 2)
    places = {
        title: (p.get_subplotspec().rowspan.start, p.get_subplotspec().colspan.start) for title, p in panels.items()
    }
    assert places == {"a": (0, 0), "b": (0, 1), "c": (1, 0), "d": (1, 1)}
    assert not panels["a"].get_xticks().size


def test_numbers_are_written_and_are_white_on_what_is_dark():
    values = np.array([[0.25, -9.0], [np.nan, 9.0]])
    (panel,) = figures.images([[Image(values, low=-10, high=10, write="{:.1f}", dark=8)]], size=(2, 2)).axes
    assert cells(panel) == {(0, 0): "0.2", (0, 1): "-9.0", (1, 1): "9.0"}
    assert {text.get_text(): text.get_color() for text in panel.texts} == {
        "0.2": "black",
        "-9.0": "white",
        "9.0": "white",
    }


def test_without_a_negative_end_only_large_values_are_dark():
    (panel,) = figures.images(
        [[Image(np.array([[0.2, 0.9]]), low=0, high=1, write="{:.0%}", dark=0.5)]], size=(2, 2)
    ).axes
    assert {text.get_text(): text.get_color() for text in panel.texts} == {"20%": "black", "90%": "white"}


def test_a_frame_and_a_scale():
    image = Image(np.eye(4), "map", frame=(0.5, 1.5, 2, 1), scale="decibel", framed=False, axes={"xlabel": "x"})
    figure = figures.images([[image]], size=(3, 3))
    panel = titled(figure)["map"]
    (frame,) = panel.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, 1.5), 2, 1)
    assert "decibel" in {other.get_ylabel() for other in figure.axes}
    assert not any(spine.get_visible() for spine in panel.spines.values())
    assert panel.get_xlabel() == "x"


def test_rows_may_have_different_numbers_of_images():
    rows = [[Image(np.eye(2), "a")], [Image(np.eye(2), "b"), Image(np.eye(2), "c")]]
    figure = figures.images(rows, size=(4, 4), widths=[(1,), (1, 3)], heights=(1, 2))
    figure.canvas.draw()
    drawn = {
        p.get_title(): p.get_subplotspec().get_gridspec().get_width_ratios()
        for part in figure.subfigs
        for p in part.axes
    }
    assert {name: list(ratios) for name, ratios in drawn.items()} == {"a": [1], "b": [1, 3], "c": [1, 3]}


def test_a_graph_has_its_nodes_and_the_numbers_beside_their_edges():
    nodes = [("x", (0, 0)), ("σ", (2, 1))]
    figure = figures.graph(
        nodes, [(0, (2, 1), "1.50", "-0.25")], {"value": (0, 3), "gradient": (0, 2), "L": (4, 1)}, size=(4, 3)
    )
    (axes,) = figure.axes
    said = {text.get_text(): text for text in axes.texts if text.get_text()}
    assert set(said) == {"x", "σ", "1.50", "-0.25", "value", "gradient", "L"}
    assert said["σ"].get_position() == (2, 1)
    assert said["1.50"].get_position()[1] > said["-0.25"].get_position()[1]
    assert said["1.50"].get_color() == said["value"].get_color() != said["gradient"].get_color()
    assert said["-0.25"].get_color() == said["gradient"].get_color()
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert low < 0 < 4 < high
    assert bottom < 0 < 3 < top
