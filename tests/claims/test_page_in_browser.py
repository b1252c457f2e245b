"""The page of all claims in a browser: nobody is kept out, whatever the light, and however small the screen."""

import pytest

from convnet.claims import Claim, Evidence, Finding, exact
from convnet.claims.page import claims_page
from convnet.claims.stored import Answer
from convnet.report import Section, write_report
from tests.browser import serious_findings
from tests.claims.handmade import MADE_BY, answers, drawn, picture
from tests.report.handmade import WHERE

LONG = Claim(
    14, "A claim of which the title is as long as a title may be, and goes on over more than one line of a telephone",
    "It is so. " * 20, "Somebody and Somebody Else, Transactions of a Society with a Very Long Name 1999, pp. 1–99",
)  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Claims that hold and that are not decided, one with long words, and one that could not be measured."""
    findings = [
        Finding("the layer block3/conv2_relu minus block3/shortcut, over ten seeds, " * 4, exact(i), least=i)
        for i in range(4)
    ]
    long = Answer(LONG, drawn(Evidence(findings, [picture()], text="A sentence. " * 30)), 61.0, MADE_BY, WHERE)
    path = tmp_path_factory.mktemp("claims") / "report.html"
    failed = Section("7. Earth", "could not be measured (TFDS_DATA_DIR does not hold earth)")
    assert write_report(path, *claims_page([*answers(), long], [failed])) == []
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nobody_is_kept_out_and_nothing_sticks_out(visit, report, dark, width):
    page = visit(report, width=width, dark=dark)
    assert serious_findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_contents_lead_to_every_claim_and_all_pictures_are_there(visit, report):
    page = visit(report)
    links = page.eval_on_selector_all("nav a", "all => all.map(one => one.textContent)")
    assert links == ["Verdicts", "3. Water is wet", "Hands", "11. Fire: hot, or not", f"14. {LONG.title}", "7. Earth"]
    for i in range(len(links)):
        page.locator("nav a").nth(i).click()
        assert page.evaluate("document.querySelector(':target h2').textContent") == links[i]
    loaded = page.eval_on_selector_all("main img", "all => all.map(one => one.complete && one.naturalWidth > 0)")
    assert loaded == [True] * 4


def test_the_verdicts_can_be_read_without_scrolling_sideways(visit, report):
    page = visit(report)
    cells = page.eval_on_selector_all(
        "section:first-of-type tbody td:nth-child(2)",
        "all => all.map(one => [one.textContent, one.getBoundingClientRect().right])",
    )
    assert [text for text, _ in cells] == ["holds with conditions", "not decided", "holds"]
    assert max(right for _, right in cells) < 1280


@pytest.fixture(scope="module")
def long_report(tmp_path_factory):
    """Of more sections than fit above the first on a phone."""
    path = tmp_path_factory.mktemp("long") / "report.html"
    write_report(path, "Many", {}, [Section(f"{number}. {LONG.title}", "So it is.") for number in range(20)])
    return path


def test_a_long_list_of_contents_is_open_where_there_is_room_and_closed_on_a_phone(visit, long_report):
    wide = visit(long_report)
    assert wide.locator("nav a").nth(19).is_visible()
    phone = visit(long_report, width=390)
    assert not phone.locator("nav a").nth(0).is_visible()
    first = phone.evaluate("document.querySelector('h2').getBoundingClientRect().top")
    assert first < 400
    phone.click("nav summary")
    phone.locator("nav a").nth(7).click()
    assert phone.evaluate("document.querySelector(':target h2').textContent").startswith("7. ")
