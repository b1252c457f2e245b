"""Other values of the same shapes, and what an audit says that it has not seen."""

import functools

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
    assert names(only_numbers, "variations") == {
        "×10",
        "×0.1",
        "numbers down to 1e-8",
        "single zeros",
        "a row of zeros",
        "zeros",
        "shuffled",
        "other signs",
    }
    with_ids = audit(taken, (X, np.array([2, 0, 3, 0, 1])), reference=taken, stages=["variations"])
    assert {"integers shuffled", "integers repeated", "integers all equal"} <= names(with_ids, "variations")
    masked = audit(lambda x, m: jnp.where(m, x, 0), (X, X > 0), reference=lambda x, m: x * m, stages=["variations"])
    assert {"masks half true", "masks inverted"} <= names(masked, "variations")
    in_numbers = (X > 0).astype(float)
    masked = audit(lambda x, m: x * m, (X, in_numbers), argnums=0, reference=lambda x, m: m * x, stages=["variations"])
    assert {"masks half true", "masks inverted"} <= names(masked, "variations")
    assert not names(masked, "variations") & {"constants ×10", "constants moved one by one"}
    weighted = audit(lambda x, w: x * w, (X, 1 + X**2), argnums=0, reference=lambda x, w: w * x, stages=["variations"])
    assert {"constants ×10", "constants moved one by one"} <= names(weighted, "variations")
    both = audit(lambda x, y: x * y, (X, 2 * X), reference=lambda x, y: y * x, stages=["variations"])
    assert {"x ×10 alone", "y ×10 alone"} <= names(both, "variations")


SPREAD = np.eye(3) + 0.1 * (X[:3] + X[:3].T)


def log_det(a):
    """Of one triangle, as factorisations read it."""
    return 2 * jnp.log(jnp.diagonal(jnp.linalg.cholesky(a, symmetrize_input=False))).sum()


def test_of_a_symmetric_argument_the_symmetric_part_of_the_gradient_counts():
    """Of log det it is the inverse, whichever triangle is read; entry by entry the other triangle has no effect."""
    reference, stages = lambda a: jnp.linalg.slogdet(a)[1], ["elementwise", "differences", "second order", "context"]
    assert audit(log_det, (SPREAD,), reference=reference, stages=["differences"]).failures
    assert audit(log_det, (SPREAD,), reference=reference, stages=stages, symmetric="a").failures == []
    beside = functools.partial(audit, log_det, (SPREAD,), stages=["elementwise"], symmetric=("a",))
    assert beside(oracle=lambda a: np.log(np.linalg.det(a))).failures == []
    assert beside(oracle=lambda a: 2 * np.log(np.linalg.det(a))).failures
    twice = jax.custom_vjp(log_det)
    twice.defvjp(lambda a: (log_det(a), a), lambda a, g: (2 * g * jnp.linalg.inv(a),))
    doubled = audit(twice, (SPREAD,), reference=reference, stages=["elementwise"], symmetric="a")
    assert doubled.stages_failed == ["elementwise"]


@pytest.mark.parametrize(
    ("slope", "where"),
    [
        (lambda x: jnp.where(jnp.abs(x) > 3, 2.0, 1.0), "×10"),
        (lambda x: jnp.where(x == 0, 2.0, 1.0), "a row of zeros"),
        (lambda x: jnp.where(x < 0, 2.0, 1.0), "other signs"),
        (lambda x: jnp.where((x != 0) & (jnp.abs(x) < 1e-3), 2.0, 1.0), "numbers down to 1e-8"),
        (lambda x: jnp.where((x == 0) & (x.sum(1, keepdims=True) != 0), 2.0, 1.0), "single zeros"),
    ],
)
def test_a_fault_elsewhere_is_seen_there(slope, where):
    x = np.random.default_rng(1).uniform(0.5, 1.5, (4, 3))
    stages = ["elementwise", "differences", "variations"]
    report = audit(with_gradient(lambda x: x + 0.0, slope), (x,), reference=lambda x: x, stages=stages)
    assert where in {check.name for check in report.failures}
    assert report.stages_failed == ["variations"]


