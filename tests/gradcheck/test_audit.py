"""The referee on small functions whose verdict is known beforehand."""

import json
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import Oracle, audit
from convnet.gradcheck.audit import Auditor
from convnet.gradcheck.checks import STAGES
from convnet.gradcheck.comparison import conditioning
from convnet.gradcheck.verdict import describe_wrong

X = np.random.default_rng(0).normal(size=(4, 5))


def cube(x):
    return x**3


def with_gradient(forward, rule):
    """`forward` with dL/dx = rule(x, g)."""
    f = jax.custom_vjp(forward)
    f.defvjp(lambda x: (forward(x), x), lambda x, g: (rule(x, g),))
    return f


def wrong(change):
    """x³ whose gradient went through `change`."""
    return with_gradient(cube, lambda x, g: change(3 * x**2 * g))


# --- right functions --------------------------------------------------------------------------------------------------


def test_a_right_rule_passes_and_what_was_not_tested_is_listed():
    report = audit(wrong(lambda g: g), (X,), reference=cube, oracle=lambda x: x**3)
    assert report.passed
    assert report.failures == []
    assert set(report.stages) == set(STAGES)
    assert len(STAGES) == 15
    untested = {stage for stage, status in report.stages.items() if status == "untested"}
    assert untested == {"adjoint", "kinks", "fuzz", "scope"}
    assert "forward mode" in {check.name for check in report.untested}  # a custom_vjp has none
    assert "11 of 15 stages passed, 4 untested" in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


