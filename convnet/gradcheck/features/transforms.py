"""Features that one device has: what arguments may be, how a function is compiled, mapped and differentiated."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_batching import custom_vmap, sequential_vmap

from convnet.gradcheck.features.call import Call, arrays, value_and_gradient
from convnet.gradcheck.subject import Untested


def plain(call: Call):
    """What most features are compared with."""
    return jax.jit(call.both)(*call.point)


# --- arguments --------------------------------------------------------------------------------------------------------


def python_scalars(call: Call):
    """Arguments that are single numbers, as Python's float, not compiled."""
    leaves, constants = call.point
    if any(leaf.ndim for leaf in leaves):
        raise Untested("no argument is a single number")
    return call.both([float(leaf) for leaf in leaves], constants)


def numpy_arrays(call: Call):
    return call.both(*call.point)


def weak_types(call: Call):
    """Compiled for weakly typed leaves; whether the value is weakly typed too is part of the result."""
    leaves, constants = arrays(call.point)
    weak = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=True) for leaf in leaves]
    y, gradient = jax.jit(call.both).lower(weak, constants).compile()(leaves, constants)
    return y, gradient, [np.asarray(part.weak_type) for part in y]


# --- compilation ------------------------------------------------------------------------------------------------------


def eager(call: Call):
    return call.both(*arrays(call.point))


def disable_jit(call: Call):
    with jax.disable_jit():
        return call.both(*arrays(call.point))


def eval_shape(call: Call):
    return jax.tree.map(_zeros, jax.eval_shape(call.both, *call.point))


def shapes(call: Call):
    return jax.tree.map(_zeros, plain(call))


def _zeros(array):
    return np.zeros(array.shape, array.dtype)


def donation(call: Call):
    """The leaves' memory may be used for the gradient, which has their shapes."""
    leaves, constants = arrays(call.point)
    y = jax.jit(call.value)(leaves, constants)
    return y, jax.jit(lambda *point: call.both(*point)[1], donate_argnums=0)(leaves, constants)


def debug_nans(call: Call):
    with jax.debug_nans(True):
        return eager(call)


def debug_infs(call: Call):
    with jax.debug_infs(True):
        return eager(call)


PLATFORMS = ("cpu", "cuda", "tpu")


def symbolic_batch(call: Call):
    """One exported program, for three kinds of device, on batches of two sizes."""
    program = _exported(call, call.both)
    return [program.call(*call.larger(count)) for count in (1, 2)]


def gradient_of_exported(call: Call):
    """A program that was exported with its derivative, and is differentiated after."""
    return value_and_gradient(_exported(call, call.value).call)(*call.larger(2))


def _exported(call: Call, f) -> export.Exported:
    call.check_batch()
    (batch,) = export.symbolic_shape("b")
    point = [
        [_with_batch(array, axis, batch) for array, axis in zip(group, axes, strict=True)]
        for group, axes in zip(call.point, call.axes, strict=True)
    ]
    return export.export(jax.jit(f), platforms=PLATFORMS)(*point)


def _with_batch(array, axis, size) -> jax.ShapeDtypeStruct:
    shape = list(array.shape)
    if axis is not None:
        shape[axis] = size
    return jax.ShapeDtypeStruct(shape, array.dtype)


def two_sizes(call: Call):
    return [jax.jit(call.both)(*call.larger(count)) for count in (1, 2)]


def twice_as_large(call: Call):
    return jax.jit(call.both)(*call.larger(2))


# --- maps and loops ---------------------------------------------------------------------------------------------------


def vmap(call: Call):
    return jax.jit(jax.vmap(call.both, (0, None)))(call.stacked(), call.point[1])


def scan(call: Call):
    def body(count, leaves):
        return count + 1, call.both(leaves, call.point[1])

    return jax.jit(lambda stacked: lax.scan(body, 0, stacked)[1])(call.stacked())


def one_by_one(call: Call):
    """What maps and loops are compared with."""
    both = jax.jit(call.both)
    return jax.tree.map(lambda *copies: np.stack(copies), *(both(leaves, call.point[1]) for leaves in call.near()))


