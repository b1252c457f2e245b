"""Pictures show what they are given, whatever it is made of."""

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from convnet.report import figures, png
from convnet.report.picture import LONGEST, shown, ticks

LITERAL = ("$5 or $6", "cost in $", r"$\frac{1}$ $x_{$", r"\$5", r"a_b^c{d}%~&#\e", "_hidden", "")
ALTERED = ("one\ntwo\tthree\x00", "name " * 60, "数字 عدد 😀", "caf\udce9")
"""On one line, shortened, in boxes, without the byte that was no letter."""
NAMES = (*LITERAL, *ALTERED)

X = np.arange(1, 4)
LINE, EFFECT, SIZES = (X, X / 2, X / 4, X * 1.0), (1.0, 0.5, 1.5, 0.3, True), ([1.0, 2.0], [1.0, 2.0])
IMAGES = np.zeros((len(NAMES), 4, 4, 3))


def every(value):
    return dict.fromkeys(NAMES, value)


FIGURES = {
    "curves": lambda: figures.learning_curves(every({"loss": np.ones((2, 3))}), {"loss": "loss (log)"}),
    "confusions": lambda: figures.confusion_matrices({"$": np.eye(len(NAMES), dtype=int)}, NAMES),
    "images": lambda: figures.labelled_images({"$a$": IMAGES}, {"$a$": ticks(NAMES)}),
    "names of images": lambda: figures.labelled_images(every(IMAGES[:1]), {}),
    "heat map": lambda: figures.heat_map(np.ones((len(NAMES), 1)), NAMES, ["$"], "error", failed=1.0),
    "distributions": lambda: figures.distributions({"$": every(np.arange(3.0))}, "error"),
    "names of distributions": lambda: figures.distributions(every({"a": np.arange(3.0)}), "error"),
    "shares": lambda: figures.shares({"noticed": every((1, 2))}),
    "ratios": lambda: figures.ratio_bars({"$": every((2.0, 1.0, 3.0))}, "time"),
    "names of ratios": lambda: figures.ratio_bars(every({"a": (2.0, 1.0, 3.0)}), "time"),
    "scaling": lambda: figures.scaling(every(SIZES), "batch", "ms"),
    "bands": lambda: figures.bands(every({"loss": LINE}), {"loss": "loss (log)"}, "epoch"),
    "forest": lambda: figures.forest(every(EFFECT), "minus caf\udce9 $x_{$"),
    "interaction": lambda: figures.interaction(np.ones((len(NAMES), 1)), NAMES, ["a"], ("$x_{$", "_b")),
    "costs": lambda: figures.costs(every(np.ones(2)), "seconds"),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_every_figure_shows_any_name_as_it_is(make):
    figure = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png(figure).startswith(b"\x89PNG")
    texts = {text.get_text(): text.get_parse_math() for text in figure.findobj(Text)}
    assert set(LITERAL) <= texts.keys()
    assert not any(is_formula for text, is_formula in texts.items() if "mathdefault" not in text and "$" in text)


SMALL = {
    "curves": lambda: figures.learning_curves({"a": {"loss": np.ones((1, 2))}}, {"loss": "training loss (log)"}),
    "confusions": lambda: figures.confusion_matrices({"linear": np.eye(2, dtype=int)}, ["no", "yes, of course"]),
    "images": lambda: figures.labelled_images({"linear": IMAGES[:1]}, {"linear": ["cat → dog\n99%"]}),
    "filters": lambda: figures.filters(np.ones((1, 3, 3, 1))),
    "heat map": lambda: figures.heat_map(np.ones((1, 2)), ["conv2d"], ["elementwise", "taylor"], ERROR, failed=1.0),
    "distributions": lambda: figures.distributions({"conv2d": dict.fromkeys(PLACES, np.zeros(3))}, RHO),
    "shares": lambda: figures.shares({"wrong rules noticed": {"torch gradcheck, slow": (198, 198)}}),
    "ratios": lambda: figures.ratio_bars({"3×3 convolution, forward": {"flax": (2.0, 1.0, 3.0)}}, "time ÷ convnet"),
    "scaling": lambda: figures.scaling({"convnet": SIZES}, "images per batch", "milliseconds"),
    "bands": lambda: figures.bands({"sgd": {"loss": LINE}}, {"loss": "training loss (log)"}, "updates"),
    "forest": lambda: figures.forest({"wide": EFFECT}, "test accuracy − that of narrow, in percentage points"),
    "interaction": lambda: figures.interaction(np.ones((1, 1)), ["sgd"], ["glorot_uniform"], ("optimiser", "start")),
    "costs": lambda: figures.costs({"sgd": np.ones(2)}, "seconds of training per run"),
}
ERROR, RHO = "worst error / bound", "ρ: error of an entry in ulps of its conditioning, float64"
PLACES = ("corner", "edge", "interior", "vectors, matrices")


@pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)
def test_nothing_is_cut_off_in_the_smallest_of_figures(make):
    figure = make()
    png(figure)
    (width, height), drawn, pixels = figure.get_size_inches(), figure.get_tightbbox(), 0.03
    assert min(drawn.x0, drawn.y0) >= -pixels
    assert drawn.x1 <= width + pixels
    assert drawn.y1 <= height + pixels


