"""Does the referee condemn right functions?

    python experiments/false_alarms.py                        everything: thousands of audits, in an hour or two
    python experiments/false_alarms.py --only losses inv      functions by name, or by where they come from
    python experiments/false_alarms.py --only mathematics     what JAX's functions should be, where its board looks
    python experiments/false_alarms.py --quick                a few functions: does everything run?

JAX's activations, optax's losses, layers of Flax, linear algebra, signal processing, special functions, likelihoods,
and every op of this library, each at arguments of sizes from 1e-3 to 1e3: nobody doubts their gradients, so every alarm
is a false one. The mathematics of the board's cases (experiments/audit_jax.py, extra `board`) has exact derivatives,
and is audited where the board looks: ties, ends of domains, tails. The same command again goes on where it was stopped,
and begins anew where the referee has changed. Measured answers stand in the README.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import convnet
from convnet.cli import run_command
from convnet.code import code_hash
from convnet.gradcheck.campaign import Outcome, append, outcomes, stored
from convnet.gradcheck.evidence.right_functions import RIGHT_FUNCTIONS, RightFunction
from convnet.gradcheck.worker import make_room
from convnet.identity import environment
from convnet.progress import progress
from convnet.report import Page, Part, Section, figures, study, text_table, write_report
from convnet.settings import require, suggestion
from convnet.threads import processors

if TYPE_CHECKING:  # of the extra `board`
    from convnet.board.case import Case, Point

LINES = "audits.jsonl"
JUDGES = ("convnet.gradcheck.campaign", "convnet.gradcheck.evidence.right_functions")
"""What judges, and what is judged: after a change of either, audits are made again."""
MATHEMATICS, OF_MATHEMATICS = "mathematics", ("convnet.board.campaign", "convnet.board.cases")
"""Of the board's cases; and what judges it, and is judged."""
QUICK = ("relu", "huber_loss", "norm of a vector")
QUICK_SCALES = (1.0,)
AS_GIVEN = (1.0,)
"""Points of the mathematics are not scaled."""


@dataclass(frozen=True)
class FalseAlarms:
    """Audit functions whose gradients are right, at arguments of many sizes, and count the alarms. Writes audits.jsonl
    as it goes, false_alarms.json and report.html. Exit code 1 where there is an alarm."""

    only: tuple[str, ...] = ()
    """Functions, or where they come from. Default: all but mathematics, whose audits ask oracles of many digits."""
    draws: int = 4
    """Arguments drawn per function and size, or points of a case's mathematics; the first is audited at `level`, the
    others at level quick."""
    seed: int = 0
    """Of the first draw; further draws are those of the next seeds."""
    level: Literal["quick", "standard", "exhaustive"] = "standard"
    """Of the first draw."""
    jobs: int = field(default_factory=processors)
    """Processes. Default: the processors that this one may use."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings is refused. Default: runs/false_alarms, and for
    other settings than the usual a directory of their own beside it."""
    quick: bool = False
    """Three functions (unless --only names others) at one size, at level quick: a check that everything runs."""

    def resolved(self) -> FalseAlarms:
        """With what `quick` stands for."""
        return replace(self, only=self.only or QUICK, level="quick", draws=1, jobs=1) if self.quick else self

    def asked(self) -> dict[str, Any]:
        """What decides the results."""
        resolved = self.resolved()
        return {"only": sorted(set(resolved.only)), "quick": self.quick} | {
            name: getattr(resolved, name) for name in ("draws", "seed", "level")
        }

    def directory(self) -> Path:
        usual = Path("runs", "false_alarms-quick" if self.quick else "false_alarms")
        return self.out or study.directory(usual, self.asked(), FalseAlarms(quick=self.quick).asked())


@dataclass(frozen=True)
class Task:
    """What is to be done of one function; functions themselves cannot be sent to other processes."""

    origin: str
    function: str
    draws: tuple[int, ...]
    level: str
    scales: tuple[float, ...]
    done: frozenset[tuple[float, int]] = frozenset()

    @property
    def size(self) -> int:
        return len(self.draws) * len(self.scales) - len(self.done)


