"""Which checkers saw the defects of a board, as tables and as part of a page."""

from __future__ import annotations

from collections.abc import Sequence

from convnet.board.checkers import NOT_SEEN, SEEN, Sighting
from convnet.board.verdict import DEFECTS
from convnet.report.board_tables import point
from convnet.report.page import Section

COUNTED = "How many a checker saw, of those that it answered for. It was given the function and the point alone."
WORDS = (
    "Not offered: it does not check such a derivative, or stops with an error of another kind. Rejects right ones: at "
    "this point it rejects the identity, too, or the mathematics of the function with its exact derivatives."
)


def defect_sections(sightings: Sequence[Sighting]) -> list[Section]:
    return [
        Section("Defects of JAX", COUNTED, table=kind_table(sightings)),
        Section("Every defect", WORDS, table=sighting_table(sightings)),
    ]


def kind_table(sightings: Sequence[Sighting]) -> list[list[str]]:
    """A row for each kind of defect: how many entries there are, and of those that a checker answered for how many it
    saw. The last row is of all kinds."""
    groups = {kind: [s for s in sightings if s.kind == kind] for kind in DEFECTS} | {"all": list(sightings)}
    rows = [["defects", "entries", *_checkers(sightings)]]
    for kind, group in groups.items():
        if group:
            rows.append([kind, f"{len(group):,}", *(_share(group, name) for name in _checkers(sightings))])
    return rows


def _checkers(sightings: Sequence[Sighting]) -> list[str]:
    return list(dict.fromkeys(name for s in sightings for name in s.answers))


def _share(group: Sequence[Sighting], checker: str) -> str:
    """How many it saw of those that it answered for; else why it answered for none."""
    answers = [s.answers[checker] for s in group]
    seen, answered = answers.count(SEEN), answers.count(SEEN) + answers.count(NOT_SEEN)
    return f"{seen:,} of {answered:,}" if answered else ", ".join(dict.fromkeys(answers))


def sighting_table(sightings: Sequence[Sighting]) -> list[list[str]]:
    """A row for each entry."""
    rows = [["function", "kind", "at", "dtype", "order", *_checkers(sightings)]]
    for s in sightings:
        rows.append([s.function, s.kind, point(vars(s)), s.dtype, str(s.order), *s.answers.values()])
    return rows
