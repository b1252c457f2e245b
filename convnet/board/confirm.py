"""A second witness: difference quotients of values in float64, the library's own and SciPy's, which share no code with
the mathematics that condemned. And no witness is believed where the lines that are to show a defect do not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import jax.numpy as jnp
import numpy as np

from convnet.board.case import Case, Point
from convnet.board.compare import Verdict
from convnet.board.contraction import contracted
from convnet.board.measure import cast, direction, precision, programs
from convnet.board.oracle import differentiated
from convnet.board.reproduction import is_wrong, printed
from convnet.board.verdict import Finding

STEPS = 10.0 ** -np.arange(1, 9)
"""Beside the size of what is moved."""
APART = 0.25
"""A witness that is nearer to the truth than this part of the error says the same as the truth."""


def confirmed(case: Case, point: Point, finding: Finding, verdict: Verdict) -> list[str]:
    """Who else says that the derivative is what the truth says, and not what was found; nobody where the finding's own
    lines, run here, print something else than that."""
    try:
        shown = is_wrong(finding.got, float(verdict.slope.value), printed(finding.reproduction))
    except Exception:  # lines that end with an error show nothing
        shown = False
    if not shown:
        return []
    found = []
    if finding.kind == "transform":
        found.append("the other ways")
    for name, slopes in _witnesses(case, point, finding):
        with np.errstate(all="ignore"):
            if _agree(slopes(), verdict):
                found.append(name)
    return found


def _agree(slopes: list[float], verdict: Verdict) -> bool:
    true = float(verdict.slope.value)
    error = abs(verdict.got - true) if np.isfinite(verdict.got) else max(abs(true), 1e-6)
    return any(abs(slope - true) < APART * error for slope in slopes if np.isfinite(slope))


def _witnesses(case: Case, point: Point, finding: Finding):
    args = cast(case, point, finding.dtype)
    x, entry = differentiated(case, point, finding.dtype), finding.entry
    unit = np.eye(x.size)[entry]
    value, gradient = programs(case)

    def called(f: Callable) -> Callable[[np.ndarray], np.ndarray]:
        def at(moved: np.ndarray) -> np.ndarray:
            with precision("float64"):
                return np.asarray(f(*(jnp.asarray(a) for a in _placed(case, args, moved))), np.float64)

        return at

    if finding.order == 2:
        along = np.eye(x.size)[finding.direction] if case.elementwise else direction(x.size)
        own = called(gradient)
        yield "differences of its own gradient", lambda: _slopes(lambda moved: own(moved)[entry], x, along)
        return
    yield "differences of its own values", lambda: _slopes(called(value), x, unit)
    if case.scipy is not None:
        theirs = case.scipy if case.elementwise else lambda *args: contracted(case.scipy(*args))

        def outside(moved: np.ndarray) -> np.float64:
            with precision("float64"), suppress(ValueError):  # in which the result is contracted, too
                return np.float64(theirs(*_placed(case, args, moved)))
            return np.float64(np.nan)

        yield "differences of SciPy's values", lambda: _slopes(outside, x, unit)


def _slopes(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, along: np.ndarray) -> list[float]:
    """Central quotients of fourth order, over steps of many sizes, from the size of the entries down."""
    moving = np.abs(x[along != 0])
    size = float(moving.max()) or 1.0
    found = []
    for h in size * STEPS:
        near, far = (float(f(x + k * h * along)) - float(f(x - k * h * along)) for k in (1, 2))
        found.append((8 * near - far) / (12 * h))
    return found


def _placed(case: Case, args: tuple[np.ndarray, ...], x: np.ndarray) -> list[np.ndarray]:
    """All arguments in float64, with the numbers `x` where the case is differentiated."""
    found, start = [a.astype(np.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a for a in args], 0
    for i in case.wrt:
        size = np.size(args[i])
        found[i] = x[start : start + size].reshape(np.shape(args[i]))
        start += size
    return found
