"""Every member of HAND against AUTO: value, gradient, dtype, transforms; and what replacing a member does."""

from dataclasses import FrozenInstanceError, fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convnet
from convnet.ops import AUTO, HAND, OPSETS, OpSet
from tests.ops.references import STEPS, WEIGHTS

LABELS = np.array([2, 0, 1], np.int32)
MASK = np.random.default_rng(1).random((3, 4)) < 0.6

# name: (arguments, settings). A tuple is the shape of a floating argument, to be differentiated; the rest is constant.
CASES = {
    "conv2d": (((2, 5, 4, 4), (3, 2, 2, 4), (4,)), {"stride": (2, 1), "groups": 2, "dilation": (1, 2)}),
    "conv_transpose2d": (((1, 3, 2, 4), (3, 2, 1, 4), (2,)), {"stride": 2, "groups": 2, "output_padding": (1, 0)}),
    "convolve2d": (((1, 5, 4, 2), (3, 2, 2, 3), (3,)), {"stride": 2, "padding": 1}),
    "dense": (((3, 4), (4, 5), (5,)), {}),
    "max_pool": (((1, 5, 4, 2), 2), {"stride": (1, 2), "padding": "SAME"}),
    "avg_pool": (((1, 5, 4, 2), (2, 3)), {"padding": ((0, 1), (1, 1)), "count_include_pad": False}),
    "sum_pool": (((1, 5, 4, 2), (3, 2)), {"stride": 2}),
    "global_avg_pool": (((2, 3, 4, 2),), {}),
    "relu": (((3, 4),), {}),
    "leaky_relu": (((3, 4),), {"negative_slope": 0.3}),
    "sigmoid": (((3, 4),), {}),
    "tanh": (((3, 4),), {}),
    "gelu": (((3, 4),), {}),
    "softplus": (((3, 4),), {"beta": 2.0}),
    "silu": (((3, 4),), {}),
    "dropout": (((3, 4), MASK), {"rate": 0.25}),
    "batch_norm": (((2, 3, 2, 4), (4,), (4,)), {"eps": 0.1}),
    "batch_norm_inference": (((2, 3, 4), *4 * ((4,),)), {"eps": 3.0}),  # so large that any drawn var will do
    "layer_norm": (((2, 3, 4), (4,), (4,)), {"eps": 0.1}),
    "group_norm": (((2, 3, 2, 4), (4,), (4,)), {"groups": 2, "eps": 0.1}),
    "local_response_norm": (((2, 3, 5),), {"size": 4, "k": 1.5, "alpha": 1.0, "beta": 0.6}),
    "logsumexp": (((3, 4),), {"where": MASK}),
    "log_softmax": (((3, 4),), {"axis": 0}),
    "softmax_cross_entropy": (((3, 5), LABELS), {"label_smoothing": 0.1}),
    "weston_watkins_hinge": (((3, 5), LABELS), {"margin": 0.55}),
    "crammer_singer_hinge": (((3, 5), LABELS), {"margin": 0.55}),
    "squared_error": (((3, 4), (3, 4)), {}),
    "total_variation": (((2, 3, 4, 2),), {"beta": 1.5, "eps": 0.1}),
    "gram_matrix": (((2, 3, 2, 3),), {}),
}
NAMES = [field.name for field in fields(OpSet)]


def build(ops, name, **others):
    """The op as a function of its floating arguments only, and their shapes; `others` replace settings."""
    arguments, settings = CASES[name]
    settings = settings | others
    floating = [isinstance(a, tuple) and not (name.endswith("pool") and k) for k, a in enumerate(arguments)]

    def f(*floats):
        floats = iter(floats)
        args = [next(floats) if is_float else a for is_float, a in zip(floating, arguments, strict=True)]
        return getattr(ops, name)(*args, **settings)

    return f, [a for a, is_float in zip(arguments, floating, strict=True) if is_float]


def ladder(rng, shape):
    """Evenly spaced values in random order, none at 0: no kink and no tie nearby."""
    size = int(np.prod(shape))
    return rng.permutation(np.linspace(-1.5, 1.6, size)).reshape(shape)


def value_and_gradients(f, args):
    """y, and the gradients of a sum that weighs and squares it, so that g is no constant and derivatives go on."""

    def weighed(y):
        weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        return jnp.sum(weights * y * y)

    def total(*args):
        return sum(map(weighed, jax.tree.leaves(f(*args))))

    return f(*args), jax.grad(total, argnums=tuple(range(len(args))))(*args)


def test_the_table_has_every_member():
    assert list(CASES) == NAMES


def test_opsets():
    assert OPSETS == {"hand": HAND, "auto": AUTO}
    assert convnet.HAND is HAND
    assert convnet.AUTO is AUTO
    for name in NAMES:
        assert getattr(HAND, name) is getattr(convnet.ops, name)
        assert getattr(HAND, name) is not getattr(AUTO, name)
    with pytest.raises(FrozenInstanceError):
        HAND.relu = None


@pytest.mark.parametrize("name", NAMES)
def test_hand_and_auto_agree(name, rng, x64):
    (hand, shapes), (auto, _) = build(HAND, name), build(AUTO, name)
    args = [ladder(rng, shape) for shape in shapes]
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
    (hand, shapes), (auto, _) = build(HAND, name), build(AUTO, name)
    args = [np.zeros(shape, np.float32) for shape in shapes]

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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("ops", OPSETS.values(), ids=OPSETS)
@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_kept_under_strict_promotion(name, ops, dtype, x64):
    f, shapes = build(ops, name)
    args = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    with jax.numpy_dtype_promotion("strict"):
        results = jax.tree.leaves(jax.eval_shape(lambda *args: value_and_gradients(f, args), *args))
        assert {leaf.dtype.name for leaf in results} == {dtype}


REAL = {name: {k: v for k, v in settings.items() if type(v) is float} for name, (_, settings) in CASES.items()}


@pytest.mark.parametrize("ops", OPSETS.values(), ids=OPSETS)
@pytest.mark.parametrize("name", [name for name in NAMES if REAL[name]])
def test_settings_from_numpy_do_not_change_the_dtype(name, ops):
    """np.float64 is a Python float, and what a grid of settings holds: a setting, not an operand with a dtype."""
    f, shapes = build(ops, name, **{setting: np.float64(value) for setting, value in REAL[name].items()})
    args = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    results = jax.tree.leaves(jax.eval_shape(lambda *args: value_and_gradients(f, args), *args))
    assert {leaf.dtype.name for leaf in results} == {"bfloat16"}


# --- transforms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_higher_derivatives(name, rng, x64):
    """jvp is the adjoint of vjp; Hessian times vector: forward over reverse, reverse over reverse, differences."""
    f, shapes = build(HAND, name)
    args, along = (
        [draw(shape) for shape in shapes] for draw in (partial(ladder, rng), lambda s: rng.normal(size=s) / 3)
    )
    slope = lambda *args: value_and_gradients(f, args)[1]  # noqa: E731
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
    f, shapes = build(HAND, name)
    stacks = [np.stack([ladder(rng, shape) for _ in range(2)]).astype(np.float32) for shape in shapes]
    run = lambda *args: value_and_gradients(f, args)  # noqa: E731

    @jax.jit
    def thrice(*stacks):
        scanned = jax.lax.scan(lambda _, args: (None, run(*args)), None, stacks)[1]
        return jax.vmap(jax.checkpoint(run))(*stacks), scanned, run(*(a[1] for a in stacks))

    for mapped, scanned, alone in zip(*map(jax.tree.leaves, thrice(*stacks)), strict=True):
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
