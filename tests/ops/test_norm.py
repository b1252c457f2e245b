"""Normalisation: values and gradients against the oracles, identities, extremes, low precision, refusals."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import batch_norm, batch_norm_inference, group_norm, layer_norm, local_response_norm
from tests.ops.references import UNIT

OPS = {
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "local_response_norm": local_response_norm,
}
FORWARD = {name: op.forward for name, op in OPS.items()}
VECTORS = {"batch_norm": 2, "batch_norm_inference": 4, "layer_norm": 2, "group_norm": 2, "local_response_norm": 0}
CASES = [  # op, shape of x, settings
    ("batch_norm", (5, 3), {"eps": 0.1}),
    ("batch_norm", (2, 3, 2, 3), {"eps": 1e-5}),
    ("batch_norm", (1, 1, 1, 2), {"eps": 0.5}),
    ("batch_norm_inference", (4, 3), {"eps": 0.1}),
    ("batch_norm_inference", (2, 3, 2, 3), {}),
    ("layer_norm", (4, 5), {"eps": 0.1}),
    ("layer_norm", (2, 3, 2, 3), {"eps": 1e-3}),
    ("layer_norm", (3, 1), {"eps": 0.2}),
    ("group_norm", (2, 3, 2, 6), {"groups": 3, "eps": 1e-3}),
    ("group_norm", (2, 3, 2, 6), {"groups": 2, "eps": 0.1}),
    ("group_norm", (2, 3, 4), {"groups": 1, "eps": 0.1}),
    ("group_norm", (2, 2, 2, 1, 4), {"groups": 4, "eps": 0.1}),
    ("group_norm", (3, 6), {"groups": 2}),
    ("local_response_norm", (2, 3, 2, 6), {"size": 5, "alpha": 1.0}),
    ("local_response_norm", (2, 7), {"size": 4, "k": 1.0, "alpha": 1.0, "beta": 0.5}),
    ("local_response_norm", (2, 2, 5), {"size": 2, "k": 0.5, "alpha": 3.0, "beta": 1.0}),
    ("local_response_norm", (2, 4), {"size": 1, "alpha": 1.0, "beta": 2.0}),
    ("local_response_norm", (3, 3), {"size": 8, "alpha": 1.0}),
    ("local_response_norm", (2, 3, 4), {}),
]


def draw(rng, name, shape, dtype="float64"):
    """Positional arguments: x, then scale, bias, mean; a variance is positive."""
    args = [rng.normal(size=shape), *rng.normal(size=(VECTORS[name], shape[-1]))]
    if name == "batch_norm_inference":
        args[-1] = np.abs(args[-1]) + 0.1
    return [jnp.asarray(a, dtype) for a in args]


@cache
def compiled(op, settings):
    def run(args, g):
        y, pullback = jax.vjp(lambda *args: op(*args, **dict(settings)), *args)
        return y, pullback(g)

    return jax.jit(run)


def value_and_gradients(op, args, g, **settings):
    """(y, gradients of all arguments); g has the structure of y, a number stands for a constant."""
    if isinstance(g, float):
        g = jax.tree.map(lambda y: jnp.full_like(y, g), jax.eval_shape(partial(op, **settings), *args))
    return compiled(op, tuple(settings.items()))(args, g)


def upstream(rng, name, args, **settings):
    outputs = jax.eval_shape(partial(OPS[name], **settings), *args)
    return jax.tree.map(lambda y: jnp.asarray(rng.normal(size=y.shape), y.dtype), outputs)


def by_oracle(name, args, g, **settings):
    args, g = jax.tree.map(lambda a: np.asarray(a, np.float64), (tuple(args), g))
    return EVIDENCE[name].oracle.value(*args, **settings), EVIDENCE[name].oracle.gradient(g, *args, **settings)


@pytest.mark.parametrize(("name", "shape", "settings"), CASES)
def test_against_the_oracle(name, shape, settings, rng, x64):
    args = draw(rng, name, shape)
    g = upstream(rng, name, args, **settings)
    expected = by_oracle(name, args, g, **settings)

    @jax.jit
    def by_hand_and_by_jax(args, g):
        return [value_and_gradients(op, args, g, **settings) for op in (OPS[name], FORWARD[name])]

    for actual in by_hand_and_by_jax(args, g):
        for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            assert one.shape == other.shape
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13 * max(1, np.abs(other).max()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPS)
def test_low_precision(name, dtype, rng, x64):
    """float32 to a few units of the largest entry; bfloat16 as if it were float32, and then one rounding."""
    _, shape, settings = next(case for case in CASES if case[0] == name and len(case[1]) == 4)
    args = draw(rng, name, shape, dtype)
    g = upstream(rng, name, args, **settings)
    actual, expected = value_and_gradients(OPS[name], args, g, **settings), by_oracle(name, args, g, **settings)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert one.dtype == dtype
        error = np.abs(np.asarray(one, np.float64) - other)
        rounding = UNIT["bfloat16"] * np.abs(other) if dtype == "bfloat16" else 0
        assert (error <= rounding + 32 * UNIT["float32"] * np.abs(other).max()).all()


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_values_far_from_zero_keep_their_accuracy(name, rng):
    """The variance is taken around the mean: as ⟨x²⟩ − ⟨x⟩² it would be lost in float32 at a mean of 10⁴."""
    settings = {"groups": 2} if name == "group_norm" else {}
    args = draw(rng, name, (2, 4, 3, 4), "float32")
    args[0] += 1e4
    g = upstream(rng, name, args, **settings)
    actual, expected = value_and_gradients(OPS[name], args, g, **settings), by_oracle(name, args, g, **settings)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-3 * np.abs(other).max())


# --- identities of batch norm -----------------------------------------------------------------------------------------


def test_batch_norm_gives_mean_and_biased_variance(rng, x64):
    x, scale, bias = draw(rng, "batch_norm", (3, 4, 2, 3))
    y, mean, var = batch_norm(x, scale, bias, eps=1e-30)
    np.testing.assert_allclose(mean, np.mean(x, axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(var, np.var(x, axis=(0, 1, 2), ddof=0), rtol=1e-13)
    np.testing.assert_allclose(np.mean(y, axis=(0, 1, 2)), bias, rtol=1e-13)
    np.testing.assert_allclose(np.std(y, axis=(0, 1, 2)), np.abs(scale), rtol=1e-13)


def test_gradient_of_batch_norm_sums_to_zero(rng, x64):
    """y does not change when x is shifted; when x is scaled it changes only by ε's share."""
    x, scale, _ = args = draw(rng, "batch_norm", (3, 4, 2, 3))
    eps, axes = 0.3, (0, 1, 2)
    g = (rng.normal(size=x.shape), np.zeros(3), np.zeros(3))
    (_, mean, var), (dx, dscale, dbias) = value_and_gradients(batch_norm, args, g, eps=eps)
    hat, rho = (x - mean[None, None, None]) / np.sqrt(var + eps)[None, None, None], 1 / np.sqrt(var + eps)
    np.testing.assert_allclose(np.sum(dx, axes), 0, atol=1e-14)
    np.testing.assert_allclose(np.sum(hat * dx, axes), scale * rho * dscale * eps / (var + eps), rtol=1e-12)
    np.testing.assert_allclose(dscale, np.sum(g[0] * hat, axes), rtol=1e-12)
    np.testing.assert_allclose(dbias, np.sum(g[0], axes), rtol=1e-12)
    dx, dscale, dbias = value_and_gradients(batch_norm, args, (np.ones(x.shape), *g[1:]), eps=eps)[1]
    np.testing.assert_allclose(dx, 0, atol=1e-15)
    np.testing.assert_allclose(dscale, 0, atol=1e-14)
    np.testing.assert_array_equal(dbias, 24)