def chosen(only: Sequence[str]) -> list[tuple[str, RightFunction | Case]]:
    """(origin, function) for names of either. Raises ValueError for a name that nothing has."""
    known = [(origin, function) for origin, functions in RIGHT_FUNCTIONS.items() for function in functions]
    names = {*RIGHT_FUNCTIONS, *(function.name for _, function in known)}
    if not set(only) <= names:
        known += [(MATHEMATICS, case) for case in board_cases()]
        names = {*names, *(name for pair in known for name in (pair[0], name_of(pair[1])))}
    for name in only:
        if name not in names:
            raise ValueError(f"only holds {name!r}: {suggestion(name, names)}")
    return [(origin, function) for origin, function in known if not only or {origin, name_of(function)} & set(only)]


def board_cases() -> Sequence[Case]:
    """None of them where the extra `board` is not installed, which is said."""
    try:
        from convnet.board.cases import CASES
    except ImportError as error:
        print(f"{error} (extra board): there is no mathematics to audit", file=sys.stderr)
        return ()
    return CASES


def points_of(case: Case) -> Sequence[Point]:
    from convnet.board.campaign import points

    return points(case)


def name_of(function: RightFunction | Case) -> str:
    return function.name if isinstance(function, RightFunction) else function.key


def tasks_of(settings: FalseAlarms, kept: Sequence[Outcome]) -> list[Task]:
    """One for every function of which an audit is missing."""
    draws = tuple(range(settings.seed, settings.seed + settings.draws))
    done: dict[str, set[tuple[float, int]]] = {}
    for outcome in kept:
        done.setdefault(outcome.function, set()).add((outcome.scale, outcome.draw))
    tasks = []
    for origin, function in chosen(settings.only):
        if origin == MATHEMATICS:
            given, scales = tuple(draw for draw in draws if draw < len(points_of(function))), AS_GIVEN
        else:
            given, scales = draws, QUICK_SCALES if settings.quick else function.scales
        name = name_of(function)
        tasks.append(Task(origin, name, given, settings.level, scales, frozenset(done.get(name, ()))))
    return [task for task in tasks if task.size]


def run_task(task: Task) -> list[Outcome]:
    if task.origin == MATHEMATICS:
        from convnet.board import campaign

        (case,) = (case for case in board_cases() if case.key == task.function)
        found = list(campaign.outcomes(task.origin, case, task.draws, first=task.level, done=task.done))
    else:
        (function,) = (f for f in RIGHT_FUNCTIONS[task.origin] if f.name == task.function)
        given = dict(first=task.level, scales=task.scales, done=task.done)
        found = list(outcomes(task.origin, function, task.draws, **given))
    make_room()
    return found


def results_of(tasks: Sequence[Task], jobs: int) -> Iterator[list[Outcome]]:
    """As they come, a list per function."""
    if jobs == 1 or len(tasks) < 2:
        yield from map(run_task, tasks)
        return
    context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork does not survive
    with ProcessPoolExecutor(jobs, context) as pool:
        waiting = [pool.submit(run_task, task) for task in tasks]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def audited(settings: FalseAlarms, out: Path) -> list[Outcome]:
    """All outcomes of these settings; the new ones are appended to audits.jsonl."""
    folder = Path(convnet.__file__).parent
    usual, of_mathematics = code_hash(folder, JUDGES), code_hash(folder, OF_MATHEMATICS)
    found = [o for code in {usual, of_mathematics} for o in stored(out / LINES, code)]
    tasks = tasks_of(settings, found)
    with progress(sum(task.size for task in tasks), "audit") as bar:
        for new in results_of(tasks, settings.jobs):
            for outcome in new:
                code = of_mathematics if outcome.origin == MATHEMATICS else usual
                append(out / LINES, replace(outcome, code=code))
            found += new
            alarms = sum(bool(outcome.alarms) for outcome in found)
            bar.set_postfix_str(f"{new[-1].function}; {alarms} with alarms"[:60])
            bar.update(len(new))
    return found


