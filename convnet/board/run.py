"""All cases, in processes that may crash or hang: each ends as a row."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from concurrent.futures import TimeoutError as OutOfTime
from dataclasses import asdict, dataclass
from typing import Any

from pebble import ProcessExpired, ProcessPool

from convnet.board.case import Case
from convnet.board.judge import Outcome, judge
from convnet.board.referee import Refereed, refereed
from convnet.gradcheck.worker import begin, make_room

LIMIT = 120.0
"""Seconds for a case."""
PER_PROCESS = 200
"""Cases that a process judges before another one takes its place: a compilation leaves some memory behind."""


@dataclass
class Row:
    """What came of a case. status: judged; refused (the function raised an error at all of its points), crashed, or out
    of time. peak: bytes, the most that its process has held so far; seconds: of processors."""

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
    """jobs: processes; limit: seconds for a case; audits: whether the referee is asked, once for each function; table:
    the module whose CASES the processes look the cases up in, as functions of oracles cannot be sent."""

    jobs: int = 1
    limit: float = LIMIT
    audits: bool = True
    table: str = "convnet.board.cases"


def rows(cases: Sequence[Case], settings: Settings) -> Iterator[Row]:
    """As they come."""
    context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork does not survive
    with ProcessPool(settings.jobs, max_tasks=PER_PROCESS, initializer=begin, context=context) as pool:
        waiting, seen = {}, set()
        for case in cases:
            audits = settings.audits and case.function not in seen  # one audit of a function
            seen.add(case.function)
            waiting[pool.schedule(row_of, (settings.table, case.key, audits), timeout=settings.limit)] = case
        try:
            for future in as_completed(waiting):
                yield _row(future, waiting[future])
        except BaseException:
            pool.stop()
            raise


def _row(future: Any, case: Case) -> Row:
    try:
        return future.result()
    except OutOfTime as error:
        return Row(case.function, case.call, case.key, "out of time", f"ended after {error.args[1]:g} s")
    except ProcessExpired as error:
        return Row(case.function, case.call, case.key, "crashed", f"its process ended with code {error.exitcode}")
    except CancelledError:
        return Row(case.function, case.call, case.key, "crashed", "its process could not be started")


def row_of(table: str, key: str, audits: bool) -> Row:
    """In a process of the pool."""
    (case,) = (case for case in importlib.import_module(table).CASES if case.key == key)
    return judged(case, audits=audits)


def judged(case: Case, *, audits: bool = True) -> Row:
    """The row of a case, here."""
    start = time.process_time()
    try:
        outcome = judge(case)
    except Exception as error:
        said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:200]
        return Row(case.function, case.call, case.key, "refused", said, seconds=time.process_time() - start)
    referee = refereed(case) if audits else None
    make_room()
    seconds = time.process_time() - start
    return Row(case.function, case.call, case.key, "judged", "", outcome, referee, _peak(), seconds)


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
