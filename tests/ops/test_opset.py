"""Every member of HAND against AUTO: value, gradient, dtype, transforms; and what replacing a member does."""

from dataclasses import FrozenInstanceError, fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convnet
from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import AUTO, HAND, OPSETS, OpSet
from tests.ops.references import STEPS, WEIGHTS

NAMES = [field.name for field in fields(OpSet)]


def build(ops, name, **others):
    """The op as a function of its floating arguments, at its most revealing case; `others` replace settings."""
    case = EVIDENCE[name].cases[0]
    arguments, settings = case.draw(np.random.default_rng(0)), case.settings | others
    floating = [is_floating(argument) for argument in arguments]

    def f(*floats):
        floats = iter(floats)
        args = [next(floats) if is_float else a for is_float, a in zip(floating, arguments, strict=True)]
        return getattr(ops, name)(*args, **settings)

    return f


def is_floating(argument):
    return argument is not None and argument.dtype == np.float64


def draw(name, rng):
    """Floating arguments of the op, away from its kinks and ties."""
    return [argument for argument in EVIDENCE[name].cases[0].draw(rng) if is_floating(argument)]


def shapes(name, dtype):
    return [jax.ShapeDtypeStruct(argument.shape, dtype) for argument in draw(name, np.random.default_rng(0))]


def gradients(f, args):
    """Of a sum that weighs and squares the value, so that g is no constant and derivatives go on."""

    def weighed(y):
        weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        return jnp.sum(weights * y * y)

    def total(*args):
        return sum(map(weighed, jax.tree.leaves(f(*args))))

    return jax.grad(total, argnums=tuple(range(len(args))))(*args)


def value_and_gradients(f, args):
    return f(*args), gradients(f, args)


def test_opsets():
    assert OPSETS == {"hand": HAND, "auto": AUTO}
    assert convnet.HAND is HAND
    assert convnet.AUTO is AUTO
    for name in NAMES:
        assert getattr(HAND, name) is getattr(convnet.ops, name)
        assert getattr(HAND, name) is not getattr(AUTO, name)
        assert getattr(HAND, name).forward is getattr(AUTO, name)
    with pytest.raises(FrozenInstanceError):
        HAND.relu = None


@pytest.mark.parametrize("name", NAMES)
def test_hand_and_auto_agree(name, rng, x64):
    hand, auto = build(HAND, name), build(AUTO, name)
    args = draw(name, rng)
    both = jax.jit(lambda *args: (value_and_gradients(hand, args), value_and_gradients(auto, args)))(*args)
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13 * max(1, np.abs(other).max()))


OURS = {  # the primitive of ours that the backward pass must go through, and the one of JAX that it must not
    "conv2d": ("correlate", "conv_general_dilated"),
    "conv_transpose2d": ("correlate", "conv_general_dilated"),
    "convolve2d": ("correlate", "conv_general_dilated"),
    "dense": ("matmul", "dot_general"),
    "max_pool": ("give_winners", "reduce_window_max"),
    "avg_pool": ("sum_windows", "reduce_window"),
    "sum_pool": ("sum_windows", "reduce_window"),
    "global_avg_pool": ("spread", "reduce_sum"),
    "gram_matrix": ("matmul", "dot_general"),
}
ADJOINTS = {  # where only a part of the backward pass is a primitive of ours
    "batch_norm": "collect",
    "batch_norm_inference": "collect",
    "layer_norm": "collect",
    "group_norm": "collect",
    "local_response_norm": "sum_windows",
    "total_variation": "difference_adjoint",
}
PRIMITIVES = {ours for ours, _ in OURS.values()} | set(ADJOINTS.values())


@pytest.mark.parametrize("name", NAMES)
def test_hand_goes_through_our_rule_and_auto_does_not(name, rng):
    hand, auto = build(HAND, name), build(AUTO, name)
    args = shapes(name, np.float32)

    def backward(f):
        return primitives(jax.make_jaxpr(lambda args, g: jax.vjp(f, *args)[1](g))(args, jax.eval_shape(f, *args)))

    assert not PRIMITIVES & backward(auto)
    if name in OURS:
        ours, theirs = OURS[name]
        assert ours in backward(hand)
        assert not any(p.startswith(theirs) for p in backward(hand))
    else:
        assert name not in ADJOINTS or ADJOINTS[name] in backward(hand)
        assert "custom_jvp_call" in primitives(jax.make_jaxpr(hand)(*args))
        assert "custom_jvp_call" not in primitives(jax.make_jaxpr(auto)(*args))


def primitives(jaxpr):
    """Names of all primitives in a jaxpr and the jaxprs within it."""
    found = set()
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        found.add(equation.primitive.name)
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                found |= primitives(value)
    return found


