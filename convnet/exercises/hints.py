"""What a wrong result looks like: the usual mistake that gives the same numbers, a factor, a transposition, NaN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convnet.exercises.exercise import Exercise, Mistake, by_mistake, expected
from convnet.exercises.judge import RELATIVE, Finding, Judgement, errors, same


def hint(judgement: Judgement, shown: Finding) -> str:
    """A sentence or two on the finding that is `shown`; empty where nothing is recognised.

    A mistake that explains every case comes first, then one that explains this case.
    """
    exercise = judgement.exercise
    if "read-only" in shown.problem:
        return "Arguments are not to be changed, as the caller still needs them: work on a copy."
    if "ConcretizationTypeError" in shown.problem or "Tracer" in shown.problem:
        return "The function is called with plain arrays; under jax.jit, shapes and ifs cannot depend on values."
    if shown.at is None:
        return ""
    fitting = [mistake for mistake in exercise.mistakes if _explains(exercise, shown, mistake)]
    everywhere = [one for one in fitting if all(_explains(exercise, f, one) for f in judgement.findings if f.found)]
    for mistake in [*everywhere, *fitting]:
        return f"This is what one gets {mistake.hint}{'' if mistake.hint.endswith('?') else '.'}"
    return next(_patterns(judgement, shown), "")


def _explains(exercise: Exercise, finding: Finding, mistake: Mistake) -> bool:
    """Whether the mistake gives what was found, of the result that is wrong; of a case that is right, of all."""
    made = by_mistake(exercise, finding.case, mistake)
    if len(made) != len(finding.found):
        return False
    if finding.at is not None:
        return same(finding.found[finding.at], made[finding.at])
    return all(one is None or same(values, one) for values, one in zip(finding.found, made, strict=True))


def _patterns(judgement: Judgement, finding: Finding) -> Iterator[str]:
    exercise = judgement.exercise
    right, found = expected(exercise, finding.case), finding.found
    values, wanted = found[finding.at], right[finding.at]
    if len(found) > 1 and all(same(a, b) for a, b in zip(found, reversed(right), strict=True)):
        yield f"The results are right, but in the wrong order: expected {', '.join(exercise.results)}."
    if values.shape != wanted.shape:
        yield from _misshapen(values, wanted)
        return
    if exercise.whole:
        return
    yield from _not_finite(values)
    if not values.any():
        yield "Every entry found is 0: is the result filled, and returned?"
    yield from _factor(judgement, finding)
    yield from _turned(values, wanted)
    if same(values[finding.wrong], 0 * values[finding.wrong]) and finding.wrong.any():
        yield "The wrong entries are all 0: nothing was written to them."


def _misshapen(values: np.ndarray, wanted: np.ndarray) -> Iterator[str]:
    if values.size == wanted.size and same(values.reshape(wanted.shape), wanted):
        yield "The numbers are right, only the shape is not."
    if values.ndim != wanted.ndim:
        return
    if sorted(values.shape) == sorted(wanted.shape):
        yield "The axes stand in another order."
    for axis, (is_, should) in enumerate(zip(values.shape, wanted.shape, strict=True)):
        if abs(is_ - should) == 1:
            yield f"Axis {axis} is one too {'long' if is_ > should else 'short'}: how many windows fit?"


def _not_finite(values: np.ndarray) -> Iterator[str]:
    if not np.isfinite(values).all():
        yield "NaN and infinity come from overflow, as exp(300) is more than float32 holds, or from 0 / 0."


def _factor(judgement: Judgement, finding: Finding) -> Iterator[str]:
    """Where found = factor × expected; the name of the factor, if it is that in every case that is wrong."""
    factor = _factor_of(judgement.exercise, finding)
    if factor is None:
        return
    if abs(factor + 1) < 1e-3:
        yield "Every entry has the opposite sign."
        return
    alike = [(one.case, _factor_of(judgement.exercise, one)) for one in judgement.wrong if one.at == finding.at]
    for name, count in finding.case.counts.items():
        if all(f and abs(f / case.counts.get(name, 1) - 1) < 1e-3 for case, f in alike):
            yield f"Every entry is {count} times what is expected; {name} is {count}: is it not divided by?"
        if all(f and abs(f * case.counts.get(name, 1) - 1) < 1e-3 for case, f in alike):
            yield f"Every entry is 1/{count} of what is expected; {name} is {count}: is it divided by once too often?"
    yield f"Every entry is {factor:.4g} times what is expected."


def _factor_of(exercise: Exercise, finding: Finding) -> float | None:
    values, wanted = finding.found[finding.at], expected(exercise, finding.case)[finding.at]
    if values.shape != wanted.shape or wanted.size < 2 or not wanted.any():
        return None
    factor = float(np.sum(values * wanted) / np.sum(wanted**2))
    return factor if factor and same(values, factor * wanted) else None


def _turned(values: np.ndarray, wanted: np.ndarray) -> Iterator[str]:
    for axis, size in enumerate(wanted.shape):
        if size > 1 and same(np.flip(values, axis), wanted):
            yield f"The entries are right, but axis {axis} runs backwards."
        for shift in (1, -1):
            shifted = np.roll(wanted, shift, axis)
            inner = [slice(None)] * wanted.ndim
            inner[axis] = slice(1, None) if shift == 1 else slice(None, -1)
            if size > 2 and (errors(values, shifted)[tuple(inner)] <= RELATIVE).all():
                yield f"The entries stand one place {'later' if shift == 1 else 'earlier'} along axis {axis}."
    for first in range(wanted.ndim):
        for second in range(first + 1, wanted.ndim):
            if wanted.shape[first] == wanted.shape[second] and same(values.swapaxes(first, second), wanted):
                yield f"The entries are right, but axes {first} and {second} have changed places."