def test_shift_and_scale_of_the_input(rng, x64):
    """y(x + a; ε) = y(x; ε) and y(c·x; c²ε) = y(x; ε), for all that standardise."""
    for name, settings in (("batch_norm", {}), ("layer_norm", {}), ("group_norm", {"groups": 2})):
        x, scale, bias = draw(rng, name, (2, 3, 2, 4))
        y, shifted, scaled = (
            jax.tree.leaves(value_and_gradients(OPS[name], (v, scale, bias), 1.0, eps=eps, **settings))[0]
            for v, eps in ((x, 0.1), (x + 5, 0.1), (3 * x, 0.9))
        )
        np.testing.assert_allclose(shifted, y, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(scaled, y, rtol=1e-12, atol=1e-13)


def test_inference_with_the_statistics_of_the_batch_is_training(rng, x64):
    """Also for the gradient, if it flows through the mean and the variance; and not if it stops there."""
    args = draw(rng, "batch_norm", (3, 2, 2, 3))
    weights = rng.normal(size=(3, 2, 2, 3))

    def training(x, scale, bias):
        return jnp.sum(weights * batch_norm(x, scale, bias, eps=0.2)[0] ** 2)

    def by_parts(through, x, scale, bias):
        statistics = map(through, batch_norm(x, scale, bias)[1:])
        return jnp.sum(weights * batch_norm_inference(x, scale, bias, *statistics, eps=0.2) ** 2)

    @jax.jit
    def gradients(args):
        losses = training, partial(by_parts, lambda v: v), partial(by_parts, jax.lax.stop_gradient)
        return [jax.grad(loss, argnums=(0, 1, 2))(*args) for loss in losses]

    whole, parts, stopped = gradients(args)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)
    assert np.abs(stopped[0] - whole[0]).max() > 0.1
    np.testing.assert_allclose(stopped[1], whole[1], rtol=1e-12)


