"""Figures of benchmarks: bars end at their ratios, error bars at the quartiles, and curves go through their points."""

import numpy as np
import pytest

from convnet.report import figures
from tests.report.drawn import legend_colours, lines, ticks_of

RATIOS = {"conv forward": {"flax": (2.0, 1.5, 2.25), "torch": (0.5, 0.4, 0.8)}, "pool": {"torch": (4.0, 4.0, 3.0)}}


@pytest.fixture
def panel():
    (panel,) = figures.ratio_bars(RATIOS, "time ÷ ours").axes
    return panel


def test_bars_go_from_one_to_the_ratio(panel):
    colours = legend_colours(*panel.figure.legends)
    assert list(colours) == ["flax", "torch"]
    found = {}
    for bar in panel.patches:
        row, (name,) = (
            round(bar.get_y() + bar.get_height() / 2),
            (n for n in colours if colours[n] == bar.get_facecolor()),
        )
        found[row, name] = (bar.get_x(), bar.get_x() + bar.get_width())
    assert found == {(0, "flax"): (1, 2.0), (0, "torch"): (1, 0.5), (1, "torch"): (1, 4.0)}
    assert ticks_of(panel.yaxis) == {0: "conv forward", 1: "pool"}
    assert (panel.get_xscale(), panel.get_xlabel()) == ("log", "time ÷ ours")
    assert panel.yaxis_inverted()


def test_error_bars_end_at_the_quartiles_that_enclose_the_ratio(panel):
    ends = sorted(tuple(segment[:, 0]) for bars in panel.collections for segment in bars.get_segments())
    np.testing.assert_allclose(ends, [(0.4, 0.8), (1.5, 2.25), (4.0, 4.0)])


def test_everything_is_within_the_axis(panel):
    low, high = panel.get_xlim()
    assert low <= 0.4
    assert high >= 4.0


def test_nothing_to_compare_is_an_empty_figure():
    assert figures.ratio_bars({}, "time").legends == []


def test_scaling_goes_through_the_points():
    curves = {"ours": ([1, 4], [2.0, 9.0]), "flax": ([1, 2], [3.0, 5.0])}
    (panel,) = figures.scaling(curves, "images per batch", "ms").axes
    colours = legend_colours(panel.get_legend())
    assert {name: lines(panel, colours[name]) for name in curves} == {
        "ours": [([1, 4], [2.0, 9.0])],
        "flax": [([1, 2], [3.0, 5.0])],
    }
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("images per batch", "ms")
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    assert ticks_of(panel.xaxis) == {1: "1", 2: "2", 4: "4"}
