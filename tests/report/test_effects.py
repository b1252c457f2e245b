"""Figures of ablations hold what they were given."""

import numpy as np
import pytest

from convnet.report import effects, png


def test_bands_draw_a_line_and_a_band_per_arm():
    x = np.arange(1, 4)
    line = (x, x / 2, x / 4, x * 1.0)
    figure = effects.bands({"a": {"loss": line}, "b": {"loss": line}}, {"loss": "loss (log)"}, "updates")
    (panel,) = figure.axes
    assert len(panel.lines) == len(panel.collections) == 2
    np.testing.assert_array_equal(panel.lines[1].get_ydata(), x / 2)
    assert (panel.get_yscale(), panel.get_ylabel(), panel.get_xlabel()) == ("log", "loss", "updates")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_more_arms_than_colours_differ_in_their_strokes():
    line = (np.arange(3),) * 4
    figure = effects.bands({str(i): {"loss": line} for i in range(20)}, {"loss": "loss"}, "epoch")
    looks = {(drawn.get_color(), drawn.get_linestyle()) for drawn in figure.axes[0].lines}
    assert len(looks) == 20


def test_forest_marks_what_is_significant():
    nan = float("nan")
    figure = effects.forest({"up": (1, 0.5, 1.5, 0.3, True), "one": (0.2, nan, nan, nan, False)}, "points")
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["up", "one"]
    assert len(panel.patches) == 1  # what could not be detected, where it is known
    intervals = [line for line in panel.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != 0]
    assert [list(line.get_xdata()) for line in intervals] == [[0.5, 1.5]]
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    assert dots[0].get_markerfacecolor() != "white" == dots[1].get_markerfacecolor()


def test_interaction_writes_every_value_and_leaves_gaps_empty():
    figure = effects.interaction(np.array([[90.0, 91.25], [np.nan, 80.0]]), ["a", "b"], ["x", "y"], ("row", "column"))
    panel = figure.axes[0]
    assert sorted(text.get_text() for text in panel.texts) == ["80.00", "90.00", "91.25"]
    assert (panel.get_ylabel(), panel.get_xlabel()) == ("row", "column")


def test_costs_show_the_median():
    figure = effects.costs({"a": np.array([1.0, 2.0, 9.0]), "b": np.array([0.5])}, "seconds")
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "0.5"]


@pytest.mark.parametrize("count", [1, 12])
def test_figures_can_be_drawn(count):
    arms = [f"arm {i}" for i in range(count)]
    line = (np.arange(1, 3), np.ones(2), np.ones(2), np.ones(2))
    for figure in (
        effects.bands({arm: {"loss": line} for arm in arms}, {"loss": "loss (log)"}, "epoch"),
        effects.forest(dict.fromkeys(arms, (0.0, 0.0, 0.0, 0.0, False)), "points"),
        effects.interaction(np.zeros((1, count)), ["only"], arms, ("a", "b")),
        effects.costs(dict.fromkeys(arms, np.ones(1)), "seconds"),
    ):
        assert png(figure).startswith(b"\x89PNG")
