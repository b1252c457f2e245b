"""Features that take several devices: a batch divided among them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from convnet.gradcheck.features.call import Call
from convnet.gradcheck.subject import Untested

DEVICES = 2


def check_devices() -> None:
    if len(jax.devices()) < DEVICES:
        raise Untested(f"there is one device: {DEVICES} are needed")


def mesh(kind: AxisType) -> jax.sharding.Mesh:
    check_devices()
    return jax.make_mesh((DEVICES,), ("batch",), axis_types=(kind,), devices=jax.devices()[:DEVICES])


def _specs(call: Call):
    return tuple([P() if axis is None else P(*[None] * axis, "batch") for axis in axes] for axes in call.axes)


def _placed(call: Call, on: jax.sharding.Mesh):
    return jax.tree.map(lambda x, spec: jax.device_put(x, NamedSharding(on, spec)), call.larger(DEVICES), _specs(call))


def explicit_sharding(call: Call):
    """Shardings are part of types. The gradient lies where its argument lies; not compiled, and compiled."""
    placed = _placed(call, on := mesh(AxisType.Explicit))
    with jax.set_mesh(on):
        y, gradient = call.both(*placed)
        for part, leaf in zip(gradient, placed[0], strict=True):
            if jax.typeof(part).sharding != jax.typeof(leaf).sharding:
                raise ValueError(f"the gradient has type {jax.typeof(part)}: expected {jax.typeof(leaf)}")
        return (y, gradient), jax.jit(call.both)(*placed)


def automatic_sharding(call: Call):
    """The compiler divides the work, given where the arguments lie."""
    placed = _placed(call, mesh(AxisType.Auto))
    return jax.jit(call.both)(*placed)


def whole(call: Call):
    return jax.jit(call.both)(*call.larger(DEVICES))


def whole_twice(call: Call):
    return [whole(call)] * 2


def shard_map(call: Call):
    """Each device computes its part; gradients of what all share are summed by JAX, as types say what varies."""
    specs = _specs(call)
    if any(not part.ndim for part in call.both(*call.point)[0]):
        raise Untested("the value has no axis along which parts could be put together")
    out_axes = ([P("batch") for _ in call.program.out], specs[0])
    return jax.jit(jax.shard_map(call.both, mesh=mesh(AxisType.Auto), in_specs=specs, out_specs=out_axes))(
        *call.larger(DEVICES)
    )


def part_by_part(call: Call):
    """The same without devices: parts put together, gradients of what all share summed up."""
    both = jax.jit(call.both)
    values, gradients = zip(*(both(*part) for part in call.parts(DEVICES)), strict=True)
    joined = [
        sum(parts) if axis is None else jnp.concatenate(parts, axis)
        for axis, *parts in zip(call.axes[0], *gradients, strict=True)
    ]
    return [jnp.concatenate(parts) for parts in zip(*values, strict=True)], joined


def pmap(call: Call):
    check_devices()
    return jax.pmap(lambda leaves: call.both(leaves, call.point[1]), devices=jax.devices()[:DEVICES])(
        call.stacked(DEVICES)
    )


def one_by_one(call: Call):
    both = jax.jit(call.both)
    copies = [both(leaves, call.point[1]) for leaves in call.near(DEVICES)]
    return jax.tree.map(lambda *copies: np.stack(copies), *copies)
