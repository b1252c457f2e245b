"""Figures have the size of what they show: inches, so that letters of one size fit rows of one height."""

import numpy as np
import pytest

from convnet.report import figures

ROWS = [f"op {i}" for i in range(10)]
CURVE = {"loss": np.zeros((2, 3)), "accuracy": np.zeros((2, 3))}
DISTRIBUTIONS = {f"group {i}": {"corner": np.array([0.1, 1.0])} for i in range(7)}
RATIOS = {"conv": {"flax": (2.0, 1.5, 2.25), "torch": (0.5, 0.4, 0.8)}, "pool": {"torch": (4.0, 4.0, 3.0)}}
SHARES = {"noticed": {"ours": (1, 2), "theirs": (1, 3)}, "rejected": {"ours": (0, 2), "theirs": (1, 3)}}
SIZES = {
    "a row of 0.27 per op": (
        lambda: figures.heat_map(np.ones((10, 3)), ROWS, ["a", "b", "c"], "error", failed=1.0), (4.15, 3.9)),
    "a colour bar needs 2.4": (
        lambda: figures.heat_map(np.ones((1, 1)), ["op"], ["a"], "error", failed=1.0), (2.45, 2.4)),
    "five groups a row": (lambda: figures.distributions(DISTRIBUTIONS, "error"), (13.0, 4.2)),
    "one group": (lambda: figures.distributions({"g": DISTRIBUTIONS["group 0"]}, "error"), (6.5, 2.6)),
    "a panel per quantity": (lambda: figures.shares(SHARES), (9.2, 1.6)),
    "a bar per peer": (lambda: figures.ratio_bars(RATIOS, "time"), (7.5, 2.16)),
    "scaling": (lambda: figures.scaling({"ours": ([1, 2], [1.0, 2.0])}, "n", "ms"), (5, 3.6)),
    "a panel per curve": (
        lambda: figures.learning_curves({"cnn": CURVE}, {"loss": "loss", "accuracy": "accuracy"}), (9.0, 3.4)),
    "ten classes": (lambda: figures.confusion_matrices({"a": np.eye(10, dtype=int)} , ROWS), (4.6, 4.5)),
    "a hundred classes": (
        lambda: figures.confusion_matrices({"a": np.eye(100, dtype=int)}, list(map(str, range(100)))), (11.1, 11.0)),
    "a thousand classes": (
        lambda: figures.confusion_matrices({"a": np.eye(200, dtype=int)}, list(map(str, range(200)))), (16.1, 16.0)),
    "two lines of images": (
        lambda: figures.labelled_images({"wrong": np.zeros((13, 2, 2, 3))}, {"wrong": ["2\n3"] * 13}), (13.8, 2.9)),
    "one small image": (lambda: figures.labelled_images({"wrong": np.zeros((1, 2, 2, 3))}, {}), (2.5, 1.45)),
    "filters in two rows": (lambda: figures.filters(np.ones((20, 3, 3, 1))), (8.0, 3.0)),
    "interactions": (
        lambda: figures.interaction(np.ones((3, 2)), ["a", "b", "c"], ["x", "y"], ("rows", "columns")), (4.3, 3.0)),
    "one interaction": (lambda: figures.interaction(np.ones((1, 1)), ["a"], ["x"], ("rows", "columns")), (3.35, 2.5)),
}  # fmt: skip


@pytest.mark.parametrize(("draw", "inches"), SIZES.values(), ids=SIZES)
def test_a_figure_is_as_large_as_what_it_shows(draw, inches):
    np.testing.assert_allclose(draw().get_size_inches(), inches, atol=1e-9)


def test_sizes_of_batches_are_powers_of_two():
    (panel,) = figures.scaling({"ours": ([1, 2], [1.0, 2.0])}, "n", "ms").axes
    assert panel.xaxis.get_transform().base == 2
    assert panel.yaxis.get_transform().base == 10


def test_a_legend_above_has_six_names_a_row():
    for names, rows in ((6, 1), (7, 2)):
        curves = {f"model {i}": {"loss": np.zeros((2, 3))} for i in range(names)}
        figure = figures.learning_curves(curves, {"loss": "loss"})
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert len({round(text.get_window_extent().y0) for text in legend.get_texts()}) == rows
