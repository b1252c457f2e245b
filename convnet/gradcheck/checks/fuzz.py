"""Stage 9: random calls of the function, and the smallest one at which its gradient is wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from convnet.gradcheck.checks.first_order import elementwise
from convnet.gradcheck.checks.sources import oracle_is_affordable
from convnet.gradcheck.compiled import BadCall
from convnet.gradcheck.reproduction import array_literal
from convnet.gradcheck.subject import Subject, Untested
from convnet.gradcheck.verdict import Check

SHRINKING = 150
"""Calls after the first failing one, each compiled, after which the smallest found so far is reported."""


class Search:
    """Whether a call fails, as `hypothesis` asks it; remembers how many passed, and how the last one failed."""

    def __init__(self, subject: Subject):
        self.subject, self.passed, self.failures = subject, 0, []
        self._left: int | None = None

    def fails(self, call) -> bool:
        if self._left == 0:
            return False
        checks = check_call(self.subject, *call)
        self.passed += any(check.status == "passed" for check in checks if check.name.startswith("gradient"))
        failed = [check for check in checks if check.status == "failed"]
        if self._left is not None:
            self._left -= 1
        elif failed:
            self._left = SHRINKING
        self.failures = failed or self.failures
        return bool(failed)


def fuzz(subject: Subject) -> Iterator[Check]:
    """`hypothesis` draws calls and, where one fails, shrinks it."""
    if subject.strategy is None:
        raise Untested("no strategy to draw calls from was given")
    if subject.reference is None and subject.oracle is None:
        raise Untested("neither a reference nor an oracle was given")
    from hypothesis import HealthCheck, Phase, find, settings
    from hypothesis.errors import NoSuchExample

    budget = settings(
        max_examples=subject.level.fuzz,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    search, seed = Search(subject), int(subject.rng.integers(2**32))
    try:
        args, keywords = find(subject.strategy, search.fails, settings=budget, random=random.Random(seed))
    except NoSuchExample:
        if not search.passed:
            raise Untested("the function refused every call, or nothing affordable could check one") from None
        yield Check("fuzz", "random calls", "passed", note=f"{search.passed} calls")
        return
    failed = [check for check in check_call(subject, args, keywords) if check.status == "failed"] or search.failures
    name = getattr(subject.program.fn, "__name__", "fn")
    call = reproduction(name, args, keywords)
    yield Check("fuzz", "random calls", "failed", failed[0].error, failed[0].bound, f"{failed[0].worst}; {call}")


def check_call(subject: Subject, args, keywords) -> list[Check]:
    """Value and gradient of another call, entry by entry; against the oracle alone where there is one, as compiling is
    nearly all of the time. A call that the function refuses is no failure of its gradient."""
    try:
        there = subject.restart(args, keywords)
    except BadCall:
        return []
    except ValueError as error:  # its gradient fails
        return [Check("fuzz", "gradient", "failed", worst=str(error))]
    alone = there.oracle is not None and oracle_is_affordable(there)
    return list(elementwise(replace(there, reference=None) if alone else there))


def reproduction(name: str, args, keywords) -> str:
    """A line of Python that audits the same call."""
    shown = ", ".join(array_literal(value) if hasattr(value, "shape") else repr(value) for value in args)
    comma = "," if len(args) == 1 else ""
    return f"audit({name}, ({shown}{comma}), settings={keywords!r})"