def test_sorted_numbers_stay_sorted_and_that_is_said():
    knots = np.array([0.0, 0.3, 0.5, 1.0])

    def by_searching(x, knots):
        return jnp.interp(x, knots, knots**2)

    report = audit(
        by_searching, (np.array([0.4, 0.1, 0.8]), knots), reference=by_searching, stages=["variations", "scope"]
    )
    assert report.failures == []
    assert "other orders: knots" in names(report, "scope")


def test_a_loop_that_may_never_end_is_not_led_where_it_is_not_defined():
    """A geometric series, whose terms never become small from 1 on: 1 / (1 − x)."""

    def series(x):
        def step(state):
            return state[0] * x, state[1] + state[0]

        return jax.lax.while_loop(lambda state: jnp.abs(state[0]).max() > 1e-18, step, (x, jnp.ones_like(x)))[1]

    f = with_gradient(series, lambda x: 1 / (1 - x) ** 2)
    report = audit(f, (0.01 * np.abs(X),), stages=["variations"])
    assert report.failures == []
    assert {"where it may not be defined", "×10"} <= names(report, "variations")
    assert "numbers down to 1e-8" not in names(report, "variations")


def test_integers_that_were_distinct_need_not_meet():
    def written(x, values, places):
        return x.at[places].set(values)

    f = jax.custom_vjp(written)
    f.defvjp(lambda *args: (written(*args), args[2]), lambda places, g: (g.at[places].set(0.0), g[places], None))
    args = np.arange(6.0), np.array([1.5, 2.5]), np.array([4, 1])
    report = audit(f, args, reference=written, stages=["variations"])
    assert report.failures == []
    assert "integers all equal" in {check.name for check in report.untested}


def test_integers_that_a_function_compares_with_are_tried():
    def total(x, ids):
        return jnp.where(ids == 7, 3 * x, x).sum()

    f = jax.custom_vjp(total)
    f.defvjp(lambda x, ids: (total(x, ids), x), lambda x, g: (g * jnp.ones_like(x), None))
    report = audit(f, (X[0], np.array([2, 0, 2])), reference=total, stages=["variations", "scope"])
    assert "7 among the integers" in {check.name for check in report.untested if check.stage == "variations"}
    assert "other integers: ids outside [0, 2]" in names(report, "scope")


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
    assert "left to higher levels: float16, orders above 3" in found


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


def test_arguments_that_must_stay_what_they_are_do():
    def inside(x, y):
        return jnp.sqrt(1 - x**2) * y

    f = with_gradient(lambda x: x + 0.0, lambda x: jnp.where(jnp.abs(x) > 3, 2.0, 1.0))
    asked = dict(reference=lambda x: x, stages=["elementwise", "variations", "scope"])
    assert audit(f, (np.full((4, 3), 0.5),), **asked).stages_failed == ["variations"]
    assert audit(f, (np.full((4, 3), 0.5),), fixed="x", **asked).failures == []
    report = audit(inside, (0.1 * X, X), reference=inside, fixed=("x",), stages=["variations"])
    assert {check.status for check in report.checks if check.stage == "variations"} == {"passed"}


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([0, 1, 1, 3], "sorted"), ([2, 0, 3, 1], "a permutation"), ([2, 2, 2, 2], "of one value")],
)
def test_integers_that_mean_something_are_kept_and_named(ids, reason):
    report = audit(taken, (X, np.array(ids)), reference=taken, stages=["variations", "scope"])
    assert not any(name.startswith("integers") for name in names(report, "variations"))
    (check,) = (check for check in report.checks if check.name == "constants: ids")
    assert check.note == f"not varied: {reason}"


def test_what_a_function_holds_and_how_far_it_was_looked_at_is_named():
    mask = jnp.asarray(X > 0)
    report = audit(lambda x: jnp.where(mask, x, 0), (X,), stages=["scope"])
    numbers = f"other numbers: x outside [{10 * X.min():.2g}, {10 * X.max():.2g}]"
    assert {"constants inside the function: mask", numbers} <= names(report, "scope")


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