def test_inference_treats_every_value_alone(rng, x64):
    args = draw(rng, "batch_norm_inference", (4, 3))
    rho = 1 / np.sqrt(args[4] + 0.1)
    dx, _, _, dmean, dvar = value_and_gradients(batch_norm_inference, args, 1.0, eps=0.1)[1]
    np.testing.assert_allclose(dx, np.broadcast_to(args[1] * rho, dx.shape), rtol=1e-14)
    np.testing.assert_allclose(dmean, -4 * args[1] * rho, rtol=1e-13)
    np.testing.assert_allclose(dvar, -0.5 * args[1] * rho**3 * np.sum(args[0] - args[3][None], 0), rtol=1e-12)


# --- how they are related ---------------------------------------------------------------------------------------------


def test_layer_norm_is_batch_norm_of_the_transpose(rng, x64):
    x = rng.normal(size=(4, 5))
    ones, zeros = np.ones((2, 5)), np.zeros((2, 5))
    g = rng.normal(size=x.shape)
    y, (dx, *_) = value_and_gradients(layer_norm, (x, ones[0], zeros[0]), g, eps=0.1)
    others = value_and_gradients(batch_norm, (x.T, np.ones(4), np.zeros(4)), (g.T, np.zeros(4), np.zeros(4)), eps=0.1)
    np.testing.assert_allclose(y, others[0][0].T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dx, others[1][0].T, rtol=1e-12, atol=1e-14)


def test_group_norm_at_its_ends(rng, x64):
    """One group and one place: layer norm. A group per channel: batch norm of each image alone."""
    args = draw(rng, "group_norm", (3, 1, 1, 4))
    g = rng.normal(size=args[0].shape)
    pairs = [(value_and_gradients(group_norm, args, g, groups=1), value_and_gradients(layer_norm, args, g))]
    x, scale, bias = draw(rng, "group_norm", (1, 3, 2, 4))
    g = rng.normal(size=x.shape)
    (y, *_), slopes = value_and_gradients(batch_norm, (x, scale, bias), (g, np.zeros(4), np.zeros(4)))
    pairs.append((value_and_gradients(group_norm, (x, scale, bias), g, groups=4), (y, slopes)))
    for one, other in zip(*map(jax.tree.leaves, zip(*pairs, strict=True)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def test_groups_are_neighbouring_channels_and_do_not_mix(rng, x64):
    x, scale, bias = draw(rng, "group_norm", (2, 2, 6))
    jacobian = jax.jit(jax.jacobian(lambda x: group_norm(x, scale, bias, groups=3)))(x)
    touches = np.abs(jacobian).max(axis=(1, 4)) > 0  # [image, channel, image, channel]
    same_image, same_group = np.eye(2, dtype=bool), np.kron(np.eye(3), np.ones((2, 2))).astype(bool)
    np.testing.assert_array_equal(touches, same_image[:, None, :, None] & same_group[None, :, None, :])


# --- local response ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "before", "after"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1), (5, 2, 2), (6, 3, 2)]
)
def test_which_channels_respond(size, before, after, rng, x64):
    """Forward and reverse mode see the same window, and its mirror image where they should."""
    x = jnp.asarray(rng.normal(size=(1, 8)) + 3)
    f = lambda x: local_response_norm(x[None], size=size, alpha=1.0)[0]  # noqa: E731
    c = np.arange(8)
    window = (c[None] >= c[:, None] - before) & (c[None] <= c[:, None] + after)
    forward, reverse = jax.jit(lambda x: (jax.jacfwd(f)(x), jax.jacrev(f)(x)))(x[0])
    np.testing.assert_array_equal(np.abs(forward) > 0, window)
    np.testing.assert_allclose(reverse, forward, rtol=1e-13, atol=1e-16)


def test_local_response_in_closed_form(rng, x64):
    x, g = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    y, (dx,) = value_and_gradients(local_response_norm, [x], g, alpha=0.0)
    np.testing.assert_allclose(y, x * 2**-0.75, rtol=1e-14)
    np.testing.assert_allclose(dx, g * 2**-0.75, rtol=1e-14)
    y, (dx,) = value_and_gradients(local_response_norm, [x], g, size=1, k=1, alpha=1, beta=0.5)
    np.testing.assert_allclose(y, x / np.sqrt(1 + x * x), rtol=1e-13)
    np.testing.assert_allclose(dx, g * (1 + x * x) ** -1.5, rtol=1e-12)
    y, (dx,) = value_and_gradients(local_response_norm, [x], g, beta=0)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, g)


