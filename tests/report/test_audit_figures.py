"""Figures of audits show every error where it belongs, and what was not tested as such."""

import numpy as np
from matplotlib.colors import to_hex

from convnet.report import figures
from tests.report.drawn import bars, cells, legend_colours, lines, ticks_of, titled


def test_a_heat_map_writes_every_error_into_its_cell():
    values = np.array([[0.5, np.nan, 1e-9], [0.0, 10.0, 0.02]])
    figure = figures.heat_map(values, ["conv", "relu"], ["adjoint", "taylor", "kinks"], "error / bound", failed=1.0)
    (panel,) = (panel for panel in figure.axes if panel.images)
    assert cells(panel) == {(0, 0): "0.5", (0, 2): "1e-09", (1, 0): "0", (1, 1): "10", (1, 2): "0.02"}
    assert ticks_of(panel.yaxis) == {0: "conv", 1: "relu"}
    assert ticks_of(panel.xaxis) == {0: "adjoint", 1: "taylor", 2: "kinks"}
    (image,) = panel.images
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), -1), [[0.5, -1, 1e-4], [1e-4, 10, 0.02]])
    assert image.get_clim() == (1e-4, 1.0)
    assert any(other.get_ylabel() == "error / bound" for other in figure.axes)


def test_a_failure_is_red_and_what_was_not_tested_is_grey():
    figure = figures.heat_map(np.array([[10.0, np.nan, 0.9]]), ["op"], ["a", "b", "c"], "error", failed=1.0)
    (image,) = (image for panel in figure.axes for image in panel.images)
    failed, untested, passed = (to_hex(colour) for colour in image.to_rgba(image.get_array()).squeeze(0))
    assert (failed, untested) == ("#d62728", "#e6e6e6")
    assert passed not in (failed, untested)


def test_errors_are_written_small_enough_for_their_cells():
    figure = figures.heat_map(np.array([[0.5, 1e-3]]), ["op"], ["a", "b"], "error", failed=1.0)
    assert {text.get_fontsize() for panel in figure.axes for text in panel.texts} == {6.5}


def test_distributions_are_cumulative_shares_of_each_class():
    groups = {"conv": {"edge": np.array([3.0, 1.0, 2.0]), "corner": np.array([5.0])}, "relu": {"edge": np.ones(2)}}
    figure = figures.distributions(groups, "ρ")
    colours = legend_colours(*figure.legends)
    assert set(colours) == {"edge", "corner"}
    conv, relu = titled(figure)["conv"], titled(figure)["relu"]
    assert lines(conv, colours["edge"]) == [([1.0, 2.0, 3.0], [0.0, 0.5, 1.0])]
    assert [x for x, _ in lines(conv, colours["corner"])] == [[5.0]]
    assert [x for x, _ in lines(relu, colours["edge"])] == [[1.0, 1.0]]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("ρ", "share of the entries")
    assert conv.get_xscale() == "symlog"
    assert conv.get_xlim()[0] < 0
    assert conv.get_xlim()[1] >= 5


def test_panels_beyond_the_groups_are_empty():
    figure = figures.distributions({f"op {i}": {"all": np.ones(2)} for i in range(7)}, "ρ")
    assert sum(panel.get_visible() for panel in figure.axes) == 7


def test_shares_are_bars_with_their_counts():
    counts = {"noticed": {"ours": (3, 4), "theirs": (0, 4)}, "wrongly rejected": {"ours": (0, 5), "theirs": (0, 0)}}
    panels = titled(figures.shares(counts))
    assert list(panels) == list(counts)
    assert bars(panels["noticed"]) == {0: (0, 0.75), 1: (0, 0)}
    assert bars(panels["wrongly rejected"]) == {0: (0, 0), 1: (0, 0)}
    said = {title: {row: text for (row, _), text in cells(panel).items()} for title, panel in panels.items()}
    assert said == {"noticed": {0: "3 of 4", 1: "0 of 4"}, "wrongly rejected": {0: "0 of 5", 1: "0 of 0"}}
    noticed = panels["noticed"]
    assert ticks_of(noticed.yaxis) == {0: "ours", 1: "theirs"}
    assert [label.get_text() for label in noticed.get_xticklabels()] == ["0", "50 %", "100 %"]
    assert list(noticed.get_xticks()) == [0, 0.5, 1]
    assert noticed.yaxis_inverted()
