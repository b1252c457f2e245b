"""Every number of a comparison stands where its heading says: table, CSV, summary, card and pictures."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from convnet.report import comparison_table, tiles
from convnet.report.comparison_page import comparison_page, write_comparison
from convnet.settings import content_hash
from tests.report import handmade
from tests.report.drawn import cells, legend_colours, lines, panel_of, ticks_of, titled
from tests.report.handmade import CARD, PETS, WHERE, columns_of, picture_of, sections_of


@pytest.fixture(autouse=True, scope="module")
def here():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convnet.report.comparison_page.environment", lambda: WHERE)
        yield


@pytest.fixture(scope="module")
def families():
    return [handmade.linear_family(), handmade.cnn_family()]


@pytest.fixture(scope="module")
def page(families):
    return comparison_page(families, PETS)


@pytest.fixture(scope="module")
def sections(page):
    return sections_of(page)


def one_run(family):
    """Its first seed alone."""
    return replace(family, runs=tuple(run for run in family.runs if run.seed == 0))


# --- numbers ----------------------------------------------------------------------------------------------------------

TABLE = [
    ["model", "test accuracy (95 % interval)", "parameters", "FLOPs / image", "s / epoch", "compile s",
     "s to 70% validation"],
    # 4.30 standard errors of 0.25 / √3 to either side; medians of 2, 4 and 10 s, and of 2 and 4 s
    ["linear", "75.00% (12.90 … 100.00)", "1,234", "5.6 M", "4", "7.3", "3 (2 of 3)"],
    ["cnn", "50.00% (—) (2 of 3 diverged)", "98", "4.32 k", "0.5", "0.4", "0.5 (1 of 3)"],
]  # fmt: skip


def test_the_table(families, sections):
    assert sections["Results"].table == comparison_table([family.summary() for family in families]) == TABLE
    assert sections["Results"].text == "cnn: one run has no interval: two seeds or more are needed"


def test_what_was_not_reached_says_so(families):
    table = columns_of(comparison_table([replace(families[0], target=1.1).summary()]))
    assert table["linear"]["s to 110% validation"] == "not reached"
    untimed = columns_of(comparison_table([replace(families[0], target=None).summary()]))
    assert list(untimed["linear"]) == TABLE[0][:-1]


ROWS = {
    ("linear", "0"): "finished,3,4,0.75,0.25,1.0,2,2,1234,5600000.0,2.0,7.3,4.0,0.7,hand",
    ("linear", "1"): "finished,2,4,0.5,0.75,0.75,1,2,1234,5600000.0,4.0,7.3,2.0,0.7,hand",
    ("linear", "2"): "finished,4,4,1.0,0.125,0.625,2,2,1234,5600000.0,10.0,7.3,,0.7,hand",
    ("cnn", "0"): "finished,2,4,0.5,0.5,0.875,1,1,98,4321.0,0.5,0.44,0.5,0.7,auto",
    ("cnn", "1"): "diverged,,,,,,,1,98,4321.0,,0.44,,0.7,auto",
    ("cnn", "2"): "diverged,,,,,,,1,98,4321.0,,0.44,,0.7,auto",
}
COLUMNS = (
    "status,test_hits,test_images,test_accuracy,test_loss,validation_accuracy,best_epoch,epochs,parameters,"
    "flops_per_image,seconds_per_epoch,compile_seconds,seconds_to_target,target,gradient"
)


def test_every_column_of_the_csv(families, tmp_path):
    text, missing = write_comparison(tmp_path, families, PETS)
    assert missing == []
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {",".join(row) for row in rows} == {f"family,data,seed,{COLUMNS},run"}
    assert {row.pop("data") for row in rows} == {"pets"}
    runs = {row["seed"]: row.pop("run") for row in rows if row["family"] == "linear"}
    assert runs == {str(run.seed): content_hash(run.result.config) for run in handmade.linear_family().runs}
    found = {(row["family"], row["seed"]): ",".join(row[name] for name in COLUMNS.split(",")) for row in rows}
    assert found == ROWS
    assert text.splitlines()[0].split("  ")[0].strip() == "model"
    assert text.endswith("cnn: one run has no interval: two seeds or more are needed")


@pytest.mark.usefixtures("unseen_pictures")
def test_the_summary(families, tmp_path):
    write_comparison(tmp_path, families, PETS)
    stored = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert stored["environment"] == WHERE
    found = {family.pop("family"): family for family in stored["families"]}
    assert found["linear"].pop("interval95") == pytest.approx([0.75 - 0.62103, 0.75 + 0.62103], abs=1e-5)
    assert {name: value for name, value in found["linear"].items() if name not in ("config", "remarks")} == {
        "seeds": 3,
        "diverged": 0,
        "test_accuracy": 0.75,
        "parameters": 1234,
        "flops_per_image": 5.6e6,
        "seconds_per_epoch": 4.0,
        "compile_seconds": 7.3,
        "target": 0.7,
        "seconds_to_target": 3.0,
        "reached_target": 2,
    }
    assert (found["cnn"]["seeds"], found["cnn"]["diverged"], found["cnn"]["interval95"]) == (3, 2, [None, None])


def test_one_run_alone_is_told_quantity_by_quantity(families):
    section = sections_of(comparison_page([one_run(families[0])], PETS, "One run"))["Result"]
    assert section.table == [
        ["quantity", "value"],
        ("test accuracy", "75.00%"),
        ("test loss", "0.2500"),
        ("validation accuracy", "100.00%"),
        ("best epoch", "2 of 2"),
        ("parameters", "1,234"),
        ("FLOPs / image", "5.6 M"),
        ("s / epoch", "2"),
        ("compile s", "7.3"),
        ("s to 70% validation", "4"),
    ]


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card(page):
    assert page.title == "Linear and CNN on pets"
    assert page.facts == {
        "data": "pets, 2 × 3 × 1; training: 7 (linear), 6 (cnn), 5 validation, 4 test images",
        "gradients": "derived by hand, JAX autodiff",
        "budget": "3 seeds; linear 2 epochs of batch 3, sgd 0.25, cnn 1 epochs of batch 2, adam 0.003, shifted by up "
        "to 1 pixels, mirrored, cropped to 2 pixels",
        **CARD,
    }


def test_the_card_of_one_family(families):
    linear, cnn = (comparison_page([one_run(family)], PETS).facts for family in families)
    assert linear["data"] == "pets, 2 × 3 × 1; 7 training, 5 validation, 4 test images"
    assert (linear["gradients"], cnn["gradients"]) == ("derived by hand", "JAX autodiff")
    assert linear["budget"] == "seed 0; 2 epochs of batch 3, sgd 0.25"


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_the_pictures_and_their_files(sections):
    assert {title: [picture.key for picture in section.pictures] for title, section in sections.items()} == {
        "Results": [],
        "Learning curves": ["Learning curves"],
        "Confusion matrices": ["Confusion matrices"],
        "Templates of the linear model": ["Templates of the linear model"],
        "First-layer filters of the CNN": ["First-layer filters of the CNN"],
        "Most confident errors": ["Most confident errors"],
        "Settings": [],
        "Settings in common": [],
    }


def test_curves_are_those_of_the_records(sections):
    picture = picture_of(sections["Learning curves"])
    figure, names = picture.figure, ("training loss", "validation loss", "validation error")
    assert [panel.get_ylabel() for panel in figure.axes] == [*names]
    assert {panel.get_yscale() for panel in figure.axes} == {"log"}
    colours = legend_colours(*figure.legends)
    linear = {name: [y for _, y in lines(panel_of(figure, name), colours["linear"])] for name in names}
    assert linear["training loss"] == [[4, 2], [6, 1], [8, 3], [6, 2]]
    assert linear["validation loss"] == [[3, 1.5], [5, 2.5], [7, 3.5], [5, 2.5]]
    np.testing.assert_allclose(linear["validation error"][:3], [[0.5, 1e-4], [0.25, 0.5], [0.75, 0.375]])
    assert lines(panel_of(figure, "training loss"), colours["cnn"]) == [([1], [9])] * 2
    assert picture.caption.startswith("Thin lines are seeds, thick lines their mean.")


def test_confusions_are_those_of_the_test_labels_added_up_over_the_seeds(sections):
    picture = picture_of(sections["Confusion matrices"])
    panels = titled(picture.figure)
    assert cells(panels["linear"]) == {(0, 0): "4", (0, 1): "1", (0, 2): "1", (1, 1): "2", (1, 2): "1", (2, 2): "3"}
    assert cells(panels["cnn"]) == {(0, 0): "1", (0, 1): "1", (1, 2): "1", (2, 2): "1"}
    assert ticks_of(panels["cnn"].yaxis) == {0: "cat", 1: "dog", 2: "owl"}
    assert picture.caption.startswith("Test images, counts added up over the seeds.")


def test_templates_stand_above_the_mean_training_image_of_their_class(sections):
    picture = picture_of(sections["Templates of the linear model"])
    templates = tiles.signed_rgb(handmade.KERNEL.T.reshape(3, 2, 3, 1))
    for name, expected in zip(PETS.class_names, templates, strict=True):
        np.testing.assert_allclose(titled(picture.figure)[name].images[0].get_array(), expected, atol=1e-6)
    means = panel_of(picture.figure, "class mean").images[0].get_array()
    np.testing.assert_allclose(means, np.full((2, 3, 3), (10 + 40 + 70) / 3 / 255))
    assert "± 9;" in picture.caption
    assert "Seed 0." in picture.caption


def test_filters_are_those_of_the_first_layer(sections):
    picture = picture_of(sections["First-layer filters of the CNN"])
    largest_first = tiles.signed_rgb(np.stack([np.full((3, 3, 1), -2.0), np.full((3, 3, 1), 0.5)]))
    shown = titled(picture.figure)["one scale for all"].images[0].get_array()
    np.testing.assert_allclose(shown, tiles.grid(largest_first, columns=2))
    assert picture.caption.startswith("2 kernels of 3 × 3, largest norm first")
    assert "± 2)" in picture.caption


def test_errors_show_the_image_its_class_the_answer_and_how_sure_it_was(sections):
    """By the first seed: the linear model took the second cat for a dog, the CNN the first, and the dog for an owl."""
    panels = titled(picture_of(sections["Most confident errors"]).figure)
    sure, surer = (np.exp(x) / (np.exp(x) + 2) for x in (2, 3))
    greys = {f"cat → dog\n{sure:.0%}": 160, f"cat → dog\n{surer:.0%}": 150, f"dog → owl\n{surer:.0%}": 170}
    assert panels.keys() == greys.keys()
    for title, grey in greys.items():
        np.testing.assert_allclose(panels[title].images[0].get_array(), np.full((2, 3, 3), grey / 255))


def test_a_page_without_errors_has_no_picture_of_them(families):
    right = replace(families[0], runs=tuple(run for run in families[0].runs if run.seed == 2))
    assert "Most confident errors" not in sections_of(comparison_page([right], PETS))