def test_alpha_is_divided_by_the_size():
    np.testing.assert_allclose(local_response_norm(jnp.ones((1, 3)), size=3, k=1.0, alpha=3.0, beta=1.0)[0, 1], 1 / 4)


# --- where it could break ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_constant_input_is_smooth(name, x64):
    """Thanks to ε: no 0/0 where a standard deviation is 0, in first and second derivatives."""
    settings = {"groups": 1} if name == "group_norm" else {}
    args = [jnp.full((3, 4), 2.0), jnp.ones(4), jnp.zeros(4)]
    f = lambda x: jax.tree.leaves(OPS[name](x, *args[1:], eps=0.25, **settings))[0]  # noqa: E731
    g = np.arange(12.0).reshape(3, 4)
    first = jax.jit(lambda x: jax.vjp(f, x)[1](g)[0])
    axis = 0 if name == "batch_norm" else 1
    np.testing.assert_allclose(first(args[0]), 2 * (g - g.mean(axis, keepdims=True)), rtol=1e-14)
    np.testing.assert_array_equal(jax.jvp(first, (args[0],), (jnp.ones((3, 4)),))[1], 0)
    assert np.isfinite(jax.jvp(first, (args[0],), (g,))[1]).all()


@pytest.mark.parametrize("size", [1e30, 1e-30])
@pytest.mark.parametrize("name", OPS)
def test_extreme_inputs_give_no_nan(name, size, rng):
    settings = {"groups": 2} if name == "group_norm" else {}
    args = draw(rng, name, (2, 3, 2, 4), "float32")
    args[0] = jnp.asarray(rng.choice([size, -size, 0], size=(2, 3, 2, 4)), "float32")
    f = partial(OPS[name], **settings)

    @jax.jit
    def second(*args):
        slope = lambda *args: jax.vjp(f, *args)[1](jax.tree.map(jnp.sign, f(*args)))  # noqa: E731
        return jax.jvp(slope, args, tuple(map(jnp.ones_like, args)))

    results = value_and_gradients(FORWARD[name], args, 1.0, **settings), second(*args)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(results))
    if size < 1:  # where a variance of 10⁶⁰ would be infinite in float32
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))


def test_no_images(x64):
    """Where nothing is averaged over the batch, an empty one is as good as any."""
    x, vector = jnp.zeros((0, 2, 4)), jnp.ones(4)
    assert batch_norm_inference(x, *4 * (vector,)).shape == x.shape
    assert layer_norm(x, vector, vector).shape == x.shape
    assert group_norm(x, vector, vector, groups=2).shape == x.shape
    assert local_response_norm(x).shape == x.shape


# --- refusals ---------------------------------------------------------------------------------------------------------

X, V = np.ones((2, 3, 4), np.float32), np.ones(4, np.float32)


