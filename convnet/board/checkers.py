"""The defects of a board before gradient checkers, which know no mathematics: which of them do these see?

A checker is given the function that has the defect, at the point where the board shows it, and nothing else. Where it
rejects that, it is given right functions at the same point: the identity, and the mathematics of the case (see
`mathematics`). A checker that rejects one of these, too, has seen nothing. A step of 1e-4 at 1e6 in float32 is such a
case, and a step out of the domain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.board.asking import first_line
from convnet.board.case import Case, Point
from convnet.board.contraction import contracted
from convnet.board.mathematics import mathematics, settled
from convnet.board.measure import cast, precision
from convnet.gradcheck import Auditor
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.peers import rejected_by_check_grads, rejected_by_gradcheck
from convnet.gradcheck.verdict import Check, Report
from convnet.gradcheck.worker import make_room

if TYPE_CHECKING:  # which needs the extra `board`
    from convnet.board.board import Board

SEEN, NOT_SEEN = "seen", "not seen"
BLIND = "rejects right ones"
"""At this point the checker rejects a right function, too."""
NOT_OFFERED = "not offered"
"""The checker does not check such derivatives, or stops with an error of another kind."""
NOT_MEASURED = "not measured"
"""The checker is not installed, or cannot be imported."""


class NotOffered(Exception):
    """What the checker does not check."""


@dataclass(frozen=True)
class Subject:
    """A function at a point, that of the case or `fn`; the order of the derivative that is wrong there, and how."""

    case: Case
    point: Point
    dtype: str
    order: int
    kind: str = ""
    fn: Callable[..., Any] | None = None

    @property
    def args(self) -> tuple[Any, ...]:
        return cast(self.case, self.point, self.dtype)

    @property
    def function(self) -> Callable[..., Any]:
        return self.fn or self.case.fn

    def floating(self, *own: Any) -> list[jax.Array]:
        """What the function returns in floating point, of the arguments that are differentiated."""
        args = [*map(jnp.asarray, self.args)]
        for i, value in zip(self.case.wrt, own, strict=True):
            args[i] = value
        leaves = map(jnp.asarray, jax.tree.leaves(self.function(*args)))
        return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]

    def gradient(self, *args: Any) -> tuple[jax.Array, ...]:
        """Of all results, contracted to one number."""
        return jax.grad(lambda *args: contracted(self.function(*args)), self.case.wrt)(*args)

    def identity(self) -> Subject:
        """Of what is differentiated, at the same point; in second order half the square, whose gradient it is."""
        powers = (lambda x: x) if self.order == 1 else (lambda x: x * x / 2)
        return replace(self, fn=lambda *args: [powers(args[i]) for i in self.case.wrt])

    def mathematics(self) -> Subject | None:
        """What the library's function should be, as its oracle says, at the same point; None where not all derivatives
        exist, or the oracle does not settle."""
        known = settled(self.case, self.point, self.dtype, self.order) is not None
        return replace(self, fn=partial(mathematics, self.case)) if known else None


@dataclass(frozen=True)
class Sighting:
    """What all checkers said of an entry of a board. answers: by checker; said: why one gave none."""

    function: str
    call: str
    kind: str
    args: list[Any]
    dtype: str
    order: int
    answers: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)


# --- what a checker is given ------------------------------------------------------------------------------------------


def subject_of(board: Board, finding: Mapping[str, Any], cases: Sequence[Case]) -> Subject | None:
    """None where the case or the point of the finding is no longer among `cases`."""
    rows = (row for row in board.rows if row["outcome"])
    key = next(row["key"] for row in rows if any(found is finding for found in row["outcome"]["findings"]))
    case, dtype, wanted = next((c for c in cases if c.key == key), None), finding["dtype"], _text(finding["args"])
    for point in () if case is None else case.points:
        if point.label == finding["label"] and _text(cast(case, point, dtype)) == wanted:
            return Subject(case, point, dtype, finding["order"], finding["kind"])
    return None


def _text(args: Sequence[Any]) -> str:
    """Of arguments as a case has them, or a board, where numbers that are not finite are words. −0 is not 0."""
    return json.dumps([np.asarray(arg, np.float64).tolist() for arg in args])


# --- the checkers -----------------------------------------------------------------------------------------------------


def by_convnet(subject: Subject, check: str | None = None) -> str | None:
    """Our audit, at its usual level; or one of its stages."""
    auditor = Auditor(subject.function, argnums=subject.case.wrt)
    stages = [check] if check else None
    report = auditor.audit(subject.args, stages=stages, until_failure=True)
    return next((found.stage for found in (*report.failures, *_named(subject, report))), None)


def _named(subject: Subject, report: Report) -> Iterator[Check]:
    """What a report does not reject and says, as it does of a function that computes in fewer bits."""
    if subject.kind == "precision":
        yield from (check for check in report.checks if (check.stage, check.name) == ("scope", "digits"))


def by_check_grads(subject: Subject, check: str | None = None) -> str | None:
    """In the dtype of the finding, in its order, forward and in reverse where the function offers both; or in the
    modes that are said."""
    failures = []
    with precision(subject.dtype):
        own = [subject.args[i] for i in subject.case.wrt]
        for modes in [check] if check else ["fwd, rev", "rev", "fwd"]:
            try:
                found = rejected_by_check_grads(subject.floating, own, order=subject.order, modes=modes.split(", "))
                return modes if found else None
            except Exception as error:
                failures.append(error)
    raise failures[0]


def by_gradcheck(subject: Subject, check: str | None = None) -> str | None:
    """torch's, which is for float64 alone. In second order it is given the gradient, as its `gradgradcheck` does."""
    del check  # it has one
    if subject.dtype != "float64":
        raise NotOffered(f"gradcheck is for float64, and this is {subject.dtype}")
    with precision("float64"):
        function = subject.gradient if subject.order == 2 else subject.function
        program = CompiledFunction(function, subject.args, subject.case.wrt)
        rejected = rejected_by_gradcheck(program, subject.args, fast=False)
    if rejected is None:
        raise NotOffered("its Jacobian would not fit into memory")
    return "gradcheck" if rejected else None


