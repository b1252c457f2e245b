"""Do the claims of textbooks about convolutional networks hold, here and in numbers?

    python experiments/claims.py                    all of them: under half an hour on two cores
    python experiments/claims.py --only 3 5         some, by number
    python experiments/claims.py --list             the claims
    python experiments/claims.py --quick            does everything run?

`make claims` does the first, and writes docs/claims.md and docs/results/claims.json, from which `--again` writes the
document without measuring. Each claim is one file in experiments/claims/, a command of its own. The same command again
measures only what is not measured yet.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from convnet.claims import Effort
from convnet.claims.command import ALL, answer, directory, made_by
from convnet.claims.page import claims_page, write_document
from convnet.claims.results import read_results, write_results
from convnet.claims.stored import Answer, read
from convnet.cli import run_command
from convnet.journal import Stopped
from convnet.progress import progress
from convnet.record import check_writable
from convnet.report import Section, study, text_table, write_report
from convnet.settings import require

FOLDER = Path(__file__).resolve().parent / "claims"


@dataclass(frozen=True)
class Command:
    """Put the claims of textbooks to the test, and write report.html: each claim with its source, what was measured,
    the interval, the verdict and the rule that it follows from, and pictures. What is measured already is kept."""

    only: tuple[int, ...] = ()
    """Numbers of claims. Default: all."""
    seeds: int | None = None
    """Seeds instead of each claim's usual number; 2 or more."""
    out: Path | None = None
    """Directory of the results; one that holds something else is refused. Default: runs/claims, runs/claims-quick."""
    document: Path | None = None
    """A Markdown file to write besides, with a folder of pictures of that name; of all claims only."""
    results: Path | None = None
    """A JSON file of all findings to write besides the document."""
    again: bool = False
    """Measure nothing: write the document again, out of the results and its own pictures."""
    list: bool = False
    """Print the claims, and do nothing else."""
    quick: bool = False
    """Small sizes and few seeds: a check that everything runs, not a result."""


def modules() -> dict[int, ModuleType]:
    """Number -> the file of each claim, in order. The files are commands, so they are no package.

    Raises ValueError for two claims of one number.
    """
    found: dict[int, ModuleType] = {}
    for path in sorted(FOLDER.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"convnet_claim_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look for what their annotations mean
        spec.loader.exec_module(module)
        number = module.CLAIM.number
        require(number not in found, f"number of {path.name}", number, "one that no other claim has")
        found[number] = module
    return dict(sorted(found.items()))


def chosen(command: Command) -> dict[int, ModuleType]:
    """Raises ValueError for a number that no claim has."""
    known = modules()
    for number in command.only:
        require(number in known, "only", number, f"some of {', '.join(map(str, known))}")
    return {number: known[number] for number in sorted(set(command.only)) or known}


def _check_document(command: Command) -> None:
    """Raises ValueError for a document of some claims or of other numbers of seeds, and for results without one."""
    partial = bool(command.only) or command.quick or command.seeds is not None
    told = "no --only, --quick or --seeds beside it"
    require(not (command.document and partial), "document", str(command.document), told)
    require(command.document or not command.results, "results", str(command.results), "--document beside it")
    require(command.results or not command.again, "again", command.again, "--document and --results beside it")
    for path in filter(None, (command.document, command.results)):
        check_writable(path.parent)


def claims(command: Command) -> int:
    """Measure and write. Returns 0, or 1 where a claim could not be measured or a part of the page not made.

    Raises ValueError before anything is measured.
    """
    wanted = chosen(command)
    if command.list:
        print(text_table([["", "claim"], *([str(number), m.CLAIM.title] for number, m in wanted.items())]))
        return 0
    _check_document(command)
    if command.again:
        write_document(command.document, *read_results(command.results, command.document.with_suffix("")))
        print(f"document: {command.document}")
        return 0
    effort = Effort(command.quick, command.seeds)
    out = command.out or directory("", command.quick)
    study.reserve(out, ALL, {"quick": command.quick})
    found, failed = measured(wanted, effort, out)
    for section in failed:
        print(f"{section.title}: {section.text}", file=sys.stderr)
    if command.document and failed:
        print(f"{command.document} is not written: it is of all claims", file=sys.stderr)
    if not found:
        return 1
    missing = write_report(out / "report.html", *claims_page(found, failed))
    if command.document and not failed:
        files = [Path(module.__file__).stem for module in wanted.values()]
        write_document(command.document, found, files)
        if command.results:
            write_results(command.results, found, files)
    rows = [[f"{a.claim.number}. {a.claim.title}", a.verdict, f"{a.seconds:.0f} s"] for a in found]
    code = study.conclude(out, text_table([["claim", "verdict", "time"], *rows]), missing)
    return 1 if failed else code


def measured(wanted: dict[int, ModuleType], effort: Effort, out: Path) -> tuple[list[Answer], list[Section]]:
    """An answer for each claim, stored or new, and what is said of those that failed: one costs no other."""
    found, failed = [], []
    made = {number: made_by(Path(module.__file__), effort) for number, module in wanted.items()}  # as it is loaded
    with progress(len(wanted), "claim") as bar:
        for module in wanted.values():
            path = Path(module.__file__)
            bar.set_postfix_str(path.stem)
            try:
                stored = read(out / path.stem, made[module.CLAIM.number])
                given = path, module.CLAIM, module.measure, effort, out / path.stem, made[module.CLAIM.number]
                found.append(stored or answer(*given))
            except Stopped:
                raise
            except Exception as error:
                if os.environ.get("CONVNET_TRACEBACK"):
                    raise
                kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
                title = f"{module.CLAIM.number}. {module.CLAIM.title}"
                failed.append(Section(title, f"could not be measured ({kind}{error})"))
            bar.update()
    return found, failed


def main(args: Sequence[str] | None = None) -> int:
    return run_command(Command, claims, args, going_on="the same command")


if __name__ == "__main__":
    sys.exit(main())
