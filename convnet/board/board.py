"""A board: all rows of one release, as a file; what they come to; and two boards side by side.

    {"format": 1, "environment": …, "inventory": {"covered": […], "left_out": {name: why}, "missing": […], "gone": […]},
     "settings": …, "seconds": …, "rows": [{"function", "call", "key", "status", "said", "outcome": {"points",
     "compared", "findings": [see `Finding`], "missing", "unknown"}, "referee": {"verdict", "said", "peak", "seconds"},
     "peak", "seconds"}]}

Numbers that are not finite are the words "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convnet.board.inventory import Inventory
from convnet.board.referee import Refereed
from convnet.board.run import Row
from convnet.board.verdict import DEFECTS, KINDS
from convnet.record import write_json

FORMAT = 1
JUDGED = ("jax", "jaxlib", "optax", "flax")
"""Packages whose releases a board is of: boards of others are not merged."""


@dataclass(frozen=True)
class Board:
    """environment: as `convnet.identity.environment` says; rows: plain JSON values, one for each case."""

    environment: dict[str, Any]
    inventory: dict[str, Any]
    settings: dict[str, Any]
    seconds: float
    rows: list[dict[str, Any]]
    format: int = FORMAT

    @property
    def version(self) -> str:
        """Of JAX."""
        return self.environment["packages"]["jax"]

    def findings(self, *kinds: str) -> Iterator[dict[str, Any]]:
        """Of these kinds, or all; a defect that no second witness confirms is not among them (see `unconfirmed`)."""
        for _, found in self.of_cases(*kinds):
            yield found

    def of_cases(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The same, each beside the key of its case."""
        for key, found in self._all():
            if found["kind"] in (kinds or KINDS) and (found["confirmed"] or found["kind"] not in DEFECTS):
                yield key, found

    def unconfirmed(self) -> list[dict[str, Any]]:
        """Numbers that differ from the truth, and that nothing else contradicts."""
        return [found for _, found in self._all() if found["kind"] in DEFECTS and not found["confirmed"]]

    def entries(self) -> list[list[dict[str, Any]]]:
        """Defects, those of one function and kind together: the worst kinds first, in each the widest-spread first."""
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for found in self.findings(*DEFECTS):
            groups.setdefault((found["kind"], found["function"]), []).append(found)
        return sorted(groups.values(), key=lambda group: (DEFECTS.index(group[0]["kind"]), -len(group)))

    def counts(self) -> dict[str, int]:
        """What a reader asks first."""
        outcomes = [row["outcome"] for row in self.rows if row["outcome"]]
        referees = Counter(row["referee"]["verdict"] for row in self.rows if row["referee"])
        entries = Counter(group[0]["kind"] for group in self.entries())
        return {
            "functions": len({row["function"] for row in self.rows}),
            "cases": len(self.rows),
            "points": sum(outcome["points"] for outcome in outcomes),
            "numbers": sum(outcome["compared"] for outcome in outcomes),
            "audits": sum(referees.values()) - referees["none"],
            "audits failed": referees["failed"],
            **{f"entries: {kind}": entries[kind] for kind in DEFECTS},
            "unconfirmed": len(self.unconfirmed()),
            "without a truth": sum(len(outcome["unknown"]) for outcome in outcomes),
            "not judged": sum(row["status"] != "judged" for row in self.rows),
        }

    def _all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in self.rows:
            for found in (row["outcome"] or {}).get("findings", ()):
                yield row["key"], found


def board_of(rows: Iterable[dict], found: Inventory, environment: dict, settings: dict, seconds: float) -> Board:
    """Of plain rows."""
    inventory = {name: _plain(value) for name, value in vars(found).items()}
    ordered = sorted(rows, key=lambda row: (row["function"], row["call"]))
    return Board(environment, inventory, settings, round(seconds, 1), ordered)


def write(path: Path, board: Board) -> None:
    write_json(path, vars(board))


def read(path: Path) -> Board:
    """Raises ValueError for a file that is no board, or one of another format."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a board: {error}") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = values.get("format") if isinstance(values, dict) else None
        raise ValueError(f"{path} has format {found!r}: expected a board of format {FORMAT}")
    try:
        return Board(**values)
    except TypeError as error:
        raise ValueError(f"{path} is no board: {error}") from None


def merged(whole: Board, *parts: Board) -> Board:
    """`whole` with what was judged again: rows of the `parts` take the place of its own, later ones of earlier ones.
    What the referee said stays where a part did not ask it. settings["again"]: functions that have such rows.

    Raises ValueError for boards of different releases of packages, or of different kinds of devices.
    """
    for name in JUDGED:
        _require_one(name, [board.environment["packages"].get(name) for board in (whole, *parts)], "release")
    _require_one("backend", [board.environment.get("backend") for board in (whole, *parts)], "kind of device")
    rows = {row["key"]: row for row in whole.rows}
    for row in (row for part in parts for row in part.rows):
        before = rows.get(row["key"], {}) if row["status"] == "judged" else {}
        rows[row["key"]] = {**row, "referee": row["referee"] or before.get("referee")}
    again = {row["function"] for part in parts for row in part.rows} | set(whole.settings.get("again", ()))
    ordered = sorted(rows.values(), key=lambda row: (row["function"], row["call"]))
    return replace(whole, rows=ordered, settings=whole.settings | {"again": sorted(again)})


def _require_one(name: str, found: Sequence[Any], kind: str) -> None:
    if len(set(found)) > 1:
        told = " and ".join(map(str, dict.fromkeys(found)))
        raise ValueError(f"merge holds boards of {name} {told}: expected one {kind}")


def plain_row(row: Row) -> dict[str, Any]:
    """As JSON has it."""
    return _plain(row.to_dict())


def with_audit(row: Mapping[str, Any], said: Refereed) -> dict[str, Any]:
    """A plain row, with what the referee said."""
    return {**row, "referee": _plain(vars(said))}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# --- side by side -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """Of what is returned at one point: `then` and `now` are findings, or None where nothing is wrong. what: fixed,
    broken, or other (another kind of defect)."""

    what: str
    then: dict[str, Any] | None
    now: dict[str, Any] | None

    @property
    def finding(self) -> dict[str, Any]:
        return self.now or self.then


def compare(then: Board, now: Board) -> list[Change]:
    """What changed from one release to another at points that both boards judged."""
    both = _judged(then) & _judged(now)
    old, new = ({_place(*one): one[1] for one in board.of_cases(*DEFECTS) if one[0] in both} for board in (then, now))
    found = []
    for place in [*old, *(place for place in new if place not in old)]:
        a, b = old.get(place), new.get(place)
        if a is None or b is None:
            found.append(Change("broken" if a is None else "fixed", a, b))
        elif a["kind"] != b["kind"]:
            found.append(Change("other", a, b))
    return found


def _judged(board: Board) -> set[str]:
    return {row["key"] for row in board.rows if row["status"] == "judged"}


def _place(key: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    return key, json.dumps(found["args"]), found["dtype"]


def worst(group: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of an entry, what shows it best: float64 before others, compiled reverse mode before others."""
    return min(group, key=lambda found: (found["dtype"] != "float64", found["ways"][0] != "reverse"))
