"""A judgement in words."""

from __future__ import annotations

import numpy as np

from convnet.exercises.exercise import differences, expected
from convnet.exercises.hints import hint
from convnet.exercises.judge import Finding, Judgement, errors

LISTED = 5
"""So many wrong entries are listed."""


def told(judgement: Judgement) -> str:
    """Which cases are right; of the first that is not, what is wrong, where, and what it looks like."""
    if not judgement.written:
        return "not written yet"
    if judgement.right:
        return _right(judgement)
    shown = judgement.wrong[0]
    lines = [
        f"  {'wrong' if finding.problem else 'right'}  {number}. {finding.case.name}"
        for number, finding in enumerate(judgement.findings, 1)
    ]
    lines += ["", f"Case {judgement.findings.index(shown) + 1}, {shown.problem}"]
    if shown.wrong is not None:
        lines += ["", *_entries(judgement, shown), "", *_references(judgement, shown)]
    if said := hint(judgement, shown):
        lines += ["", f"Hint: {said}"]
    return "\n".join(lines)


def in_a_word(judgement: Judgement) -> str:
    """For a list of all exercises."""
    if not judgement.written:
        return "not written yet"
    wrong = len(judgement.wrong)
    return f"wrong in {wrong} of {len(judgement.findings)} cases" if wrong else "right"


def _right(judgement: Judgement) -> str:
    exercise, said = judgement.exercise, f"right in all {len(judgement.findings)} cases"
    if exercise.whole:
        said += f", equal to {exercise.reference}"
    else:
        said += f"; largest relative difference from {exercise.reference}: {_largest(judgement, expected):.0e}"
        if exercise.slopes:
            said += f", from finite differences: {_largest(judgement, differences):.0e}"
    return f"{said}\n\nThe library's own stands in {exercise.home}."


def _largest(judgement: Judgement, reference) -> float:
    """The largest relative difference of any entry."""
    found = [
        float(errors(values, right).max(initial=0.0))
        for finding in judgement.findings
        if (known := reference(judgement.exercise, finding.case)) is not None
        for values, right in zip(finding.found, known, strict=True)
    ]
    return max(found)


def _entries(judgement: Judgement, finding: Finding) -> list[str]:
    """A table of wrong entries."""
    exercise, at = judgement.exercise, finding.at
    known = {"expected": expected(exercise, finding.case)[at], "found": finding.found[at]}
    if (slopes := differences(exercise, finding.case)) is not None:
        known["finite differences"] = slopes[at]
    places = np.argwhere(finding.wrong)
    name = exercise.results[at]
    rows = [["", *known]]
    for place in places[:LISTED]:
        index = f"{name}[{', '.join(map(str, place))}]" if len(place) else name
        rows.append([index, *(f"{values[tuple(place)]:.5g}" for values in known.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        numbers = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join(["", first.ljust(widths[0]), *numbers]))
    more = len(places) - LISTED
    return [*lines, *([f"  … and {more} more"] if more > 0 else [])]


def _references(judgement: Judgement, finding: Finding) -> list[str]:
    exercise = judgement.exercise
    lines = [f"Expected: {exercise.reference}."]
    if exercise.slopes and not finding.case.smooth:
        lines.append("No finite differences here: the function has a kink.")
    return lines
