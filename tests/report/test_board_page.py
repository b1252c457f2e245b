"""Boards as tables, as a page and as a document, by value."""

import re

import pytest

from convnet.report import study, write_report
from convnet.report.board_document import board_document
from convnet.report.board_page import board_page
from convnet.report.board_tables import (
    change_table,
    convention_table,
    count_table,
    digit_table,
    entry_table,
    left_out_table,
    missing_table,
    point_table,
    referee_sentence,
    referee_table,
    release_table,
    unjudged_table,
    unknown_table,
)
from convnet.report.markdown import anchor, code, markdown_table
from tests.report.boards import ALL, ERF, PROD, ROWS, board, finding, refused, row
from tests.report.handmade import sections_of

BOARD = board(
    *ROWS,
    covered=["jax.numpy.prod", ERF, "jax.nn.relu"],
    left_out={"jax.numpy.sign": "of integers", "jax.numpy.floor": "constant", "jax.numpy.ceil": "constant"},
    missing=["jax.lax.new"],
)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_counts():
    assert dict(count_table(BOARD)[1:]) == {
        "functions": "5",
        "cases": "5",
        "points": "10",
        "numbers compared with the truth": "120",
        "audits by the referee": "3",
        "audits that failed": "1",
        "entries: wrong value of a derivative": "0",
        "entries: NaN or infinity where the derivative is finite": "0",
        "entries: wrong only where arguments are equal, zero or at a branch": "1",
        "entries: wrong in second order only": "1",
        "entries: wrong under a transform only": "0",
        "entries: computes in a lower precision than it was given": "0",
        "differences that no second witness confirms": "1",
        "points whose truth was not to be had": "0",
        "cases that could not be judged": "2",
        "functions: loses digits": "1",
        "functions: no derivative there: what is returned is a convention": "1",
        "public functions that a case is of": "3",
        "left out, with a reason": "3",
        "not covered": "1",
        "seconds": "61",
    }


def test_counts_of_two_boards_stand_side_by_side():
    table = count_table(board(ROWS[2], version="0.9.9", seconds=3.0), BOARD)
    assert table[0] == ["", "JAX 0.9.9", "JAX 0.10.1"]
    assert table[1] == ["functions", "1", "5"]
    assert table[-1] == ["seconds", "3", "61"]


def test_a_line_for_each_release():
    assert release_table(board(ROWS[2], version="0.9.9", seconds=3.0), BOARD)[1:] == [
        ["0.9.9", "1", "2", "30", *"000000", "1", "0", "3"],
        ["0.10.1", "5", "10", "120", *"001100", "3", "1", "61"],
    ]


def test_entries_are_what_one_function_has_of_one_kind_the_worst_kind_first():
    assert entry_table(BOARD) == [
        ["function", "kind", "in", "at", "returned", "truth", "dtypes", "ways", "points"],
        ["jax.numpy.prod", "special points", "x", "0.0, 2.5", "nan", "2.5", "float64, float32", "all", "3"],
        [ERF, "higher order", "x", "0.125", "-0.5", "0.75", "float64", "forward over reverse", "1"],
    ]


@pytest.mark.parametrize(
    ("found", "at", "returned", "ways"),
    [
        (finding(args=(0.1, 3.0)), "0.1, 3.0", "nan", "all"),
        (finding(args=(0.10000000149011612,), got=0.30000001192092896, dtype="float32"), "0.100000001", "0.300000012",
         "all"),
        (finding(args=([[0.5, -1.0], [2.0, "inf"]],), got=1 / 3), "[[0.5, -1.0], [2.0, inf]]", "0.333333333333333",
         "all"),
        (finding(args=([0.125] * 40,)), "[" + "0.125, " * 8 + "0.…", "nan", "all"),
        (finding(ways=["vmap", "reverse"]), "0.0, 2.5", "nan", "reverse, vmap"),
        (finding(kind="higher order", order=2, ways=["reverse over reverse", "forward over reverse"]), "0.0, 2.5",
         "nan", "all"),
    ],
)  # fmt: skip
def test_a_point_and_a_number_as_text(found, at, returned, ways):
    _, (_, _, _, *told) = entry_table(board(row(found["function"], found)))
    assert (told[0], told[1], told[4]) == (at, returned, ways)


