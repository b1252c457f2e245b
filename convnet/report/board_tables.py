"""Boards as tables, which the terminal, the page and the document share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from convnet.board.board import Board, compare, worst
from convnet.board.measure import FIRST, SECOND
from convnet.board.verdict import DEFECTS, KINDS
from convnet.settings import require

Found = Mapping[str, Any]
"""A finding as boards hold it."""
SHOWN = {"float64": "", "float32": ".9g", "bfloat16": ".4g"}
"""Formats that tell all numbers of a dtype apart. The widest first."""
LONGEST = 60
"""Letters of a point in a table of many functions; the reproduction has all of it."""
WHAT = {"broken": "broken", "fixed": "fixed", "other": "wrong in another way"}


# --- words ------------------------------------------------------------------------------------------------------------


def point(found: Found, longest: int = LONGEST) -> str:
    """The arguments, in the order of the call, as short as they can be told apart."""
    text = ", ".join(_written(arg, found["dtype"]) for arg in found["args"])
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _written(value: Any, dtype: str) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_written(inner, dtype) for inner in value)}]"
    return format(value, SHOWN[dtype]) if isinstance(value, float) else str(value)


def returned(found: Found) -> str:
    """With as many digits as the truth has, or all that the dtype has."""
    got, dtype = found["got"], found["dtype"]
    return got if isinstance(got, str) else format(got, ".15g" if dtype == "float64" else SHOWN[dtype])


def truth(found: Found) -> str:
    if found["truth"]:
        return found["truth"]
    return f"no derivative ({found['left']} from the left, {found['right']} from the right)"


def dtypes(group: Iterable[Found]) -> str:
    """The widest first."""
    here = {found["dtype"] for found in group}
    return ", ".join([dtype for dtype in SHOWN if dtype in here] + sorted(here - SHOWN.keys()))


def ways(group: Iterable[Found]) -> str:
    """What a derivative was asked for by. all: no way of this order is right."""
    here = {way for found in group for way in found["ways"]}
    named = [way for way in (*FIRST, *SECOND) if way in here]
    return "all" if here >= set(FIRST) or here == set(SECOND) else ", ".join(named)


def places(group: Sequence[Found]) -> int:
    """How many points there are, each dtype's counted."""
    return len({(found["call"], str(found["args"]), found["dtype"]) for found in group})


def module(function: str, known: Iterable[str]) -> str:
    """The longest of the `known` modules that a function is of; else what stands before its last part."""
    homes = [name for name in known if function.startswith(f"{name}.")]
    return max(homes, key=len, default=function.rpartition(".")[0])


def grouped(findings: Iterable[Found]) -> list[list[Found]]:
    """Findings of one function and kind together: by kind, then by function."""
    groups: dict[tuple[int, str], list[Found]] = {}
    for found in findings:
        groups.setdefault((list(KINDS).index(found["kind"]), found["function"]), []).append(found)
    return [groups[key] for key in sorted(groups)]


# --- tables -----------------------------------------------------------------------------------------------------------


def count_table(*boards: Board) -> list[list[str]]:
    """What a reader asks first, a column for each board."""
    return [["", *(f"JAX {board.version}" for board in boards)], *_lines(boards, _counts)]


def _lines(boards: Sequence[Board], of: Callable[[Board], Mapping[str, str]]) -> list[list[str]]:
    columns = list(map(of, boards))
    return [[name, *(column[name] for column in columns)] for name in columns[0]]


def _counts(board: Board) -> dict[str, str]:
    counts, inventory = board.counts(), board.inventory
    kinds = {f"entries: {kind}": f"entries: {KINDS[kind]}" for kind in DEFECTS}
    words = {
        "numbers": "numbers compared with the truth",
        "audits": "audits by the referee",
        "audits failed": "audits that failed",
        "unconfirmed": "differences that no second witness confirms",
        "without a truth": "points whose truth was not to be had",
        "not judged": "cases that could not be judged",
    }
    found = {kinds.get(name) or words.get(name, name): f"{value:,}" for name, value in counts.items()}
    for kind in ("digits", "convention"):
        found[f"functions: {KINDS[kind]}"] = f"{len({f['function'] for f in board.findings(kind)}):,}"
    found["public functions that a case is of"] = f"{len(inventory['covered']):,}"
    found["left out, with a reason"] = f"{len(inventory['left_out']):,}"
    found["not covered"] = f"{len(inventory['missing']):,}"
    return found | {"seconds": f"{board.seconds:,.0f}"}


