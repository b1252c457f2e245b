"""Other values of the same shapes, and what an audit says that it has not seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import audit

X = np.random.default_rng(0).normal(size=(4, 3))


def names(report, stage):
    return {check.name for check in report.checks if check.stage == stage}


def with_gradient(value, slope):
    f = jax.custom_vjp(value)
    f.defvjp(lambda *args: (value(*args), args), lambda args, g: (g * slope(*args), *(None for _ in args[1:])))
    return f


def taken(x, ids):
    return x[ids]


def test_what_is_varied_is_told_by_what_there_is():
    only_numbers = audit(jnp.sin, (X,), reference=jnp.sin, stages=["variations"])
    assert names(only_numbers, "variations") == {"×10", "×0.1", "a row of zeros", "shuffled", "other signs"}
    with_ids = audit(taken, (X, np.array([2, 0, 3])), reference=taken, stages=["variations"])
    assert {"integers shuffled", "integers repeated", "integers all equal"} <= names(with_ids, "variations")
    masked = audit(lambda x, m: jnp.where(m, x, 0), (X, X > 0), reference=lambda x, m: x * m, stages=["variations"])
    assert {"masks half true", "masks inverted"} <= names(masked, "variations")


@pytest.mark.parametrize(
    ("slope", "where"),
    [
        (lambda x: jnp.where(jnp.abs(x) > 3, 2.0, 1.0), "×10"),
        (lambda x: jnp.where(x == 0, 2.0, 1.0), "a row of zeros"),
        (lambda x: jnp.where(x < 0, 2.0, 1.0), "other signs"),
    ],
)
def test_a_fault_elsewhere_is_seen_there(slope, where):
    x = np.random.default_rng(1).uniform(0.5, 1.5, (4, 3))
    stages = ["elementwise", "differences", "variations"]
    report = audit(with_gradient(lambda x: x + 0.0, slope), (x,), reference=lambda x: x, stages=stages)
    assert where in {check.name for check in report.failures}
    assert report.stages_failed == ["variations"]


def test_without_a_reference_its_own_values_tell():
    f = with_gradient(lambda x: x**2, lambda x: jnp.where(jnp.abs(x) > 5, 0.0, 2 * x))
    report = audit(f, (np.linspace(0.5, 1.5, 6),), stages=["differences", "variations"])
    assert report.stages_failed == ["variations"]


def test_kinks_at_zeros_are_conventions_and_no_faults():
    f = with_gradient(lambda x: jnp.maximum(x, 0), lambda x: jnp.where(x > 0, 1.0, 0.0))
    report = audit(f, (X,), reference=lambda x: jnp.maximum(x, 0), stages=["variations"])
    assert report.failures == []
    (zeros,) = (check for check in report.checks if check.name == "a row of zeros")
    assert zeros.note == "kinks where the gradients differ"


def test_indices_that_must_be_sorted_are_no_fault():
    def sums(x, ids):
        return jax.ops.segment_sum(x, ids, 4, indices_are_sorted=True)

    report = audit(sums, (X, np.array([0, 1, 1, 3])), reference=lambda x, ids: jax.ops.segment_sum(x, ids, 4))
    assert report.failures == []


def power(x, n, *, scale):
    return scale * x**n, jnp.argmax(x)


def test_what_was_not_looked_at_has_a_name():
    report = audit(power, (X[:3], 2), reference=power, settings=dict(scale=2.0), stages=["elementwise", "scope"])
    found = {check.name: check.note for check in report.untested if check.stage == "scope"}
    assert found["other shapes"] == "these are square"
    assert {"other settings: scale", "other Python scalars: n", "integer outputs: result 1"} <= set(found)
    assert "left to higher levels: float16" in found


def test_quick_names_what_it_leaves_to_others():
    report = audit(jnp.sin, (X,), level="quick", stages=["variations", "higher orders", "scope"])
    assert "left to higher levels: variations, higher orders, rarer maps, float16" in names(report, "scope")
    assert report.stages["variations"] == report.stages["higher orders"] == "untested"


def test_arguments_that_are_not_differentiated_and_constants_of_one_value_are_named():
    report = audit(lambda x, w, i: x * w * i, (X, X, np.array(3)), argnums=0, stages=["scope"])
    assert {"not differentiated: w", "constants: i"} <= names(report, "scope")


def test_digits_that_are_lost_on_the_way_are_stated():
    report = audit(lambda x: jnp.sin(x.astype(jnp.float32)).astype(x.dtype), (X,), reference=jnp.sin, level="quick")
    assert report.failures == []
    assert "it rounds to float32 on the way: smaller errors are not seen" in str(report)


# --- what is said of a function ---------------------------------------------------------------------------------------


def test_an_accuracy_that_was_promised_is_granted_and_no_more():
    for error, passes in ((1e-7, True), (1e-4, False)):
        f = with_gradient(lambda x: x**3, lambda x, error=error: 3 * x**2 * (1 + error))
        report = audit(f, (X,), reference=lambda x: x**3, accuracy=1e-6, level="quick", stages=["elementwise"])
        assert report.passed is passes


def test_a_dtype_that_was_announced_may_be_returned():
    def f(x):
        return x.astype(jnp.float32) ** 2

    assert "hygiene" in audit(f, (X,), reference=f, level="quick").stages_failed
    assert audit(f, (X,), reference=f, dtype="float32", level="quick").failures == []


def test_an_estimate_is_not_held_to_the_derivative_of_its_value():
    def value(x):
        return jnp.round(x)

    f = with_gradient(value, lambda x: jnp.ones_like(x))
    assert audit(f, (X,), reference=value, level="quick").failures
    report = audit(f, (X,), reference=value, estimator=True)
    assert report.failures == []
    assert "differences" in {check.stage for check in report.untested}
    clipped = jax.custom_vjp(value)
    clipped.defvjp(lambda x: (value(x), None), lambda _, g: (jnp.clip(g, -1, 1),))
    assert audit(clipped, (X,), reference=value, estimator=True).stages_failed == ["consistency"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(accuracy=2), r"^accuracy is 2: expected a relative error, 1e-6 say"),
        (dict(dtype="int32"), r"^dtype is 'int32': expected a floating-point dtype, float32 say"),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ValueError, match=match):
        audit(jnp.sin, (X,), **options)


# --- what a report goes on with ---------------------------------------------------------------------------------------


def test_a_callback_that_fails_in_one_precision_ends_nothing():
    def on_the_host(x):
        if x.dtype != np.float64:
            raise KeyError("only float64")
        return np.sin(x)

    def f(x):
        return jax.pure_callback(on_the_host, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")

    rule = jax.custom_vjp(f)
    rule.defvjp(lambda x: (f(x), x), lambda x, g: (g * jnp.cos(x),))
    report = audit(rule, (X,), reference=jnp.sin, level="quick")
    assert report.passed
    assert {check.name for check in report.untested if check.stage == "precisions"} == {"float32", "bfloat16"}


def test_a_carry_of_float32_is_audited_in_float32():
    def sums(x):
        return jax.lax.scan(lambda c, row: (c + row, c), jnp.zeros(x.shape[1], jnp.float32), x)[1]

    report = audit(sums, (X.astype(np.float32),), level="quick")
    assert report.failures == []
    assert "it rounds to float32 on the way: smaller errors are not seen" in str(report)