def test_what_shows_an_entry_best_is_float64():
    last = [finding(dtype="float32", args=(1.0,)), finding(args=(7.0,), ways=["eager"]), finding(args=(8.0,))]
    assert entry_table(board(row("jax.numpy.prod", *last)))[1][3] == "8.0"


def test_a_convention_is_shown_with_the_slopes_of_both_sides():
    assert convention_table(BOARD)[1:] == [["jax.nn.relu", "0.0", "0", "0.0", "1.0", "1"]]


def test_of_lost_digits_the_most_are_shown():
    few, most = (finding(ERF, "digits", (x,), x, truth="7", ulps=ulps) for x, ulps in ((3.0, 2000.0), (5.0, 90000.0)))
    assert digit_table(board(row(ERF, few, most)))[1:] == [[ERF, "5.0", "5", "7", "float64", "9e+04", "2"]]


def test_all_points_of_an_entry_with_the_witnesses():
    group = [PROD, finding(dtype="float32", got=0.25, ways=["vmap"], entry=1, of="y", ulps=3e7)]
    witness = "differences of its own values"
    assert point_table(group) == [
        ["at", "label", "dtype", "order", "ways", "in", "returned", "truth", "roundoffs", "confirmed by"],
        ["0.0, 2.5", "zero", "float64", "1", "all", "x", "nan", "2.5", "", witness],
        ["0, 2.5", "zero", "float32", "1", "vmap", "y", "0.25", "2.5", "3e+07", witness],
    ]
    several = point_table([PROD, finding(call="jax.numpy.prod(x, axis=1)")])
    assert [line[0] for line in several] == ["call", "jax.numpy.prod(x, y)", "jax.numpy.prod(x, axis=1)"]


def test_what_was_not_judged_or_has_no_case():
    assert unjudged_table(BOARD)[1:] == [
        ["jax.lax.sort(x, y)", "refused", "TypeError: no"],
        ["jax.numpy.linalg.svd(x, y)", "out of time", "ended after 120 s"],
    ]
    assert left_out_table(BOARD)[1:] == [
        ["not covered", "1", "jax.lax.new"],
        ["of integers", "1", "jax.numpy.sign"],
        ["constant", "2", "jax.numpy.floor, jax.numpy.ceil"],
    ]


def test_what_a_library_does_not_offer_and_what_has_no_truth():
    partly = row("jax.lax.f")
    missing = {"no jvp": ["forward, float64", "scan, float64", "vmap, float32"], "no": ["bfloat16"]}
    partly["outcome"] |= {"missing": missing, "unknown": ["at 3: why"]}
    assert missing_table(board(partly))[1:] == [
        ["jax.lax.f(x, y)", "no jvp", "float64: forward, scan; float32: vmap"],
        ["jax.lax.f(x, y)", "no", "bfloat16"],
    ]
    assert unknown_table(board(partly))[1:] == [["jax.lax.f(x, y)", "at 3: why"]]


def test_the_referee_beside_the_board():
    right, alone = row("jax.nn.silu"), row("jax.nn.gelu", referee="failed", stages="power")
    wrong = row("jax.nn.elu", finding("jax.nn.elu", "wrong", label="generic"))
    unasked = row("jax.nn.glu", finding("jax.nn.glu"), referee="none", stages="no generic point")
    shown = board(*ROWS, right, alone, wrong, unasked)
    assert referee_table(shown)[1:] == [
        ["jax.numpy.prod(x, y)", "failed", "taylor, power", "special points"],
        ["jax.nn.gelu(x, y)", "failed", "power", "no defect"],
        [f"{ERF}(x, y)", "passed", "", "higher order"],
        ["jax.nn.elu(x, y)", "passed", "", "wrong"],
    ]
    assert re.findall(r"\d+", referee_sentence(shown)) == ["6", "2", "1", "4", "2", "1"]


# --- two releases -----------------------------------------------------------------------------------------------------

OLD = board(
    row("jax.numpy.prod", PROD, finding(args=(0.0, 4.0), got=9.0)),
    row(ERF, finding(ERF, "special points", (1.0,), 3.0)),
    row("jax.nn.relu"),
    refused("jax.nn.elu"),
    version="0.9.9",
)
NEW = board(
    row("jax.numpy.prod", finding(kind="not finite")),
    row(ERF),
    row("jax.nn.relu", *(finding("jax.nn.relu", "wrong", (x,), x + 1, label="generic") for x in (1.5, 2.5))),
    row("jax.nn.elu", finding("jax.nn.elu")),
    gone=["jax.numpy.cross"],
)


