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