# --- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ops", "dtype"),
    [
        *(pytest.param(HAND, dtype, id=f"hand-{dtype}") for dtype in ("float16", "bfloat16", "float32", "float64")),
        *(pytest.param(AUTO, dtype, id=f"auto-{dtype}") for dtype in ("bfloat16", "float64")),
        *(pytest.param(AUTO, dtype, id=f"auto-{dtype}", marks=pytest.mark.sweep) for dtype in ("float16", "float32")),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_kept_under_strict_promotion(name, ops, dtype, x64):
    f, args = build(ops, name), shapes(name, dtype)
    with jax.numpy_dtype_promotion("strict"):
        results = jax.tree.leaves(jax.eval_shape(lambda *args: value_and_gradients(f, args), *args))
        assert {leaf.dtype.name for leaf in results} == {dtype}


def real_settings(name):
    return {key: value for key, value in EVIDENCE[name].cases[0].settings.items() if type(value) is float}


@pytest.mark.parametrize("ops", OPSETS.values(), ids=OPSETS)
@pytest.mark.parametrize("name", [name for name in NAMES if real_settings(name)])
def test_settings_from_numpy_do_not_change_the_dtype(name, ops):
    """np.float64 is a Python float, and what a grid of settings holds: a setting, not an operand with a dtype."""
    f = build(ops, name, **{setting: np.float64(value) for setting, value in real_settings(name).items()})
    args = shapes(name, jnp.bfloat16)
    results = jax.tree.leaves(jax.eval_shape(lambda *args: value_and_gradients(f, args), *args))
    assert {leaf.dtype.name for leaf in results} == {"bfloat16"}


# --- transforms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_higher_derivatives(name, rng, x64):
    """jvp is the adjoint of vjp; Hessian times vector: forward over reverse, reverse over reverse, differences."""
    f, args = build(HAND, name), draw(name, rng)
    along = [rng.normal(size=arg.shape) / 3 for arg in args]
    slope = jax.jit(lambda *args: gradients(f, args))  # traced once, and differentiated as it stands
    dot = lambda a, b: sum(map(jnp.vdot, jax.tree.leaves(a), jax.tree.leaves(b)))  # noqa: E731

    @jax.jit
    def derivatives(args, along, g):
        tangent = jax.jvp(f, args, along)[1]
        forward = jax.jvp(slope, args, along)[1]
        backward = jax.grad(lambda args: dot(slope(*args), along))(args)
        line = jax.lax.map(lambda t: slope(*(a + t * v for a, v in zip(args, along, strict=True))), STEPS)
        return dot(tangent, g), dot(along, jax.vjp(f, *args)[1](g)), forward, backward, line

    g = jax.tree.map(lambda y: rng.normal(size=y.shape), jax.eval_shape(f, *args))
    jv_g, v_jtg, forward, backward, line = derivatives(args, along, g)
    np.testing.assert_allclose(jv_g, v_jtg, rtol=1e-12, atol=1e-13)
    for one, other, slopes in zip(forward, backward, line, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
        expected = np.tensordot(WEIGHTS, slopes, 1)
        np.testing.assert_allclose(one, expected, rtol=1e-8, atol=1e-9 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", [name for name in NAMES if "conv" not in name and name != "dense"])
def test_vmap_scan_and_remat(name, rng):
    f = build(HAND, name)
    stacks = [np.stack(pair).astype(np.float32) for pair in zip(draw(name, rng), draw(name, rng), strict=True)]
    run = jax.jit(lambda *args: value_and_gradients(f, args))  # traced once, and transformed as it stands

    @jax.jit
    def thrice(*stacks):
        scanned = jax.lax.scan(lambda _, args: (None, run(*args)), None, stacks)[1]
        return jax.vmap(jax.checkpoint(run))(*stacks), scanned, run(*(a[1] for a in stacks))

    results = jax.tree.map(np.asarray, thrice(*stacks))
    for mapped, scanned, alone in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(mapped[1], alone, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scanned[1], alone, rtol=1e-5, atol=1e-5)


# --- replacing a member -----------------------------------------------------------------------------------------------


def network(ops, params, x):
    """Loss of a small network that computes with every kind of layer through `ops`."""
    w1, w2, w3 = params
    x = ops.max_pool(ops.relu(ops.conv2d(x, w1)), 2)
    x = ops.avg_pool(ops.tanh(ops.conv2d(x, w2)), 2, stride=1)
    return ops.softmax_cross_entropy(ops.dense(x.reshape(2, -1), w3), np.array([0, 2])).sum()


def other_backward(op, factor):
    """The op with the same value and `factor` times its gradient."""

    def replaced(x, *args, **settings):
        y = op(x, *args, **settings)
        scaled = factor * y
        return scaled + jax.lax.stop_gradient(y - scaled)

    return replaced


BELOW = {  # replaced member: what halving its gradient does to the gradients of w1, w2, w3
    "conv2d": (0.25, 0.5, 1),
    "max_pool": (0.5, 1, 1),
    "relu": (0.5, 1, 1),
    "avg_pool": (0.5, 0.5, 1),
    "softmax_cross_entropy": (0.5, 0.5, 0.5),
}


def test_replacing_a_member_changes_the_backward_pass_only(x64):
    value, gradients = losses_and_gradients([HAND])[0]
    variants = [replace(HAND, **{name: other_backward(getattr(HAND, name), 0.5)}) for name in BELOW]
    for (other_value, others), factors in zip(losses_and_gradients(variants), BELOW.values(), strict=True):
        np.testing.assert_allclose(other_value, value, rtol=1e-14)
        for one, other, factor in zip(gradients, others, factors, strict=True):
            np.testing.assert_allclose(other, factor * one, rtol=1e-11, atol=1e-13)


def test_hand_and_auto_train_alike(x64):
    (value, gradients), (other_value, others) = losses_and_gradients([HAND, AUTO])
    np.testing.assert_allclose(other_value, value, rtol=1e-14)
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def losses_and_gradients(opsets):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 4, 6, 2))
    params = [rng.normal(size=shape) for shape in ((3, 3, 2, 3), (2, 2, 3, 2), (4, 3))]
    return jax.jit(lambda *args: [jax.value_and_grad(partial(network, ops))(*args) for ops in opsets])(params, x)