def count_table(found: Sequence[Outcome]) -> list[list[str]]:
    """By origin: audits, those with alarms, those that nothing independent confirmed, seconds of the middle one."""
    rows = [["functions from", "functions", "audits", "alarms", "not compared", "s, quick", "s, standard"]]
    for origin in [*dict.fromkeys(outcome.origin for outcome in found), "all"]:
        here = [outcome for outcome in found if origin in (outcome.origin, "all")]
        seconds = {level: [o.seconds for o in here if o.level == level] for level in ("quick", "standard")}
        times = [f"{np.median(values):.2g}" if values else "" for values in seconds.values()]
        alarms, silent = sum(bool(o.alarms) for o in here), sum(not o.compared and not o.alarms for o in here)
        functions = len({o.function for o in here})
        rows.append([origin, *map(str, (functions, len(here), alarms, silent)), *times])
    return rows


def alarm_table(found: Sequence[Outcome]) -> list[list[str]]:
    """By function, the most alarms first: at which scales, and the first message."""
    rows = [["function", "alarms", "at scales", "first message"]]
    counts = Counter(outcome.function for outcome in found if outcome.alarms)
    for name, count in counts.most_common():
        here = [outcome for outcome in found if outcome.function == name and outcome.alarms]
        scales = ", ".join(f"{scale:g}" for scale in sorted({outcome.scale for outcome in here}))
        rows.append([name, str(count), scales, here[0].alarms[0]])
    return rows


def stage_table(found: Sequence[Outcome]) -> list[list[str]]:
    """How many audits each stage was the first to end with an alarm."""
    counts = Counter(outcome.stage for outcome in found if outcome.alarms)
    return [["stage", "alarms"], *([stage, str(count)] for stage, count in counts.most_common())]


def alarms_page(found: Sequence[Outcome], tables: dict[str, list[list[str]]], circumstances: dict[str, str]) -> Page:
    title, shares = "Audits with an alarm", {}
    for outcome in found:
        alarms, audits = shares.get(outcome.origin, (0, 0))
        shares[outcome.origin] = alarms + bool(outcome.alarms), audits + 1
    alt = "Of the functions of every origin, how many audits ended with an alarm."
    picture = Part(title, lambda: Section.of(title, figures.shares({title: shares}), alt, "Less is better."))
    sections = [Section(name, table=table) for name, table in tables.items() if len(table) > 1]
    return Page("False alarms", circumstances, [picture, *sections])


def false_alarms(settings: FalseAlarms) -> int:
    """Audit, print and write: 0, or 1 where there is an alarm or a part of the report could not be made."""
    for name in ("draws", "jobs"):
        require(getattr(settings, name) >= 1, name, getattr(settings, name), "1 or more")
    require(settings.seed >= 0, "seed", settings.seed, "0 or more")
    chosen(settings.only)
    out = settings.directory()
    study.reserve(out, "false_alarms", settings.asked())
    found = audited(settings.resolved(), out)
    tables = {"By origin": count_table(found), "By stage": stage_table(found), "Alarms": alarm_table(found)}
    where = environment()
    values = {"counts": tables["By origin"], "alarms": [asdict(outcome) for outcome in found if outcome.alarms]}
    study.write_results(out, "false_alarms.json", values, where)
    missing = write_report(out / "report.html", *alarms_page(found, tables, study.circumstances(where)))
    text = "\n\n".join(text_table(table) for table in tables.values() if len(table) > 1)
    code = study.conclude(out, text, missing)
    return max(code, 1 if any(outcome.alarms for outcome in found) else 0)


def main(args: list[str] | None = None) -> int:
    return run_command(FalseAlarms, false_alarms, args, going_on="the same command")


if __name__ == "__main__":
    sys.exit(main())
