"""The page of a board: every defect with its points, witnesses and a program that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from convnet.board.board import Board, worst
from convnet.board.inventory import MODULES, PARTS
from convnet.board.verdict import KINDS
from convnet.report import Page, Section
from convnet.report import board_tables as tables
from convnet.report.board_tables import Found
from convnet.report.page import Entry

ORDERS = {1: "first", 2: "second"}


def board_page(board: Board, circumstances: Mapping[str, str]) -> Page:
    """What `write_report` writes."""
    sections = [Section("Counts", table=tables.count_table(board)), *_found(board), *_others(board)]
    shown = [section for section in sections if section.entries or len(section.table or ()) > 1]
    return Page(f"Derivatives of JAX {board.version} beside their mathematics", circumstances, shown)


def _found(board: Board) -> list[Section]:
    """All numbers that are not the truth, in entries that can be searched."""
    return [
        Section("Defects", DEFECTS, entries=_entries(board.entries())),
        Section("Not confirmed", UNCONFIRMED, entries=_entries(tables.grouped(board.unconfirmed()))),
        Section("Conventions", CONVENTIONS, entries=_entries(tables.grouped(board.findings("convention")))),
        Section("Lost digits", DIGITS, entries=_entries(tables.grouped(board.findings("digits")))),
    ]


DEFECTS = (
    "One entry for each function and kind of defect, the most serious kinds first. In each, a second witness, which "
    "shares no code with the mathematics, says what the truth says and not what was returned."
)
UNCONFIRMED = "These numbers differ from the truth, and no second witness contradicts them. They are not counted."
CONVENTIONS = (
    "At these points the slopes from both sides differ, or there are none, so that whatever is returned is a "
    "convention. Numbers below the smallest normal one are here, too: a processor may count them as 0."
)
DIGITS = (
    "The first digits are right. roundoffs is the error, divided by what rounding the arguments and the result does; "
    "up to a thousand are no finding."
)


def _entries(groups: Iterable[Sequence[Found]]) -> list[Entry]:
    return [_entry_of(group) for group in groups]


def _entry_of(group: Sequence[Found]) -> Entry:
    shown, count = worst(group), tables.places(group)
    true = f"the derivative is {shown['truth']}" if shown["truth"] else f"there is {tables.truth(shown)}"
    function, kind = shown["function"], shown["kind"]
    return Entry(
        title=function,
        line=f"{shown['call']} at {tables.point(shown)}: {tables.returned(shown)}, and {true}",
        tags=[kind, tables.dtypes(group), f"{count:,} point{'s' if count > 1 else ''}"],
        facets={
            "kind": [kind],
            "module": [tables.module(function, (*MODULES, *PARTS))],
            "dtype": tables.dtypes(group).split(", "),
            "order": [ORDERS[order] for order in sorted({found["order"] for found in group})],
        },
        text=f"{KINDS[kind][0].upper()}{KINDS[kind][1:]}.",
        code=shown["reproduction"],
        table=tables.point_table(group),
    )


def _others(board: Board) -> list[Section]:
    """What is no finding."""
    left = [Entry(why, tags=[count], text=names) for why, count, names in tables.left_out_table(board)[1:]]
    return [
        Section("The referee", tables.referee_sentence(board), table=tables.referee_table(board), words=True),
        Section("Not judged", UNJUDGED, table=tables.unjudged_table(board), words=True),
        Section("Not offered", MISSING, table=tables.missing_table(board), words=True),
        Section("Without a truth", UNKNOWN, table=tables.unknown_table(board), words=True),
        Section("Without a case", "Public functions that are not judged, by the reason for it.", entries=left),
    ]


UNJUDGED = "These cases ended without a result."
MISSING = "Ways and dtypes that the library does not offer, of functions that it offers others of."
UNKNOWN = "The true derivative at these points could not be settled, so nothing is said of them."