def custom_batching(call: Call):
    """The function inside one whose batching rule is the caller's, mapped."""

    @custom_vmap
    def value(leaves):
        return call.value(leaves, call.point[1])

    @value.def_vmap
    def rule(size, mapped, leaves):
        mapped = [0 if is_mapped else None for is_mapped in mapped[0]]
        out = jax.vmap(lambda leaves: call.value(leaves, call.point[1]), in_axes=(mapped,), axis_size=size)(leaves)
        return out, [True] * len(out)

    return jax.jit(jax.vmap(value))(call.stacked())


def sequentially(call: Call):
    """What is mapped by a loop: the value and the gradient."""
    return jax.jit(jax.vmap(sequential_vmap(lambda leaves: call.both(leaves, call.point[1]))))(call.stacked())


def values_one_by_one(call: Call):
    return one_by_one(call)[0]


# --- derivatives ------------------------------------------------------------------------------------------------------


def _direction(call: Call):
    return [np.cos(np.arange(x.size, dtype=x.dtype)).reshape(x.shape) for x in call.point[0]]


def jvp(call: Call):
    def along(leaves, direction):
        return jax.jvp(lambda leaves: call.value(leaves, call.point[1]), (leaves,), (direction,))

    return jax.jit(along)(call.point[0], _direction(call))


def linearize(call: Call):
    y, push = jax.linearize(lambda leaves: call.value(leaves, call.point[1]), call.point[0])
    return y, jax.jit(push)(_direction(call))


def linear_transpose(call: Call):
    """In the first argument, where the function is linear in it, a constant apart."""
    (x, *others), constants = call.point

    @jax.jit
    def value(x):
        return call.value([x, *others], constants)

    u, zero = _direction(call)[0], np.zeros_like(x)
    for sums in zip(value(x + u), value(zero), value(x), value(u), strict=True):
        if not np.allclose(sums[0] + sums[1], sums[2] + sums[3]):
            raise ValueError("the function is not linear in its first argument")
    return jax.jit(jax.linear_transpose(value, x))(value(x))


def adjoint(call: Call):
    """The same by `jax.vjp`."""
    (x, *others), constants = call.point
    y, pull = jax.vjp(lambda x: call.value([x, *others], constants), x)
    return pull(y)


def _along(call: Call):
    """Σ y·sin y on a plane through the point."""
    directions = [_direction(call), [np.sin(d + 1) for d in _direction(call)]]

    def total(t):
        leaves = [x + t[0] * u + t[1] * v for x, u, v in zip(call.point[0], *directions, strict=True)]
        return sum(jnp.sum(jnp.sin(part) * part) for part in call.value(leaves, call.point[1]))

    return total


def hessian(call: Call):
    """Forward over reverse."""
    return jax.jit(jax.hessian(_along(call)))(np.zeros(2))


def grad_of_grad(call: Call):
    """Reverse over reverse."""
    return jax.jit(jax.jacrev(jax.grad(_along(call))))(np.zeros(2))


# --- what is saved for the gradient -----------------------------------------------------------------------------------

POLICIES = {
    "nothing_saveable": jax.checkpoint_policies.nothing_saveable,
    "everything_saveable": jax.checkpoint_policies.everything_saveable,
    "dots_saveable": jax.checkpoint_policies.dots_saveable,
    "dots_with_no_batch_dims_saveable": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "save_only_these_names": jax.checkpoint_policies.save_only_these_names("y"),
    "save_anything_except_these_names": jax.checkpoint_policies.save_anything_except_these_names("y"),
}
LISTED = ", ".join(f"`{name}`" for name in POLICIES)


def checkpoint(call: Call):
    """With every policy; the value is called y."""

    def value(leaves, constants):
        return [checkpoint_name(part, "y") for part in call.value(leaves, constants)]

    return [
        jax.jit(value_and_gradient(jax.checkpoint(value, policy=policy)))(*call.point) for policy in POLICIES.values()
    ]


def for_each_policy(call: Call):
    return [plain(call)] * len(POLICIES)
