"""Boards of several releases as one document in Markdown, for reading where the code is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from convnet.board.board import Board, worst
from convnet.board.verdict import KINDS
from convnet.record import write_atomically
from convnet.report import board_tables as tables
from convnet.report import study
from convnet.report.board_tables import Found
from convnet.report.markdown import anchor, code, markdown_table

HEAD = """# What is wrong with the derivatives of JAX

Public functions of JAX, Optax and Flax are differentiated at points where formulas break: tails, ties, zeros, branches,
ends of the domain, repeated eigenvalues. What is returned is compared with the derivative by its definition, computed
with 160 digits and more. A defect is listed only if a second witness, which shares no code with that mathematics, says
the same: difference quotients of the library's own values or of SciPy's, other transforms, or the program itself.
First derivatives are asked for in reverse and in forward mode, under `vmap`, in a scan, and of each function's first
case without `jax.jit`; second ones forward and reverse over reverse. Compiled reverse mode is compiled as users have
it, all else for a short compilation; a case is judged once more, with single operations as users have them, where
something else is found without `jax.jit` than with it.

`make audit-jax` repeats it for the JAX that is installed, and writes `runs/audit_jax/board.json` and a `report.html`
with all points. `python experiments/audit_jax.py --only jax.numpy.prod` judges one function, and `--compare then.json
now.json` tells what a release changed. This file is written by `python experiments/audit_jax.py --document
docs/board.md --boards docs/results/board/*.json`.
"""
DEFECTS = """An entry is what one function has of one kind; the table shows one of its points. Each name leads to a
program that shows it. The truth has 15 digits. Kinds:"""
PROGRAMS = """Each prints the number that is returned. Where a function returns an array, its entries are multiplied by
fixed factors and added, so that there is one number to differentiate."""
CONVENTIONS = """The slopes from the left and from the right differ, or there are none, so that whatever is returned is
a convention; or an argument is below the smallest normal number, which a processor may count as 0. One point of each
function:"""
DIGITS = """The first digits are right. Roundoffs are errors divided by what rounding the arguments and the result does;
up to a thousand are no finding. The worst point of each function:"""
MISSED = """Cases that were refused at all of their points, crashed, or took too long:"""

Entry = dict[str, Sequence[Found]]
"""Version -> findings of one function and kind."""
Threads = Mapping[tuple[str, str], str]


def board_document(path: Path, boards: Sequence[Board], threads: Threads | None = None) -> None:
    """Write `path` from the boards of one release or more.

    threads: (kind, function) -> address of a public thread about it.

    Raises ValueError for two boards of one release.
    """
    ordered = tables.by_release(boards)
    entries, newest = _merged(ordered), ordered[-1]
    parts = {
        "Counts": [markdown_table(tables.count_table(*ordered)), *map(_circumstances, ordered)],
        "Defects": [DEFECTS, _kinds(), _defects(ordered, entries, threads or {})],
        **{f"From JAX {a.version} to {b.version}": _changes(a, b) for a, b in pairwise(ordered)},
        "Programs": [PROGRAMS, *(_program(*numbered) for numbered in enumerate(entries, 1))],
        "Conventions": [CONVENTIONS, _table(tables.convention_table(newest), 0)],
        "Lost digits": [DIGITS, _table(tables.digit_table(newest), 0)],
        "Not confirmed": _unconfirmed(newest),
        "The referee": [tables.referee_sentence(newest)],
        "Not judged": [MISSED, _table(tables.unjudged_table(newest), 0, 2)],
        "Without a case": [_table(tables.left_out_table(newest), 2)],
    }
    latest = f"What comes after the programs is of JAX {newest.version}." if len(ordered) > 1 else ""
    text = [HEAD, latest, *(f"## {title}\n\n" + "\n\n".join(parts[title]) for title in parts)]
    write_atomically(path, "\n\n".join(part.strip("\n") for part in text if part) + "\n")


def _merged(boards: Sequence[Board]) -> list[Entry]:
    """Entries of all boards: the worst kinds first, in each those of the most points."""
    merged: dict[tuple[int, str], Entry] = {}
    for board in boards:
        for group in board.entries():
            key = list(KINDS).index(group[0]["kind"]), group[0]["function"]
            merged.setdefault(key, {})[board.version] = group
    return [merged[key] for key in sorted(merged, key=lambda key: (key[0], -len(_latest(merged[key])), key[1]))]


def _latest(entry: Entry) -> Sequence[Found]:
    return list(entry.values())[-1]


def _circumstances(board: Board) -> str:
    told = study.circumstances(board.environment)
    packages = board.environment["packages"]
    named = ", ".join(f"{name} {packages[name]}" for name in ("optax", "flax") if name in packages)
    again = len(board.settings.get("again", ()))
    later = f" Judged anew since: {again} of the functions." if again else ""
    return f"{told['versions']}{named and ', '}{named}: {told['machine']}; {told['date']}.{later}"


def _kinds() -> str:
    return "\n".join(f"- **{kind}**: {words}" for kind, words in KINDS.items() if kind in tables.DEFECTS)


def _defects(boards: Sequence[Board], entries: Sequence[Entry], threads: Threads) -> str:
    head = ["function", "kind", "at", "returned", "truth", "dtypes", "ways", "points"]
    rows = []
    for number, entry in enumerate(entries, 1):
        function, kind, *cells = tables.entry_row(_latest(entry))
        link = f"[{code(function)}](#{anchor(_heading(number, entry))})"
        there = [_there(board, function, entry) for board in boards] if len(boards) > 1 else []
        rows.append([link, kind, *cells, *there, *([_thread(threads.get((kind, function)))] if threads else [])])
    releases = [board.version for board in boards] if len(boards) > 1 else []
    return _table([[*head, *releases, *(["thread"] if threads else [])], *rows])


def _there(board: Board, function: str, entry: Entry) -> str:
    """Whether a release has an entry; nothing is said of a function that it was not judged in."""
    if board.version in entry:
        return "yes"
    judged = any(row["function"] == function and row["status"] == "judged" for row in board.rows)
    return "no" if judged else "not judged"


def _thread(address: str | None) -> str:
    return f"[{address.rpartition('/')[2]}]({address})" if address else ""


def _heading(number: int, entry: Entry) -> str:
    found = _latest(entry)[0]
    return f"{number}. {found['function']}, {found['kind']}"


def _program(number: int, entry: Entry) -> str:
    shown = worst(_latest(entry))
    witnesses = "; ".join(dict.fromkeys(shown["confirmed"]))
    return (
        f"### {_heading(number, entry)}\n\nJAX {', '.join(entry)}. Confirmed by: {witnesses}.\n\n"
        f"```python\n{shown['reproduction']}\n```"
    )


def _changes(then: Board, now: Board) -> list[str]:
    table = tables.change_table(then, now)
    gone = [name for name in now.inventory["gone"] if name not in then.inventory["gone"]]
    left = [f"Functions that are no longer there: {', '.join(gone)}."] if gone else []
    return ["At points that both boards judged, a row for each function:", _table(table, 0), *left]


def _unconfirmed(board: Board) -> list[str]:
    groups = tables.grouped(board.unconfirmed())
    head = tables.entry_table(board)[0]
    text = "These numbers differ from the truth, and no second witness contradicts them. They are not counted."
    return [text, _table([head, *map(tables.entry_row, groups)], 0)]


def _table(table: list[list[str]], *columns: int) -> str:
    """columns: those of names, calls and what programs said. What has no rows says so."""
    head, *rows = table
    told = [[code(cell) if i in columns else cell for i, cell in enumerate(row)] for row in rows]
    return markdown_table([head, *told], right=False) if rows else "None."
