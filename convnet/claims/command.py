"""The command of one claim: measure, store, show."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnet.claims.finding import Claim, Effort, Measure
from convnet.claims.page import claims_page, findings_table
from convnet.claims.stored import Answer, save
from convnet.cli import run_command
from convnet.code import script_hash
from convnet.record import check_writable
from convnet.report import study, text_table, write_report

STUDY, ALL = "claim", "claims"
"""In the plan of a directory: one claim, or all of them, each in a directory of its own below."""


@dataclass(frozen=True)
class Command:
    """Put one claim of the textbooks to the test. Prints the findings, and writes report.html with pictures."""

    seeds: int | None = None
    """Seeds, 0, 1, …, instead of the usual number; 2 or more."""
    out: Path | None = None
    """Directory of the results; one that holds something else is refused. Default: runs/claims/NAME, and
    runs/claims-quick/NAME."""
    quick: bool = False
    """Small sizes and few seeds, in seconds: a check that everything runs, not a result."""


def directory(name: str, quick: bool) -> Path:
    """Where the results of the claim in the file NAME.py go that were told no place."""
    return Path("runs", "claims-quick" if quick else "claims", name)


def made_by(file: Path, effort: Effort) -> dict[str, Any]:
    """What a stored answer has to have been made by, to be taken for this one's."""
    return {"code": script_hash(file), "quick": effort.quick, "seeds": effort.seeds}


def answer(
    file: Path, claim: Claim, measure: Measure, effort: Effort, out: Path, made: Mapping[str, Any] | None = None
) -> Answer:
    """Measure, and store in `out`. made: of `made_by`, from when the code was loaded; None: now, before anything is
    measured, as it may be edited while it runs.

    Raises ValueError where `out` cannot be written, or is something else's.
    """
    made = made_by(file, effort) if made is None else made
    study.check_same(out, STUDY, {"claim": file.stem})
    begin = time.perf_counter()
    evidence = measure(effort)
    seconds = time.perf_counter() - begin
    study.reserve(out, STUDY, {"claim": file.stem})
    return save(out, claim, evidence, seconds, made)


def run_claim(file: str, claim: Claim, measure: Measure, args: Sequence[str] | None = None) -> int:
    """The command of the claim in `file` (its `__file__`): returns the exit code."""

    def run(command: Command) -> int:
        effort = Effort(command.quick, command.seeds)
        out = command.out or directory(Path(file).stem, command.quick)
        check_writable(out)
        if command.out is None:  # where the command of all claims writes, and looks for what is measured already
            study.reserve(out.parent, ALL, {"quick": command.quick})
        found = answer(Path(file), claim, measure, effort, out)
        page = claims_page([found])
        missing = write_report(out / "report.html", *page)
        print(f"{claim.number}. {claim.title}: {found.verdict}\n")
        print(text_table(findings_table(found)))
        return study.conclude(out, f"{found.seconds:.0f} s", missing)

    return run_command(Command, run, args)
