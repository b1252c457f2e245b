"""What a rule owes whatever the function is: the value beside its derivative, and a Jᵀg that is linear in g."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import audit

X = np.random.default_rng(0).normal(size=(4, 5))
W, B = np.random.default_rng(1).normal(size=(5, 3)), np.ones((1, 3))


BESIDE = {"value beside the gradient", "value beside the compiled gradient"}


def cube(x):
    return x**3


def failures(fn, args, reference, **settings):
    """(stage, check) of all that failed where a right reference and a right oracle were given."""
    report = audit(fn, args, reference=reference, oracle=reference, level="quick", **settings)
    return [(check.stage, check.name) for check in report.failures]


def cube_whose_cotangent(change):
    f = jax.custom_vjp(cube)
    f.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2 * change(g),))
    return f


def affine(x, w, b):
    return x @ w + b


def test_a_forward_rule_that_forgets_the_bias_is_seen_by_its_value():
    f = jax.custom_vjp(affine)
    f.defvjp(
        lambda x, w, b: (x @ w, (x, w)), lambda kept, g: (g @ kept[1].T, kept[0].T @ g, g.sum(axis=0, keepdims=True))
    )
    found = failures(f, (X, W, B), affine)
    assert {stage for stage, _ in found} == {"precisions", "consistency"}
    assert {name for stage, name in found if stage == "consistency"} == BESIDE


def test_a_tangent_rule_that_returns_another_value_is_seen():
    f = jax.custom_jvp(jnp.sin)
    f.defjvp(lambda primals, tangents: (jnp.sin(primals[0]) + 1e-9, jnp.cos(primals[0]) * tangents[0]))
    found = failures(f, (X,), jnp.sin, stages=["elementwise", "consistency"])
    assert {name for _, name in found} == {*BESIDE, "value beside the tangent"}


CHANGES = {
    "clipped": lambda g: jnp.clip(g, -10, 10),
    "dropped where small": lambda g: jnp.where(jnp.abs(g) < 1e-6, 0, g),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_rule_that_is_no_multiple_of_large_or_small_cotangents_is_seen_by_them_alone(change):
    found = failures(cube_whose_cotangent(change), (X,), cube, stages=["elementwise", "differences", "consistency"])
    assert found == [("consistency", "Jᵀ(2ᵏg) = 2ᵏ Jᵀg")]


def test_a_rule_that_is_homogeneous_and_not_additive_is_seen():
    """|g| grows with every positive factor as a linear map does."""
    found = failures(cube_whose_cotangent(jnp.abs), (X,), cube, stages=["consistency"])
    assert ("consistency", "Jᵀ(g + h) = Jᵀg + Jᵀh") in found
    assert ("consistency", "Jᵀ(2ᵏg) = 2ᵏ Jᵀg") not in found


RIGHT = {
    "logsumexp": (lambda x: jax.nn.logsumexp(300 * x, axis=1), (X,)),
    "two results": (lambda x: (jnp.sin(x), {"sum": x.sum(axis=0)}), (X,)),
    "softmax by a rule that keeps its result": (jax.nn.softmax, (X,)),
    "zeros": (lambda x: 0 * x, (X,)),
    "a single number": (lambda x: x**2, (np.array(3.0),)),
}


@pytest.mark.parametrize(("fn", "args"), RIGHT.values(), ids=RIGHT)
def test_right_rules_are_consistent(fn, args):
    report = audit(fn, args, reference=fn, level="quick", stages=["consistency"])
    assert report.stages["consistency"] == "passed", str(report)
