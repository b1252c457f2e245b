"""What is wrong with the derivatives of the JAX that is installed here?

    python experiments/audit_jax.py                          everything, in some 25 minutes on two cores
    python experiments/audit_jax.py --only jax.nn digamma    functions by name, or by the module that they are of
    python experiments/audit_jax.py --quick                  a few functions: does everything run?
    python experiments/audit_jax.py --compare then.json now.json     what a release broke, and what it mended
    python experiments/audit_jax.py --merge board.json again.json    what was judged again, put into the first
    python experiments/audit_jax.py --document docs/board.md --boards docs/results/board/*.json

Public functions of jax.nn, jax.numpy, jax.lax, jax.scipy, jax.image, optax and Flax beside their mathematics, computed
with 160 digits and more, at points where formulas break: tails, ties, zeros, branches, ends of the domain, repeated
eigenvalues. Every defect is confirmed by a second witness, and comes with a few lines that show it. The same command
again goes on where it was stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import convnet
from convnet import json_lines
from convnet.board import board as boards
from convnet.board.board import Board
from convnet.board.case import Case, first_of_each
from convnet.board.cases import CASES, NOT_COVERED, TABLES
from convnet.board.inventory import inventory, resolved
from convnet.board.known import THREADS
from convnet.board.run import LIMIT, Settings, audits, rows
from convnet.cli import run_command
from convnet.code import code_hash
from convnet.identity import environment, versions
from convnet.progress import progress
from convnet.report import study, text_table, write_report
from convnet.report.board_document import board_document
from convnet.report.board_page import board_page
from convnet.report.board_tables import change_table, count_table, entry_table
from convnet.settings import content_hash, require, suggestion
from convnet.threads import processors

LINES = "rows.jsonl"
JUDGES = ("convnet.board.run",)
"""What judges: after a change of it, or of the table that a case is in, that is judged again."""
QUICK = ("jax.scipy.special.digamma", "jax.nn.relu", "jax.numpy.prod")


@dataclass(frozen=True)
class AuditJax:
    """Judge the derivatives of the installed JAX ecosystem. Writes board.json and report.html. Exit code 0 whatever is
    found; 1 where a function could not be judged."""

    only: tuple[str, ...] = ()
    """Functions (jax.scipy.special.digamma, or digamma), or modules (jax.nn). Default: all."""
    jobs: int = field(default_factory=processors)
    """Processes. Default: the processors that this one may use."""
    limit: float = LIMIT
    """Seconds for one case; what takes longer is ended, and is a row that says so."""
    audits: bool = True
    """Whether each function is also given to the library's referee, which knows nothing of its mathematics."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings is refused. Default: runs/audit_jax, and for
    other settings than the usual a directory of their own beside it."""
    quick: bool = False
    """Three functions (unless --only names others), without the referee: a check that everything runs."""
    compare: tuple[Path, ...] = ()
    """Two boards (board.json, then and now): print what changed, and do nothing else."""
    merge: tuple[Path, ...] = ()
    """A board, and others of some of its functions, judged again (--only): put their rows into the first one in place
    of its own, and make its report.html anew, where there is one beside it; do nothing else."""
    document: Path | None = None
    """Write the page of --boards there, and do nothing else."""
    boards: tuple[Path, ...] = ()
    """Boards of the --document, one for each release."""

    def resolved(self) -> AuditJax:
        """With what `quick` stands for."""
        return replace(self, only=self.only or QUICK, audits=False) if self.quick else self

    def asked(self) -> dict[str, Any]:
        """What decides the results."""
        resolved = self.resolved()
        return {"only": sorted(set(resolved.only)), "audits": resolved.audits, "limit": resolved.limit}

    def directory(self) -> Path:
        usual = Path("runs", "audit_jax-quick" if self.quick else "audit_jax")
        return self.out or study.directory(usual, self.asked(), AuditJax(quick=self.quick).asked())


def chosen(only: Sequence[str]) -> list[Case]:
    """Raises ValueError for a name that nothing has."""
    names = {name for case in CASES for name in _names(case)}
    for name in only:
        if name not in names:
            raise ValueError(f"only holds {name!r}: {suggestion(name, names)}")
    return [case for case in CASES if not only or not set(only).isdisjoint(_names(case))]


def _names(case: Case) -> list[str]:
    """The full name, all modules above it, and the last part."""
    parts = case.function.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))] + [parts[-1]]


def codes() -> dict[str, str]:
    """Case, by its key, -> a digest of what judges it, and of its table."""
    folder, packages = Path(convnet.__file__).parent, versions()["packages"]
    digests = {t.__name__: content_hash({"code": code_hash(folder, (*JUDGES, t.__name__)), **packages}) for t in TABLES}
    return {case.key: digests[table.__name__] for table in TABLES for case in table.CASES}


def stored(path: Path, code: Mapping[str, str]) -> list[dict[str, Any]]:
    """Lines of cases that were judged by their `code`; one that was torn is none."""
    return [line for line in json_lines.read(path) if line["code"] == code.get(line["row"]["key"])]


def judged(settings: AuditJax, out: Path) -> tuple[list[dict[str, Any]], float]:
    """All rows of these settings, and the seconds that they took, those of runs that were stopped included. New rows
    are appended to rows.jsonl, and once more when the referee was asked.

    {"code": a digest of what judges, "seconds": until here, "row": see `convnet.board.board`}
    """
    start = time.perf_counter()
    wanted = {case.key: case for case in chosen(settings.only) if resolved(case.function) is not None}
    code, within = codes(), Settings(settings.jobs, settings.limit)
    lines = [line for line in stored(out / LINES, code) if line["row"]["key"] in wanted]
    found = {line["row"]["key"]: line["row"] for line in lines}
    start -= max((line.get("seconds", 0.0) for line in lines), default=0.0)

    def keep(row: dict[str, Any], bar: Any) -> None:
        found[row["key"]] = row
        seconds = round(time.perf_counter() - start, 1)
        json_lines.append(out / LINES, {"code": code[row["key"]], "seconds": seconds, "row": row})
        bar.set_postfix_str(row["function"][:40])
        bar.update()

    with progress(len(wanted), "case") as bar:
        bar.update(len(found))
        for row in rows([case for key, case in wanted.items() if key not in found], within):
            keep(boards.plain_row(row), bar)
    if settings.audits:
        first = first_of_each(wanted.values()).values()
        with progress(len(first), "audit") as bar:
            rest = [case for case in first if _unasked(found[case.key])]
            bar.update(len(first) - len(rest))
            for case, said in audits(rest, within):
                keep(boards.with_audit(found[case.key], said), bar)
    return list(found.values()), time.perf_counter() - start


def _unasked(row: Mapping[str, Any]) -> bool:
    """Whether the referee is still to be asked."""
    return row["status"] == "judged" and not row["referee"]


def audit_jax(settings: AuditJax) -> int:
    """Raises ValueError for bad input, before anything is written."""
    if settings.compare:
        require(len(settings.compare) == 2, "compare", [*map(str, settings.compare)], "two boards, then and now")
        then, now = map(boards.read, settings.compare)
        print(text_table(change_table(then, now)))
        return 0
    if settings.merge:
        require(
            len(settings.merge) >= 2, "merge", [*map(str, settings.merge)], "a board, and one or more to put into it"
        )
        return put_together(*settings.merge)
    if settings.document:
        require(bool(settings.boards), "boards", [], "some boards for the --document")
        board_document(settings.document, list(map(boards.read, settings.boards)), THREADS)
        return 0
    require(settings.jobs >= 1, "jobs", settings.jobs, "1 or more")
    require(settings.limit > 0, "limit", settings.limit, "a positive number of seconds")
    chosen(settings.only)
    out = settings.directory()
    study.reserve(out, "audit_jax", settings.asked())
    found, seconds = judged(settings.resolved(), out)
    asked = settings.asked() | {"jobs": settings.jobs}
    board = boards.board_of(found, inventory(CASES, NOT_COVERED), environment(), asked, seconds)
    boards.write(out / "board.json", board)
    missing = report(out / "report.html", board)
    text = "\n\n".join(text_table(table) for table in (count_table(board), entry_table(board)) if len(table) > 1)
    return max(study.conclude(out, text, missing), 1 if _unjudged(board) else 0)


def report(path: Path, board: Board) -> list[str]:
    """Write it, and say what could not be drawn."""
    return write_report(path, *board_page(board, study.circumstances(board.environment)))


def put_together(whole: Path, *parts: Path) -> int:
    """Into the first board the rows of the others: 0, or 1 where a part of its report could not be made."""
    board, page = boards.merged(*map(boards.read, (whole, *parts))), whole.with_name("report.html")
    boards.write(whole, board)
    return study.report_missing(report(page, board) if page.exists() else [])


def _unjudged(board: Board) -> bool:
    return any(row["status"] != "judged" for row in board.rows)


def main(args: list[str] | None = None) -> int:
    return run_command(AuditJax, audit_jax, args, going_on="the same command")


if __name__ == "__main__":
    sys.exit(main())
