"""Ops on meshes with explicit axes of four devices; a process of its own, as one decides once how many devices it has.

Prints for each case whether value and gradient equal those of one device, and how they lie.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from convnet import ops

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(4, 6, 6, 4)), RNG.normal(size=(3, 3, 4, 6)), RNG.normal(size=6)
ROWS, WEIGHTS, VECTOR = RNG.normal(size=(4, 6)), RNG.normal(size=(6, 4)), RNG.normal(size=4)
LABELS = np.array([0, 3, 2, 0])
IMAGES, KERNELS, SHARED = P("data"), P(None, None, None, "model"), P()

CASES = {  # name: (function, arguments, where they lie)
    "conv2d": (ops.conv2d, (X, W, B), (IMAGES, SHARED, SHARED)),
    "conv2d, kernels": (ops.conv2d, (X, W, B), (IMAGES, KERNELS, P("model"))),
    "conv2d, channels": (ops.conv2d, (X, W, B), (P("data", None, None, "model"), P(None, None, "model"), SHARED)),
    "conv2d, rows": (ops.conv2d, (X, W, B), (P("data", "model"), SHARED, SHARED)),
    "conv2d, both axes": (ops.conv2d, (X, W, B), (P(("data", "model")), SHARED, SHARED)),
    "conv2d, one axis twice": (ops.conv2d, (X, W, B), (IMAGES, P(None, None, None, "data"), P("data"))),
    "conv_transpose2d": (
        lambda x, w, b: ops.conv_transpose2d(x, w, b, stride=2),
        (X, W.swapaxes(2, 3), B),
        (IMAGES, P(None, None, "model"), P("model")),
    ),
    "vmap": (jax.vmap(lambda x, w, b: ops.conv2d(x, w, b), (None, 0, 0)), (X, W[None], B[None]),
             (IMAGES, SHARED, SHARED)),
    "scan": (lambda x, w: jax.lax.scan(lambda h, w: (ops.conv2d(h, w), None), x, w)[0], (X, W[None, ..., :4]),
             (IMAGES, SHARED)),
    "checkpoint": (jax.checkpoint(ops.conv2d), (X, W, B), (IMAGES, SHARED, SHARED)),
    "dense": (ops.dense, (ROWS, WEIGHTS, VECTOR), (IMAGES, P(None, "model"), P("model"))),
    "dense, what is summed": (ops.dense, (ROWS, WEIGHTS), (P("data", "model"), P("model"))),
    "max_pool, channels": (lambda x: ops.max_pool(x, 2, stride=1), (X,), (P("data", None, None, "model"),)),
    "max_pool, rows": (lambda x: ops.max_pool(x, 2), (X,), (P("data", "model"),)),
    "avg_pool, rows": (lambda x: ops.avg_pool(x, 2), (X,), (P("data", "model"),)),
    "total_variation, rows": (ops.total_variation, (X,), (P("data", "model"),)),
    "gram_matrix, channels": (ops.gram_matrix, (X,), (P("data", None, None, "model"),)),
    "group_norm, channels": (lambda x, a, b: ops.group_norm(x, a, b, groups=2), (X, VECTOR, VECTOR),
                             (P("data", None, None, "model"), P("model"), P("model"))),
    "batch_norm, one axis twice": (
        lambda x, a, b: ops.batch_norm(x, a, b)[0], (X, VECTOR, VECTOR), (IMAGES, IMAGES, IMAGES)),
    "batch_norm_inference, one axis twice": (
        lambda x, a, b: ops.batch_norm_inference(x, a, b, a, b * b), (X, VECTOR, VECTOR), (IMAGES, IMAGES, IMAGES)),
    "layer_norm, one axis twice": (ops.layer_norm, (X, VECTOR, VECTOR), (IMAGES, IMAGES, IMAGES)),
    "local_response_norm, rows": (ops.local_response_norm, (X,), (P("data", "model"),)),
    "softmax_cross_entropy, labels not divided": (
        lambda z: ops.softmax_cross_entropy(z, LABELS), (ROWS[:, :4],), (IMAGES,)),
    "softmax_cross_entropy, classes": (
        lambda z: ops.softmax_cross_entropy(z, LABELS), (ROWS[:, :4],), (P("data", "model"),)),
    "weston_watkins_hinge, classes": (
        lambda z: ops.weston_watkins_hinge(z, LABELS), (ROWS[:, :4],), (P("data", "model"),)),
    "crammer_singer_hinge, labels not divided": (
        lambda z: ops.crammer_singer_hinge(z, LABELS), (ROWS[:, :4],), (IMAGES,)),
}  # fmt: skip


def value_and_gradients(f):
    def run(*args):
        def total(*args):
            y = f(*args)
            return jnp.sum(jnp.sin(y) * y), y

        (_, y), gradients = jax.value_and_grad(total, argnums=tuple(range(len(args))), has_aux=True)(*args)
        return y, *gradients

    return run


def outcome(f, args, specs, mesh):
    placed = [jax.device_put(x, NamedSharding(mesh, spec)) for x, spec in zip(args, specs, strict=True)]
    with jax.set_mesh(mesh):
        actual = jax.jit(value_and_gradients(f))(*placed)
    expected = jax.jit(value_and_gradients(f))(*args)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert [jax.typeof(g).sharding for g in actual[1:]] == [jax.typeof(x).sharding for x in placed]
    return jax.typeof(actual[0]).sharding.spec


def main():
    explicit = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    mixed = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit, AxisType.Auto))
    for name, case in CASES.items():
        print(f"{name}: {outcome(*case, explicit)}")
    print(f"one axis explicit: {outcome(ops.conv2d, (X, W, B), (IMAGES, SHARED, SHARED), mixed)}")


if __name__ == "__main__":
    main()
