"""All cases, in processes that may crash or hang: each ends as a row."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from concurrent.futures import TimeoutError as OutOfTime
from dataclasses import asdict, dataclass, replace
from typing import Any

from pebble import ProcessExpired, ProcessPool

from convnet.board.asking import first_line
from convnet.board.case import Case, first_of_each
from convnet.board.judge import Outcome, hangs_on_rounding, judge
from convnet.board.referee import Refereed, refereed
from convnet.gradcheck.worker import begin, make_room

LIMIT = 90.0
"""Seconds for a case."""
PER_PROCESS = 300
"""Cases that a process judges before another one takes its place: a compilation leaves some memory behind."""


@dataclass
class Row:
    """What came of a case. status: judged; refused (the function raised an error at all of its points), crashed, or out
    of time. referee: what it said, if it was asked (see `audits`); peak: bytes, the most that its process has held so
    far; seconds: of processors."""

    function: str
    call: str
    key: str
    status: str
    said: str = ""
    outcome: Outcome | None = None
    referee: Refereed | None = None
    peak: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, but for numbers that are not finite."""
        return asdict(self)


@dataclass(frozen=True)
class Settings:
    """jobs: processes; limit: seconds for a case, and for an audit; table: the module whose CASES the processes look
    the cases up in, as functions of oracles cannot be sent."""

    jobs: int = 1
    limit: float = LIMIT
    table: str = "convnet.board.cases"


def rows(cases: Sequence[Case], settings: Settings) -> Iterator[Row]:
    """As they come. Operations that are run one by one are compiled quickly, which may round other bits than users
    see: what hangs on these is judged once more, as users have it."""
    doubtful = []
    for case, (row, hangs) in _rows(cases, settings, quickly=True):
        if hangs:
            doubtful.append(case)
        else:
            yield row
    for _, (row, _) in _rows(doubtful, settings, quickly=False):
        yield row


def _rows(cases: Sequence[Case], settings: Settings, *, quickly: bool) -> Iterator[tuple[Case, tuple[Row, bool]]]:
    for case, future in _each(row_of, cases, settings, quickly=quickly):
        yield case, _ended(future, lambda *said, case=case: (Row(case.function, case.call, case.key, *said), False))


def audits(cases: Sequence[Case], settings: Settings) -> Iterator[tuple[Case, Refereed]]:
    """Of each function the audit, as they come."""
    for case, future in _each(audit_of, cases, settings, quickly=True):
        yield case, _ended(future, lambda status, said: Refereed("none", f"{status}: {said}"))


def _each(work: Callable, cases: Sequence[Case], settings: Settings, *, quickly: bool) -> Iterator[tuple[Case, Any]]:
    if not cases:
        return
    context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork does not survive
    pool = ProcessPool(settings.jobs, max_tasks=PER_PROCESS, initializer=begin, initargs=(quickly,), context=context)
    with pool:
        waiting = {pool.schedule(work, (settings.table, case.key), timeout=settings.limit): case for case in cases}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future
        except BaseException:
            pool.stop()
            raise


def _ended(future: Any, otherwise: Callable[[str, str], Any]) -> Any:
    """What a process returned; or `otherwise`, of a status and of what there is to say."""
    try:
        return future.result()
    except OutOfTime as error:
        return otherwise("out of time", f"ended after {error.args[1]:g} s")
    except ProcessExpired as error:
        return otherwise("crashed", f"its process ended with code {error.exitcode}")
    except CancelledError:
        return otherwise("crashed", "its process could not be started")


def row_of(table: str, key: str) -> tuple[Row, bool]:
    """In a process of the pool: the row, and whether it hangs on rounding. Of each function the first case is asked
    without `jax.jit`, too."""
    case, cases = _found(table, key)
    eager = first_of_each(cases)[case.function] is case
    row = judged(case, eager=eager)
    return row, eager and row.outcome is not None and hangs_on_rounding(case, row.outcome)


def audit_of(table: str, key: str) -> Refereed:
    """In a process of the pool."""
    start = time.process_time()
    said = refereed(_found(table, key)[0])
    make_room()
    return replace(said, peak=_peak(), seconds=time.process_time() - start)


def _found(table: str, key: str) -> tuple[Case, Sequence[Case]]:
    """The case, and all of its table."""
    cases = importlib.import_module(table).CASES
    (case,) = (case for case in cases if case.key == key)
    return case, cases


def judged(case: Case, *, eager: bool = True) -> Row:
    """The row of a case, here. eager: see `measure`."""
    start = time.process_time()
    try:
        outcome = judge(case, eager=eager)
    except Exception as error:
        said = first_line(error)
        return Row(case.function, case.call, case.key, "refused", said, seconds=time.process_time() - start)
    make_room()
    return Row(case.function, case.call, case.key, "judged", "", outcome, None, _peak(), time.process_time() - start)


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