def with_tangent(tangent):
    """x³ whose J v went through `tangent`, and whose Jᵀg is exact."""

    @jax.custom_jvp
    def f(x):
        return cube(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (v,) = primals, tangents
        slope = lambda x, v: 3 * x**2 * v  # noqa: E731
        return cube(x), jax.custom_derivatives.linear_call(lambda x, v: tangent(slope(x, v)), slope, x, v)

    return f


def rounded(v):
    return v.astype(jnp.float32).astype(v.dtype)


def test_a_reference_that_rounds_in_forward_mode_condemns_nobody():
    """As JAX does on accelerators with the maximum over windows; a rule that rounds so is rejected all the same."""
    report = audit(cube, (X,), reference=with_tangent(rounded), stages=["elementwise", "adjoint"])
    assert report.failures == []
    (check,) = (check for check in report.checks if check.name == "forward mode")
    assert (check.status, "transpose" in check.note) == ("untested", True)
    assert report.stages["adjoint"] == "passed"
    report = audit(with_tangent(rounded), (X,), reference=cube, stages=["elementwise", "adjoint"])
    assert report.stages_failed == ["elementwise", "adjoint"]
    report = audit(with_tangent(lambda v: 2 * v), (X,), reference=cube, stages=["elementwise"])
    assert [check.name for check in report.failures] == ["forward mode"]


def test_a_plain_function_needs_nothing_else():
    report = audit(jnp.sin, (X,), level="quick")
    assert report.passed
    assert report.stages["elementwise"] == report.stages["power"] == "untested"
    assert report.stages["differences"] == report.stages["adjoint"] == "passed"


def test_pytrees_integers_settings_and_several_outputs(rng):
    def f(params, index, *, power):
        scores = params["w"] @ params["b"]
        return {"all": scores**power, "one": scores[index], "count": index.sum()}

    params = {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}
    report = audit(f, (params, np.array([2, 0])), reference=f, settings=dict(power=2), level="quick")
    assert report.passed
    assert {check.name for check in report.checks if check.stage == "power"} == {"params['b']", "params['w']"}


def test_argnums_select_what_is_differentiated():
    f = with_gradient(cube, lambda x, g: 0 * g)
    assert audit(lambda x, y: x + f(y), (X, X), argnums=(0,), level="quick").passed
    assert not audit(lambda x, y: x + f(y), (X, X), level="quick").passed


def test_the_oracle_by_complex_step_and_one_with_its_own_gradient():
    loops = Oracle(lambda x: x**3, lambda g, x: (3 * x * x * g,))
    for oracle in (loops, lambda x: x * x * x):
        report = audit(cube, (X,), oracle=oracle, level="quick")
        assert report.passed
        assert report.stages["elementwise"] == "passed"
        slightly_wrong = wrong(lambda g: 1.00001 * g)
        assert not audit(slightly_wrong, (X,), oracle=oracle, level="quick", stages=["elementwise"]).passed


def test_a_seed_is_a_verdict_that_repeats():
    first, second = (audit(jnp.tanh, (X,), reference=jnp.tanh, seed=3, level="quick") for _ in range(2))
    assert first.checks == second.checks


# --- wrong functions --------------------------------------------------------------------------------------------------

CORNER = (3, 4)
DEFECTS = {
    "zero": lambda g: 0 * g,
    "sign": lambda g: -g,
    "a factor of 1 + 1e-6": lambda g: g * (1 + 1e-6),
    "one entry by 1e-6": lambda g: g.at[CORNER].multiply(1 + 1e-6),
    "not a number": lambda g: g.at[CORNER].set(jnp.nan),
    "transposed": lambda g: g.reshape(5, 4).T,
}


@pytest.mark.parametrize("evidence", ["reference", "oracle", "values alone"])
@pytest.mark.parametrize("name", DEFECTS)
def test_a_wrong_rule_fails(name, evidence):
    given = dict(reference=cube) if evidence == "reference" else dict(oracle=cube) if evidence == "oracle" else {}
    report = Auditor(wrong(DEFECTS[name]), **given).audit((X,), level="quick", until_failure=True)
    assert not report.passed
    assert "FAILED" in str(report)


def test_the_worst_entry_and_where_the_wrong_ones_are():
    report = audit(wrong(lambda g: g.at[-1].multiply(1.5)), (X,), reference=cube, level="quick", stages=["elementwise"])
    (failure,) = [check for check in report.failures if check.name == "gradient, autodiff"]
    assert failure.worst.startswith("x[3, ")
    assert "axis 0 = 3 (the last)" in failure.note


@pytest.mark.parametrize("stage", ["differences", "taylor", "elementwise"])
def test_stages_work_alone(stage):
    """Each notices a wrong gradient without the others; all are listed, the others as switched off."""
    report = audit(wrong(lambda g: 1.1 * g), (X,), reference=cube, level="quick", stages=[stage])
    assert report.stages_failed == [stage]
    assert {check.note for check in report.untested if check.stage != stage} == {"switched off"}


@pytest.mark.parametrize("side", [100, pytest.param(1000, marks=pytest.mark.sweep)])
def test_one_wrong_entry_of_ten_thousand_or_a_million(side):
    x = np.random.default_rng(1).normal(size=(side, side))
    for given, stages in ((dict(reference=cube), ["elementwise"]), ({}, ["differences"])):
        wrong_once = wrong(lambda g: g.at[61, 30].multiply(1 + 1e-6))
        right, planted = (audit(f, (x,), level="quick", stages=stages, **given) for f in (cube, wrong_once))
        assert right.passed
        assert [check.stage for check in planted.failures] == stages
    assert planted.failures[0].detects < 1e-6


def test_a_wrong_second_derivative():
    def rule(x, g):
        return 3 * jax.lax.stop_gradient(x) ** 2 * g

    report = audit(with_gradient(cube, rule), (X,), reference=cube, level="quick")
    assert report.stages_failed == ["second order"]


def test_a_rule_that_is_wrong_in_bfloat16_only():
    def rule(x, g):
        return 3 * x**2 * g * (1.2 if x.dtype == jnp.bfloat16 else 1)

    report = audit(with_gradient(cube, rule), (X,), reference=cube, level="quick")
    assert [(check.stage, check.name) for check in report.failures] == [("precisions", "bfloat16")]


def test_planted_faults_measure_the_power_of_an_audit():
    report = audit(cube, (X,), reference=cube, level="quick", stages=["power"])
    (check,) = [check for check in report.checks if check.stage == "power"]
    assert check.status == "passed"
    assert check.detects <= 1e-11


# --- kinks ------------------------------------------------------------------------------------------------------------


class Declared:
    """A convention by hand."""

    def __init__(self, at, slope):
        self.name, self.args, self.settings = f"x = {at}", (np.array([at]),), {}
        self.gradients = None if slope is None else (np.array([slope]),)


def relu_with(slope_at_0):
    return with_gradient(lambda x: jnp.maximum(x, 0), lambda x, g: jnp.where(x > 0, g, slope_at_0 * (x == 0) * g))


@pytest.mark.parametrize(
    ("slope", "declared", "passes"),
    [(0.0, 0.0, True), (0.5, 0.5, True), (0.5, 0.0, False), (0.3, None, True), (1.5, None, False), (-0.1, -0.1, False)],
)
def test_conventions(slope, declared, passes):
    """What is declared must be what happens, and no declaration makes a slope right that no neighbour has."""
    report = audit(relu_with(slope), (X,), conventions=[Declared(0.0, declared)], stages=["kinks"], level="quick")
    assert report.passed is passes


def test_kinks_at_the_point_are_rejected_not_condemned():
    x = X.copy()
    x[1] = 0.0
    report = audit(relu_with(0.0), (x,), level="quick", stages=["differences"])
    assert report.passed
    assert [check.rejected for check in report.checks if check.stage == "differences"] == [0.25]


def test_nothing_but_kinks_is_no_pass():
    report = audit(relu_with(0.0), (np.zeros((2, 3)),), level="quick", stages=["differences"])
    assert not report.passed
    assert not report.failures


# --- fuzz -------------------------------------------------------------------------------------------------------------


def test_fuzz_shrinks_to_a_line_that_reproduces():
    from hypothesis import strategies as st

    def odd_sizes_are_wrong(x, *, scale):
        f = with_gradient(lambda x: scale * cube(x), lambda x, g: 3 * scale * x**2 * g * (2 if x.size % 2 else 1))
        return f(x)

    calls = st.builds(
        lambda n, scale: ((np.random.default_rng(n).normal(size=n),), dict(scale=scale)),
        st.integers(1, 9),
        st.sampled_from([1.0, 2.0]),
    )
    scaled = partial(audit, reference=lambda x, *, scale: scale * cube(x), level="quick")
    report = scaled(odd_sizes_are_wrong, (np.ones(2),), settings=dict(scale=1.0), fuzz=calls, stages=["fuzz"], seed=1)
    (failure,) = report.failures
    line = failure.worst.split("; ")[1]
    assert line.startswith("audit(odd_sizes_are_wrong, (np.array([")
    again = eval(line, {"audit": scaled, "np": np, "odd_sizes_are_wrong": odd_sizes_are_wrong})
    assert not again.passed
    assert line.count(",") < 8
    assert "'scale': 1.0" in line


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: audit(3, (X,)), r"^fn is 3: expected a function"),
        (lambda: audit(lambda x: x > 0, (X,)), r"^fn \(<lambda>\) returns bool: expected a floating-point result"),
        (lambda: audit(lambda x: jnp.argmax(x), (X,)), r"^fn \(<lambda>\) returns int"),
        (lambda: audit(jnp.sin, (np.arange(3),)), r"^args hold no floating-point array"),
        (lambda: audit(jnp.dot, (X, X)), r"^fn \(dot\) fails at these arguments: TypeError"),
        (lambda: audit(jnp.sin, (X,), argnums=(1,)), r"^argnums is \(1,\): expected positions of the 1 arguments"),
        (lambda: audit(jnp.sin, (X,), level="high"), r"^level is 'high': expected one of quick, standard, exhaustive"),
        (lambda: audit(jnp.sin, (X,), stages=["tailor"]), r"^stages holds 'tailor': expected some of hygiene"),
        (
            lambda: audit(jnp.sin, (X,), reference=lambda x: x[0]),
            r"^reference returns float64\[5\]: expected float64\[4, 5\], as fn does",
        ),
        (lambda: audit(jnp.sin, (X,), oracle=lambda x: x[0]), r"^oracle returns shapes \[\(5,\)\]: expected"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_verdicts_that_are_never_a_pass():
    random = np.random.default_rng(0)

    def raises(x):
        raise KeyError("nothing here")

    for f, given, text in (
        (jnp.log, {}, "nan at [0, 1]: expected finite numbers"),
        (lambda x: x * random.normal(), {}, "two calls gave different values"),
        (lambda x: x.astype(jnp.float32), {}, "float64 in, float32 out"),
        (jnp.sin, dict(oracle=raises), "the oracle raised KeyError: 'nothing here'"),
    ):
        report = audit(f, (X,), level="quick", **given)
        assert not report.passed
        assert text in str(report)


# --- what the verdicts rest on ----------------------------------------------------------------------------------------


def test_conditioning_of_a_sum_is_the_root_of_its_squared_terms(rng):
    a, b = rng.normal(size=(2, 30))
    b -= a * (a @ b) / (a @ a)  # terms that cancel: else the sum itself counts
    (scale,) = conditioning(lambda x: [np.array([x[0] @ x[1]])], [a, b], probes=400, rng=np.random.default_rng(0))
    assert scale[0] == pytest.approx(np.sqrt(2 * np.sum((a * b) ** 2)), rel=0.1)


@pytest.mark.parametrize(("roundings", "passes"), [(1, True), (1e4, False)])
@pytest.mark.parametrize("where", ["float32", "compiled", "mapped"])
def test_a_zero_may_be_one_to_rounding_wherever_it_cancels(where, roundings, passes):
    """Whether a sum that cancels gives 0 or a rounding error is luck: one way to compute it may, another may not."""
    leak = roundings * 2.0 ** (-24 if where == "float32" else -53)

    @jax.custom_batching.custom_vmap
    def alone(g):
        return g.at[0].set(0.0)

    @alone.def_vmap
    def _(size, batched, g):
        return g.at[:, 0].set(leak / 2 * jnp.sqrt((g**2).mean(axis=(1, 2)))[:, None]), True

    def rule(x, g):
        g = 3 * x**2 * g
        if where == "mapped":
            return alone(g)
        here = x.dtype == jnp.float32 if where == "float32" else isinstance(g, jax.core.Tracer)
        return g.at[0].set(leak if here else 0.0)
        compiled = isinstance(g, jax.core.Tracer)
        here = dict(float32=x.dtype == jnp.float32, compiled=compiled, eager=not compiled)[where]
        return g.at[0].set(leak if here else 0.0)

    f = with_gradient(lambda x: x.at[0].set(0) ** 3, rule)
    reference = lambda x: x.at[0].set(0) ** 3  # noqa: E731
    assert audit(f, (X,), reference=reference, stages=["elementwise", "precisions", "context"]).passed is passes


def test_wrong_entries_are_described_by_what_they_share():
    mask = np.zeros((4, 5, 3), bool)
    mask[:, 2, 1] = True
    assert describe_wrong(mask) == "4 of 60 entries are wrong, all with axis 1 = 2 and axis 2 = 1"
    mask[:] = False
    mask[[0, -1], :, :2] = True
    assert describe_wrong(mask) == "20 of 60 entries are wrong, all with axis 0 at both borders"
    assert describe_wrong(np.ones((2, 2), bool)) == "every entry is wrong"


# --- what once deceived the referee -----------------------------------------------------------------------------------


def relu(x):
    return jnp.where(x > 0, x, 0.0)


def test_an_oracle_that_was_not_used_is_no_witness():
    x = np.random.default_rng(0).normal(size=5000)
    twice_once = with_gradient(relu, lambda x, g: jnp.where(x > 0, g, 0.0).at[2500].multiply(2))
    report = audit(twice_once, (x,), oracle=lambda x: np.where(x.real > 0, x, 0), level="quick")
    assert {"elementwise", "power"} <= {check.stage for check in report.untested}
    assert report.stages["power"] == "untested"


def test_a_large_constant_hides_nothing_and_excuses_nothing():
    for offset, rule in ((1e12, lambda x, g: 0 * g), (1e9, lambda x, g: 1.001 * jnp.cos(x) * g)):

        def shifted(x, *, offset=offset):
            return offset + jnp.sin(x)

        assert not audit(with_gradient(partial(shifted, offset=offset), rule), (X,), level="quick").passed


def test_a_name_holds_no_address():
    """It is part of the seed: a verdict would change from process to process."""
    nameless = with_gradient(partial(cube), lambda x, g: 3 * x**2 * g)
    assert audit(nameless, (X,), level="quick", stages=["hygiene"]).name == "cube"


def test_nothing_finite_around_the_point_is_no_pass():
    only_here = with_gradient(lambda x: jnp.where(x == X, x, jnp.nan), lambda x, g: 0 * g)
    assert not audit(only_here, (X,), level="quick").passed


@pytest.mark.parametrize("stages", [["hygiene"], ["hygiene", "precisions", "context", "second order"]])
def test_agreement_with_itself_is_no_pass(stages):
    assert not audit(with_gradient(cube, lambda x, g: 0 * g), (X,), level="quick", stages=stages).passed


def test_empty_arrays_are_untested():
    report = audit(cube, (np.zeros((0, 3)),), reference=cube, level="quick")
    assert not report.passed
    assert not report.failures


def test_a_measured_error_counts_even_if_most_entries_are_kinks():
    x = np.where(np.arange(9) < 6, 0.0, 1.5)
    report = audit(with_gradient(relu, lambda x, g: 0 * g), (x,), level="quick", stages=["differences"])
    assert [check.stage for check in report.failures] == ["differences"]


def test_other_settings_and_static_arguments_are_other_programs():
    def wrong_at_3(x, k):
        return wrong((lambda g: 2 * g) if k == 3 else (lambda g: g))(x)

    auditor = Auditor(wrong_at_3)
    assert [auditor.audit((X, k), level="quick", stages=["differences"]).passed for k in (2, 3)] == [True, False]


def test_a_rule_that_is_wrong_when_cotangents_are_mapped():
    @jax.custom_batching.custom_vmap
    def pull(x, g):
        return 3 * x**2 * g

    @pull.def_vmap
    def _(size, batched, x, g):
        if tuple(batched) == (False, True):
            return 2 * 3 * x[None] ** 2 * g, True
        return 3 * x**2 * (g if batched[1] else g[None]), True

    report = audit(with_gradient(cube, pull), (X,), reference=cube, level="quick", stages=["elementwise", "context"])
    assert [check.name for check in report.failures] == ["vmap over g alone"]


def test_zeros_and_ties_do_not_condemn_a_right_rule():
    """Images and what comes out of a relu are full of them."""
    rectified = np.maximum(np.random.default_rng(0).normal(size=(1, 6, 6, 2)), 0)
    assert audit(relu, (rectified,), reference=relu, level="quick").passed
    one_zero = np.random.default_rng(0).normal(size=2000)
    one_zero = np.where(np.abs(one_zero) < 0.5, 0.5, one_zero)
    one_zero[1234] = 0.0
    assert audit(relu, (one_zero,), reference=relu, level="quick").passed
    assert audit(jnp.abs, (np.maximum(X, 0),), reference=jnp.abs, level="quick").passed


def test_what_overflows_a_narrow_dtype_or_spans_too_many_scales_is_untested():
    report = audit(jnp.exp, (np.array([100.0, 1.0, -3.0]),), reference=jnp.exp, level="quick")
    assert report.failures == []
    assert {"precisions", "power"} <= {check.stage for check in report.untested}


def test_an_infinite_argument_is_named_and_not_moved():
    for fn in (jnp.tanh, with_gradient(jnp.tanh, lambda x, g: 0 * g)):
        report = audit(fn, (np.array([np.inf, 1.0]),), reference=jnp.tanh, level="quick")
        assert report.passed is (fn is jnp.tanh)
        assert "inf at [0]: not moved there" in {check.note for check in report.checks}


def broken(result):
    f = jax.custom_vjp(cube)
    f.defvjp(lambda x: (cube(x), x), lambda x, g: result(g))
    return f


def raising(g):
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: audit(broken(lambda g: (g[0],)), (X,)), r"^the gradient of fn \(.*\) fails: ValueError"),
        (lambda: audit(broken(lambda g: (g, g)), (X,)), r"^the gradient of fn \(.*\) fails: TypeError"),
        (lambda: audit(broken(raising), (X,)), r"^the gradient of fn \(.*\) fails: RuntimeError: boom"),
        (lambda: audit(cube, (X,), reference=lambda x: x > 0), r"^reference \(<lambda>\) returns bool"),
        (lambda: audit(cube, (X,), reference=jnp.linalg.inv), r"^reference \(inv\) fails at these arguments"),
        (lambda: audit(cube, (X,), reference=lambda x: x.astype("float32")), r"^reference returns float32\[4, 5\]"),
        (lambda: audit(cube, (X,), reference=3), r"^reference is 3: expected a function"),
        (lambda: audit(cube, X), r"^args is a ndarray: expected a tuple"),
        (lambda: audit(cube, (X,), settings=3), r"^settings is 3: expected a mapping"),
        (lambda: audit(cube, (X,), argnums="x"), r"^argnums is 'x': expected an int or a tuple"),
        (lambda: audit(cube, (X + 1j,)), r"^args hold complex numbers"),
        (lambda: audit(lambda x: x * 1j, (X,)), r"^fn \(<lambda>\) returns complex128"),
        (lambda: audit(cube, (object(),)), r"^args hold a object: expected arrays"),
        (lambda: audit(cube, (X,), conventions=[3]), r"^conventions hold 3: expected Conventions"),
    ],
)
def test_refusals_name_what_is_wrong(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_argnums_may_be_an_int():
    assert audit(cube, (X,), reference=cube, argnums=0, level="quick").passed


# --- modules ----------------------------------------------------------------------------------------------------------


class Kept(NamedTuple):
    """As `jax.grad` has it, all of it is differentiated in."""

    slope: float


@jax.tree_util.register_pytree_with_keys_class
class Layer:
    """A module as those of Equinox: an activation and a rate among its arrays, and all of these are leaves."""

    def __init__(self, weight, activation, rate):
        self.weight, self.activation, self.rate = weight, activation, rate

    def tree_flatten_with_keys(self):
        names = ("weight", "activation", "rate")
        return [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in names], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)

    def __call__(self, x):
        scale = (
            1 / (1 - self.rate) if self.rate > 0 else 1.0
        )  # Python's own numbers, which a trace would not let it ask
        return self.activation(jnp.where(jnp.arange(5) % 2 == 0, scale * x, 0.0) @ self.weight)


