"""Charts: lines, points and bands in panels, and bars with intervals."""

import numpy as np
import pytest

from convnet.report import figures
from convnet.report.figures import CIRCLES, POINTS, Line, Panel
from tests.report.drawn import bars, legend_colours, lines, panel_of, ticks_of


def test_a_name_has_one_colour_in_all_panels_and_is_named_above():
    one = Panel({"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}, {"ylabel": "one"})
    two = Panel({"b": ([1, 2], [7, 8])}, {"ylabel": "two"})
    figure = figures.chart([one, two], size=(6, 3))
    colours = legend_colours(*figure.legends)
    assert lines(panel_of(figure, "one"), colours["a"]) == [([1, 2], [3, 4])]
    assert lines(panel_of(figure, "one"), colours["b"]) == [([1, 2], [5, 6])]
    assert lines(panel_of(figure, "two"), colours["b"]) == [([1, 2], [7, 8])]
    assert colours["a"] != colours["b"]


def test_a_colour_of_its_own_takes_none_from_the_others():
    grey = Line([1], [1], look={"color": "#999999"})
    plain = figures.chart([Panel({"x": ([1], [2]), "y": ([1], [3])})], size=(3, 3))
    with_grey = figures.chart([Panel({"grey": grey, "x": ([1], [2]), "y": ([1], [3])})], size=(3, 3))
    assert legend_colours(*with_grey.legends) == legend_colours(*plain.legends) | {"grey": "#999999"}


def test_lines_of_one_name_share_a_colour_and_a_nameless_one_is_in_no_legend():
    both = [([1, 2], [1, 2]), Line([1, 2], [1.5, 2.5], look=CIRCLES)]
    figure = figures.chart([Panel({"a": both, "": ([1, 2], [9, 9])}, legend={})], size=(3, 3))
    (panel,) = figure.axes
    colours = legend_colours(panel.get_legend())
    assert list(colours) == ["a"]
    (handle,) = panel.get_legend().legend_handles
    assert handle.get_linestyle() == "-"  # the first of its lines stands for the name
    assert lines(panel, colours["a"]) == [([1, 2], [1, 2]), ([1, 2], [1.5, 2.5])]
    assert not figure.legends


def test_a_band_reaches_from_low_to_high():
    (panel,) = figures.chart([Panel({"a": ([1, 2], [5, 6], [4, 3], [7, 8])})], size=(3, 3)).axes
    (band,) = panel.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert {(1, 4), (2, 3), (1, 7), (2, 8)} <= corners


def test_scales_ticks_limits_and_the_level():
    axes = {"xscale": "log", "xticks": [1, 2, 50], "ylim": (0, 9), "xlabel": "steps", "title": "all"}
    (panel,) = figures.chart([Panel({"a": ([1, 50], [2, 3])}, axes, level=4.5)], size=(3, 3)).axes
    assert panel.get_xscale() == "log"
    assert ticks_of(panel.xaxis) == {1: "1", 2: "2", 50: "50"}
    assert (panel.get_ylim(), panel.get_xlabel(), panel.get_title()) == ((0, 9), "steps", "all")
    assert ([0, 1], [4.5, 4.5]) in lines(panel, "black")


def test_panels_stand_in_rows_of_so_many_and_share_their_axis():
    panels = [Panel({"a": ([1], [y])}, {"title": str(y)}) for y in (1, 2, 30, 40)]
    figure = figures.chart(panels, size=(4, 4), columns=2, share="row")
    found = {panel.get_title(): panel for panel in figure.axes}
    assert list(found) == ["1", "2", "30", "40"]
    assert found["1"].get_ylim() == found["2"].get_ylim() != found["30"].get_ylim() == found["40"].get_ylim()
    assert found["1"].get_subplotspec().rowspan.start == found["2"].get_subplotspec().rowspan.start == 0
    assert found["30"].get_subplotspec().rowspan.start == 1


def test_a_bar_ends_at_the_mean_and_its_interval_is_students():
    figure = figures.interval_bars({"%": {"a": [1.0, 3.0], "b": [5.0, 5.0]}}, size=(4, 2), guess={"%": 0.5}, dots=True)
    (panel,) = figure.axes
    assert bars(panel) == {0: (0, 2), 1: (0, 5)}
    assert ticks_of(panel.yaxis) == {0: "a", 1: "b"}
    assert panel.yaxis_inverted()
    (first, second) = (np.array(line.get_segments()[0])[:, 0] for line in panel.collections)
    np.testing.assert_allclose(first, [2 - 12.706, 2 + 12.706], atol=1e-3)
    np.testing.assert_allclose(second, [5, 5])
    assert ([0.5, 0.5], [0, 1]) in lines(panel, "black")
    dots = {tuple(line.get_xdata()) for line in panel.lines if line.get_marker() == "o"}
    assert dots == {(1.0, 3.0), (5.0, 5.0)}


def test_points_instead_of_bars_share_their_rows():
    figure = figures.interval_bars({"x": {"a": [1.0, 2.0]}, "y": {"a": [3.0, 5.0]}}, size=(4, 2), bars=False)
    found = {panel.get_xlabel(): panel for panel in figure.axes}
    assert [bars(panel) for panel in found.values()] == [{}, {}]
    middles = {name: [list(line.get_xdata()) for line in panel.lines if line.get_marker() == "o"]
               for name, panel in found.items()}  # fmt: skip
    assert middles == {"x": [[1.5]], "y": [[4.0]]}


@pytest.mark.parametrize("look", [POINTS, CIRCLES])
def test_a_cloud_has_no_lines_between_its_points(look):
    (panel,) = figures.chart([Panel({"a": Line([1, 2], [3, 4], look=look)})], size=(3, 3)).axes
    (cloud,) = panel.lines
    assert (cloud.get_linestyle(), cloud.get_marker()) == ("None", "o")
