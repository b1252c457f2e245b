"""A report in a browser: everything loads, pictures enlarge, a keyboard suffices, nobody is kept out."""

import numpy as np
import pytest

from convnet.report import Picture, Section, Tile, figures, write_report
from tests.browser import serious_findings


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with all that a page may have: prose, a table of text, a chart, tiles, pixels."""
    rng = np.random.default_rng(0)
    tiles = [Tile(rng.uniform(size=(8, 8, 3)), f"tile {i}", f"label {i}") for i in range(12)]
    curves = {"cnn": {"loss": np.array([[1.0, 0.5], [0.8, 0.4]])}}
    sections = [
        Section("Results", "Some prose.", [["model", "accuracy"], ["a rather long name of a model", "95.60%"]]),
        Section("Tiles", table=[["", *"abcdefghijkl"], ["row", *tiles]], caption="Below the tiles."),
        Section(
            "Chart", pictures=[Picture("loss", figures.learning_curves(curves, {"loss": "loss (log)"}), "a curve")]
        ),
        Section(
            "Pixels", pictures=[Picture("maps", rng.uniform(size=(20, 90, 3)), "maps of a layer", "Sixteen maps.")]
        ),
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(path, "A report", {"data": "digits", "command": "x" * 200}, sections) == []
    return path


def test_every_picture_loads_with_no_network(visit, report):
    page = visit(report)
    loaded = page.eval_on_selector_all("main img", "all => all.map(one => one.complete && one.naturalWidth > 0)")
    assert loaded == [True] * 14


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nobody_is_kept_out_and_nothing_sticks_out(visit, report, dark, width):
    page = visit(report, width=width, dark=dark)
    assert serious_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_contents_lead_to_their_sections(visit, report):
    page = visit(report)
    links = page.eval_on_selector_all("nav a", "all => all.map(one => one.getAttribute('href'))")
    assert links == ["#results", "#tiles", "#chart", "#pixels"]
    page.click("nav a[href='#pixels']")
    assert page.evaluate("document.querySelector(':target h2').textContent") == "Pixels"


def test_a_picture_enlarges_and_its_neighbours_follow_by_arrow_keys(visit, report):
    page = visit(report)
    button = page.locator("button.zoom").nth(3)
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    assert dialog.locator("p").text_content() == "tile 3 — label 3"
    small = page.locator("main img").nth(3).bounding_box()["width"]
    assert dialog.locator("img").bounding_box()["width"] > 4 * small
    page.keyboard.press("ArrowRight")
    assert dialog.locator("p").text_content() == "tile 4 — label 4"
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert dialog.locator("output").text_content() == "14 of 14"
    assert dialog.locator("p").text_content() == "maps of a layer — Sixteen maps."
    assert serious_findings(page) == []
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.querySelector('img').alt") == "maps of a layer"


def test_the_dialog_closes_with_a_click_beside_it_and_its_buttons_work(visit, report):
    page = visit(report)
    page.locator("button.zoom").nth(0).click()
    page.get_by_role("button", name="Next").click()
    assert page.locator("dialog output").text_content() == "2 of 14"
    page.get_by_role("button", name="Previous").click()
    assert page.locator("dialog output").text_content() == "1 of 14"
    page.mouse.click(2, 2)
    assert not page.locator("dialog").is_visible()
    page.locator("button.zoom").nth(0).click()
    page.get_by_role("button", name="Close").click()
    assert not page.locator("dialog").is_visible()


def test_a_chart_turns_dark_and_pixels_keep_their_colours(visit, report):
    filters = {
        dark: visit(report, dark=dark).eval_on_selector_all(
            "main img", "all => all.map(one => [one.className, getComputedStyle(one).filter])"
        )
        for dark in (False, True)
    }
    assert {value for _, value in filters[False]} == {"none"}
    assert {value != "none" for name, value in filters[True] if "chart" in name} == {True}
    assert {value for name, value in filters[True] if "pixels" in name} == {"none"}