Checker = Callable[[Subject, str | None], str | None]
"""(a function at a point, one of its checks or None for all) -> which check rejects it, None if none does. What it
raises is why it gives no answer."""


def installed() -> dict[str, Checker | None]:
    """All checkers; None for one that is not installed."""
    torch = by_gradcheck if find_spec("torch") else None
    return {"convnet": by_convnet, "check_grads": by_check_grads, "torch gradcheck": torch}


def sighting(finding: Mapping[str, Any], subject: Subject, checkers: Mapping[str, Checker | None]) -> Sighting:
    """Ask them all."""
    answers, said = {}, {}
    for name, checker in checkers.items():
        try:
            answers[name], why = (NOT_MEASURED, "") if checker is None else _answer(checker, subject)
        except Exception as error:
            answers[name] = NOT_MEASURED if isinstance(error, ImportError) else NOT_OFFERED
            why = first_line(error)
        if why:
            said[name] = why
    make_room()
    told = {name: finding[name] for name in ("function", "call", "kind", "args", "dtype", "order")}
    return Sighting(**told, answers=answers, said=said)


def _answer(checker: Checker, subject: Subject) -> tuple[str, str]:
    """What it says, and why. A right function whose numbers cannot be had, or that the check cannot take, is not asked
    about."""
    check = checker(subject, None)
    if check is None:
        return NOT_SEEN, ""
    why = check
    for name, right in (("the identity", subject.identity()), ("the mathematics", subject.mathematics())):
        try:
            if right is not None and checker(right, check):
                return BLIND, f"{check}; {name}, too"
        except Exception as error:
            why += f"; not asked about {name}: {first_line(error)}"
    return SEEN, why
