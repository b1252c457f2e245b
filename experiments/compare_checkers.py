"""Who notices a wrong gradient: the checkers that people use, or ours?

    python experiments/compare_checkers.py                  every planted rule, control and defect of the board
    python experiments/compare_checkers.py --only defects   those of the board alone
    python experiments/compare_checkers.py --quick          the first few

The same rules at the same arguments go to `jax.test_util.check_grads` (float32 and float64), to torch's `gradcheck`
(slow and fast; each rule is wrapped into an `autograd.Function`, which torch's own test checks) and to
`convnet.gradcheck`: at level quick rules for ops, at level standard functions that anybody might write. A fault that
cannot show at the point given counts as noticed where the list of the untested names it. torch comes with the extra
`bench`; without it its columns stay empty. Then the defects of JAX that a board has (experiments/audit_jax.py) go to
all of them: each function at the point where it is wrong. Measured answers stand in the README.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax

from convnet.cli import run_command
from convnet.code import script_hash
from convnet.gradcheck.checkers import Checker, Verdict, counts, installed, rule_table, table_of, verdict
from convnet.gradcheck.evidence import CONTROLS, MUTANTS
from convnet.gradcheck.evidence.anybody import RIGHT, WRONG
from convnet.identity import environment, versions
from convnet.json_lines import Kept
from convnet.progress import progress
from convnet.report import Page, Part, Section, figures, study, text_table, write_report
from convnet.settings import content_hash, require

if TYPE_CHECKING:  # of the extra `board`
    from convnet.board.board import Board
    from convnet.board.checkers import Sighting

LINES = "verdicts.jsonl"
BOARDS = Path(__file__).resolve().parent.parent / "docs" / "results" / "board"
"""Those that are stored, by release of JAX."""
QUICK = 2
"""Wrong rules, and defects of a board, that --quick shows."""


@dataclass(frozen=True)
class CompareCheckers:
    """Let JAX's and torch's gradient checkers and ours check the same planted faults and the same right rules: faults
    noticed, false alarms, seconds. Writes verdicts.jsonl as it goes, checkers.json and report.html; what was begun and
    ended early goes on with the same command."""

    seeds: int = 1
    """Arguments drawn per case of a right rule, for false alarms."""
    only: Literal["rules", "defects"] | None = None
    """Half of it: planted rules and controls, or the defects of a board. Default: both."""
    board: Path | None = None
    """A board.json of the installed JAX, whose defects the checkers are shown, too. Default: the stored board of this
    release; where there is none, no defects."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings or checkers is refused. Default: runs/checkers,
    and for other settings than the usual a directory of their own beside it."""
    quick: bool = False
    """Two planted rules, one control and two defects: a check that everything runs."""


def compare_checkers(settings: CompareCheckers) -> int:
    """Check all rules and write the directory: 0, or 1 where a part of the report could not be made."""
    require(settings.seeds >= 1, "seeds", settings.seeds, "1 or more")
    board, checkers = None if settings.only == "rules" else board_of(settings.board), installed()
    require(settings.only != "defects" or board is not None, "only", settings.only, "a board to go with it (--board)")
    plan = {"seeds": settings.seeds, "checkers": list(checkers), "quick": settings.quick, "board": _digest(board)}
    plan["only"] = settings.only
    usual = plan | {"seeds": CompareCheckers.seeds, "only": None}
    if settings.board is not None:
        usual["board"] = _digest(stored_board())
    out = settings.out or study.directory(Path("runs", "checkers" + ("-quick" if settings.quick else "")), plan, usual)
    study.check_same(out, "compare_checkers", plan)
    study.reserve(out, "compare_checkers", plan)
    kept = Kept(out / LINES, content_hash({"code": script_hash(Path(__file__)), **versions()["packages"]}))
    verdicts = [] if settings.only == "defects" else all_verdicts(settings, checkers, kept)
    sightings = [] if board is None else all_sightings(board, settings.quick, kept)
    where, table = environment(), table_of(verdicts)
    misjudged = [asdict(v) for v in verdicts if not v.right]
    values = {"table": table, "misjudged": misjudged, "verdicts": [asdict(v) for v in verdicts]}
    values["board"] = defects_of(sightings)
    study.write_results(out, "checkers.json", values, where)
    missing = write_report(out / "report.html", *checkers_page(verdicts, study.circumstances(where), sightings))
    tables = [*([table] if verdicts else []), *([values["board"]["table"]] if sightings else [])]
    return study.conclude(out, "\n\n".join(map(text_table, tables)), missing)


def all_verdicts(settings: CompareCheckers, checkers: dict[str, Checker], kept: Kept) -> list[Verdict]:
    wrong = [rule for rule in MUTANTS if not rule.equivalent]
    right = [*CONTROLS, *(rule for rule in MUTANTS if rule.equivalent)]
    if settings.quick:
        wrong = [rule for rule in wrong if rule.op == "relu"][:QUICK]
        right = [rule for rule in right if rule.op == "relu"][:1]
    else:
        wrong, right = [*wrong, *WRONG], [*right, *RIGHT]
    rules = [(rule, "wrong") for rule in wrong] + [(rule, "right") for rule in right]
    verdicts = []
    with progress(len(rules) * len(checkers), "verdict") as bar:
        for rule, kind in rules:
            for name, checker in checkers.items():
                bar.set_postfix_str(f"{rule.name}, {name}"[:60])
                said = partial(verdict, name, checker, rule, kind, settings.seeds)
                verdicts.append(Verdict(**kept.of([name, rule.name, kind], lambda say=said: asdict(say()))))
                bar.update()
    return verdicts


# --- defects of a board -----------------------------------------------------------------------------------------------


def board_of(path: Path | None) -> Board | None:
    """The one at `path`, or the stored one; None, which is said, where none is stored.

    Raises ValueError for a board of another release, whose defects the installed one need not have.
    """
    if path is None:
        board = stored_board()
        if board is None:
            print(f"no board of JAX {jax.__version__} is stored: its defects are left out", file=sys.stderr)
        return board
    from convnet.board.board import read

    board = read(path)
    expected = f"a board of JAX {jax.__version__}, which is installed; this one is of {board.version}"
    require(board.version == jax.__version__, "board", str(path), expected)
    return board


def stored_board() -> Board | None:
    path = BOARDS / f"{jax.__version__}.json"
    if not path.exists():
        return None
    try:
        from convnet.board.board import read
    except ImportError as error:
        print(f"{error} (extra board): no board can be read", file=sys.stderr)
        return None
    return read(path)


def _digest(board: Board | None) -> str | None:
    """Of the defects: where the same are shown, the results are of the same settings."""
    return None if board is None else content_hash({"defects": board.entries()})


def all_sightings(board: Board, quick: bool, kept: Kept) -> list[Sighting]:
    """What the checkers say of each entry; one whose case has changed since is left out, which is said."""
    from convnet.board import cases, checkers
    from convnet.board.board import worst

    found, asked = [], checkers.installed()
    entries = [worst(group) for group in board.entries()][: QUICK if quick else None]
    with progress(len(entries), "defect") as bar:
        for finding in entries:
            bar.set_postfix_str(finding["function"][-60:])
            subject = checkers.subject_of(board, finding, cases.CASES)
            if subject is None:
                print(f"{finding['call']}: no case of this version has the point; left out", file=sys.stderr)
            else:
                said = partial(checkers.sighting, finding, subject, asked)
                value = kept.of([finding["reproduction"], list(asked)], lambda say=said: asdict(say()))
                found.append(checkers.Sighting(**value))
            bar.update()
    return found


def defects_of(sightings: list[Sighting]) -> dict[str, Any] | None:
    """For programs; None where no board was shown."""
    if not sightings:
        return None
    from convnet.report.sighting_tables import kind_table

    return {"table": kind_table(sightings), "sightings": [asdict(s) for s in sightings]}


def checkers_page(verdicts: list[Verdict], circumstances: dict[str, str], sightings: list[Sighting]) -> Page:
    title = "Noticed and wrongly rejected"
    alt = "Of every checker, how many wrong rules it noticed and how many right rules it rejected."
    caption = "Left, more is better; right, less is."
    parts: list[Part | Section] = []
    if verdicts:
        parts = [
            Section("Checkers", table=table_of(verdicts)),
            Part(title, lambda: Section.of(title, figures.shares(counts(verdicts)), alt, caption)),
            Section("Every rule", "Where a checker was wrong, its word is in capitals.", table=rule_table(verdicts)),
        ]
    if sightings:
        from convnet.report.sighting_tables import defect_sections

        parts += defect_sections(sightings)
    return Page("Who notices a wrong gradient", circumstances, parts)


def main(args: list[str] | None = None) -> int:
    return run_command(CompareCheckers, compare_checkers, args, going_on="the same command")


if __name__ == "__main__":
    sys.exit(main())