def by_release(boards: Iterable[Board]) -> list[Board]:
    """The newest last. Raises ValueError for two of one release."""
    ordered = sorted(boards, key=lambda board: [int(number) for number in re.findall(r"\d+", board.version)])
    versions = [board.version for board in ordered]
    require(len({*versions}) == len(versions), "boards", versions, "one for each release of JAX")
    return ordered


def release_table(*boards: Board) -> list[list[str]]:
    """A row for each board: how much was judged, and how many functions have a defect of each kind."""
    rows = [["JAX", "functions", "points", "numbers", *DEFECTS, "audits", "failed", "s"]]
    for board in boards:
        counts = board.counts()
        names = ["functions", "points", "numbers", *(f"entries: {kind}" for kind in DEFECTS), "audits", "audits failed"]
        rows.append([board.version, *(f"{counts[name]:,}" for name in names), f"{board.seconds:,.0f}"])
    return rows


def entry_table(board: Board) -> list[list[str]]:
    """A row for each entry, which is what one function has of one kind: its worst point, and how many there are."""
    head = ["function", "kind", "in", "at", "returned", "truth", "dtypes", "ways", "points"]
    return [head, *(entry_row(group) for group in board.entries())]


def entry_row(group: Sequence[Found]) -> list[str]:
    shown = worst(group)
    told = [shown["of"], point(shown), returned(shown), truth(shown)]
    return [shown["function"], shown["kind"], *told, dtypes(group), ways(group), f"{places(group):,}"]


def change_table(then: Board, now: Board) -> list[list[str]]:
    """What a release broke, fixed and made wrong in another way: a row for each function, with its worst point."""
    groups: dict[tuple[int, str], list[Any]] = {}
    for change in compare(then, now):
        groups.setdefault((list(WHAT).index(change.what), change.finding["function"]), []).append(change)
    rows = [["function", "what", "at", f"then: JAX {then.version}", f"now: JAX {now.version}", "truth", "points"]]
    for (_, function), changes in sorted(groups.items(), key=lambda item: item[0]):
        shown = worst([change.finding for change in changes])
        change = next(change for change in changes if change.finding is shown)
        told = [point(shown), _said(change.then), _said(change.now), truth(shown)]
        rows.append([function, WHAT[change.what], *told, f"{len(changes):,}"])
    return rows


def _said(found: Found | None) -> str:
    return "no defect" if found is None else f"{found['kind']}: {returned(found)}"


def point_table(group: Sequence[Found]) -> list[list[str]]:
    """All numbers of an entry, in the columns that anything stands in."""
    several = len({f["call"] for f in group}) > 1
    head = ["call", "at", "label", "dtype", "order", "ways", "in", "returned", "truth", "roundoffs", "confirmed by"]
    rows = [
        [
            f["call"] if several else "", point(f, 4 * LONGEST), f["label"], f["dtype"], str(f["order"]), ways([f]),
            _entry(f), returned(f), truth(f), _roundoffs(f["ulps"]), ", ".join(f["confirmed"]),
        ]
        for f in group
    ]  # fmt: skip
    return _used([head, *rows])


def _entry(found: Found) -> str:
    """Which argument the derivative is in, and along which direction."""
    return found["of"] + ("" if found["direction"] is None else f", along {found['direction']}")


def _roundoffs(ulps: float | str | None) -> str:
    return "" if ulps is None else format(float(ulps), ".3g")


def _used(table: list[list[str]]) -> list[list[str]]:
    kept = [i for i, _ in enumerate(table[0]) if any(row[i] for row in table[1:])]
    return [[row[i] for i in kept] for row in table]


def convention_table(board: Board) -> list[list[str]]:
    """A row for each function: at a point without a derivative, the slopes of both sides and what is returned."""
    rows = [["function", "at", "returned", "from the left", "from the right", "points"]]
    for group in grouped(board.findings("convention")):
        shown = worst(group)
        sides = [shown["left"] or shown["truth"], shown["right"] or shown["truth"]]
        rows.append([shown["function"], point(shown), returned(shown), *sides, f"{places(group):,}"])
    return rows


