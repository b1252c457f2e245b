"""Figures of ablations hold what they were given."""

import numpy as np
import pytest

from convnet.report import figures, png
from tests.report.drawn import bars, cells, legend_colours, lines, panel_of, ticks_of


def test_bands_draw_a_line_and_a_band_per_arm():
    x = np.arange(1, 4)
    line = (x, x / 2, x / 4, x * 1.0)
    figure = figures.bands({"a": {"loss": line}, "b": {"loss": line}}, {"loss": "loss (log)"}, "updates")
    (panel,) = figure.axes
    assert len(panel.lines) == len(panel.collections) == 2
    assert (panel.get_yscale(), panel.get_ylabel(), panel.get_xlabel()) == ("log", "loss", "updates")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_more_arms_than_colours_differ_in_their_strokes():
    line = (np.arange(3),) * 4
    figure = figures.bands({str(i): {"loss": line} for i in range(20)}, {"loss": "loss"}, "epoch")
    looks = {(drawn.get_color(), drawn.get_linestyle()) for drawn in figure.axes[0].lines}
    assert len(looks) == 20


def test_forest_marks_what_is_significant():
    nan = float("nan")
    figure = figures.forest({"up": (1, 0.5, 1.5, 0.3, True), "one": (0.2, nan, nan, nan, False)}, "points")
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["up", "one"]
    assert len(panel.patches) == 1  # what could not be detected, where it is known
    intervals = [line for line in panel.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != 0]
    assert [list(line.get_xdata()) for line in intervals] == [[0.5, 1.5]]
    inside = {line.get_xdata()[0]: line.get_markerfacecolor() for line in panel.lines if line.get_marker() == "o"}
    assert inside[1] != "white" == inside[0.2]


def test_interaction_writes_every_value_and_leaves_gaps_empty():
    figure = figures.interaction(np.array([[90.0, 91.25], [np.nan, 80.0]]), ["a", "b"], ["x", "y"], ("row", "column"))
    panel = figure.axes[0]
    assert sorted(text.get_text() for text in panel.texts) == ["80.00", "90.00", "91.25"]
    assert (panel.get_ylabel(), panel.get_xlabel()) == ("row", "column")


def test_costs_show_the_median():
    figure = figures.costs({"a": np.array([1.0, 2.0, 9.0]), "b": np.array([0.5])}, "seconds")
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "0.5"]


@pytest.mark.parametrize("count", [1, 12])
def test_figures_can_be_drawn(count):
    arms = [f"arm {i}" for i in range(count)]
    line = (np.arange(1, 3), np.ones(2), np.ones(2), np.ones(2))
    for figure in (
        figures.bands({arm: {"loss": line} for arm in arms}, {"loss": "loss (log)"}, "epoch"),
        figures.forest(dict.fromkeys(arms, (0.0, 0.0, 0.0, 0.0, False)), "points"),
        figures.interaction(np.zeros((1, count)), ["only"], arms, ("a", "b")),
        figures.costs(dict.fromkeys(arms, np.ones(1)), "seconds"),
    ):
        assert png(figure).startswith(b"\x89PNG")


def test_a_band_reaches_from_the_lowest_to_the_highest():
    x = np.array([10, 20])
    curves = {
        "a": {"loss": (x, np.array([2.0, 1.0]), np.array([1.5, 0.5]), np.array([3.0, 1.25]))},
        "b": {"loss": (x, np.array([9.0, 8.0]), np.array([9.0, 7.0]), np.array([9.0, 8.5]))},
    }
    figure = figures.bands(curves, {"loss": "loss"}, "updates")
    (panel,) = figure.axes
    colours = legend_colours(*figure.legends)
    assert lines(panel, colours["a"]) == [([10, 20], [2.0, 1.0])]
    assert lines(panel, colours["b"]) == [([10, 20], [9.0, 8.0])]
    corners = [{tuple(corner) for corner in band.get_paths()[0].vertices} for band in panel.collections]
    assert {(10, 1.5), (20, 0.5), (20, 1.25), (10, 3.0)} in corners
    assert {(10, 9.0), (20, 7.0), (20, 8.5)} in corners