def test_no_line_is_missing_in_a_legend():
    line = (np.arange(3),) * 4
    figure = figures.bands({name: {"loss": line} for name in ("_a", "b", "_c")}, {"loss": "loss"}, "epoch")
    (found,) = figure.legends
    assert [text.get_text() for text in found.get_texts()] == ["_a", "b", "_c"]
    colours = [handle.get_color() for handle in found.legend_handles]
    assert colours == [drawn.get_color() for drawn in figure.axes[0].lines]


def test_powers_of_ten_stay_formulas():
    figure = figures.scaling({"a": ([1, 2], [1e-5, 1e5])}, "batch", "ms")
    png(figure)
    numbers = [text for text in figure.axes[0].yaxis.get_majorticklabels() if text.get_text()]
    assert any("10^" in text.get_text() for text in numbers)
    assert all(text.get_parse_math() for text in numbers)


def test_more_of_everything_than_there_are_colours():
    names = [f"model {i}" for i in range(9)]
    curves = figures.learning_curves({name: {"loss": np.ones((1, 2))} for name in names}, {"loss": "loss"})
    assert [text.get_text() for text in curves.legends[0].get_texts()] == names
    assert len({(line.get_color(), line.get_linestyle()) for line in curves.axes[0].lines[1::2]}) == 9
    bars = figures.shares({name: {"checker": (1, 2)} for name in names})
    assert [panel.get_title() for panel in bars.axes] == names
    png(figures.distributions({"op": {name: np.ones(2) for name in names}}, "error"))


def test_names_in_figures_are_short_single_and_distinct():
    long = [f"{'a' * 60}{i}{'b' * 60}" for i in range(3)]
    found = shown(["plain", "two\nlines", "two lines", *long])
    assert list(found) == ["plain", "two\nlines", "two lines", *long]
    assert list(found.values())[:3] == ["plain", "two lines", "two lines (2)"]
    assert len(set(found.values())) == 6
    assert all(len(text) <= LONGEST + 4 and "…" in text for text in list(found.values())[3:])


def test_equal_names_along_an_axis_keep_their_places():
    assert ticks(["a", "b", "a"]) == ["a", "b", "a"]


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 40])
def test_a_matrix_of_any_size(classes):
    names = [f"class number {i}" for i in range(classes)]
    figure = figures.confusion_matrices({"a": np.eye(classes, dtype=int), "b": np.ones((classes,) * 2, int)}, names)
    assert png(figure).startswith(b"\x89PNG")
    assert max(figure.get_size_inches()) <= 35


@pytest.mark.parametrize("count", [1, 12, 13, 26])
def test_images_go_on_below(count):
    images = np.linspace(0, 1, count).reshape(-1, 1, 1, 1) * np.ones((1, 5, 7, 3))
    titles = [f"{i}" for i in range(count)]
    figure = figures.labelled_images({"template": images, "mean": images[: count // 2]}, {"template": titles})
    drawn = [panel.images[0].get_array()[0, 0, 0] for panel in figure.axes if panel.images]
    assert len(drawn) == count + count // 2
    assert [panel.get_title() for panel in figure.axes if panel.get_title()] == titles
    assert figure.get_size_inches()[0] <= 14


def test_an_empty_figure_is_one():
    assert png(Figure()).startswith(b"\x89PNG")