def digit_table(board: Board) -> list[list[str]]:
    """A row for each function: where most digits are lost, and the error in units of what one rounding does."""
    rows = [["function", "at", "returned", "truth", "dtype", "roundoffs", "points"]]
    for group in grouped(board.findings("digits")):
        shown = max(group, key=_lost)
        told = [point(shown), returned(shown), truth(shown), shown["dtype"], _roundoffs(_lost(shown))]
        rows.append([shown["function"], *told, f"{places(group):,}"])
    return rows


def _lost(found: Found) -> float:
    return float(found["ulps"] or 0)


def unjudged_table(board: Board) -> list[list[str]]:
    """Cases that were refused, crashed, or took too long."""
    rows = [[row["call"], row["status"], row["said"]] for row in board.rows if row["status"] != "judged"]
    return [["case", "what happened", "what was said"], *rows]


def missing_table(board: Board) -> list[list[str]]:
    """Ways and dtypes that the library does not offer: a row for each thing that it says of a case."""
    rows = [["case", "what is said", "of"]]
    for row in board.rows:
        said = (row["outcome"] or {}).get("missing") or {}
        rows += [[row["call"], why, _by_dtype(which)] for why, which in said.items()]
    return rows


def _by_dtype(which: Iterable[str]) -> str:
    """Of "way, dtype", or a dtype as a whole."""
    found: dict[str, list[str]] = {}
    for one in which:
        way, _, dtype = one.rpartition(", ")
        found.setdefault(dtype, []).extend([way] if way else [])
    return "; ".join(f"{dtype}: {', '.join(named)}" if named else dtype for dtype, named in found.items())


def unknown_table(board: Board) -> list[list[str]]:
    """Points whose truth was not to be had."""
    outcomes = [(row["call"], why) for row in board.rows for why in (row["outcome"] or {}).get("unknown", ())]
    return [["case", "point, and why"], *map(list, outcomes)]


def left_out_table(board: Board) -> list[list[str]]:
    """Public functions without a case: a row for each reason; those that nobody gave one for first."""
    reasons: dict[str, list[str]] = {"not covered": list(board.inventory["missing"])}
    for name, why in board.inventory["left_out"].items():
        reasons.setdefault(why, []).append(name)
    return [["why", "how many", "functions"]] + [
        [why, f"{len(names):,}", ", ".join(names)] for why, names in reasons.items() if names
    ]


def referee_table(board: Board) -> list[list[str]]:
    """Cases that the referee failed, or that have a defect on the board: what both say."""
    rows = [["case", "the referee", "stages that failed", "the board"]]
    for row in board.rows:
        if (referee := row["referee"]) and referee["verdict"] != "none":
            kinds = defects_of(row)
            if kinds or referee["verdict"] == "failed":
                said = referee["said"] if referee["verdict"] == "failed" else ""
                rows.append([row["call"], referee["verdict"], said, ", ".join(kinds) or "no defect"])
    return [rows[0], *sorted(rows[1:], key=lambda row: row[1] != "failed")]


def defects_of(row: Mapping[str, Any], label: str = "") -> list[str]:
    """Kinds of confirmed defects in a row, those at points of one label if one is given."""
    found = (row["outcome"] or {}).get("findings", ())
    here = {f["kind"] for f in found if f["confirmed"] and label in ("", f["label"])}
    return [kind for kind in DEFECTS if kind in here]


def referee_sentence(board: Board) -> str:
    """In how many audits it and the board agree."""
    audited = [row for row in board.rows if row["referee"]]
    failed, passed = ([row for row in audited if row["referee"]["verdict"] == word] for word in ("failed", "passed"))
    both, missed = (sum(bool(defects_of(row)) for row in rows) for rows in (failed, passed))
    seen = sum(bool(defects_of(row, "generic")) for row in passed)
    return (
        f"convnet.gradcheck.audit, which knows no mathematics of a function, audited {len(failed + passed)} cases, at "
        f"their generic points and at level quick. It failed {len(failed)}, of which {both} have a defect on the "
        f"board. Of the {len(passed)} that it passed, {missed} have one, {seen} at a generic point."
    )
