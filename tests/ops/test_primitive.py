"""What the primitives promise beyond a gradient: every JAX transform, to any order, against plain Python loops."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from convnet.ops import (
    avg_pool,
    conv2d,
    conv_transpose2d,
    dense,
    global_avg_pool,
    gram_matrix,
    layer_norm,
    local_response_norm,
    log_softmax,
    max_pool,
    sum_pool,
    total_variation,
)
from tests.ops.references import five_point

SETTINGS = {"stride": (2, 1), "dilation": (1, 2), "padding": ((1, 2), (2, -1))}
close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)


def all_close(actual, expected):
    jax.tree.map(close, actual, expected)


def conv_arguments(rng, groups):
    """Two images, two kernels; r = 1 in the rows."""
    return rng.normal(size=(2, 6, 7, 4)), rng.normal(size=(3, 2, 4 // groups, 2 * groups))


def loss(x, w, groups=1):
    """Of third degree in y, so that second derivatives are neither constant nor zero."""
    y = conv2d(x, w, groups=groups, **SETTINGS)
    return jnp.sum(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape) * y**3)


# --- second order -----------------------------------------------------------------------------------------------------


def test_conv2d_hessian_times_vector(rng, x64):
    """Forward over reverse = reverse over reverse = reverse over forward = differences of the gradient."""
    at, along = conv_arguments(rng, 2), conv_arguments(rng, 2)
    f = lambda args: loss(*args, groups=2)  # noqa: E731
    dot = lambda a, b: sum(jnp.vdot(p, q) for p, q in zip(a, b, strict=True))  # noqa: E731
    ways = (
        lambda a, v: jax.jvp(jax.grad(f), (a,), (v,))[1],
        lambda a, v: jax.grad(lambda a: dot(jax.grad(f)(a), v))(a),
        lambda a, v: jax.grad(lambda a: jax.jvp(f, (a,), (v,))[1])(a),
    )
    products = jax.jit(lambda a, v: [way(a, v) for way in ways])(at, along)
    flat, unflatten = ravel_pytree(at)
    slope = jax.jit(lambda flat: ravel_pytree(jax.grad(f)(unflatten(flat)))[0])
    expected = unflatten(five_point(slope, flat, ravel_pytree(along)[0]))
    scale = max(np.abs(e).max() for e in expected)
    for product in products:
        for one, other in zip(product, expected, strict=True):
            assert np.abs(one - other).max() <= 1e-9 * scale
        all_close([p / scale for p in product], [p / scale for p in products[0]])


def test_third_derivative_of_a_cubic(rng, x64):
    """Along one line the loss is a polynomial of degree 6 in t: its third derivative by nested jvp and by fitting."""
    (x, w), (u, v) = conv_arguments(rng, 1), conv_arguments(rng, 1)
    line = lambda t: loss(x + t * u, w + t * v)  # noqa: E731
    d = lambda f: lambda t: jax.jvp(f, (t,), (1.0,))[1]  # noqa: E731
    t = np.linspace(-1, 1, 7)
    exact = 6 * np.polynomial.polynomial.polyfit(t, jax.jit(jax.vmap(line))(t), 6)[3]
    close(jax.jit(d(d(d(line))))(0.0), exact, rtol=1e-10)
    close(jax.jit(d(jax.grad(jax.grad(line))))(0.0), exact, rtol=1e-10)


@pytest.mark.parametrize("f", [
    lambda x: max_pool(x, (3, 2), stride=(2, 1), padding=((1, 0), (0, 1))),
    lambda x: max_pool(x, 2),
    lambda x: avg_pool(x, 3, stride=2, padding="SAME", count_include_pad=False),
], ids=["max", "max, tiling", "avg"])  # fmt: skip
def test_pool_derivatives(f, rng, x64):
    """jvp against differences, adjointness, and the Hessian of a cubic of the pooled image."""
    x = rng.permutation(np.linspace(-1, 1, 48)).reshape(1, 6, 4, 2)  # no two within reach of the differences
    v = rng.normal(size=x.shape)
    cubic = lambda x: jnp.sum(f(x) ** 3)  # noqa: E731

    @jax.jit
    def derivatives(x, v):
        y, tangent = jax.jvp(f, (x,), (v,))
        forward = jax.jvp(jax.grad(cubic), (x,), (v,))[1]
        backward = jax.grad(lambda x: jnp.vdot(jax.grad(cubic)(x), v))(x)
        return tangent, jnp.vdot(tangent, y), jnp.vdot(v, jax.vjp(f, x)[1](y)[0]), jax.grad(cubic)(x), forward, backward

    tangent, jv_u, v_jtu, _, forward, backward = derivatives(x, v)
    close(tangent, five_point(jax.jit(f), x, v), atol=1e-9)
    close(jv_u, v_jtu)
    close(forward, backward)
    close(forward, five_point(lambda x: derivatives(x, v)[3], x, v), atol=1e-9)


def test_linearize_and_jacobians_agree(rng, x64):
    x, w = rng.normal(size=(1, 3, 4, 2)), rng.normal(size=(2, 3, 1, 2))
    f = lambda x, w: conv2d(x, w, stride=2, groups=2)  # noqa: E731
    forward, reverse = (jax.jit(jac(f, argnums=(0, 1)))(x, w) for jac in (jax.jacfwd, jax.jacrev))
    all_close(forward, reverse)
    u, v = rng.normal(size=x.shape), rng.normal(size=w.shape)
    y, push = jax.linearize(f, x, w)
    close(y, f(x, w))
    close(push(u, v), np.tensordot(forward[0], u, 4) + np.tensordot(forward[1], v, 4))
    pull = jax.linear_transpose(lambda x: f(x, w), x)
    close(pull(y)[0], np.tensordot(y, forward[0], 4))


def test_jacobians_of_pooling_agree(rng, x64):
    """Reverse mode maps g alone while the winners stay, forward mode maps dx alone."""
    x = rng.normal(size=(1, 3, 4, 2))
    for f in (partial(max_pool, window=2, stride=1, padding="SAME"), partial(sum_pool, window=(2, 3)), global_avg_pool):
        forward, reverse = jax.jit(lambda x, f=f: (jax.jacfwd(f)(x), jax.jacrev(f)(x)))(x)
        np.testing.assert_array_equal(forward, reverse)
        close(np.tensordot(forward, x, 4), f(x))  # of degree one: Jx = y


# --- vmap -------------------------------------------------------------------------------------------------------------


def stack(rng, shape, axis, size=3):
    return rng.normal(size=(*shape[:axis], size, *shape[axis:])) if axis is not None else rng.normal(size=shape)


def loop(f, args, axes, size=3):
    """f applied slice by slice, results stacked in front."""
    slices = [
        [a if axis is None else np.take(a, k, axis) for a, axis in zip(args, axes, strict=True)] for k in range(size)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(f(*s) for s in slices))


@pytest.mark.parametrize(
    ("axes", "groups"), [((0, None), 2), ((None, 0), 2), ((0, 0), 2), ((3, None), 1), ((None, 2), 1), ((4, 3), 1)]
)
def test_vmap_of_conv2d(axes, groups, rng, x64):
    """Over x, over w, over both, from any axis: values, vmap of grad, and grad of vmap."""
    x, w = (stack(rng, a.shape, axis) for a, axis in zip(conv_arguments(rng, groups), axes, strict=True))
    f = partial(loss, groups=groups)
    each = jax.jit(lambda x, w: (conv2d(x, w, groups=groups, **SETTINGS), jax.grad(f, argnums=(0, 1))(x, w)))
    mapped = jax.vmap(each, axes)
    summed = jax.grad(lambda x, w: jax.vmap(f, axes)(x, w).sum(), argnums=(0, 1))
    (y, grads), total = jax.jit(lambda x, w: (mapped(x, w), summed(x, w)))(x, w)
    expected_y, expected = loop(each, (x, w), axes)
    close(y, expected_y, atol=1e-11)
    all_close(grads, expected)
    for one, per_slice, axis in zip(total, expected, axes, strict=True):
        close(one, per_slice.sum(0) if axis is None else np.moveaxis(per_slice, 0, axis), atol=1e-11)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [((0, None), (None, 0)), ((None, 0), (0, None)), ((None, 1), (None, 0)), ((1, 0), (0, 0)), ((0, 0), (None, 0))],
)
def test_nested_vmap_of_conv2d(outer, inner, rng, x64):
    x, w = rng.normal(size=(1, 3, 4, 2)), rng.normal(size=(2, 2, 1, 4))
    f = lambda x, w: conv2d(x, w, stride=2, groups=2)  # noqa: E731
    sizes = {0: (1, 3, 4, 2), 1: (2, 2, 1, 4)}
    x, w = (stack(rng, stack(rng, sizes[k], inner[k]).shape, outer[k], size=2) for k in (0, 1))
    actual = jax.jit(jax.vmap(jax.vmap(f, inner), outer))(x, w)
    close(actual, loop(lambda x, w: loop(f, (x, w), inner), (x, w), outer, size=2))


def test_vmap_of_bias_and_of_transposed_convolution(rng, x64):
    x, w, b = rng.normal(size=(3, 2, 3, 3, 2)), rng.normal(size=(2, 3, 2, 2)), rng.normal(size=(2, 3))
    f = jax.jit(lambda x, b: conv_transpose2d(x, w, b, stride=2, output_padding=1))
    close(jax.jit(jax.vmap(f, (0, 1)))(x, b), loop(f, (x, b), (0, 1)))
    close(jax.jit(jax.vmap(f, (None, 1)))(x[0], b), loop(f, (x[0], b), (None, 1)))


@pytest.mark.parametrize(
    "axes", [(0, None, None), (None, 0, None), (0, 0, 0), (2, 1, 1), (None, None, 0), (None, 2, 1)]
)
def test_vmap_of_dense(axes, rng, x64):
    args = [stack(rng, shape, axis) for shape, axis in zip([(2, 3), (3, 4), (4,)], axes, strict=True)]

    def f(x, w, b):
        return dense(x, w, b), jax.grad(lambda *a: jnp.sum(dense(*a) ** 3), argnums=(0, 1, 2))(x, w, b)

    all_close(jax.jit(jax.vmap(f, axes))(*args), loop(jax.jit(f), args, axes))
    twice = jax.jit(jax.vmap(jax.vmap(f, axes), (0, 0, 0)))(*(np.stack([a, -a]) for a in args))
    all_close(jax.tree.map(lambda a: a[1], twice), loop(jax.jit(f), [-a for a in args], axes))


@pytest.mark.parametrize("op", [
    lambda x: max_pool(x, 2, stride=1), lambda x: sum_pool(x, 2, stride=1, padding="SAME"), global_avg_pool,
], ids=["max", "sum", "global"])  # fmt: skip
def test_vmap_of_pooling(op, rng, x64):
    x = rng.normal(size=(2, 3, 4, 3, 2))  # mapped over axis 1, and each slice [2, 4, 3, 2]
    f = jax.jit(lambda x: (op(x), jax.grad(lambda x: jnp.sum(op(x) ** 3))(x)))
    all_close(jax.jit(jax.vmap(f, 1))(x), loop(f, (x,), (1,)))


# --- control flow, remat ----------------------------------------------------------------------------------------------


def test_scan_carries_through_a_convolution(rng, x64):
    x, w = rng.normal(size=(1, 4, 5, 2)), rng.normal(size=(3, 3, 3, 2, 2)) / 3

    def scanned(x, w):
        return jnp.sum(jax.lax.scan(lambda h, w: (jnp.tanh(conv2d(h, w)), None), x, w)[0] ** 2)

    def unrolled(x, w):
        for k in range(3):
            x = jnp.tanh(conv2d(x, w[k]))
        return jnp.sum(x**2)

    all_close(*(jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(x, w) for f in (scanned, unrolled)))


def test_remat_recomputes_the_same_gradient(rng, x64):
    x, w = conv_arguments(rng, 1)
    plain, remat = (jax.jit(jax.grad(f, argnums=(0, 1))) for f in (loss, jax.checkpoint(loss)))
    all_close(plain(x, w), remat(x, w))
    assert str(jax.make_jaxpr(remat)(x, w)).count("correlate") > str(jax.make_jaxpr(plain)(x, w)).count("correlate")


def test_one_tangent_alone(rng, x64):
    """A perturbation of only x, or of only w, of a bilinear map: ∂y = y(dx, w), y(x, dw)."""
    (x, w), (u, v) = conv_arguments(rng, 2), conv_arguments(rng, 2)
    f = partial(conv2d, groups=2, **SETTINGS)
    close(jax.jvp(lambda x: f(x, w), (x,), (u,))[1], f(u, w))
    close(jax.jvp(lambda w: f(x, w), (w,), (v,))[1], f(x, v))


# --- devices ----------------------------------------------------------------------------------------------------------

SHARDED = {  # ops on a batch and a parameter that all devices share
    "conv2d": lambda x, w: conv2d(x, w),
    "conv_transpose2d": lambda x, w: conv_transpose2d(x, w),
    "bias": lambda x, w: conv2d(x, jnp.ones((1, 1, 2, 2)), w[0, 0, 0]),
    "dense": lambda x, w: dense(x[:, 0, 0], w[0, 0]),
    "max_pool": lambda x, w: max_pool(x * w[0, 0, 0, 0], 2),
    "avg_pool": lambda x, w: avg_pool(x * w[0, 0, 0, 0], 2),
    "global_avg_pool": lambda x, w: global_avg_pool(x * w[0, 0, 0, 0]),
    "layer_norm": lambda x, w: layer_norm(x, w[0, 0, 0], w[0, 0, 1]),
    "local_response_norm": lambda x, w: local_response_norm(x * w[0, 0, 0, 0], alpha=1.0),
    "log_softmax": lambda x, w: log_softmax(x * w[0, 0, 0, 0]),
    "total_variation": lambda x, w: total_variation(x * w[0, 0, 0, 0]),
    "gram_matrix": lambda x, w: gram_matrix(x * w[0, 0, 0, 0]),
}


@pytest.mark.parametrize("op", SHARDED.values(), ids=SHARDED)
def test_shard_map_knows_what_varies_between_devices(op, rng):
    """Only if an op says that its output varies is the gradient of a shared parameter summed over the devices.

    An op that forgets to say so gives every device its own part of the gradient, silently. Shows on one device too.
    """
    x, w = jnp.asarray(rng.normal(size=(2, 4, 3, 2)), "float32"), jnp.asarray(rng.normal(size=(3, 2, 2, 2)), "float32")
    gradient = jax.grad(lambda w, x: jnp.sum(op(x, w) ** 2))
    part, whole = jax.sharding.PartitionSpec("batch"), jax.sharding.PartitionSpec()
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("batch",))
    on_each = partial(jax.shard_map, mesh=mesh, in_specs=(whole, part), out_specs=whole)
    with pytest.raises(ValueError, match="replicat"):
        jax.eval_shape(on_each(lambda w, x: op(x, w)), w, x)
    summed = on_each(gradient)
    assert "psum" in str(jax.make_jaxpr(summed)(w, x))
    np.testing.assert_allclose(*jax.jit(lambda w, x: (summed(w, x), gradient(w, x)))(w, x), rtol=1e-5, atol=1e-5)
