"""Audits of right functions: what counts as an alarm, what is kept, and what the functions are drawn at."""

from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.campaign import Outcome, append, arguments, outcomes, stored
from convnet.gradcheck.evidence.right_functions import RIGHT_FUNCTIONS
from convnet.gradcheck.evidence.right_functions.right import normal, right

ALL = [function for functions in RIGHT_FUNCTIONS.values() for function in functions]


@jax.custom_vjp
def halved(x):
    return x**2


halved.defvjp(lambda x: (x**2, x), lambda x, g: (g * x,))


def test_a_right_function_raises_no_alarm():
    square = right("square", lambda x: x**2, normal((3,)), (0.1, 1.0), reference=lambda x: x * x)
    found = list(outcomes("here", square, (0, 1)))
    assert [(o.scale, o.draw, o.level) for o in found] == [
        (0.1, 0, "standard"), (1.0, 0, "standard"), (0.1, 1, "quick"), (1.0, 1, "quick"),
    ]  # fmt: skip
    assert {(o.origin, o.function, o.alarms, o.compared) for o in found} == {("here", "square", (), True)}
    assert all(o.seconds > 0 for o in found)


def test_a_wrong_function_raises_one():
    wrong = right("halved", halved, normal((3,)), (1.0,), reference=lambda x: x**2)
    (found,) = outcomes("here", wrong, (5,), first="quick")
    assert found.stage == "elementwise"
    assert any("gradient, autodiff" in alarm and "every entry is wrong" in alarm for alarm in found.alarms)
    assert not found.compared


def test_an_audit_that_ends_with_an_error_is_an_alarm():
    def refuses(x):
        raise TypeError("not today")

    (found,) = outcomes("here", right("refuses", refuses, normal((3,)), (1.0,)), (0,))
    assert found.stage == "error"
    assert "not today" in "".join(found.alarms)


def test_nothing_to_compare_with_is_no_alarm_and_no_confirmation():
    kinked = right("kinked", jnp.abs, lambda rng, scale: (np.zeros(3),), (1.0,))
    (found,) = outcomes("here", kinked, (0,), first="quick")
    assert (found.alarms, found.compared) == ((), False)


def test_what_is_done_is_not_done_again():
    square = right("square", lambda x: x**2, normal((3,)), (0.1, 1.0))
    found = outcomes("here", square, (3, 4), first="quick", done={(0.1, 3), (1.0, 4)})
    assert [(o.scale, o.draw) for o in found] == [(1.0, 3), (0.1, 4)]


def test_arguments_follow_from_name_scale_and_draw():
    def drawn(name, scale, draw):
        return arguments(right(name, jnp.sin, normal((3,))), scale, draw)[0].tolist()

    assert drawn("a", 1.0, 0) == drawn("a", 1.0, 0)
    others = [drawn("b", 1.0, 0), drawn("a", 1.0, 1), (np.array(drawn("a", 0.1, 0)) * 10).tolist()]
    assert drawn("a", 1.0, 0) not in others


OUTCOME = Outcome("here", "square", 0.1, 2, "quick", ("taylor: order: 1",), False, 0.5, "abc")


def test_lines_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "audits.jsonl"
    assert stored(path, "abc") == []
    kept = [OUTCOME, replace(OUTCOME, draw=3), replace(OUTCOME, code="older")]
    for outcome in kept:
        append(path, outcome)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"origin": "he')
    assert stored(path, "abc") == kept[:2]
    assert stored(path, "older") == kept[2:]


# --- the functions ----------------------------------------------------------------------------------------------------


def test_no_two_functions_have_one_name():
    assert [name for name, count in Counter(function.name for function in ALL).items() if count > 1] == []


def test_there_are_enough_of_them():
    """Four draws of each at its scales."""
    assert min(map(len, RIGHT_FUNCTIONS.values())) >= 30
    assert 4 * sum(len(function.scales) for function in ALL) >= 5000


@pytest.mark.parametrize("origin", RIGHT_FUNCTIONS)
def test_arguments_are_finite(origin):
    for function in RIGHT_FUNCTIONS[origin]:
        for scale in function.scales:
            leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(arguments(function, scale, 0))]
            real = [leaf for leaf in leaves if leaf.dtype.kind == "f"]
            assert real, (function.name, scale)
            assert all(np.isfinite(leaf).all() for leaf in real), (function.name, scale)


@pytest.mark.parametrize(
    "name",
    [
        *("gelu", "huber_loss", "inv", "logit"),
        *(pytest.param(name, marks=pytest.mark.sweep) for name in ("LayerNorm", "lfilter", "t.logpdf")),
    ],
)
def test_a_sample_of_them(name):
    """A curve, a kink, a matrix and a singularity; what takes longest is for the sweep, and the others are those of
    experiments/false_alarms.py."""
    ((origin, function),) = [(o, f) for o, functions in RIGHT_FUNCTIONS.items() for f in functions if f.name == name]
    with jax.numpy_rank_promotion("allow"):  # people broadcast
        (found,) = outcomes(origin, function, (0,), first="quick", scales=(1.0,))
    assert found.alarms == ()
    assert found.compared
