"""What a speed run publishes, by value, on runs made by hand."""

import numpy as np
import pytest

from convnet.report.speed_page import SpeedRecord, speed_page, speed_tables, told
from convnet.speed_run import SpeedResult
from tests.report.handmade import CARD, columns_of, picture_of, sections_of

RUNS = [
    SpeedRecord(0, 10.0, 1.0, {"one": 0.92, "mirror_shift": 0.94}, (2.0, 1.0)),
    SpeedRecord(1, 14.0, 2.0, {"one": 0.93, "mirror_shift": 0.95}, (2.5, 0.5)),
]
FACTS = {
    "validation": False,
    "compile_seconds": 61.0,
    "flops": 27e9,
    "matrix_product": {"float32": 8e9, "bfloat16": 4e9},
}


def test_mean_and_interval():
    """Of two values a and b: ± 12.706 |a − b| / 2."""
    assert told([3.0, 5.0], ".2f") == ["4.00", "-8.71 to 16.71"]
    assert told([3.0], ".2f") == ["3.00", "—"]


def test_accuracies_by_views():
    rows = columns_of(speed_tables(FACTS, RUNS)["Accuracy"])
    assert rows["as it is"] == {
        "views of an image": "as it is",
        "accuracy %": "92.50",
        "95 %": "86.15 to 98.85",
        "least": "92.00",
        "most": "93.00",
    }
    assert (rows["and moved, six views"]["accuracy %"], rows["and moved, six views"]["most"]) == ("94.50", "95.00")


def test_seconds_by_part():
    rows = columns_of(speed_tables(FACTS, RUNS)["Time"])
    assert {part: (row["seconds"], row["least"], row["most"]) for part, row in rows.items()} == {
        "training": ("12", "10", "14"),
        "evaluation": ("1.5", "1", "2"),
        "both": ("13.5", "11", "16"),
    }


def test_the_rate_is_that_of_the_middle_run():
    """27 GFLOP in 13.5 s."""
    rows = columns_of(speed_tables(FACTS, RUNS)["Rate"])
    assert rows["convolutions and products of a run"]["GFLOP/s"] == "2"
    float32 = rows["the machine's matrix product, float32"]
    assert (float32["GFLOP/s"], float32["share"]) == ("8", "0.25")
    assert rows["the machine's matrix product, bfloat16"]["share"] == "0.50"


@pytest.mark.parametrize(("validation", "what"), [(False, "test"), (True, "held-out")])
def test_the_page(validation, what):
    page = speed_page(FACTS | {"validation": validation}, RUNS, CARD)
    sections = sections_of(page)
    assert page.facts == CARD
    assert list(sections) == ["Accuracy", "Time", "Loss", "Before the clock starts", "Rate"]
    (panel,) = picture_of(sections["Accuracy"]).figure.axes
    assert panel.get_xlabel() == f"accuracy of the {what} images, %"
    points = sorted(x for line in panel.lines if len(line.get_xdata()) == 2 for x in line.get_xdata())
    assert points == pytest.approx([92, 93, 94, 95])
    (curves,) = picture_of(sections["Loss"]).figure.axes
    assert sorted(tuple(line.get_ydata()) for line in curves.lines) == [(2.0, 1.0), (2.5, 0.5)]
    assert [list(line.get_xdata()) for line in curves.lines] == [[1, 2], [1, 2]]
    assert sections["Before the clock starts"].table[1][1] == "61"


def test_a_run_is_kept_as_it_was():
    record = SpeedRecord.of(SpeedResult(3, 10.0, 1.0, {"one": 0.5, "mirror": 0.625}, np.array([2.0, 1.5], np.float32)))
    assert record == SpeedRecord(3, 10.0, 1.0, {"one": 0.5, "mirror": 0.625}, (2.0, 1.5))
    assert (record.seconds, record.best) == (11.0, 0.625)
    line = {"seed": 3, "train_seconds": 10.0, "evaluate_seconds": 1.0, "accuracy": {"one": 0.5, "mirror": 0.625}}
    assert SpeedRecord.from_dict(line | {"losses": [2.0, 1.5], "here": "other"}) == record
