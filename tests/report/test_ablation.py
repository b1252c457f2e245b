"""What the tables and figures of ablations say of an arm: never an interval that is none."""

import pytest

from convnet.report import ABLATION_HEAD, ablation_cells, differences_figure, png, remark_lines

BASE = {"arm": "base", "test_accuracy": 0.9, "interval95": [0.88, 0.915], "same_as": None, "effect": None}
EFFECT = {"pairs": 10, "difference": [-0.05, -0.08, -0.02], "p": 0.0001, "p_holm": 0.0002, "detectable": 0.0123}
EQUAL = {"pairs": 2, "difference": [0.01, None, None], "p": None, "p_holm": None, "detectable": None}

CELLS = {
    "the base": (BASE, "90.00|88.00 … 91.50||||"),
    "a difference": (BASE | {"effect": EFFECT}, "90.00|88.00 … 91.50|-5.00|-8.00 … -2.00|< 0.001|1.23"),
    "equal differences": (BASE | {"effect": EQUAL}, "90.00|88.00 … 91.50|+1.00|—|—|—"),
    "equal scores": (BASE | {"interval95": [None, None]}, "90.00|—||||"),
    "the same run": (BASE | {"same_as": "other"}, "90.00|88.00 … 91.50|same run|||"),
    "more than an accuracy can be": (
        BASE | {"interval95": [-0.3, 1.4], "effect": EFFECT | {"difference": [0.1, -1.5, 1.7], "p_holm": 0.05}},
        "90.00|0.00 … 100.00|+10.00|-100.00 … +100.00|0.050|1.23",
    ),
}


@pytest.mark.parametrize(("arm", "cells"), CELLS.values(), ids=CELLS)
def test_cells_of_an_arm(arm, cells):
    assert "|".join(ablation_cells(arm)) == cells
    assert len(ablation_cells(arm)) == len(ABLATION_HEAD)


def test_a_remark_stands_once_with_all_that_it_is_said_of():
    remarks = {"a": ["one run"], "b": [], "c": ["one pair", "one run"]}
    assert remark_lines(remarks) == ["a, c: one run", "c: one pair"]


def test_the_figure_has_the_arms_that_are_compared():
    arms = [BASE, BASE | {"arm": "down", "effect": EFFECT}, BASE | {"arm": "up", "effect": EQUAL},
            BASE | {"arm": "twin", "same_as": "base"}]  # fmt: skip
    figure = differences_figure(arms)
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["down", "up"]
    intervals = [line.get_xdata() for line in panel.lines if len(line.get_xdata()) == 2 and line.get_xdata()[1] != 0]
    assert [list(ends) for ends in intervals[:1]] == [[-8.0, -2.0]]
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    assert png(figure).startswith(b"\x89PNG")
    assert differences_figure(arms[:1]) is None
