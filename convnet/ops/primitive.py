"""How an op with a hand-derived adjoint becomes a JAX primitive.

A linear map L is a primitive whose transpose rule is the adjoint we derived, itself such a primitive. JAX then composes
it under every transform: jvp applies L, vjp applies Lᵀ, the transpose of that is L again, and so on to any order. This
is what a `custom_vjp` cannot do (it has no forward mode) and what autodiff of a library call does not promise (the rule
would be the library's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec, auto_axes, reshard

Forward = Callable[..., Array]

BATCH = "batch"
"""The axis of a mesh that divides batches: on one with such an axis, each device computes its images."""


class _Primitive(Primitive):
    """A primitive whose operands may lie on devices in any way.

    Inside `jax.shard_map` they need not agree on the devices they differ over. On a mesh with explicit axes `division`
    says how the result lies, and on one with an axis called BATCH which images each device has.
    """

    def __init__(self, name: str, division: Division):
        super().__init__(name)
        self.division = division

    def bind(self, *args, **settings):
        bind = left_to_compiler(partial(super().bind, **settings), self.division, **settings)
        bind = among_devices(bind, self.division, **settings)
        return bind(*varying_alike(args))


@dataclass(frozen=True)
class Division:
    """How an op's arrays lie on a mesh with explicit axes. A spec has for each axis of an array the axes of the mesh
    that divide it, or None.
    """

    result: Callable[..., tuple] = lambda *specs, **_: ()
    """(*specs of the operands, **settings) -> the result's."""
    together: tuple[tuple[int, ...], ...] = ()
    """For each operand, the axes that windows slide along, counted from the last: they are put together first. XLA can
    divide them, but not rightly in every case."""
    images: tuple[bool, ...] = ()
    """For each operand, whether it is one of images, [N, …], as the result is; () where the result is none."""


def explicit_mesh(args) -> AbstractMesh | None:
    """The mesh whose axes are a part of the arrays' types, where there is one."""
    meshes = (jax.typeof(x).sharding.mesh for x in args)
    return next((mesh for mesh in meshes if AxisType.Explicit in mesh.axis_types), None)


def left_to_compiler(f: Callable, division: Division, **settings) -> Callable:
    """`f` whose work XLA divides, also among axes of a mesh that are explicit, where JAX wants types for every step."""

    def call(*args):
        mesh = explicit_mesh(args)
        if mesh is None:
            return f(*args)
        args = [_put_together(x, axes) for x, axes in zip(args, division.together or [()] * len(args), strict=True)]
        explicit = tuple(a for a, t in zip(mesh.axis_names, mesh.axis_types, strict=True) if t is AxisType.Explicit)
        spec = division.result(*(tuple(jax.typeof(x).sharding.spec) for x in args), **settings)
        return auto_axes(f, axes=explicit, out_sharding=NamedSharding(mesh, _once(spec)))(*args)

    return call


def among_devices(f: Callable, division: Division, *, paired: bool = False, **settings) -> Callable:
    """`f` of the images that each device has, where the mesh in use (`jax.set_mesh`) has an axis called BATCH.

    XLA could divide the work by itself, but would send images about: formulations work in chunks of the batch, and it
    would divide the chunks. Gradients in what the devices share are summed up where JAX transposes the division, so a
    map whose result is none of images needs none. XLA is left to it inside a `jax.shard_map` over another axis: of one
    within another JAX cannot compile the derivative. paired: of R pairs, [R, N, …].
    """

    def call(*args):
        mesh = jax.sharding.get_abstract_mesh()
        sizes = dict(zip(mesh.axis_names, mesh.axis_sizes, strict=True))
        devices = sizes.get(BATCH, 1) if BATCH in mesh.auto_axes else 1
        lengths = {x.shape[paired] for x, of_images in zip(args, division.images, strict=False) if of_images}
        even = bool(lengths) and all(isinstance(n, int) and n % devices == 0 for n in lengths)
        if devices == 1 or mesh.manual_axes or not even:
            return f(*args)
        part = PartitionSpec(*[None] * paired, BATCH)
        specs = tuple(part if of_images else PartitionSpec() for of_images in division.images)
        # An axis of one device that is left to XLA makes a sum of bfloat16 one that its CPU compiler aborts at.
        alone = {axis for axis in mesh.auto_axes if sizes[axis] == 1}
        return jax.shard_map(f, in_specs=specs, out_specs=part, axis_names={BATCH, *alone})(*args)

    return call


def _put_together(x: Array, axes: tuple[int, ...]) -> Array:
    """`x` not divided along some axes, which are counted from the last."""
    lies = jax.typeof(x).sharding
    spec = [None if axis - x.ndim in axes else names for axis, names in enumerate(lies.spec)]
    return x if spec == list(lies.spec) else reshard(x, NamedSharding(lies.mesh, PartitionSpec(*spec)))