def test_what_a_release_broke_fixed_and_changed():
    assert change_table(OLD, NEW) == [
        ["function", "what", "at", "then: JAX 0.9.9", "now: JAX 0.10.1", "truth", "points"],
        ["jax.nn.relu", "broken", "1.5", "no defect", "wrong: 2.5", "2.5", "2"],
        ["jax.numpy.prod", "fixed", "0.0, 4.0", "special points: 9", "no defect", "2.5", "1"],
        [ERF, "fixed", "1.0", "special points: 3", "no defect", "2.5", "1"],
        ["jax.numpy.prod", "wrong in another way", "0.0, 2.5", "special points: nan", "not finite: nan", "2.5", "1"],
    ]


def test_nothing_changed():
    assert len(change_table(NEW, NEW)) == 1


# --- the document -----------------------------------------------------------------------------------------------------


@pytest.fixture
def document(tmp_path):
    """The text of a document of some boards."""

    def text(*boards, **options):
        board_document(tmp_path / "board.md", boards, **options)
        return (tmp_path / "board.md").read_text(encoding="utf-8")

    return text


def table_below(text, title):
    """The rows of the first table under a heading, headings first."""
    below = text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in below.split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in (lines[0], *lines[2:])]


def test_the_document_of_two_releases(document):
    text = document(NEW, OLD)  # in whatever order
    assert table_below(text, "Counts")[:2] == [["", "JAX 0.9.9", "JAX 0.10.1"], ["functions", "4", "4"]]
    head, *rows = table_below(text, "Defects")
    assert head[-3:] == ["points", "0.9.9", "0.10.1"]
    assert [(re.findall("`(.*)`", line[0]), line[1], *line[-3:]) for line in rows] == [
        (["jax.nn.relu"], "wrong", "2", "no", "yes"),
        (["jax.numpy.prod"], "not finite", "1", "no", "yes"),
        (["jax.numpy.prod"], "special points", "2", "yes", "no"),
        (["jax.nn.elu"], "special points", "1", "not judged", "yes"),
        ([f"{ERF}"], "special points", "1", "yes", "no"),
    ]
    changes = table_below(text, "From JAX 0.9.9 to 0.10.1")
    assert [line[1] for line in changes[1:]] == ["broken", "fixed", "fixed", "wrong in another way"]
    assert "Functions that are no longer there: jax.numpy.cross." in text
    assert "What comes after the programs is of JAX 0.10.1." in text


def test_every_entry_leads_to_its_program(document):
    text = document(BOARD)
    links = re.findall(r"\]\(#(.*?)\)", text)
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert links == [anchor(heading) for heading in headings] == [
        "1-jaxnumpyprod-special-points", "2-jaxscipyspecialerf-higher-order",
    ]  # fmt: skip
    programs = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    assert programs == [f"import jax\nprint({name}(x, y))" for name in ("jax.numpy.prod", ERF)]
    assert "JAX 0.10.1. Confirmed by: differences of its own values.\n" in text


def test_the_document_has_the_rest_of_the_board(document):
    text = document(BOARD)
    assert table_below(text, "Conventions")[1:] == [["`jax.nn.relu`", "0.0", "0", "0.0", "1.0", "1"]]
    assert table_below(text, "Lost digits")[1][5] == "4.32e+03"
    assert [line[:2] for line in table_below(text, "Not confirmed")[1:]] == [["`jax.numpy.prod`", "wrong"]]
    assert table_below(text, "Not judged")[1] == ["`jax.lax.sort(x, y)`", "refused", "`TypeError: no`"]
    assert table_below(text, "Without a case")[-1] == ["constant", "2", "`jax.numpy.floor, jax.numpy.ceil`"]
    assert "Python 3.11.9, JAX 0.10.1, optax 0.2.6: abacus, 7 CPU cores, Linux-6; 2026-03-04." in text
    assert text.count("\n\n\n") == 0