@pytest.mark.parametrize("ops", [OPS, FORWARD], ids=["hand", "auto"])
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize(
    ("x", "match"),
    [
        (X[0, 0], r"^x has shape \(4,\): expected at least 2 axes \[N, …, C\]"),
        (X.tolist(), r"^x is a list: expected an array"),
        (X.astype(np.int32), r"^x has dtype int32: expected a floating-point dtype"),
    ],
)
def test_refused(ops, name, x, match):
    settings = {"groups": 2} if name == "group_norm" else {}
    with pytest.raises(ValueError, match=match):
        ops[name](x, *VECTORS[name] * (V,), **settings)


@pytest.mark.parametrize("ops", [OPS, FORWARD], ids=["hand", "auto"])
@pytest.mark.parametrize("name", [name for name in OPS if VECTORS[name]])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scale": V[:3]}, r"^scale has shape \(3,\): expected \(4,\), one per channel"),
        ({"bias": V[None]}, r"^bias has shape \(1, 4\): expected \(4,\), one per channel"),
        ({"scale": V[:1]}, r"^scale has shape \(1,\): expected \(4,\)"),
        ({"bias": None}, r"^bias is a NoneType: expected an array"),
        ({"scale": V.astype(np.float16)}, r"different dtypes \(x float32, scale float16, bias float32"),
        ({"scale": V.tolist()}, r"^scale is a list: expected an array"),
        ({"bias": V.astype(np.int32)}, r"^bias has dtype int32: expected a floating-point dtype"),
        ({"eps": 0}, r"^eps is 0: expected a finite number above 0"),
        ({"eps": -1e-5}, r"^eps is -1e-05: expected a finite number above 0"),
        ({"eps": math.nan}, r"^eps is nan: expected a finite number"),
        ({"eps": "small"}, r"^eps is 'small': expected a finite number"),
    ],
)
def test_vectors_and_eps_refused(ops, name, change, match):
    settings = {"groups": 2} if name == "group_norm" else {}
    vectors = dict(zip(("scale", "bias", "mean", "var"), VECTORS[name] * (V,), strict=False))
    with pytest.raises(ValueError, match=match):
        ops[name](X, **(vectors | settings | change))


@pytest.mark.parametrize("statistic", ["mean", "var"])
def test_statistics_refused(statistic):
    vectors = dict.fromkeys(("scale", "bias", "mean", "var"), V)
    with pytest.raises(ValueError, match=rf"^{statistic} has shape \(1, 1, 4\): expected \(4,\), one per channel"):
        batch_norm_inference(X, **(vectors | {statistic: V[None, None]}))
    with pytest.raises(ValueError, match=rf"different dtypes .*{statistic} float16"):
        batch_norm_inference(X, **(vectors | {statistic: V.astype(np.float16)}))


@pytest.mark.parametrize("groups", [0, -2, 3, 8, 2.0, True, None])
@pytest.mark.parametrize("op", [group_norm, group_norm.forward])
def test_groups_refused(op, groups):
    with pytest.raises(ValueError, match=rf"^groups is {groups}: expected a positive divisor of the channels \(4,\)"):
        op(X, V, V, groups=groups)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (batch_norm, (0, 3, 4)),
        (batch_norm, (2, 0, 4)),
        (layer_norm, (2, 3, 0)),
        (partial(group_norm, groups=1), (2, 0, 4)),
        (partial(group_norm, groups=1), (2, 3, 0)),
    ],
)
def test_nothing_to_average(f, shape):
    x, vector = np.ones(shape, np.float32), np.ones(shape[-1], np.float32)
    with pytest.raises(ValueError, match=r"^x has shape .*: expected at least one value to average"):
        f(x, vector, vector)


@pytest.mark.parametrize("op", [local_response_norm, local_response_norm.forward])
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"size": 0}, r"^size is 0: expected a positive number of channels"),
        ({"size": 2.5}, r"^size is 2.5: expected a positive number of channels"),
        ({"size": True}, r"^size is True: expected a positive number of channels"),
        ({"size": None}, r"^size is None: expected"),
        ({"k": 0.0}, r"^k is 0.0: expected a finite number above 0"),
        ({"alpha": -1}, r"^alpha is -1: expected a finite number of at least 0"),
        ({"alpha": math.inf}, r"^alpha is inf: expected a finite number"),
        ({"beta": math.nan}, r"^beta is nan: expected a finite number"),
    ],
)
def test_local_response_refuses(op, settings, match):
    with pytest.raises(ValueError, match=match):
        op(X, **settings)
