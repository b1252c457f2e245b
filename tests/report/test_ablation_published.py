"""Every number of an ablation stands where its heading says: table, CSV, summary, card and pictures."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from convnet.ablation.results import analyse
from convnet.ablation.stats import smallest_detectable
from convnet.report.ablation_page import ablation_page, table, write_ablation
from tests.report import handmade
from tests.report.drawn import bars, cells, legend_colours, lines, panel_of, ticks_of
from tests.report.handmade import CARD, PLAN, WHERE, columns_of, picture_of, sections_of


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setattr("convnet.report.ablation_page.environment", lambda: WHERE)


@pytest.fixture
def results():
    return analyse(PLAN, handmade.finished_cells())


@pytest.fixture
def sections(results):
    return sections_of(ablation_page(PLAN, results))


# --- numbers ----------------------------------------------------------------------------------------------------------

DETECTABLE = {
    "sgd wide": f"{100 * smallest_detectable(3, math.sqrt(7) / 100):.2f}",
    "adam narrow": f"{100 * smallest_detectable(2, 0.3 * math.sqrt(2)):.2f}",
}
TABLE = [
    ["arm", "seeds", "diverged", "test accuracy %", "95 %", "difference", "95 %", "p", "detectable"],
    # of three seeds 4.303 standard errors to either side, of two 12.7; p of t = −2.619 and −0.833, the smaller doubled
    ["sgd narrow", "3", "", "80.00", "55.16 … 100.00", "", "", "", ""],
    ["sgd wide", "3", "", "76.00", "44.87 … 100.00", "-4.00", "-10.57 … +2.57", "0.240", DETECTABLE["sgd wide"]],
    ["adam narrow", "2", "1", "60.00", "0.00 … 100.00", "-25.00", "-100.00 … +100.00", "0.558",
     DETECTABLE["adam narrow"]],
]  # fmt: skip


def test_the_table(results, sections):
    assert sections["Results"].table == table(results) == TABLE
    assert sections["Results"].text == "adam narrow: compared over the 2 of 3 seeds that sgd narrow has, too"


COLUMNS = (
    "status,score,test_hits,test_images,test_accuracy,test_loss,validation_accuracy,best_epoch,epochs,"
    "diverged_at_step,train_seconds,compile_seconds,replicates,parameter_hash,cell"
)
ROWS = {
    ("sgd narrow", "0"): "finished,0.9,90,100,0.9,0.9,0.75,2,2,,5.0,1.5,3,sgd narrow 0,sgd-narrow-0",
    ("sgd narrow", "1"): "finished,0.8,80,100,0.8,0.8,1.0,2,2,,1.0,2.5,3,sgd narrow 1,sgd-narrow-1",
    ("sgd narrow", "2"): "finished,0.7,70,100,0.7,0.7,0.75,2,2,,2.0,3.5,3,sgd narrow 2,sgd-narrow-2",
    ("sgd wide", "0"): "finished,0.88,88,100,0.88,0.88,0.75,2,2,,11.0,1.5,3,sgd wide 0,sgd-wide-0",
    ("sgd wide", "1"): "finished,0.77,77,100,0.77,0.77,0.75,2,2,,12.0,2.5,3,sgd wide 1,sgd-wide-1",
    ("sgd wide", "2"): "finished,0.63,63,100,0.63,0.63,0.75,2,2,,40.0,3.5,3,sgd wide 2,sgd-wide-2",
    ("adam narrow", "0"): "finished,0.95,95,100,0.95,0.95,0.75,2,2,,7.0,1.5,3,adam narrow 0,adam-narrow-0",
    ("adam narrow", "1"): "diverged,0.25,,,,,,,2,13,,9.0,3,,lost",
}  # fmt: skip


def test_every_column_of_the_csv(tmp_path):
    text, missing = write_ablation(tmp_path, PLAN, handmade.finished_cells())
    assert missing == []
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {",".join(row) for row in rows} == {f"arm,optimiser,width,seed,{COLUMNS}"}
    assert {(row["arm"], f"{row['optimiser']} {row['width']}") for row in rows} == {(name, name) for name, _ in ROWS}
    assert {(row["arm"], row["seed"]): ",".join(row[name] for name in COLUMNS.split(",")) for row in rows} == ROWS
    assert text.splitlines()[-2:] == [
        "adam narrow: compared over the 2 of 3 seeds that sgd narrow has, too",
        "1 of 9 cells are not finished",
    ]


@pytest.mark.usefixtures("unseen_pictures")
def test_the_summary(tmp_path):
    write_ablation(tmp_path, PLAN, handmade.finished_cells())
    stored = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert (stored["environment"], stored["plan"]) == (WHERE, PLAN)
    assert stored["cells"] == {"planned": 9, "finished": 8, "diverged": 1}
    arms = {arm["arm"]: arm for arm in stored["arms"]}
    facts = ("seeds", "diverged", "parameters", "epochs", "train_seconds", "compile_seconds")
    assert {name: [arm[fact] for fact in facts] for name, arm in arms.items()} == {
        "sgd narrow": [3, 0, 55, 2, 2.0, 2.5],
        "sgd wide": [3, 0, 55, 2, 12.0, 2.5],
        "adam narrow": [2, 1, 55, 2, 7.0, 5.25],
    }
    assert arms["sgd wide"]["effect"]["difference"] == pytest.approx([-0.04, -0.10572, 0.02572], abs=1e-5)
    assert arms["sgd wide"]["interval95"] == pytest.approx([0.76 - 0.31126, 0.76 + 0.31126], abs=1e-5)


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card(results):
    page = ablation_page(PLAN, results)
    assert page.title == "Ablation of optimiser, width"
    assert page.facts == {
        "question": "Does it matter?",
        "data": "pets",
        "factors": "optimiser: sgd, adam; width: narrow, wide",
        "design": "random: 3 arms × 3 seeds, paired",
        "compared with": "sgd narrow",
        "cells": "8 of 9 finished, 1 of them diverged",
        **CARD,
        "machine": "abacus, another abacus, 7 CPU cores, Linux-6",
    }


def test_a_card_without_a_question_and_with_a_limit(results):
    base = PLAN["base"] | {"data": PLAN["base"]["data"] | {"limit": 500}}
    facts = ablation_page(PLAN | {"question": "", "base": base}, results).facts
    assert "question" not in facts
    assert facts["data"] == "pets, 500 training images"


def test_the_settings_are_those_of_the_arms(sections):
    cells = columns_of(sections["Settings"].table)
    assert {name: tuple(row.values())[1:] for name, row in cells.items()} == {
        "sgd narrow": ("sgd", "0.25"), "sgd wide": ("sgd", "0.5"), "adam narrow": ("adam", "0.125"),
    }  # fmt: skip
    assert dict(sections["Settings in common"].table[1:])["train.batch_size"] == "3"


def test_more_divergence_than_chance_is_said_below_the_table():
    """Six of six against none: McNemar's p is 2/2⁶."""
    base, wide, _ = handmade.ARMS
    seeds = range(6)
    done = [handmade.cell(base, s, 50 + s, 1.0) for s in seeds] + [handmade.diverged(wide, s) for s in seeds]
    plan = PLAN | {"seeds": 6, "arms": [arm for arm in PLAN["arms"] if arm["name"] != "adam narrow"]}
    caption = sections_of(ablation_page(plan, analyse(plan, done)))["Results"].caption
    assert caption.endswith("Diverged more or less often than the base, by McNemar's exact test: sgd wide (p = 0.031).")
    five = [one for one in done if one.cell.seed < 5]
    assert "McNemar" not in sections_of(ablation_page(plan, analyse(plan, five)))["Results"].caption


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_differences_are_in_percentage_points(sections):
    (panel,) = picture_of(sections["Paired differences"]).figure.axes
    assert ticks_of(panel.yaxis) == {0: "sgd wide", 1: "adam narrow"}
    assert panel.get_xlabel() == "test accuracy − that of sgd narrow, in percentage points"
    dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in panel.lines if line.get_marker() == "o"}
    assert dots == pytest.approx({0: -4.0, 1: -25.0})
    intervals = {row: ends for (*ends,), (row, other) in
                 ((line.get_xdata(), line.get_ydata()) for line in panel.lines if len(line.get_xdata()) == 2)
                 if row == other}  # fmt: skip
    assert intervals[0] == pytest.approx([-10.572, 2.572], abs=1e-3)
    assert f"{bars(panel)[0][1]:.2f}" == DETECTABLE["sgd wide"]


