"""The page of claims and the document, number by number."""

from dataclasses import replace

import pytest

from convnet.claims import RULE, Claim
from convnet.claims.page import claims_page, write_document
from convnet.claims.stored import Answer
from convnet.report import Section
from tests.claims.handmade import MADE_BY, answers, drawn, evidence
from tests.report.handmade import CARD, WHERE, sections_of

HEAD = ["finding", "measured (95 %)", "bound", "outcome"]
ROWS = [
    ["it is wet: share of hands", "0.975 (0.868 … 0.999; 40 hands)", "at least 0.5", "holds"],
    ["|error| of the weight", "2e-13", "at most 1e-12", "holds"],
    ["cold, too (condition)", "2 (-0.484 … 4.48; 3 seeds)", "at least 0 and at most 1.5", "open"],
]


def test_the_page_of_one_claim():
    page = claims_page(answers()[:1])
    assert page.title == "Water is wet"
    assert page.facts == CARD | {"measuring": "12 s"}
    sections = sections_of(page)
    assert list(sections) == ["3. Water is wet", "Hands"]
    section = sections["3. Water is wet"]
    assert section.text == (
        "Water, where it is liquid, is wet. Source: Thales, Miletus 585 BC. Verdict: holds with conditions. "
        "Look at the bar."
    )
    assert section.table == [HEAD, *ROWS]
    assert [picture.key for picture in section.pictures] == ["the first bar", "images"]
    assert sections["Hands"].table == [["hand", "wet"], ["left", "yes"]]


def test_the_page_of_several_begins_with_their_verdicts_and_the_rule():
    page = claims_page(answers(), [Section("7. Earth", "could not be measured (no earth)")])
    assert page.title == "What the textbooks claim, measured"
    assert page.facts == CARD | {
        "date": "2026-03-04; 2026-03-05", "command": "experiments/claims.py", "measuring": "13 s",
    }  # fmt: skip
    sections = sections_of(page)
    assert list(sections) == ["Verdicts", "3. Water is wet", "Hands", "11. Fire: hot, or not", "7. Earth"]
    assert sections["Verdicts"].text == RULE
    assert sections["Verdicts"].table == [
        ["claim", "verdict", "measured first", "time"],
        ["3. Water is wet", "holds with conditions", "0.975 (0.868 … 0.999; 40 hands)", "12 s"],
        ["11. Fire: hot, or not", "not decided", "5 (no interval; 3 seeds)", "1 s"],
    ]
    assert sections["11. Fire: hot, or not"].text == (
        "Fire is hot. Source: Heraclitus, Ephesus 500 BC. Verdict: not decided."
    )
    assert sections["7. Earth"].text == "could not be measured (no earth)"


def test_a_quick_one_says_that_it_is_no_result():
    first, second = answers()
    quick = replace(second, made_by=MADE_BY | {"quick": True})
    told = "quick: small sizes and few seeds, to see whether everything runs; not a result"
    assert claims_page([first, quick]).facts["effort"] == told
    assert "effort" not in claims_page([first, second]).facts


DOCUMENT = f"""\
# What the textbooks claim, measured

`make claims` measures all of it and writes this file. abacus, 7 CPU cores, Linux-6; Python 3.11.9, JAX 0.10.1; \
2026-03-04; 2026-03-05.

{RULE}

| claim | verdict |
| --- | --- |
| [3. Water is wet](#3-water-is-wet) | holds with conditions |
| [11. Fire: hot, or not](#11-fire-hot-or-not) | not decided |

## 3. Water is wet

Water, where it is liquid, is wet. Source: Thales, Miletus 585 BC.

**Holds with conditions.** Look at the bar.

| finding | measured (95 %) | bound | outcome |
| --- | --- | --- | --- |
| it is wet: share of hands | 0.975 (0.868 … 0.999; 40 hands) | at least 0.5 | holds |
| \\|error\\| of the weight | 2e-13 | at most 1e-12 | holds |
| cold, too (condition) | 2 (-0.484 … 4.48; 3 seeds) | at least 0 and at most 1.5 | open |

![a bar of height 1](claims/03-water-is-wet.png)

Height: 1.

`python experiments/claims/water.py` (12 s)

## 11. Fire: hot, or not

Fire is hot. Source: Heraclitus, Ephesus 500 BC.

**Not decided.**

| finding | measured (95 %) | bound | outcome |
| --- | --- | --- | --- |
| as hot everywhere | 5 (no interval; 3 seeds) | at least 4 | open |

![a bar of height 4](claims/11-fire-hot-or-not.png)

Height: 4.

`python experiments/claims/fire.py` (1 s)
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "claims.md"
    write_document(path, answers(), ["water", "fire"])
    return path


def test_the_document(document):
    assert document.read_text(encoding="utf-8") == DOCUMENT


def test_its_pictures_are_the_first_of_each_claim(document):
    folder = document.with_suffix("")
    assert sorted(path.name for path in folder.iterdir()) == ["03-water-is-wet.png", "11-fire-hot-or-not.png"]
    for answer, name in zip(answers(), ["03-water-is-wet.png", "11-fire-hot-or-not.png"], strict=True):
        assert (folder / name).read_bytes() == answer.evidence.pictures[0].figure


def test_a_picture_of_an_older_title_goes_and_nothing_else_does(document):
    folder = document.with_suffix("")
    for name in ("03-water-is-dry.png", "photo.png", "1-own.png"):
        (folder / name).write_bytes(b"x")
    write_document(document, answers(), ["water", "fire"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "03-water-is-wet.png", "1-own.png", "11-fire-hot-or-not.png", "photo.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("Max-pooling's shifts", "3-max-pooling-s-shifts".replace("g-s", "gs")),
        ("A – b (c)", "3-a--b-c"),
        ("3×3 kernels, 100 %", "3-33-kernels-100-"),
        ("snake_case", "3-snake_case"),
    ],
)
def test_links_within_the_document_are_those_that_github_makes(tmp_path, title, anchor):
    answer = Answer(Claim(3, title, "s", "p"), drawn(evidence()), 1.0, MADE_BY, WHERE)
    write_document(tmp_path / "d.md", [answer], ["f"])
    assert f"| [3. {title}](#{anchor}) |" in (tmp_path / "d.md").read_text(encoding="utf-8")