def test_what_a_module_holds_besides_arrays_stays_what_it_is():
    layers = [Layer(X.T, jnp.tanh, 0.5), Layer(X.T, jnp.sin, 0.0)]
    report = audit(lambda layers, x: sum(layer(x) for layer in layers), (layers, X), level="quick")
    assert report.passed
    differenced = {check.name for check in report.checks if check.stage == "differences"}
    assert differenced >= {"layers[0].weight", "layers[1].weight", "x"}
    assert not any("rate" in name or "activation" in name for name in differenced)
    assert "other Python scalars: layers[0].rate, layers[1].rate" in {check.name for check in report.untested}


def test_modules_with_other_functions_are_other_programs():
    auditor = Auditor(lambda layer, x: layer(x), reference=lambda layer, x: jnp.tanh(layer(x)))
    stages = ["elementwise"]
    assert not auditor.audit((Layer(X.T, jnp.sin, 0.0), X), level="quick", stages=stages).passed
    flat = Layer(X.T, jnp.zeros_like, 0.0)  # tanh(0) = 0, with the same slope
    assert auditor.audit((flat, X), level="quick", stages=stages).passed


def test_numbers_of_a_named_tuple_are_differentiated():
    report = audit(lambda kept, x: kept.slope * x, (Kept(0.5), X), level="quick", stages=["differences"])
    assert report.passed
    assert "kept.slope" in {check.name for check in report.checks}
