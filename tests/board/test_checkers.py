"""Which checkers see a defect: NaN, a small one, one of second order; and nobody rejects a function that is right."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

from convnet.board import board as boards
from convnet.board.board import worst
from convnet.board.case import at, case
from convnet.board.checkers import (
    BLIND,
    NOT_MEASURED,
    NOT_OFFERED,
    NOT_SEEN,
    SEEN,
    NotOffered,
    Subject,
    by_check_grads,
    by_convnet,
    by_gradcheck,
    installed,
    sighting,
    subject_of,
)
from convnet.board.contraction import contracted
from convnet.board.inventory import Inventory
from convnet.board.run import judged
from tests.report.boards import board as handmade
from tests.report.boards import finding, refused, row


def sinc(x):
    return mp.mpf(1) if x == 0 else mp.sin(x) / x


TRAP = case("jax.numpy.where", sinc, at("zero", 0.0), call="jnp.where(x == 0, 1.0, jnp.sin(x) / x)",
            dtypes=("float64", "float32"))  # fmt: skip
"""The branch that is not taken has a gradient of NaN, in every release."""
SMALL = case("jax.lax.stop_gradient", lambda x: x * mp.mpf(1e-7), at("generic", 0.75, -1.5),
             call="lax.stop_gradient(1e-7 * x)", dtypes=("float64",))  # fmt: skip
"""0 instead of 1e-7, which is below the tolerances of others."""
BENT = case("jax.numpy.power", lambda x: x**3, at("generic", 0.75), dtypes=("float64",),
            call="3 * lax.stop_gradient(x * x) * x - 2 * lax.stop_gradient(x * x * x)")  # fmt: skip
"""x³ with the gradient 3 x², which has none itself."""
RIGHT = case("jax.numpy.sin", mp.sin, at("generic", 0.75))
"""Never on a board."""
CASES = (TRAP, SMALL, BENT, RIGHT)


@pytest.fixture(scope="module")
def board():
    rows = [boards.plain_row(judged(one)) for one in CASES]
    return boards.board_of(rows, Inventory((), {}, (), ()), {"packages": {"jax": jax.__version__}}, {}, 1.0)


def answers_of(found, subject):
    return sighting(found, subject, {"convnet": by_convnet, "check_grads": by_check_grads}).answers


def test_what_is_on_the_board_is_shown_at_its_point(board):
    shown = {}
    for found in map(worst, board.entries()):
        subject = subject_of(board, found, CASES)
        assert subject.case.call == found["call"]
        assert [*map(float, subject.args)] == found["args"]
        shown[found["kind"]] = answers_of(found, subject)
    assert shown == {
        "not finite": {"convnet": SEEN, "check_grads": SEEN},
        "wrong": {"convnet": SEEN, "check_grads": NOT_SEEN},
        "higher order": {"convnet": SEEN, "check_grads": SEEN},
    }


@pytest.mark.parametrize(("dtype", "order"), [("float64", 1), ("float64", 2), ("float32", 1)])
def test_a_right_function_is_rejected_by_nobody(board, dtype, order):
    found = board.entries()[0][0]
    assert answers_of(found, Subject(RIGHT, RIGHT.points[0], dtype, order)) == dict.fromkeys(
        ("convnet", "check_grads"), NOT_SEEN
    )


def test_a_defect_of_second_order_alone_is_none_of_first(board):
    assert [by_check_grads(Subject(BENT, BENT.points[0], "float64", order)) for order in (1, 2)] == [None, "fwd, rev"]


def test_a_narrow_dtype_is_checked_in_it():
    narrow = case("jax.numpy.sin", mp.sin, at("generic", 0.75),
                  call="jnp.sin(x if x.dtype == 'float64' else lax.stop_gradient(x))")  # fmt: skip
    dtypes = ("float64", "float32")
    assert [bool(by_check_grads(Subject(narrow, narrow.points[0], dtype, 1))) for dtype in dtypes] == [False, True]


@pytest.mark.parametrize(("slope", "seen"), [(1.0, None), (0.5, "rev")])
def test_a_function_without_forward_mode_is_checked_in_reverse(slope, seen, monkeypatch):
    mine = jax.custom_vjp(jnp.sin)
    mine.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (slope * g * jnp.cos(x),))
    monkeypatch.setattr(jnp, "mine", mine, raising=False)
    one = case("jax.numpy.mine", mp.sin, at("generic", 0.75))
    assert by_check_grads(Subject(one, one.points[0], "float64", 1)) == seen


@pytest.mark.parametrize(("call", "seen"), [("x", None), ("2 * x - lax.stop_gradient(x)", "fwd, rev")])
def test_a_function_without_reverse_mode_is_checked_forward(call, seen):
    looped = f"lax.fori_loop(0, n, lambda i, y: jnp.sin(y), {call})"
    one = case("jax.lax.fori_loop", None, at("generic", (0.75, np.int32(2))), call=looped, args="x, n")
    assert by_check_grads(Subject(one, one.points[0], "float64", 1)) == seen


def test_a_function_that_computes_in_fewer_bits_is_named():
    narrow = case("jax.numpy.sin", mp.sin, at("generic", 0.75), call="jnp.sin(x.astype('float32')).astype(x.dtype)")
    subject = Subject(narrow, narrow.points[0], "float64", 1, "precision")
    assert by_convnet(subject) == "scope"
    assert by_convnet(replace(subject, kind="wrong")) is None
    assert sighting(finding(), subject, {"convnet": by_convnet}).answers == {"convnet": SEEN}


# --- where a finding is -----------------------------------------------------------------------------------------------

POWER = case("jax.numpy.power", lambda x, n: x**n, (*at("generic", (0.5, np.array([2, 3]))),
             *at("zero", (0.0, np.array([1, 1])), (-0.0, np.array([1, 1])), (np.nan, np.array([2, 3])))),
             call="x ** n", args="x, n", elementwise=False)  # fmt: skip
"""Not differentiated in its integers, and in x = −0 at another point than in x = 0."""


def placed(point, key=POWER.key, **changes):
    """(a board, its only finding), as JSON has them."""
    args = [np.asarray(value, np.float64).tolist() for value in point.args]
    found = finding("jax.numpy.power", args=["nan" if value != value else value for value in args],
                    label=point.label, call=POWER.call)  # fmt: skip
    found |= changes
    other = row("jax.numpy.power", dict(found)) | {"key": f"{POWER.call}, in n"}
    return handmade(refused("jax.numpy.sort"), other, row("jax.numpy.power", found) | {"key": key}), found


@pytest.mark.parametrize("point", POWER.points)
def test_a_finding_is_of_one_point(point):
    subject = subject_of(*placed(point), [RIGHT, replace(POWER, wrt=(1,)), POWER])
    assert subject.case is POWER
    assert subject.point is point
    assert (subject.dtype, subject.order) == ("float64", 1)
    x, n = subject.args
    assert str(x) == str(np.float64(point.args[0]))
    assert n.dtype == np.int32


@pytest.mark.parametrize("changes", [{"key": "x ** y, in x"}, {"label": "tie"}, {"args": [0.75, [2.0, 3.0]]}])
def test_a_point_that_is_no_longer_there_is_none(changes):
    assert subject_of(*placed(POWER.points[0], **changes), [POWER]) is None


# --- answers ----------------------------------------------------------------------------------------------------------


def refuses(subject, check):
    raise TypeError("no such mode\nand more")


def broken(subject, check):
    raise ImportError("no such library")


def but_the_library(subject, check):
    """Rejects what has another value than the identity and the mathematics."""
    if subject.fn is None:
        return "its check"
    assert check == "its check"
    return None


def but_the_identity(subject, check):
    return "its check" if float(jax.tree.leaves(subject.function(*subject.args))[0]) != 0.75 else None


def only_the_library(subject, check):
    if subject.fn is None:
        return "its check"
    raise TypeError("cannot take this")


def test_what_a_checker_does_not_offer_is_no_answer():
    found = finding()
    checkers = {
        "yes": but_the_library, "all": lambda subject, check: "it", "no": lambda subject, check: None,
        "truth": but_the_identity, "alone": only_the_library, "none": None, "refuses": refuses, "broken": broken,
    }  # fmt: skip
    seen = sighting(found, Subject(RIGHT, RIGHT.points[0], "float64", 1), checkers)
    assert seen.answers == {
        "yes": SEEN, "all": BLIND, "no": NOT_SEEN, "truth": BLIND, "alone": SEEN, "none": NOT_MEASURED,
        "refuses": NOT_OFFERED, "broken": NOT_MEASURED,
    }  # fmt: skip
    assert seen.said == {
        "yes": "its check", "all": "it; the identity, too", "truth": "its check; the mathematics, too",
        "alone": "its check; not asked about the identity: TypeError: cannot take this; "
                 "not asked about the mathematics: TypeError: cannot take this",
        "refuses": "TypeError: no such mode", "broken": "ImportError: no such library",
    }  # fmt: skip
    for name in ("function", "call", "kind", "args", "dtype", "order"):
        assert getattr(seen, name) == found[name]


NEAR_THE_END = case("jax.numpy.sqrt", mp.sqrt, at("end", 1e-9), dtypes=("float64",))
"""Right, and no number one step of 1e-6 to the left."""


def test_a_checker_that_steps_out_of_the_domain_has_seen_nothing():
    subject = Subject(NEAR_THE_END, NEAR_THE_END.points[0], "float64", 1)
    assert answers_of(finding(), subject) == {"convnet": NOT_SEEN, "check_grads": BLIND}


@pytest.mark.parametrize(
    ("x", "dtype", "said"), [(0.75, "bfloat16", BLIND), (1e300, "float64", BLIND), (1.5, "float32", SEEN)]
)
def test_a_checker_that_rejects_the_identity_has_seen_nothing(x, dtype, said):
    """A step of 1e-4 is below the distance of neighbouring numbers."""
    doubled = case(
        "jax.numpy.sin", lambda x, n: x, at("generic", (x, 2)), call="x + n * (x - lax.stop_gradient(x))", args="x, n"
    )
    subject = Subject(doubled, doubled.points[0], dtype, 1)
    assert sighting(finding(), subject, {"check_grads": by_check_grads}).answers == {"check_grads": said}


def test_where_a_derivative_does_not_exist_there_is_no_mathematics_to_ask():
    """x log y at (0, 0) has a slope in y alone."""
    product = case("jax.scipy.special.xlogy", lambda x, y: mp.mpf(0) if x == 0 else x * mp.log(y),
                   at("end", (0.0, 0.0), (0.5, 0.25)), args="x, y", wrt=(0, 1))  # fmt: skip
    end, inside = (Subject(product, point, "float64", 2) for point in product.points)
    assert end.mathematics() is None
    assert float(inside.mathematics().function(0.5, 0.25)) == pytest.approx(0.5 * np.log(0.25), rel=1e-6)


@pytest.mark.parametrize(("order", "value"), [(1, 0.5), (2, 0.125)])
def test_the_identity_is_of_what_is_differentiated(order, value):
    subject = Subject(POWER, POWER.points[0], "float64", order).identity()
    assert [float(x) for x in subject.function(*subject.args)] == [value]
    assert not any(check(subject) for check in (by_check_grads, by_convnet))


def test_a_gradient_is_of_all_results():
    two = case("jax.numpy.sin", None, at("generic", (0.75, np.array([2, 3]))), call="x ** n", args="x, n",
               elementwise=False)  # fmt: skip
    subject = Subject(two, two.points[0], "float64", 1)
    with jax.enable_x64(True):
        (slope,) = subject.gradient(*subject.args)
        value = [float(contracted(np.array([x**2, x**3]))) for x in (0.75 - 1e-6, 0.75 + 1e-6)]
    np.testing.assert_allclose(slope, (value[1] - value[0]) / 2e-6, rtol=1e-8)


def test_without_torch_its_checker_is_not_measured(monkeypatch):
    monkeypatch.setattr("convnet.board.checkers.find_spec", lambda name: None)
    assert {name: checker is None for name, checker in installed().items()} == {
        "convnet": False, "check_grads": False, "torch gradcheck": True,
    }  # fmt: skip


def test_torchs_checker_is_for_float64():
    with pytest.raises(NotOffered, match="is for float64, and this is float32"):
        by_gradcheck(Subject(RIGHT, RIGHT.points[0], "float32", 1))


@pytest.mark.parametrize(
    ("one", "order", "seen"),
    [(TRAP, 1, True), (SMALL, 1, False), (BENT, 1, False), (BENT, 2, True), (RIGHT, 1, False), (RIGHT, 2, False)],
    ids=lambda value: getattr(value, "call", None),
)
def test_torchs_checker(one, order, seen):
    pytest.importorskip("torch")
    assert bool(by_gradcheck(Subject(one, one.points[0], "float64", order))) == seen


def test_a_jacobian_that_does_not_fit_is_no_answer():
    pytest.importorskip("torch")
    large = case("jax.numpy.sin", mp.sin, at("generic", np.ones(20_001)), elementwise=False)
    with pytest.raises(NotOffered, match="would not fit into memory"):
        by_gradcheck(Subject(large, large.points[0], "float64", 1))