def with_defaults(x, power=2.0, axis=0):
    return (x**power).sum(axis)


@pytest.mark.parametrize(
    ("f", "settings"),
    [
        (with_defaults, "power, axis"),
        (functools.partial(with_defaults, axis=1), "axis, power"),
        (Scaled(3.0), "factor"),
        (Scaled(3.0).__call__, "factor"),
        (jnp.sin, None),
    ],
)
def test_settings_that_nobody_gave_are_named(f, settings):
    named = [check.name for check in audit(f, (X,), stages=["scope"], level="quick").checks if check.stage == "scope"]
    assert [n.removeprefix("other settings: ") for n in named if n.startswith("other settings")] == (
        [settings] if settings else []
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(fixed="y"), r"^fixed names 'y': expected some of x"),
        (dict(symmetric="y"), r"^symmetric names 'y': expected some of x"),
        (dict(symmetric="x"), r"^x has shape \(4, 3\): expected symmetric matrices"),
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


# --- what once deceived it, or was condemned --------------------------------------------------------------------------


def test_a_function_that_writes_to_its_arguments_writes_to_its_own():
    def f(x, b):
        x += b
        return jnp.tanh(x).at[0].set(0.0)

    x = X.copy()
    assert audit(f, (x, X), reference=lambda x, b: jnp.tanh(x + b).at[0].set(0.0), level="quick").failures == []
    np.testing.assert_array_equal(x, X)


def test_where_no_gradient_is_finite_nobody_is_wrong():
    report = audit(jnp.sqrt, (np.abs(X) + 0.5,), reference=lambda x: x**0.5, stages=["elementwise", "variations"])
    assert report.failures == []
    assert "no gradient is finite there" in {check.note for check in report.untested}


def test_kinks_in_the_arguments_are_named_and_a_slope_that_no_neighbour_has_fails():
    rectified = np.where(X < -0.3, 0.0, X)
    for at_zero, passes in ((0.0, True), (3.0, False)):
        f = with_gradient(lambda x: jnp.maximum(x, 0), lambda x, s=at_zero: jnp.where(x > 0, 1.0, s * (x == 0)))
        report = audit(f, (rectified,), reference=lambda x: jnp.maximum(x, 0), level="quick")
        assert (report.failures == []) is passes
    assert "gradient, autodiff" in {check.name for check in report.failures}


def mean_of_chosen(x, mask):
    return jnp.where(mask, x, 0).sum() / jnp.maximum(mask.sum(), 1)


def test_an_empty_mask_and_a_fresh_bias_are_tried():
    wrong = jax.custom_vjp(mean_of_chosen)
    wrong.defvjp(lambda x, m: (mean_of_chosen(x, m), m), lambda m, g: (jnp.where(m, g, 0) / m.sum(), None))
    report = audit(wrong, (X, X > 0), reference=mean_of_chosen, stages=["elementwise", "variations"])
    assert [check.name for check in report.failures] == ["masks all false"]

    def layer(x, b):
        return jnp.maximum(x + b, 0)

    masked = jax.custom_vjp(layer)
    masked.defvjp(lambda x, b: (layer(x, b), x), lambda x, g: (g * (x > 0), g * (x > 0)))
    report = audit(masked, (X, np.zeros((4, 3))), reference=layer, stages=["elementwise", "variations"])
    assert "equal numbers moved apart" in {check.name for check in report.failures}


def test_a_maximum_in_bfloat16_may_have_other_winners():
    def highest(x):
        return jnp.max(x, axis=-1)

    rule = jax.custom_vjp(highest)
    picked = lambda x, g: (g[:, None] * jax.nn.one_hot(x.argmax(-1), x.shape[-1], dtype=g.dtype),)  # noqa: E731
    rule.defvjp(lambda x: (highest(x), x), picked)
    x = np.random.default_rng(0).uniform(size=(3, 300))
    assert audit(rule, (x,), reference=highest, stages=["elementwise", "precisions"]).failures == []