def test_curves_are_geometric_means_between_the_lowest_and_the_highest(sections):
    picture = picture_of(sections["Curves"])
    figure = picture.figure
    assert [panel.get_ylabel() for panel in figure.axes] == ["training loss", "validation loss", "validation error"]
    assert {panel.get_xlabel() for panel in figure.axes} == {"epoch"}
    colour = legend_colours(*figure.legends)["sgd narrow"]
    for name, middle in {
        "training loss": [144 ** (1 / 3), 4 ** (1 / 3)],
        "validation loss": [18 ** (1 / 3), 4 ** (1 / 3)],
        "validation error": [0.1875 ** (1 / 3), (0.0625 * 1e-4) ** (1 / 3)],
    }.items():
        ((x, y),) = lines(panel_of(figure, name), colour)
        assert (x, y) == ([1, 2], pytest.approx(middle))
    corners = [{tuple(corner) for corner in band.get_paths()[0].vertices}
               for band in panel_of(figure, "training loss").collections]  # fmt: skip
    assert any({(1, 4.0), (2, 1.0), (1, 9.0), (2, 4.0)} <= band for band in corners)


def test_arms_of_several_lengths_are_drawn_over_their_updates():
    done = handmade.finished_cells()
    base, *_ = handmade.ARMS
    longer = replace(base.config, train=replace(base.config.train, epochs=3))
    done = [replace(one, cell=replace(one.cell, arm=replace(one.cell.arm, config=longer)))
            if one.cell.arm.name == base.name else one for one in done]  # fmt: skip
    figure = picture_of(sections_of(ablation_page(PLAN, analyse(PLAN, done)))["Curves"]).figure
    panel = panel_of(figure, "training loss")
    assert panel.get_xlabel() == "updates"
    assert {tuple(line.get_xdata()) for line in panel.lines} == {(10, 20)}


