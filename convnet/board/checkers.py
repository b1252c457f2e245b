"""The defects of a board before gradient checkers, which know no mathematics: which of them do these see?

A checker is given the function that has the defect, at the point where the board shows it, and nothing else. Where it
rejects that, it is given the identity at the same point: a checker that rejects this, too, has seen nothing. A step of
1e-4 at 1e6 in float32 is such a case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.board.case import Case, Point
from convnet.board.measure import cast, gradient, precision
from convnet.gradcheck import Auditor
from convnet.gradcheck.compiled import CompiledFunction
from convnet.gradcheck.peers import rejected_by_check_grads, rejected_by_gradcheck
from convnet.gradcheck.worker import make_room

if TYPE_CHECKING:  # which needs the extra `board`
    from convnet.board.board import Board

SEEN, NOT_SEEN = "seen", "not seen"
BLIND = "rejects all"
"""At this point the checker rejects the identity, too."""
NOT_OFFERED = "not offered"
"""The checker does not check such derivatives, or stops with an error of another kind."""
NOT_MEASURED = "not measured"
"""The checker is not installed, or cannot be imported."""


class NotOffered(Exception):
    """What the checker does not check."""


@dataclass(frozen=True)
class Subject:
    """A function at a point, and the order of the derivative that is wrong there."""

    case: Case
    point: Point
    dtype: str
    order: int

    @property
    def args(self) -> tuple[Any, ...]:
        return cast(self.case, self.point, self.dtype)

    def program(self) -> CompiledFunction:
        return CompiledFunction(self.case.fn, self.args, self.case.wrt)

    def floating(self, *own: Any) -> list[jax.Array]:
        """What the function returns in floating point, of the arguments that are differentiated."""
        args = [*map(jnp.asarray, self.args)]
        for i, value in zip(self.case.wrt, own, strict=True):
            args[i] = value
        leaves = map(jnp.asarray, jax.tree.leaves(self.case.fn(*args)))
        return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]

    def identity(self) -> Subject:
        """Of what is differentiated, at the same point; in second order half the square, whose gradient it is."""
        names = [self.case.args[i] for i in self.case.wrt]
        own = "".join(f"{x}, " if self.order == 1 else f"{x} * {x} / 2, " for x in names)
        return replace(self, case=replace(self.case, call=f"({own})", elementwise=False))


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
            return Subject(case, point, dtype, finding["order"])
    return None


def _text(args: Sequence[Any]) -> str:
    """Of arguments as a case has them, or a board, where numbers that are not finite are words. −0 is not 0."""
    return json.dumps([np.asarray(arg, np.float64).tolist() for arg in args])


# --- the checkers -----------------------------------------------------------------------------------------------------


def by_convnet(subject: Subject) -> bool:
    """Our audit, at its usual level."""
    report = Auditor(subject.case.fn, argnums=subject.case.wrt).audit(subject.args, until_failure=True)
    return bool(report.failures)


def by_check_grads(subject: Subject) -> bool:
    """In the dtype of the finding, in its order, forward and in reverse where the function offers both."""
    failures = []
    with precision(subject.dtype):
        own = [subject.args[i] for i in subject.case.wrt]
        for modes in (("fwd", "rev"), ("rev",), ("fwd",)):
            try:
                return rejected_by_check_grads(subject.floating, own, order=subject.order, modes=modes)
            except Exception as error:
                failures.append(error)
    raise failures[0]


def by_gradcheck(subject: Subject) -> bool:
    """torch's, which is for float64 alone. In second order it is given the gradient, as its `gradgradcheck` does."""
    if subject.dtype != "float64":
        raise NotOffered(f"gradcheck is for float64, and this is {subject.dtype}")
    with precision("float64"):
        program = subject.program()
        if subject.order == 2:
            program = CompiledFunction(gradient(subject.case, "float64"), subject.args, subject.case.wrt)
        rejected = rejected_by_gradcheck(program, subject.args, fast=False)
    if rejected is None:
        raise NotOffered("its Jacobian would not fit into memory")
    return rejected


Checker = Callable[[Subject], bool]
"""Whether it rejects the function; what it raises is why it gives no answer."""


def installed() -> dict[str, Checker | None]:
    """All checkers; None for one that is not installed."""
    torch = by_gradcheck if find_spec("torch") else None
    return {"convnet": by_convnet, "check_grads": by_check_grads, "torch gradcheck": torch}


def sighting(finding: Mapping[str, Any], subject: Subject, checkers: Mapping[str, Checker | None]) -> Sighting:
    """Ask them all."""
    answers, said = {}, {}
    for name, checker in checkers.items():
        try:
            answers[name] = NOT_MEASURED if checker is None else _answer(checker, subject)
        except Exception as error:
            answers[name] = NOT_MEASURED if isinstance(error, ImportError) else NOT_OFFERED
            said[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:160]
    make_room()
    told = {name: finding[name] for name in ("function", "call", "kind", "args", "dtype", "order")}
    return Sighting(**told, answers=answers, said=said)


def _answer(checker: Checker, subject: Subject) -> str:
    if not checker(subject):
        return NOT_SEEN
    return BLIND if checker(subject.identity()) else SEEN
