"""What the board says of functions that are wrong in one known way each, and of right ones."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

from convnet.board import exact
from convnet.board.case import Case, at, case
from convnet.board.judge import judge
from convnet.board.reproduction import is_wrong, printed

USUAL = at("generic", 0.4, 1.3)


def planted(fn, oracle=mp.sin, points=USUAL, **options) -> Case:
    """A case of `fn`, which stands for a public function: its call looks it up where this puts it."""
    jax.numpy.planted = fn
    return case("jax.numpy.planted", oracle, points, call="jnp.planted(x)", **options)


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    vars(jax.numpy).pop("planted", None)


def with_tangent(fn, tangent):
    """fn with a rule: tangent(x) times what comes in."""
    rule = jax.custom_jvp(fn)
    rule.defjvp(lambda primals, tangents: (fn(*primals), tangent(*primals) * tangents[0]))
    return rule


def kinds(outcome):
    return {(found.kind, found.dtype) for found in outcome.findings}


def test_a_right_function_has_no_findings():
    points = (*at("generic", 0.4, 1.3), *at("zero", 0.0), *at("tail", 30.0))
    outcome = judge(planted(jnp.sin, points=points))
    assert not outcome.findings
    assert not outcome.missing
    assert outcome.points == 4
    # value apart: five ways to a gradient, two to a second derivative, and one way in each of two dtypes
    assert outcome.compared == 4 * (5 + 2 + 1 + 1)


def test_a_wrong_slope_is_wrong_and_two_witnesses_say_so():
    outcome = judge(planted(with_tangent(jnp.sin, lambda x: 1.1 * jnp.cos(x)), scipy=np.sin, dtypes=("float64",)))
    assert kinds(outcome) == {("wrong", "float64")}
    found = outcome.findings[0]
    assert float(found.truth) == pytest.approx(np.cos(0.4), rel=1e-14)
    assert found.got == pytest.approx(1.1 * np.cos(0.4))
    assert found.confirmed == ["differences of its own values", "differences of SciPy's values"]
    assert found.ways == ["reverse", "forward", "vmap", "scan", "eager"]


def test_nan_where_the_derivative_is_finite():
    where = lambda x: jnp.where(x == 0, 1.0, jnp.sin(x) / x)  # noqa: E731
    points = (*at("generic", 0.4), *at("zero", 0.0))
    outcome = judge(planted(where, lambda x: mp.sin(x) / x if x else mpf(1), points))
    assert kinds(outcome) == {("not finite", dtype) for dtype in ("float64", "float32", "bfloat16")}
    assert all(found.label == "zero" and float(found.truth) == 0 and found.confirmed for found in outcome.findings)
    assert "forward" not in outcome.findings[0].ways  # which does not go through the branch that is not taken


def test_wrong_at_special_points_only():
    off = with_tangent(jnp.sin, lambda x: jnp.where(x == 0, 0.5, jnp.cos(x)))
    outcome = judge(planted(off, points=(*at("generic", 0.4), *at("zero", 0.0)), dtypes=("float64",)))
    assert kinds(outcome) == {("special points", "float64")}


def test_wrong_in_second_order_only():
    slope = with_tangent(jnp.cos, lambda x: -0.9 * jnp.sin(x))
    outcome = judge(planted(with_tangent(jnp.sin, slope), dtypes=("float64",)))
    assert kinds(outcome) == {("higher order", "float64")}
    assert outcome.findings[0].confirmed == ["differences of its own gradient"]


@pytest.mark.parametrize(("error", "found"), [(1e-9, set()), (1e-4, {("higher order", "float64")})])
@pytest.mark.parametrize(
    ("point", "settings"),
    [(318310 * np.pi, {}), (318310 * np.pi * np.array([1, 2]), dict(oracle=exact.sin, elementwise=False))],
    ids=["a number", "an array"],
)
def test_second_order_may_err_by_what_rounding_the_point_does(point, settings, error, found):
    """A float beside 318310π, where −sin is some 1e-10: a thousand roundings of it move that by 1e-7."""
    slope = with_tangent(jnp.cos, lambda x: error - jnp.sin(x))
    case = planted(with_tangent(jnp.sin, slope), points=at("tail", point), dtypes=("float64",), **settings)
    assert kinds(judge(case)) == found


def test_and_neighbours_in_an_array_are_rounded_each_by_itself():
    """sin of a difference of π between numbers near 10⁶: where both move alike, nothing happens."""
    slope = with_tangent(jnp.cos, lambda d: 1e-9 - jnp.sin(d))
    sine, apart = with_tangent(jnp.sin, slope), at("tail", np.array([1e6 + np.pi, 1e6]))
    settings = dict(points=apart, dtypes=("float64",), elementwise=False)
    assert not judge(planted(lambda x: sine(x[0] - x[1]), lambda x: mp.sin(x[0] - x[1]), **settings)).findings


@pytest.mark.parametrize(
    ("mix", "at_"),
    [(lambda x, y: x - y, (1e6 + np.pi, 1e6)), (lambda x, y: x * y, (318310.0, np.pi))],
    ids=["a difference", "a product"],
)
def test_and_so_are_two_arguments(mix, at_):
    """Rounding moves the difference of numbers near 10⁶ by 1e-10, and their product, 318310π, by as much."""
    slope = with_tangent(jnp.cos, lambda d: 1e-9 - jnp.sin(d))
    sine = with_tangent(jnp.sin, slope)
    jax.numpy.planted = lambda x, y: sine(mix(x, y))
    two = case(
        "jax.numpy.planted",
        lambda x, y: mp.sin(mix(x, y)),
        at("tail", at_),
        call="jnp.planted(x, y)",
        args="x, y",
        wrt=(0, 1),
        dtypes=("float64",),
    )
    assert not judge(two).findings


def test_second_order_of_a_linear_function_is_0_however_small_its_arguments():
    slope = with_tangent(lambda x: 3 + 0 * x, lambda x: 1e-3 + 0 * x)
    small = at("tail", 1e-7 * np.array([0.6, 0.8]))
    bent = planted(with_tangent(lambda x: 3 * x, slope), lambda x: 3 * x, small, dtypes=("float64",), elementwise=False)
    assert kinds(judge(bent)) == {("higher order", "float64")}


@pytest.mark.parametrize(("error", "found"), [(1e-8, set()), (1.0, {("higher order", "float64")})])
def test_second_order_of_what_is_constant_may_be_what_terms_of_its_size_leave(error, found):
    """The angle of a vector of length 1e-5, less itself: its second derivatives are some 1e10, and cancel."""
    slope = with_tangent(lambda x: 0 * x, lambda x: error + 0 * x)
    points = at("tail", 1e-5 * np.array([0.6, 0.8]))
    nothing = planted(
        with_tangent(lambda x: 0 * x, slope), lambda x: 0 * x, points, dtypes=("float64",), elementwise=False
    )
    assert kinds(judge(nothing)) == found


@pytest.mark.parametrize(("slope", "found"), [(2.8e-17, set()), (1e-10, {("wrong", "float64")})])
def test_a_slope_of_0_may_come_out_as_what_two_equal_terms_leave(slope, found):
    nothing = with_tangent(lambda x: 0 * x, lambda x: slope + 0 * x)
    assert kinds(judge(planted(nothing, lambda x: 0 * x, dtypes=("float64",)))) == found


def test_and_what_that_is_does_not_grow_where_a_number_is_small():
    """At 1e-10 an error of 1e-8 is no rounding of anything."""
    nothing = with_tangent(lambda x: 0 * x, lambda x: 1e-8 + 0 * x)
    judged = judge(planted(nothing, lambda x: 0 * x, at("tail", 1e-10), dtypes=("float64",)))
    assert kinds(judged) == {("wrong", "float64")}


def test_wrong_in_one_mode_only():
    rule = jax.custom_vjp(jnp.sin)
    rule.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x),))
    outcome = judge(planted(rule, dtypes=("float64",)))
    assert not outcome.findings
    assert [ways for ways in outcome.missing.values() if "forward, float64" in ways]
    batched = jax.custom_batching.custom_vmap(jnp.cos)
    batched.def_vmap(lambda size, batched_, x: (0.9 * jnp.cos(x), True))
    rule = jax.custom_vjp(jnp.sin)
    rule.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * batched(x),))
    outcome = judge(planted(rule, dtypes=("float64",)))
    assert [(found.kind, found.ways) for found in outcome.findings] == [("transform", ["vmap"])] * 2


def test_fewer_bits_than_given():
    outcome = judge(planted(lambda x: jnp.sin(x.astype("float32")).astype(x.dtype), dtypes=("float64",)))
    assert kinds(outcome) == {("precision", "float64")}
    assert outcome.findings[0].confirmed == ["its program goes through float32"]


def test_lost_digits_are_no_defect():
    outcome = judge(planted(with_tangent(jnp.sin, lambda x: jnp.cos(x) * (1 + 1e-9)), dtypes=("float64",)))
    assert kinds(outcome) == {("digits", "float64")}
    assert outcome.findings[0].ulps == pytest.approx(1e-9 * 2**53, rel=0.5)


def test_saturation_is_no_defect():
    points = (*at("generic", 0.4), *at("tail", 40.0, 800.0, -800.0))
    sigmoid = lambda x: 1 / (1 + jnp.exp(-x))  # noqa: E731 - 1 / inf is 0, and so is its slope
    outcome = judge(planted(jax.nn.sigmoid, lambda x: 1 / (1 + mp.exp(-x)), points))
    assert {found.kind for found in outcome.findings} <= {"digits"}
    assert {found.kind for found in judge(planted(sigmoid, lambda x: 1 / (1 + mp.exp(-x)), points)).findings} >= {
        "not finite"
    }


def test_a_slope_where_there_is_none():
    """The derivative is exactly 0, and no error is small beside that."""
    tilted = with_tangent(jnp.cos, lambda x: jnp.where(x == 0, 1.0, -jnp.sin(x)))
    outcome = judge(planted(tilted, mp.cos, (*at("generic", 0.4), *at("zero", 0.0)), dtypes=("float64",)))
    assert kinds(outcome) == {("special points", "float64")}
    assert float(outcome.findings[0].truth) == 0


def test_a_kink_is_a_convention():
    outcome = judge(planted(jnp.abs, abs, (*at("generic", 0.4), *at("zero", 0.0))))
    assert [(f.kind, f.left, f.right, f.got) for f in outcome.findings] == [("convention", "-1.0", "1.0", 1.0)]


def test_of_arrays():
    points = at("generic", np.array([[1.0, 2.0], [3.0, 5.0]]))
    det = lambda a: a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]  # noqa: E731
    right = planted(jnp.linalg.det, det, points, elementwise=False, dtypes=("float64", "float32"))
    assert not judge(right).findings
    wrong = planted(with_tangents(jnp.linalg.det), det, points, elementwise=False, dtypes=("float64",))
    (found,) = judge(wrong).findings
    assert (found.kind, found.confirmed) == ("wrong", ["differences of its own values"])


def with_tangents(fn):
    """fn with a rule that forgets one entry."""
    rule = jax.custom_jvp(fn)

    @rule.defjvp
    def tangent(primals, tangents):
        return jax.jvp(fn, primals, (tangents[0].at[0, 0].set(0.0),))

    return rule


def test_a_function_that_refuses_raises_what_it_says():
    def refuses(x):
        raise TypeError("no such thing")

    with pytest.raises(TypeError, match="no such thing"):
        judge(planted(refuses))


@pytest.mark.parametrize("of_arrays", [False, True])
def test_a_reproduction_prints_what_was_found(of_arrays):
    """In a process of its own, of a function that is wrong on every release: of the lines, the function is replaced."""
    if of_arrays:
        points = at("generic", np.array([[0.5, 2.0], [3.0, 5.0]]))
        fn = with_tangent(jnp.sin, lambda x: 1.1 * jnp.cos(x))
        (found,) = judge(planted(fn, exact.sin, points, elementwise=False, dtypes=("float64",))).findings
    else:
        fn = with_tangent(jnp.sin, lambda x: 1.1 * jnp.cos(x))
        found = judge(planted(fn, dtypes=("float64",))).findings[0]
    planting = (
        "import jax\nimport jax.numpy\nfn = jax.custom_jvp(jax.numpy.sin)\n"
        "fn.defjvp(lambda p, t: (jax.numpy.sin(*p), 1.1 * jax.numpy.cos(*p) * t[0]))\njax.numpy.planted = fn\n"
    )
    done = subprocess.run([sys.executable, "-c", planting + found.reproduction], capture_output=True, text=True)
    assert float(done.stdout) == pytest.approx(found.got, rel=1e-12), done.stderr


def test_what_is_not_shown_again_has_no_witness():
    """Wrong for as long as it is compiled for many points at a time, and right in the lines that are to show it."""
    slopes = iter([1.1] * 3 + [1.0] * 100)
    rule = jax.custom_jvp(jnp.sin)
    rule.defjvp(lambda primals, tangents: (jnp.sin(*primals), next(slopes) * jnp.cos(*primals) * tangents[0]))
    outcome = judge(planted(rule, dtypes=("float64",)))
    assert outcome.findings
    assert all(found.defect and not found.confirmed for found in outcome.findings)


@pytest.mark.parametrize(
    ("got", "truth", "now", "wrong"),
    [
        (2.0, 1.0, 2.0, True), (2.0, 1.0, 1.0, False), (2.0, 1.0, 1.5, True), (2.0, 1.0, 1.005, False),
        (np.nan, 1.0, np.nan, True), (np.nan, 1.0, 1.0, False), (np.nan, 1.0, 2.0, False), (2.0, 1.0, np.inf, True),
    ],
)  # fmt: skip
def test_as_wrong_as_it_was(got, truth, now, wrong):
    assert is_wrong(got, truth, now) is wrong


def test_lines_are_run_in_their_own_width_and_leave_ours():
    before = jax.config.jax_enable_x64
    lines = "import jax; import jax.numpy as jnp\n{}print(jnp.ones(()).dtype.itemsize)"
    assert printed(lines.format("")) == 4
    assert printed(lines.format('jax.config.update("jax_enable_x64", True)\n')) == 8
    with pytest.raises(ZeroDivisionError):
        printed("1 / 0")
    assert jax.config.jax_enable_x64 == before


COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


def test_lines_are_compiled_once_where_they_differ_in_numbers_alone():
    lines = "import jax; import jax.numpy as jnp\nf = lambda x: x * jnp.{}(x)\nprint(jax.jit(jax.grad(f))({}))"
    at_0_4, times = printed(lines.format("sin", 0.4)), len(COMPILED)
    at_0_7 = printed(lines.format("sin", 0.7))
    assert len(COMPILED) == times
    assert [at_0_4, at_0_7] == pytest.approx([np.sin(x) + x * np.cos(x) for x in (0.4, 0.7)])
    assert printed(lines.format("cos", 0.7)) == pytest.approx(np.cos(0.7) - 0.7 * np.sin(0.7))
    assert len(COMPILED) > times


def test_an_array_that_is_not_differentiated_is_a_part_of_the_program():
    lines = "import jax; import jax.numpy as jnp\nw = jnp.arange(100.0) * {}\nf = lambda x: (w * x).sum()\n"
    lines += "print(jax.jit(jax.grad(f))(0.5))"
    assert [printed(lines.format(scale)) for scale in (1, 2, 1)] == [4950, 9900, 4950]