def test_interaction_is_in_percent_by_its_two_factors(sections):
    panel = panel_of(picture_of(sections["Interaction"]).figure, "optimiser")
    assert panel.get_xlabel() == "width"
    assert cells(panel) == {(0, 0): "80.00", (0, 1): "76.00", (1, 0): "60.00"}
    assert (ticks_of(panel.yaxis), ticks_of(panel.xaxis)) == ({0: "sgd", 1: "adam"}, {0: "narrow", 1: "wide"})


@pytest.mark.parametrize("changes", [{"design": "one-at-a-time"}, {"factors": {"optimiser": {"sgd": {}, "adam": {}}}}])
def test_there_is_no_interaction_of_one_factor_at_a_time(changes, results):
    assert "Interaction" not in sections_of(ablation_page(PLAN | changes, results))


def test_costs_are_seconds_of_training_alone(sections):
    (panel,) = picture_of(sections["Cost"]).figure.axes
    assert ticks_of(panel.yaxis) == {0: "sgd narrow", 1: "sgd wide", 2: "adam narrow"}
    assert {row: text for (row, _), text in cells(panel).items()} == {0: "2", 1: "12", 2: "7"}
    assert {row: set(line.get_xdata()) for line in panel.lines for row in line.get_ydata()} == {
        0: {5.0, 1.0, 2.0}, 1: {11.0, 12.0, 40.0}, 2: {7.0},
    }  # fmt: skip
    assert panel.get_xlabel() == "seconds of training per run"


def test_the_pictures_and_their_files(sections):
    keys = [picture.key for section in sections.values() for picture in section.pictures]
    assert keys == ["Paired differences", "Curves", "Interaction", "Cost"]
    np.testing.assert_array_equal([len(section.pictures) for section in sections.values()], [0, 1, 1, 1, 1, 0, 0])
