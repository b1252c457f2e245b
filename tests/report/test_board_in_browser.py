"""The page of a board in a browser: searched, chosen from, opened; by keyboard, dark, on a phone, without a script."""

import pytest

from convnet.report import study, write_report
from convnet.report.board_page import board_page
from tests.browser import serious_findings
from tests.report.boards import ROWS, board, finding, row

MATRIX = [[0.5, -1.25, 3.0], [1e-310, 2.0, -7.0]]
SHOWN = ".entries > details:visible"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("board") / "report.html"
    long = "print(" + " + ".join(["jax.jit(jax.grad(f))(x)"] * 12) + ")"
    svd = finding("jax.numpy.linalg.svd", "not finite", (MATRIX,), reproduction=long, call="jax.numpy.linalg.svd(x)")
    left = {f"jax.numpy.is_{i}": "of integers" for i in range(40)}
    shown = board(*ROWS[:4], row("jax.numpy.linalg.svd", svd), left_out=left, missing=["jax.lax.new"])
    assert write_report(path, *board_page(shown, study.circumstances(shown.environment))) == []
    return path


def titles(page):
    return page.locator(f"{SHOWN} > summary > strong").all_text_contents()


ALL = ["jax.numpy.linalg.svd", "jax.numpy.prod", "jax.scipy.special.erf", "jax.numpy.prod", "jax.nn.relu",
       "jax.scipy.special.erf", "not covered", "of integers"]  # fmt: skip


def test_all_is_shown_until_something_is_asked_for(visit, report):
    page = visit(report)
    assert titles(page) == ALL
    assert page.locator(".filters output").text_content() == "8 of 8 shown"
    page.fill("input[type=search]", "  PROD zero ")
    assert titles(page) == ["jax.numpy.prod", "jax.numpy.prod"]
    assert page.locator("#defects .count").text_content() == "1 of 3"
    page.fill("input[type=search]", "is_17")
    assert titles(page) == ["of integers"]
    page.fill("input[type=search]", "no such thing")
    assert titles(page) == []
    assert page.locator(".filters button").is_disabled()
    page.fill("input[type=search]", "")
    assert titles(page) == ALL
    assert page.locator("#defects .count").text_content() == "3"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"kind": "higher order"}, ["jax.scipy.special.erf"]),
        ({"module": "jax.numpy"}, ["jax.numpy.prod", "jax.numpy.prod"]),
        ({"dtype": "float32"}, ["jax.numpy.prod"]),
        ({"order": "second"}, ["jax.scipy.special.erf"]),
        ({"module": "jax.scipy.special", "order": "first"}, ["jax.scipy.special.erf"]),
        ({"kind": "convention", "dtype": "float32"}, []),
    ],
    ids=str,
)
def test_entries_are_chosen(visit, report, chosen, expected):
    page = visit(report)
    for facet, value in chosen.items():
        page.select_option(f"select[data-facet={facet}]", value)
    assert titles(page) == expected


def test_kinds_are_offered_in_their_order(visit, report):
    options = visit(report).locator("select[data-facet=kind] option").all_text_contents()
    assert options == ["all", "not finite", "special points", "higher order", "wrong", "convention", "digits"]


def test_an_entry_opens_by_keyboard_and_all_by_a_button(visit, report):
    page = visit(report)
    page.locator("#defects summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#defects pre").first.is_visible()
    assert page.locator("#defects td").first.text_content() == "[[0.5, -1.25, 3.0], [1e-310, 2.0, -7.0]]"
    page.get_by_role("button", name="Close all").click()
    assert page.locator("details[open]").count() == 0
    page.select_option("select[data-facet=kind]", "digits")
    page.get_by_role("button", name="Open all").click()
    assert page.locator("details[open]").count() == 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nobody_is_kept_out_and_nothing_sticks_out(visit, report, dark, width):
    page = visit(report, width=width, dark=dark)
    page.get_by_role("button", name="Open all").click()
    assert serious_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_a_script_all_is_there(visit, report):
    page = visit(report, java_script_enabled=False)
    assert titles(page) == ALL
    assert not page.locator(".filters").is_visible()
    page.locator("#defects summary").first.click()
    assert page.locator("#defects pre").first.is_visible()
