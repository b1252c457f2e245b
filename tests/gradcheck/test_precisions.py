"""Narrow and mixed dtypes: what is wrong there alone, and functions that are other functions there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from convnet.gradcheck import audit

X = np.random.default_rng(0).normal(size=(4, 3))


def product(adds_up_in):
    """x @ w, whose gradient in w adds up one example after the other in the wider or the narrower of both dtypes."""

    def backward(residuals, g):
        x, w = residuals
        dtype = adds_up_in(x.dtype, w.dtype)
        total = jnp.zeros(w.shape, dtype)
        total, _ = lax.scan(lambda t, pair: (t + jnp.outer(*pair).astype(dtype), None), total, (x, g))
        return (g @ w.T).astype(x.dtype), total.astype(w.dtype)

    f = jax.custom_vjp(lambda x, w: x @ w)
    f.defvjp(lambda x, w: (x @ w, (x, w)), backward)
    return f


@pytest.mark.parametrize(
    ("adds_up_in", "wrong"),
    [(lambda narrow, wide: jnp.float64, set()), (lambda narrow, wide: narrow, {"mixed as given: bfloat16, float32"})],
)
def test_arguments_of_several_dtypes_are_tried_as_they_were_given(adds_up_in, wrong):
    rng = np.random.default_rng(0)
    x, w = jnp.asarray(rng.normal(size=(512, 8)), jnp.bfloat16), rng.normal(size=(8, 5)).astype(np.float32)
    with jax.enable_x64(True):  # where adding up in float64 is possible
        report = audit(product(adds_up_in), (x, w), reference=lambda x, w: x @ w, stages=["precisions"])
    assert "mixed as given: bfloat16, float32" in {check.name for check in report.checks}
    assert wrong <= {check.name for check in report.failures}
    assert bool(wrong) == bool(report.failures)


def test_errors_of_many_entries_are_held_to_what_the_reference_would_lose():
    """Each is within 16 ulps. A program that adds up in bfloat16 explains them; the plain forward does not."""
    rng = np.random.default_rng(0)
    args = rng.normal(size=(512, 8)), rng.normal(size=(8, 5))
    wrong, right = (product(lambda narrow, wide, dtype=dtype: dtype or narrow) for dtype in (None, jnp.float32))
    for f, failed in ((wrong, {"bfloat16"}), (right, set())):
        report = audit(f, args, reference=lambda x, w: x @ w, stages=["precisions"], level="quick")
        assert {check.name for check in report.failures} == failed


def unit_vector(x):
    """As losses of cosine similarity are written: no norm is smaller than the dtype's own eps."""
    return x / jnp.sqrt(jnp.maximum((x**2).sum(-1, keepdims=True), jnp.finfo(x.dtype).eps))


def test_a_function_with_constants_of_its_own_in_every_dtype_is_named():
    report = audit(unit_vector, (1e-3 * X,), stages=["precisions"])
    assert report.failures == []
    (named,) = [check.note for check in report.untested if check.name == "bfloat16"]
    assert named == "in bfloat16 the function has constants of its own: 0.00781"


def test_but_a_rule_that_has_them_alone_is_wrong():
    def exact(x):
        return x / jnp.sqrt((x**2).sum(-1, keepdims=True))

    rule = jax.custom_vjp(exact)
    rule.defvjp(lambda x: (unit_vector(x), x), lambda x, g: jax.vjp(unit_vector, x)[1](g))
    report = audit(rule, (1e-3 * X,), reference=exact, stages=["precisions"])
    assert "bfloat16" in {check.name for check in report.failures}


def test_what_carries_an_int32_is_audited_with_integers_of_32_bits():
    """argmax is an int64 where float64 is enabled, and a loop must carry what it was given."""

    def greedy(logits, w):
        def step(carry, row):
            token, total = carry
            scores = row + w[token]
            best = jnp.argmax(scores)
            return (best, total + jax.nn.log_softmax(scores)[best]), scores.sum()

        start = jnp.zeros((), jnp.int32), jnp.zeros((), logits.dtype)
        (_, total), sums = lax.scan(step, start, logits)
        return total + (sums**2).sum()

    rng = np.random.default_rng(0)
    args = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=(6, 6)).astype(np.float32)
    report = audit(greedy, args, level="quick")
    assert report.failures == []
    assert "it rounds to float32 on the way: smaller errors are not seen" in str(report)
    twice = jax.custom_vjp(greedy)
    twice.defvjp(
        lambda *args: (greedy(*args), jax.grad(greedy, (0, 1))(*args)),
        lambda slopes, g: tuple(2 * g * s for s in slopes),
    )
    assert audit(twice, args, reference=greedy, stages=["elementwise"]).stages_failed == ["elementwise"]


def test_a_reference_that_takes_half_of_a_maximum_where_the_slope_bends_condemns_nobody():
    """elu at 0: its slope is 1 on both sides and bends there; max(x, 0) + min(eˣ − 1, 0) gives half of that."""
    stages, halves = ["variations"], lambda x: jnp.maximum(x, 0) + jnp.expm1(jnp.minimum(x, 0))
    assert audit(jax.nn.elu, (X,), reference=halves, stages=stages).failures == []
    half = jax.custom_vjp(lambda x: jax.nn.elu(x))
    half.defvjp(lambda x: (jax.nn.elu(x), x), lambda x, g: (jnp.where(x == 0, 0.5, jax.vjp(jax.nn.elu, x)[1](g)[0]),))
    assert audit(half, (X,), reference=jax.nn.elu, stages=stages).stages_failed == stages
