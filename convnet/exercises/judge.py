"""The referee: what a function gives in every case of its exercise, entry by entry beside what is right."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convnet.exercises.exercise import Case, Exercise, Results, expected
from convnet.gradcheck.verdict import describe_wrong

RELATIVE = 1e-4
"""Of an entry, or of its array's root mean square if that is larger. Rounding in float32 costs some 1e-6."""
Function = Callable[..., Any]


@dataclass(frozen=True)
class Finding:
    """One case. problem: what is wrong in a line, empty where nothing is. at: which of the results it is about, None
    where it is about none. found: all results, as far as they could be read; wrong: which entries of result `at`."""

    case: Case
    problem: str = ""
    at: int | None = None
    found: Results = ()
    wrong: np.ndarray | None = None


@dataclass(frozen=True)
class Judgement:
    """What became of one exercise. findings: one for each case; none where the function is not written yet."""

    exercise: Exercise
    findings: Sequence[Finding]

    @property
    def written(self) -> bool:
        return bool(self.findings)

    @property
    def wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.problem]

    @property
    def right(self) -> bool:
        return self.written and not self.wrong


def judge(exercise: Exercise, function: Function) -> Judgement:
    """Call `function` in every case. Whatever it raises is a finding, but for an interruption."""
    findings = []
    for case in exercise.cases:
        try:
            findings.append(examined(exercise, case, function))
        except NotImplementedError:
            if not findings:
                return Judgement(exercise, ())
            findings.append(Finding(case, "raises NotImplementedError"))
    return Judgement(exercise, findings)


def examined(exercise: Exercise, case: Case, function: Function) -> Finding:
    """One case. Lets NotImplementedError through."""
    try:
        with np.errstate(all="ignore"):
            returned = case.run(function, *case.args)
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:
        return Finding(case, f"raises {told_error(error, _file_of(function))}")
    return compared(exercise, case, returned)


def compared(exercise: Exercise, case: Case, returned: Any) -> Finding:
    """What the function returned in a case, beside what is right."""
    found, problem = arrays_of(exercise, returned)
    if problem:
        return Finding(case, problem)
    for at, (name, values, right) in enumerate(zip(exercise.results, found, expected(exercise, case), strict=True)):
        if values.shape != right.shape:
            told = "a single number" if right.ndim == 0 else f"{list(right.shape)}"
            return Finding(case, f"{name} has shape {list(values.shape)}: expected {told}", at, found)
        wrong = values != right if exercise.whole else ~(errors(values, right) <= RELATIVE)
        if wrong.any():
            return Finding(case, f"{name}: {describe_wrong(wrong) if wrong.ndim else 'wrong'}", at, found, wrong)
    return Finding(case, found=found)


def errors(found: np.ndarray, right: np.ndarray) -> np.ndarray:
    """|found − right| of every entry, relative to the larger of its size and the root mean square of all; NaN where
    `found` is. Of an array of zeros, absolute."""
    scale = np.maximum(np.abs(right), np.sqrt(np.mean(right**2)))
    with np.errstate(all="ignore"):
        return np.abs(found - right) / np.where(scale > 0, scale, 1.0)


def same(found: np.ndarray, other: np.ndarray | None) -> bool:
    """Whether two results are equal to rounding; NaN equals NaN."""
    if other is None or found.shape != other.shape:
        return False
    if not np.array_equal(np.isnan(found), np.isnan(other)):
        return False
    return bool((errors(np.nan_to_num(found), np.nan_to_num(other)) <= RELATIVE).all())


# --- what is returned, and what is raised -----------------------------------------------------------------------------


def arrays_of(exercise: Exercise, returned: Any) -> tuple[list[np.ndarray], str]:
    """The results as arrays of float64, or what is wrong with them."""
    names = exercise.results
    if returned is None:
        return [], "returns None: is there a return?"
    if len(names) == 1:
        returned = [returned]
    elif not isinstance(returned, tuple | list) or len(returned) != len(names):
        count = len(returned) if isinstance(returned, tuple | list) else f"one {type(returned).__name__}"
        return [], f"returns {count}: expected {len(names)} values, {', '.join(names)}"
    found = []
    for name, value in zip(names, returned, strict=True):
        try:
            array = np.asarray(value)
        except Exception as error:  # a ragged list, an array of JAX that stands for one under a transformation
            return [], f"{name} is no array ({told_error(error)})"
        kinds, wanted = ("iu", "whole numbers") if exercise.whole else ("f", "floating-point numbers")
        if array.dtype.kind not in kinds and not array.dtype.name.startswith("bfloat16"):
            return [], f"{name} has dtype {array.dtype}: expected {wanted}"
        found.append(array.astype(np.float64))
    return found, ""


def told_error(error: BaseException, file: str = "") -> str:
    """An exception in one line, with the innermost line of `file` that it came through."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else f"{text[:200]}…"
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{told} (line {own[-1].lineno}: {own[-1].line})" if own else told


def _file_of(function: Function) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_filename if code else ""
