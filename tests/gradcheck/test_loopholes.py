"""Faults that an excuse once hid, and right functions that a rule once condemned: each by the smallest call."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import audit
from convnet.gradcheck.checks.first_order import worst_of
from convnet.gradcheck.verdict import Check

X = np.random.default_rng(0).normal(size=(4, 3))


def with_gradient(value, gradient):
    f = jax.custom_vjp(value)
    f.defvjp(lambda *args: (value(*args), args), lambda args, g: gradient(*args, g))
    return f


def rough(x):
    """0, which a rounding of x / x makes the root of a negative number."""
    return jnp.sqrt(1 - (x / x) ** 2)


def test_a_rounding_that_leads_to_no_number_excuses_nothing():
    report = audit(with_gradient(lambda x: x**2 + rough(x), lambda x, g: (2.5 * x * g,)), (X,))
    assert not report.passed
    assert "roundings that lead to no number" in str(report)


def test_nor_does_one_of_the_rule_alone():
    rule = with_gradient(lambda x: x**2, lambda x, g: (2.5 * x * jnp.exp(rough(x)) * g,))
    assert "elementwise" in audit(rule, (X,), reference=lambda x: x**2, stages=["elementwise"]).stages_failed


def test_nor_one_that_only_a_large_wiggle_would_make():
    """A variance as the difference of squares, 1e-3 above 0: a part of 2⁻²⁶ of the squares is more than that."""

    def normalised(x):
        mean = x.mean(-1, keepdims=True)
        return (x - mean) / jnp.sqrt((x**2).mean(-1, keepdims=True) - mean**2 + 1e-3)

    x = 300 + 0.01 * np.random.default_rng(0).normal(size=(3, 8))
    twice = with_gradient(normalised, lambda x, g: (2 * jax.vjp(normalised, x)[1](g)[0],))
    assert audit(twice, (x,), reference=normalised, stages=["elementwise"]).stages_failed == ["elementwise"]
    assert audit(normalised, (x,), reference=normalised, stages=["elementwise"]).failures == []


def test_what_was_found_before_a_stage_ends_with_an_error_counts():
    def on_the_host(x, ids):
        if np.asarray(ids).min() < 0:
            raise KeyError("no such id")
        return np.asarray(x * ids, x.dtype)

    def scaled(x, ids):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(on_the_host, shape, x, ids, vmap_method="sequential")

    rule = with_gradient(scaled, lambda x, ids, g: (g * ids * (1 + (jnp.abs(x) > 5)), None))
    report = audit(rule, (2 + X[0], np.array([2, 1, 2])), reference=lambda x, ids: x * ids, stages=["variations"])
    assert "×10" in {check.name for check in report.failures}


def test_an_integer_that_does_not_fit_is_not_tried():
    def f(x, ids, kinds):
        return jnp.where(ids == 30_000, 2 * x, x) * kinds

    ids, kinds = np.array([1, 2, 1], np.int32), np.array([3, 2, 3], np.int8)
    report = audit(f, (X[0], ids, kinds), reference=f, stages=["variations"])
    assert report.failures == []
    assert {"30000 among the integers", "×10"} <= {check.name for check in report.checks}


def rms_norm(x):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return (wide / jnp.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6)).astype(x.dtype)


def test_a_constant_is_the_same_one_in_whatever_dtype_it_is_used():
    def half_more_in_bfloat16(x, g):
        return ((1.5 if x.dtype == jnp.bfloat16 else 1) * jax.vjp(rms_norm, x)[1](g)[0],)

    report = audit(with_gradient(rms_norm, half_more_in_bfloat16), (X,), reference=rms_norm, stages=["precisions"])
    assert {check.name for check in report.failures} == {"bfloat16"}


def test_values_that_no_longer_move_bear_no_gradient_out():
    rule = with_gradient(lambda x: 1e4 + x**2, lambda x, g: (0 * x,))
    report = audit(rule, (1e-4 * X,), reference=lambda x: 1e4 + x**2, stages=["elementwise"])
    assert report.stages_failed == ["elementwise"]


def test_a_look_up_that_forgets_to_add_is_seen_at_ids_that_were_distinct():
    def looked_up(table, ids):
        return table[ids]

    rule = with_gradient(looked_up, lambda table, ids, g: (jnp.zeros_like(table).at[ids].set(g), None))
    table, ids = np.random.default_rng(0).normal(size=(10, 3)), np.array([7, 2, 5, 9])
    assert "variations" in audit(rule, (table, ids), reference=looked_up, stages=["variations"]).stages_failed


@pytest.mark.parametrize(("dtype", "failed"), [("float32", ["hygiene"]), ("bfloat16", [])])
def test_a_result_may_not_be_coarser_than_was_said(dtype, failed):
    report = audit(lambda x: (x**2).astype(jnp.bfloat16), (X,), dtype=dtype, stages=["hygiene"])
    assert report.stages_failed == failed


def test_a_reference_may_call_a_symmetric_argument_by_another_name():
    def of_one_triangle(a, links):
        return jnp.tril(a).sum() + jnp.tril(a, -1).sum() + (a * (links & 1)).sum()

    def of_all(m, n):
        return m.sum() + (m * (n & 1)).sum()

    a, links = X[:3] + X[:3].T, np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    stages = ["elementwise", "differences", "precisions"]
    report = audit(of_one_triangle, (a, links), reference=of_all, stages=stages, symmetric=("a", "links"))
    assert report.passed
    assert "elementwise" not in {check.stage for check in report.untested}


def test_numbers_that_are_taken_for_a_mask_were_seen_as_they_are():
    rule = with_gradient(lambda x: x**2, lambda x, g: (g * jnp.where(jnp.abs(x) > 1.5, 0, 2 * x),))
    report = audit(rule, (np.eye(3),), reference=lambda x: x**2, stages=["variations", "scope"])
    assert "other numbers: x outside [0, 1]" in {check.name for check in report.untested}
    fixed = audit(rule, (X / 5,), reference=lambda x: x**2, stages=["variations", "scope"], fixed="x")
    largest = f"other numbers: x outside [{X.min() / 5:.2g}, {X.max() / 5:.2g}]"
    assert largest in {check.name for check in fixed.untested}


def test_two_values_are_no_mask_where_neither_is_nothing():
    def weighted(x, w):
        return x * w

    rule = with_gradient(weighted, lambda x, w, g: (g * jnp.where(w > 5, 0, w), None))
    args = X[:, 0], np.array([1.0, 2, 2, 1])
    report = audit(rule, args, argnums=0, reference=weighted, stages=["variations"])
    assert "constants ×10" in {check.name for check in report.failures}


def test_probabilities_among_the_arguments_stay_probabilities():
    def cross_entropy(logits, p):
        return -(p * jax.nn.log_softmax(logits)).sum(-1)

    def gradient(logits, p, g):
        return g[:, None] * (jax.nn.softmax(logits) - p), -g[:, None] * jax.nn.log_softmax(logits)

    args = X, np.eye(3)[[0, 2, 1, 1]]
    report = audit(with_gradient(cross_entropy, gradient), args, reference=cross_entropy, stages=["variations"])
    assert report.failures == []


def test_a_callback_that_wants_an_order_ends_nothing():
    def on_the_host(x):
        if (np.diff(x) < 0).any():
            raise ValueError("not sorted")
        return np.cumsum(x)

    def f(x):
        return jax.pure_callback(on_the_host, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")

    rule = with_gradient(f, lambda x, g: (jnp.cumsum(g[::-1])[::-1],))
    report = audit(rule, (np.array([1.0, 2.0]),), reference=jnp.cumsum, stages=["context"], seed=1)
    assert {"vmap", "scan"} <= {check.name for check in report.checks if check.status == "passed"}


def test_an_array_that_rounding_hides_is_named_where_the_others_pass():
    def normalised(x, b):
        y = x + b[None]
        y = y - y.mean(0, keepdims=True)
        return y / jnp.sqrt((y**2).mean(0, keepdims=True) + 1e-5)

    def in_one_go(x, b):
        y = x + b[None]
        return (y - y.mean(0, keepdims=True)) * jax.lax.rsqrt(y.var(0, keepdims=True) + 1e-5)

    report = audit(normalised, (X, X[0]), reference=in_one_go, stages=["elementwise"])
    assert report.passed
    assert "hidden by rounding: b" in {check.note for check in report.checks}


@pytest.mark.parametrize("errors", [(1.0, 2.0), (2.0, 1.0)])
def test_what_was_noted_at_one_cotangent_is_told_whichever_errs_more(errors):
    noted = Check("elementwise", "gradient", "passed", error=errors[0], note="hidden by rounding: b")
    other = Check("elementwise", "gradient", "passed", error=errors[1])
    worst = worst_of([noted, other])
    assert (worst.error, worst.note) == (2.0, noted.note)


def test_but_not_where_another_failed():
    noted = Check("elementwise", "gradient", "passed", error=1.0, note="hidden by rounding: b")
    failed = Check("elementwise", "gradient", "failed", error=2.0, worst="b[0] is 1: expected 2")
    assert worst_of([noted, failed]) == failed


# --- where two arguments are equal, where one is 0, and where one is tiny ---------------------------------------------


def length(x, y):
    """√(x² + y²) by the larger of both: its Hessian is wrong where they are equal, its gradient is not."""
    larger, smaller = jnp.maximum(jnp.abs(x), jnp.abs(y)), jnp.minimum(jnp.abs(x), jnp.abs(y))
    return larger * jnp.sqrt(1 + (smaller / larger) ** 2)


def test_a_hessian_that_is_wrong_at_equal_arguments_is_seen():
    assert audit(length, (1.5, 1.5), stages=["second order"]).stages_failed == ["second order"]
    assert audit(length, (1.5, 1.25), stages=["second order"]).failures == []
    assert audit(lambda x, y: jnp.sqrt(x**2 + y**2), (1.5, 1.5), stages=["second order"]).failures == []


def bent_at_0(slope):
    """x + x³, and beside x = 0 it is right in all orders; there its gradient has `slope`, which should be 0."""
    gradient = lambda x: jnp.where(x == 0, 1 + slope * x, 1 + 3 * x**2)  # noqa: E731
    return with_gradient(lambda x: x + x**3, lambda x, g: (g * gradient(x),))


@pytest.mark.parametrize(("slope", "failed"), [(1.0, ["second order"]), (0.0, [])])
def test_a_second_derivative_beside_a_true_one_of_0_is_no_rounding(slope, failed):
    assert audit(bent_at_0(slope), (0.0,), stages=["second order"]).stages_failed == failed


def test_a_forward_mode_that_is_no_number_is_seen():
    """A slope in what is not differentiated, times 0, which reverse mode never asks for."""
    f = jax.custom_jvp(lambda n, x: x**n)
    f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * jnp.nan + primals[0] * primals[1] * tangents[1]))
    report = audit(lambda x: f(2.0, x), (0.75,), stages=["hygiene", "adjoint"])
    assert report.stages_failed == ["adjoint"]
    assert "J v is nan" in str(report)


TINY = 1e-10
"""Steps of a thousandth of it move 1 by less than a rounding."""


@pytest.mark.parametrize(("slope", "failed"), [(0.45, ["differences"]), (0.5, [])])
def test_a_slope_in_a_tiny_argument_is_asked_by_steps_that_are_not(slope, failed):
    rule = with_gradient(lambda x: 1 + x / 2 + x**2, lambda x, g: (g * (slope + 2 * x),))
    report = audit(rule, (TINY,), stages=["differences"])
    assert report.stages_failed == failed
    assert "by steps wider than the argument" in str(report)


@pytest.mark.parametrize(("detached", "failed"), [(True, ["second order"]), (False, [])])
def test_so_is_a_second_derivative_in_one(detached, failed):
    kept = jax.lax.stop_gradient if detached else lambda l: l
    rule = with_gradient(
        lambda x, l: x + l * x**2 + l**2, lambda x, l, g: (g * (1 + 2 * l * x), g * (x**2 + 2 * kept(l)))
    )
    assert audit(rule, (1.5, TINY), stages=["second order"]).stages_failed == failed
    assert audit(rule, (1.5, 0.25), stages=["second order"]).stages_failed == failed


def test_a_rule_that_cancels_at_a_tiny_argument_is_not_wrong():
    """(x^λ − 1) / λ loses ten digits of its slope in λ."""
    boxcox = lambda x, power: jnp.expm1(power * jnp.log(x)) / power  # noqa: E731
    assert audit(boxcox, (2.0, TINY), stages=["differences", "taylor", "second order"]).failures == []


def test_steps_out_of_the_domain_and_over_seams_condemn_nobody():
    stages = ["differences", "taylor", "second order"]
    assert audit(lambda x, l: jnp.log(x - l), (TINY, 0.0), stages=stages).failures == []
    assert audit(lambda x: jnp.abs(x) ** 1.5, (np.array([0.5, 1e-12, -2.0]),), stages=stages).failures == []
    assert audit(jnp.minimum, (300.0, 299.0), stages=stages).failures == []
    assert audit(lambda x: jax.nn.glu(x), (np.array([300.0, 1.0, 30.0, -300.0]),), stages=stages).failures == []


@pytest.mark.parametrize("error", [1e-2, 1e-3])
def test_what_is_left_of_a_wrong_slope_falls_with_the_step(error):
    rule = with_gradient(lambda x: jnp.sin(x), lambda x, g: (g * jnp.cos(x) * (1 + error),))
    report = audit(rule, (X,), stages=["taylor"])
    assert report.stages_failed == ["taylor"]
    assert "the remainder falls with order 1.0" in str(report)