def test_forest_draws_intervals_and_what_cannot_be_detected_to_scale():
    effects = {"up": (1.0, 0.25, 1.75, 0.5, True), "down": (-2.0, -3.0, -1.0, 0.75, False)}
    (panel,) = figures.forest(effects, "percentage points").axes
    assert ticks_of(panel.yaxis) == {0: "up", 1: "down"}
    assert panel.yaxis_inverted()
    assert panel.get_xlabel() == "percentage points"
    assert bars(panel) == {0: (-0.5, 0.5), 1: (-0.75, 0.75)}
    drawn = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in panel.lines if line.get_marker() != "o"}
    assert drawn == {((0.25, 1.75), (0, 0)), ((-3.0, -1.0), (1, 1)), ((0, 0), (0, 1))}  # the last: zero, all the way
    dots = {(*line.get_xdata(), *line.get_ydata()) for line in panel.lines if line.get_marker() == "o"}
    assert dots == {(1.0, 0), (-2.0, 1)}
    low, high = panel.get_xlim()
    assert low <= -3
    assert high >= 1.75


@pytest.mark.parametrize(("largest", "scale"), [(2.0, "linear"), (50.0, "symlog")])
def test_small_differences_can_be_told_beside_large_ones(largest, scale):
    effects = {name: (mean, mean - 0.1, mean + 0.1, 0.1, True) for name, mean in
               {"a": 0.2, "b": 0.3, "c": largest}.items()}  # fmt: skip
    (panel,) = figures.forest(effects, "points").axes
    assert panel.get_xscale() == scale
    assert panel.get_xlim()[1] >= largest + 0.1


def test_interaction_puts_every_value_into_its_cell():
    values = np.array([[90.0, 91.25, 70.0], [np.nan, 80.0, 60.0]])
    figure = figures.interaction(values, ["sgd", "adam"], ["x", "y", "z"], ("optimiser", "width"))
    panel = panel_of(figure, "optimiser")
    assert panel.get_xlabel() == "width"
    found = {place: text for place, text in cells(panel).items() if text}
    assert found == {(0, 0): "90.00", (0, 1): "91.25", (0, 2): "70.00", (1, 1): "80.00", (1, 2): "60.00"}
    assert (ticks_of(panel.yaxis), ticks_of(panel.xaxis)) == ({0: "sgd", 1: "adam"}, {0: "x", 1: "y", 2: "z"})
    (image,) = panel.images
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), -1), [[90.0, 91.25, 70.0], [-1, 80.0, 60.0]])
    assert image.get_clim() == (60.0, 91.25)
    assert panel_of(figure, "test accuracy in %") is not panel


def test_costs_are_points_about_the_median():
    (panel,) = figures.costs({"a": np.array([1.0, 9.0, 2.0]), "b": np.array([0.5])}, "seconds").axes
    assert bars(panel) == {0: (0, 2.0), 1: (0, 0.5)}
    points = {row: list(line.get_xdata()) for line in panel.lines for row in set(line.get_ydata())}
    assert points == {0: [1.0, 9.0, 2.0], 1: [0.5]}
    assert {row: text for (row, _), text in cells(panel).items()} == {0: "2", 1: "0.5"}
    assert ticks_of(panel.yaxis) == {0: "a", 1: "b"}
    assert (panel.get_xlim()[0], panel.get_xlabel()) == (0, "seconds")
    assert panel.get_xlim()[1] >= 9


def test_what_cannot_be_detected_is_a_bar_about_its_row():
    (panel,) = figures.forest({"a": (0.5, 0.1, 0.9, 0.25, False)}, "difference").axes
    (bar,) = panel.patches
    assert bar.get_height() == pytest.approx(0.62)
    assert bar.get_y() + bar.get_height() / 2 == pytest.approx(0)