def _once(spec: tuple) -> PartitionSpec:
    """`spec` where no axis of the mesh divides two axes of the array: the first one has it."""
    seen, kept = {None}, []
    for names in spec:
        own = [name for name in (names if isinstance(names, tuple) else (names,)) if name not in seen]
        seen.update(own)
        kept.append(tuple(own) or None)
    return PartitionSpec(*kept)


def divided_as(x: Array, like: Array) -> Array:
    """`x` divided among the devices of an explicit mesh as `like`, which has its shape, is."""
    return x if explicit_mesh([like]) is None else reshard(x, jax.typeof(like).sharding)


def varying_alike(args):
    """Operands that are equal on all devices are marked as varying wherever another operand varies.

    The mark's transpose is the sum over devices, without which the gradient in shared weights would lack it.
    """
    varying = [jax.typeof(x).manual_axis_type.varying for x in args]
    union = frozenset().union(*varying)
    return [
        jax.lax.pcast(x, tuple(union - own), to="varying") if union - own else x
        for x, own in zip(args, varying, strict=True)
    ]


def primitive(
    name: str,
    forward: Forward,
    *,
    settings: tuple[str, ...] = (),
    batch: Callable,
    division: Division = Division(),
    lowerings: Mapping[str | None, Forward] | None = None,
) -> Primitive:
    """A primitive with the value, shape, dtype and, unless there are other `lowerings`, the lowering of `forward`.

    settings: names of the keyword arguments of `forward`, all hashable and static.
    batch: `batch(args, dims, **settings) -> (out, dim)`, what vmap does; dims are axis numbers or None.
    division: how operands and result lie on a mesh with explicit axes.
    lowerings: the same function in another formulation, by platform; None stands for all other platforms.
    """
    new = _Primitive(name, division)
    compiled = jax.jit(new.bind, static_argnames=settings)

    def evaluate(*args, **values):  # without jit there is no lowering: `bind` would come back here
        return (forward if jax.config.jax_disable_jit else compiled)(*args, **values)

    def abstract_eval(*avals, **values):
        return jax.make_jaxpr(partial(forward, **values))(*avals).out_avals[0]

    new.def_impl(evaluate)
    new.def_abstract_eval(abstract_eval)
    for platform, formulation in {None: forward, **(lowerings or {})}.items():
        mlir.register_lowering(new, mlir.lower_fun(formulation, multiple_results=False), platform=platform)
    batching.primitive_batchers[new] = batch
    return new


def transpose_linear(p: Primitive, adjoint: Callable) -> None:
    """Declare `p` linear in its one argument; `adjoint(g, **settings) -> dL/dx`."""
    ad.deflinear2(p, lambda g, _, **settings: [adjoint(g, **settings)])


def transpose_bilinear(p: Primitive, left: Callable, right: Callable) -> None:
    """Declare `p` linear in each of two arguments; `left(g, x, y, **settings) -> dL/dx`, `right(…) -> dL/dy`.

    The argument that is asked for arrives as a placeholder that has a shape (`.aval`) but no value.
    """
    ad.defbilinear(p, left, right)


def transpose_routed(p: Primitive, adjoint: Callable) -> None:
    """Declare `p(x, route)` linear in x for a given integer `route`; `adjoint(g, route, **settings) -> dL/dx`."""
    ad.defjvp(p, lambda tangent, _, route, **settings: p.bind(tangent, route, **settings), None)

    def transpose(g, x, route, **settings):
        if type(g) is ad.Zero:
            return [ad.Zero(x.aval), None]
        return [adjoint(g, route, **settings), None]

    ad.primitive_transposes[p] = transpose


def to_front(x: Array, dim: int | None, size: int | None = None) -> Array:
    """`x` with its batch axis in front; where it has none and `size` is given, repeated that often."""
    if dim is None:
        return x if size is None else jax.numpy.broadcast_to(x, (size, *x.shape))
    return jax.numpy.moveaxis(x, dim, 0)


def batch_size(args, dims) -> int:
    """The length of the mapped axis of a batching rule."""
    return next(x.shape[dim] for x, dim in zip(args, dims, strict=True) if dim is not None)


def folded(p: Callable[[], Primitive]) -> Callable:
    """The batching rule of ops on [N, …]: images are independent, so a mapped axis is folded into N."""

    def batch(args, dims, **settings):
        size = batch_size(args, dims)
        args = [to_front(x, dim, size) for x, dim in zip(args, dims, strict=True)]
        n = args[0].shape[1]
        out = p().bind(*(x.reshape(size * n, *x.shape[2:]) for x in args), **settings)
        return out.reshape(size, n, *out.shape[1:]), 0

    return batch


def each_image(operands: int = 1) -> Division:
    """Of an op on so many arrays [N, H, W, C] that looks at each image and channel alone."""

    def result(x: tuple, *_, **__) -> tuple:
        return x[0], None, None, x[3]

    return Division(result, together=operands * ((-3, -2),), images=operands * (True,))
