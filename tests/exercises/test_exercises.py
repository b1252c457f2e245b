"""The referee of the exercises: what is right is accepted, and what is wrong is told by its place and its cause."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.exercises import EXERCISES, Judgement, judge, told
from convnet.exercises.exercise import by_mistake, differences, expected
from convnet.exercises.hints import hint
from convnet.exercises.judge import compared
from tests.exercises import correlation, cross_entropy, glorot, max_pool, momentum, occlusion_map, receptive_field

NUMBERS = range(1, 9)
WRITTEN = {
    1: (correlation.correlate, correlation.CORRELATION),
    2: (correlation.gradients, correlation.GRADIENTS),
    3: (max_pool.right, max_pool.MAX_POOL),
    4: (cross_entropy.right, cross_entropy.CROSS_ENTROPY),
    5: (glorot.right, glorot.GLOROT),
    6: (momentum.right, momentum.MOMENTUM),
    7: (receptive_field.right, receptive_field.RECEPTIVE_FIELD),
    8: (occlusion_map.drops, occlusion_map.OCCLUSION_MAP),
}
"""Exercise -> a right solution, and wrong ones with a part of what is said of each."""

MISTAKES = [
    pytest.param(number, function, said, id=f"{number}, {said}")
    for number, (_, wrong) in WRITTEN.items()
    for function, said in wrong.items()
]


def test_there_are_eight_with_ten_mistakes_each():
    assert list(EXERCISES) == list(NUMBERS) == [one.number for one in EXERCISES.values()]
    assert all(len(wrong) >= 10 for _, wrong in WRITTEN.values())
    assert all(len(one.cases) >= 6 and len(one.mistakes) >= 10 for one in EXERCISES.values())


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_the_librarys_own_is_right(number):
    judgement = judge(EXERCISES[number], EXERCISES[number].solution)
    assert judgement.right, told(judgement)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_students_is_right(number):
    judgement = judge(EXERCISES[number], WRITTEN[number][0])
    assert judgement.right, told(judgement)
    assert re.match(rf"right in all {len(EXERCISES[number].cases)} cases", told(judgement))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_plain_one_that_mistakes_are_made_of_is_right(number):
    judgement = judge(EXERCISES[number], EXERCISES[number].plain)
    assert judgement.right, told(judgement)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_finite_differences_are_the_gradient_where_it_has_no_kink(number):
    exercise = EXERCISES[number]
    smooth = [case for case in exercise.cases if case.smooth]
    assert len(smooth) >= 7
    for case in smooth:
        for slopes, right in zip(differences(exercise, case), expected(exercise, case), strict=True):
            np.testing.assert_allclose(slopes, right, atol=1e-8)


def test_arrays_of_jax_float64_lists_and_bfloat16_are_read():
    exercise = EXERCISES[6]

    def of_jax(*args):
        return tuple(map(jnp.asarray, momentum.right(*args)))

    def lists(*args):
        return [value.tolist() for value in momentum.right(*args)]

    def in_bfloat16(*args):
        return tuple(jnp.asarray(value, jnp.bfloat16) for value in momentum.right(*args))

    first = exercise.cases[0]
    assert not compared(exercise, first, of_jax(*first.args)).problem
    assert not compared(exercise, first, lists(*first.args)).problem
    assert "entries are wrong" in compared(exercise, first, in_bfloat16(*first.args)).problem  # not a wrong dtype


def test_rounding_in_float32_is_no_mistake_and_a_thousandth_is_one():
    exercise = EXERCISES[1]
    case = exercise.cases[1]
    (right,) = expected(exercise, case)
    assert not compared(exercise, case, right.astype(np.float32)).problem
    assert not compared(exercise, case, right * (1 + 1e-5)).problem
    wrong = right.copy()
    wrong[2, 1, 0, 3] += 1e-3 * np.abs(right).max()
    finding = compared(exercise, case, wrong)
    assert np.argwhere(finding.wrong).tolist() == [[2, 1, 0, 3]]


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "function", "said"), MISTAKES)
def test_a_mistake_is_told(number, function, said):
    exercise = EXERCISES[number]
    judgement = judge(exercise, function)
    assert judgement.written
    assert not judgement.right
    text = told(judgement)
    assert said in text
    check_the_listed_entries(exercise, function, judgement, text)


def check_the_listed_entries(exercise, function, judgement, text):
    """What stands in the table, found again from the function and the library alone."""
    rows = re.findall(r"^  (\w+)(?:\[([\d, ]*)\])?  +(\S+)  +(\S+)(?:  +(\S+))?$", text, re.MULTILINE)
    shown = judgement.wrong[0]
    assert bool(rows) == (shown.wrong is not None)
    number = judgement.findings.index(shown) + 1
    assert f"\n  wrong  {number}. {shown.case.name}\n" in f"\n{text}"
    assert f"\nCase {number}, " in text
    assert all(f"  right  {i}. {one.case.name}" in text for i, one in enumerate(judgement.findings[: number - 1], 1))
    if not rows:
        return
    with np.errstate(all="ignore"):
        returned = shown.case.run(function, *shown.case.args)
    returned = returned if len(exercise.results) > 1 else (returned,)
    for name, index, wanted, found, slope in rows:
        at = exercise.results.index(name)
        place = tuple(map(int, index.split(", "))) if index else ()
        right = expected(exercise, shown.case)[at][place]
        np.testing.assert_allclose(float(wanted), right, rtol=1e-4)
        np.testing.assert_allclose(float(found), np.asarray(returned[at])[place], rtol=1e-4)
        assert wanted != found
        if slope:
            np.testing.assert_allclose(float(slope), right, rtol=1e-4, atol=1e-6)
    assert len(rows) == min(int(shown.wrong.sum()), 5)


USED = [(number, mistake) for number in NUMBERS for mistake in EXERCISES[number].mistakes]


@pytest.mark.parametrize(("number", "mistake"), USED, ids=lambda one: getattr(one, "hint", str(one)))
def test_every_mistake_that_is_known_is_wrong_somewhere_and_recognised(number, mistake):
    """Two mistakes may give the same numbers: either is then a true hint."""
    exercise, findings = EXERCISES[number], []
    for case in exercise.cases:
        made = by_mistake(exercise, case, mistake)
        right = expected(exercise, case)
        results = [r if one is None else one for one, r in zip(made, right, strict=True)]
        if exercise.whole:
            results = [int(one) for one in results]
        findings.append(compared(exercise, case, results if len(results) > 1 else results[0]))
    judgement = Judgement(exercise, findings)
    assert judgement.wrong, "the cases do not show it"
    said = hint(judgement, judgement.wrong[0])
    assert mistake.hint.rstrip("?") in said


PATTERNS = {
    "opposite sign": (lambda right: -right, "Every entry has the opposite sign."),
    "twice": (lambda right: 2.5 * right, "Every entry is 2.5 times what is expected."),
    "zeros": (np.zeros_like, "Every entry found is 0: is the result filled, and returned?"),
    "NaN": (lambda right: np.full_like(right, np.nan), "NaN and infinity come from overflow"),
    "backwards": (lambda right: right[:, ::-1], "The entries are right, but axis 1 runs backwards."),
    "later": (lambda right: np.roll(right, 1, axis=2), "The entries stand one place later along axis 2."),
    "earlier": (lambda right: np.roll(right, -1, axis=2), "The entries stand one place earlier along axis 2."),
    "flat": (np.ravel, "The numbers are right, only the shape is not."),
    "other order": (lambda right: right.transpose(0, 2, 1, 3), "The axes stand in another order."),
    "exchanged": (lambda right: right.swapaxes(1, 2), "The entries are right, but axes 1 and 2 have changed places."),
    "half of it": (lambda right: np.where(np.arange(right.shape[-1]) == 0, right, 0), "The wrong entries are all 0"),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_recognised(pattern):
    change, said = PATTERNS[pattern]
    exercise = EXERCISES[1]
    case = exercise.cases[{"other order": 2, "half of it": 1, "exchanged": 1}.get(pattern, 0)]
    (right,) = expected(exercise, case)
    judgement = Judgement(exercise, [compared(exercise, case, np.array(change(right)))])
    assert hint(judgement, judgement.findings[0]).startswith(said)


def test_a_factor_has_the_name_that_fits_every_case():
    exercise = EXERCISES[4]
    scaled = [compared(exercise, case, expected(exercise, case)[0] / len(case.args[0])) for case in exercise.cases]
    judgement = Judgement(exercise, scaled)
    assert hint(judgement, judgement.wrong[0]) == (
        "Every entry is 1/5 of what is expected; the number of examples is 5: is it divided by once too often?"
    )


# --- what cannot be compared ------------------------------------------------------------------------------------------


def raising(error):
    def function(*args):
        raise error

    return function


RETURNED = {
    "an exception": (raising(KeyError("weights")), "raises KeyError: 'weights' (line "),
    "an exception without a word": (raising(AssertionError()), "raises AssertionError (line "),
    "an exception of many lines": (raising(ValueError("one\n  two\nthree")), "raises ValueError: one two three (line "),
    "a long one": (raising(ValueError("x" * 1000)), f"raises ValueError: {'x' * 200}… (line "),
    "the end of the process": (raising(SystemExit(0)), "raises SystemExit: 0 (line "),
    "nothing": (lambda *args: None, "returns None: is there a return?"),
    "another number of arguments": (lambda x: x, "raises TypeError: "),
    "text": (lambda *args: "weights", "outputs has dtype <U7: expected floating-point numbers"),
    "whole numbers": (lambda *args: [[1, 2]], "outputs has dtype int64: expected floating-point numbers"),
    "complex numbers": (lambda *args: 1j, "outputs has dtype complex128: expected floating-point numbers"),
    "a ragged list": (lambda *args: [[1.0], [2.0, 3.0]], "outputs is no array (ValueError: "),
    "a number": (lambda *args: 1.0, "outputs has shape []: expected [1, 3, 4, 1]"),
}


@pytest.mark.parametrize("kind", RETURNED)
def test_what_cannot_be_compared_is_told_in_a_line(kind):
    function, said = RETURNED[kind]
    judgement = judge(EXERCISES[1], function)
    assert len(judgement.wrong) == len(EXERCISES[1].cases)
    assert judgement.wrong[0].problem.startswith(said)
    assert "\n" not in judgement.wrong[0].problem
    assert f"Case 1, {said}" in told(judgement)


def test_the_line_that_is_named_is_the_innermost_one_of_the_readers_file():
    def inner(x):
        return x.reshape(-1, 7)

    def function(images, *args):
        return np.apply_along_axis(inner, 0, inner(images))

    problem = judge(EXERCISES[1], function).wrong[0].problem
    assert problem.endswith(": return x.reshape(-1, 7))")
    assert "raises ValueError: cannot reshape array of size 30 into shape (7)" in problem.replace(",)", ")")


def test_a_jitted_function_is_judged_and_a_traced_condition_explained():
    assert judge(EXERCISES[6], jax.jit(momentum.right)).right

    @jax.jit
    def conditional(w, v, g, rate, momentum):
        return (w, v) if momentum > 0 else (v, w)

    judgement = judge(EXERCISES[6], conditional)
    assert "under jax.jit, shapes and ifs cannot depend on values" in told(judgement)


def test_an_interruption_goes_through():
    with pytest.raises(KeyboardInterrupt):
        judge(EXERCISES[1], raising(KeyboardInterrupt()))


def test_what_is_not_written_is_no_mistake():
    judgement = judge(EXERCISES[1], raising(NotImplementedError()))
    assert (judgement.written, judgement.right, judgement.wrong) == (False, False, [])
    assert told(judgement) == "not written yet"


def test_what_is_written_for_some_cases_is_judged():
    def no_stride(images, kernels, stride, padding):
        if stride > 1:
            raise NotImplementedError
        return correlation.correlate(images, kernels, stride, padding)

    judgement = judge(EXERCISES[1], no_stride)
    assert [finding.problem for finding in judgement.findings] == [
        "", "", "", "raises NotImplementedError", "", "raises NotImplementedError", "raises NotImplementedError",
    ]  # fmt: skip


def test_no_case_can_be_changed_by_who_is_judged():
    for exercise in EXERCISES.values():
        for case in exercise.cases:
            arrays = [arg for arg in case.args if isinstance(arg, np.ndarray)]
            assert not any(array.flags.writeable for array in arrays)
            assert {array.dtype.name for array in arrays} <= {"float32", "int32"}


def test_the_cases_hold_what_the_exercises_promise():
    """Images of 5×7, one image, strides that leave something over, ties, large logits."""
    shapes = [case.args[0].shape for case in EXERCISES[1].cases]
    assert {shape[1:3] for shape in shapes} >= {(5, 7), (6, 7)}
    assert {shape[0] for shape in shapes} == {1, 2, 3}
    assert {case.args[-2:] for case in EXERCISES[1].cases} >= {(1, 0), (2, 0), (1, 1), (2, 1), (3, 0)}
    ties = [case for case in EXERCISES[3].cases if "ties" in case.name]
    assert [len(np.unique(case.args[0])) for case in ties] == [2, 1]
    assert max(case.args[0].max() for case in EXERCISES[4].cases) == 300
    assert min(case.args[0].min() for case in EXERCISES[4].cases) < -299


def test_numbers_from_published_tables():
    """Araujo, Norris and Sim, Distill 2019: AlexNet 195, 32, 64 and VGG-16 212, 32, 90 at their last pooling."""
    found = {case.name: expected(EXERCISES[7], case) for case in EXERCISES[7].cases}
    assert [int(v) for v in found["AlexNet, to its last pooling"]][:2] == [195, 32]
    assert [int(v) for v in found["VGG-16, to its last pooling"]] == [212, 32, -90]
