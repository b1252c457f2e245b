"""Anybody's functions: the wrong ones are wrong and the right ones right, measured without any checker."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import audit
from convnet.gradcheck.evidence.anybody import RIGHT, RIGHT_KINDS, WRONG, WRONG_KINDS
from tests.gradcheck.truths import ESTIMATES, VALUES, gradients, sampled

SMALLEST_FAULT = 1e-6

PER_KIND = 3

DIGITS = {"float32": 1e-5, "bfloat16": 3e-2, "float16": 4e-3}
STEPS = {
    "a narrow spectral line": 3e-10,
    "a sparse plus at its seams": 1e-8,
    "log Σ exp of large logits": 1e-6,
    "a softmax of very wide logits": 1e-6,
}
"""Of the differences, where 1e-4 is too wide."""
SEAMS = {"a sparse plus at its seams": 1e-7}
"""Where the slope has a kink, differences are as near as their step."""


def named(examples):
    return [pytest.param(example, id=example.name) for example in examples]


def is_float(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def differentiable(call):
    """The numbers of those leaves of all arguments."""
    paths = jax.tree_util.tree_flatten_with_path(tuple(call["args"]))[0]
    argnums = call.get("argnums", range(len(call["args"])))
    return [i for i, (path, leaf) in enumerate(paths) if path[0].idx in argnums and is_float(leaf)]


def by_jax(call, g_of):
    """(values, cotangents, gradients) of the function under test."""
    leaves, tree = jax.tree.flatten(tuple(call["args"]))
    chosen = differentiable(call)

    def fn(*floats):
        filled = list(leaves)
        for i, x in zip(chosen, floats, strict=True):
            filled[i] = x
        out = jax.tree.leaves(call["fn"](*jax.tree.unflatten(tree, filled), **call.get("settings", {})))
        return [leaf for leaf in out if is_float(leaf)]

    with jax.enable_x64(True):
        values, pull = jax.vjp(fn, *(jnp.asarray(leaves[i]) for i in chosen))
        g = [g_of(value) for value in values]
        return values, g, [np.asarray(leaf).astype(np.float64) for leaf in pull(g)]


def gaussian(value):
    """Where the value is −∞ nothing comes from above."""
    return jnp.where(
        jnp.isfinite(value), jnp.asarray(np.random.default_rng(5).normal(size=value.shape), value.dtype), 0
    )


def test_the_tables():
    names = [example.name for example in (*WRONG, *RIGHT)]
    assert len(set(names)) == len(names)
    for examples, kinds in ((WRONG, WRONG_KINDS), (RIGHT, RIGHT_KINDS)):
        assert {example.kind for example in examples} == set(kinds)
        assert all(sum(example.kind == kind for example in examples) >= PER_KIND for kind in kinds)
    assert all(example.shows for example in WRONG)
    assert not any(example.shows or example.named for example in RIGHT)
    assert {example.name for example in RIGHT} == VALUES.keys() | ESTIMATES.keys()
    estimators = {e.name for e in RIGHT if e.build(np.random.default_rng(0)).get("estimator")}
    assert estimators == ESTIMATES.keys()


@pytest.mark.parametrize("example", named((*WRONG, *RIGHT)))
def test_a_build_is_a_call_of_audit(example):
    call = example.build(np.random.default_rng(0))
    known = {*inspect.signature(audit).parameters, "accuracy", "dtype", "estimator"}
    assert set(call) <= known
    again = example.build(np.random.default_rng(0))["args"]
    for a, b in zip(jax.tree.leaves(call["args"]), jax.tree.leaves(again), strict=True):
        assert a is b or (a == b).all() or not is_float(a) or np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize("example", sampled(WRONG))
def test_what_is_wrong_is_wrong(example):
    for seed in range(2):
        assert example.shows(example.build(np.random.default_rng(seed))) >= SMALLEST_FAULT


@pytest.mark.parametrize("example", sampled([e for e in RIGHT if e.name not in ESTIMATES]))
def test_what_is_right_is_right(example):
    for seed in range(2):
        call = example.build(np.random.default_rng(seed))
        values, g, actual = by_jax(call, gaussian)
        cotangents = [np.asarray(leaf).astype(np.longdouble) for leaf in g]
        step = STEPS.get(example.name, 1e-4)
        expected = gradients(VALUES[example.name], call["args"], cotangents, differentiable(call), step)
        size = size_of(call, values, g, expected)
        allowed = call.get("accuracy") or DIGITS.get(call.get("dtype")) or SEAMS.get(example.name, 1e-9)
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=allowed * size)


def size_of(call, values, g, expected):
    """Of the largest gradient, or of what one would be whose function depended on its arguments."""
    total = max(float(np.nanmax(np.abs(np.where(np.isfinite(y), c * y, 0)))) for y, c in zip(values, g, strict=True))
    leaves = jax.tree.leaves(call["args"])
    largest = max(np.abs(leaves[i][np.isfinite(leaves[i])]).max() for i in differentiable(call))
    return max(1e-3 * total / largest, *(np.abs(b).max() for b in expected))


@pytest.mark.parametrize("example", named([e for e in RIGHT if e.name in ESTIMATES]))
def test_an_estimator_gives_what_it_promises(example):
    call = example.build(np.random.default_rng(0))
    assert call["estimator"]
    (value,), (g,), actual = by_jax(call, gaussian)
    expected = ESTIMATES[example.name](np.asarray(g), np.asarray(value), *call["args"])
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