def test_a_board_without_findings_says_so(document):
    text = document(board(row("jax.nn.relu")))
    for title in ("Defects", "Conventions", "Lost digits", "Not confirmed", "Not judged", "Without a case"):
        assert "\nNone.\n" in text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_known_threads_are_linked(document):
    about_first_order = {("wrong", ERF): "https://example.org/issues/11"}
    text = document(BOARD, threads=about_first_order | {("higher order", ERF): "https://example.org/issues/12"})
    head, prod, erf = table_below(text, "Defects")
    assert (head[-1], prod[-1], erf[-1]) == ("thread", "", "[12](https://example.org/issues/12)")


def test_two_boards_of_one_release_are_refused(document):
    with pytest.raises(ValueError, match=r"^boards is \['0.10.1', '0.10.1'\]: expected one for each release of JAX"):
        document(BOARD, NEW)


def test_markdown():
    assert markdown_table([["a", "n"], ["x|y", "1\n2"]]).split("\n") == ["| a | n |", "| --- | ---: |",
                                                                        "| x\\|y | 1 2 |"]  # fmt: skip
    assert markdown_table([["a", "n"]], right=False).endswith("\n| --- | --- |")
    assert [code(text) for text in ("", "f(x)", "a `b` ``c``")] == ["", "`f(x)`", "``` a `b` ``c`` ```"]
    assert anchor("3. jax.numpy.prod, special points") == "3-jaxnumpyprod-special-points"


# --- the page ---------------------------------------------------------------------------------------------------------


def page_of(shown):
    return board_page(shown, study.circumstances(shown.environment))


def test_the_page_has_every_entry_once():
    page = page_of(BOARD)
    assert page.title == "Derivatives of JAX 0.10.1 beside their mathematics"
    assert page.facts["versions"] == "Python 3.11.9, JAX 0.10.1"
    sections = sections_of(page)
    assert {title: [entry.title for entry in section.entries] for title, section in sections.items()} == {
        "Counts": [],
        "Defects": ["jax.numpy.prod", ERF],
        "Not confirmed": ["jax.numpy.prod"],
        "Conventions": ["jax.nn.relu"],
        "Lost digits": [ERF],
        "The referee": [],
        "Not judged": [],
        "Without a case": ["not covered", "of integers", "constant"],
    }
    prod, erf = sections["Defects"].entries
    assert prod.facets == {"kind": ["special points"], "module": ["jax.numpy"], "dtype": ["float64", "float32"],
                           "order": ["first"]}  # fmt: skip
    assert erf.facets == {"kind": ["higher order"], "module": ["jax.scipy.special"], "dtype": ["float64"],
                          "order": ["second"]}  # fmt: skip
    assert prod.line == "jax.numpy.prod(x, y) at 0.0, 2.5: nan, and the derivative is 2.5"
    assert (prod.code, prod.table) == (PROD["reproduction"], point_table(BOARD.entries()[0]))
    (relu,) = sections["Conventions"].entries
    assert relu.line == "jax.nn.relu(x) at 0.0: 0, and there is no derivative (0.0 from the left, 1.0 from the right)"


@pytest.mark.parametrize(
    ("function", "module"),
    [
        ("jax.numpy.linalg.norm", "jax.numpy.linalg"),
        ("jax.scipy.stats.norm.pdf", "jax.scipy.stats"),
        ("flax.linen.LayerNorm", "flax.linen"),
        ("other.part.f", "other.part"),
    ],
)
def test_modules_are_those_that_are_looked_through(function, module):
    (entry,) = sections_of(page_of(board(row(function, finding(function)))))["Defects"].entries
    assert entry.facets["module"] == [module]


def test_a_board_without_findings_has_a_page():
    assert list(sections_of(page_of(board(row("jax.nn.relu"))))) == ["Counts"]


def test_the_html_escapes_what_libraries_say(tmp_path):
    unusual = finding("jax.nn.f", call="f(x) < '<b>'", reproduction='print("</code><script>x</script>")', ways=ALL)
    shown = board(row("jax.nn.f", unusual), refused("jax.nn.g", said="<class 'int'> & more"))
    assert write_report(tmp_path / "report.html", *page_of(shown)) == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count('<details data-kind="|special points|" data-module="|jax.nn|" data-dtype="|float64|"') == 1
    assert "&lt;/code&gt;&lt;script&gt;x&lt;/script&gt;" in html
    assert "&lt;class &#39;int&#39;&gt; &amp; more" in html
    assert "<b>" not in html
    assert "<script>x" not in html
