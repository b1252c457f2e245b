"""Where a run's arrays lie: on one device, or on a mesh of them with the axes `replicates` and `batch`.

Along `batch` every device has all parameters and its share of each batch, and what they learn is summed up: the program
is that of one device, divided by XLA. Along `replicates` every device trains its share of the replicates, and sends
nothing. Images lie on every device, so that each gathers its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from convnet import hosts
from convnet.config import MeshConfig
from convnet.ops.primitive import BATCH
from convnet.settings import require

REPLICATES = "replicates"
EVERYWHERE, EACH, WINDOW = PartitionSpec(), PartitionSpec(REPLICATES), PartitionSpec(None, BATCH)


@dataclass(frozen=True)
class Layout:
    """Of the arrays of one program. mapped: whether that is one of many replicates."""

    batch: int = 1
    """Devices that each batch is divided among."""
    replicates: int = 1
    """Devices that replicates are divided among."""
    mapped: bool = False

    @property
    def devices(self) -> int:
        return self.batch * self.replicates

    @cached_property
    def mesh(self) -> Mesh | None:
        """None for a single device, whose programs need none."""
        if self.devices == 1:
            return None
        axes = AxisType.Auto, AxisType.Auto
        devices = jax.devices()[: self.devices]
        return jax.make_mesh((self.replicates, self.batch), (REPLICATES, BATCH), axis_types=axes, devices=devices)

    @property
    def description(self) -> dict[str, int] | None:
        """What of it decides bits, as plain JSON values."""
        return None if self.mesh is None else {BATCH: self.batch, REPLICATES: self.replicates}

    def in_use(self) -> AbstractContextManager:
        """The context that programs are traced in: ops then know of the devices."""
        return nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def divided(self, batch: Any) -> Any:
        """Arrays [N, …] of a batch, inside a program: each device has its share."""
        return batch if self.batch == 1 else jax.lax.with_sharding_constraint(batch, PartitionSpec(BATCH))

    def vmap(self, f: Callable, *, shared: int = 0) -> Callable:
        """`f` over a leading axis of replicates in every argument but the last `shared` ones, where there is one.

        Each device has a program of its own replicates, as if there were no others.
        """
        if not self.mapped:
            return f

        def together(*args):
            own = len(args) - shared
            mapped = jax.vmap(f, in_axes=(*[0] * own, *[None] * shared))
            if self.mesh is None:
                return mapped(*args)
            specs = *[EACH] * own, *[EVERYWHERE] * shared
            return jax.shard_map(mapped, in_specs=specs, out_specs=EACH, axis_names={REPLICATES})(*args)

        return together

    def jit(self, f: Callable, *, own: int, shared: int = 0, windows: int = 0, **options: Any) -> Any:
        """jax.jit of a function of `own` arguments that belong to the run or runs, `shared` ones that all read, and
        `windows` of batches, [k, B, …], of which each device has a share."""
        if self.mesh is None:
            return jax.jit(f, **options)
        specs = *[self._runs] * own, *[EVERYWHERE] * shared, *[WINDOW] * windows
        lie = tuple(NamedSharding(self.mesh, spec) for spec in specs)
        return jax.jit(f, in_shardings=lie, out_shardings=NamedSharding(self.mesh, self._runs), **options)

    @property
    def _runs(self) -> PartitionSpec:
        return EACH if self.mapped else EVERYWHERE

    def place(self, tree: Any) -> Any:
        """Arrays that belong to the run or runs, where the programs take them."""
        return tree if self.mesh is None else put(tree, NamedSharding(self.mesh, self._runs))

    def share(self, batch: int) -> slice:
        """Of `batch` examples, those that this process's devices have."""
        own = batch * jax.local_device_count() // jax.device_count() if hosts.several() else batch
        return slice(own * jax.process_index(), own * (jax.process_index() + 1)) if own < batch else slice(None)

    def window(self, tree: Any) -> Any:
        """Arrays [k, b, …] of this process's share of k batches, where the programs take them: [k, B, …]."""
        if self.mesh is None:
            return jax.device_put(tree)
        lie = NamedSharding(self.mesh, WINDOW)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(lie, x), tree)

    def everywhere(self, tree: Any) -> Any:
        """Arrays that every device is to have."""
        return jax.device_put(tree) if self.mesh is None else put(tree, NamedSharding(self.mesh, EVERYWHERE))


def put(tree: Any, sharding: Any) -> Any:
    """As `jax.device_put`; of a sharding that reaches into other processes, each of which has all of `tree`, too."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda x: _put(x, sharding), tree)


def _put(x: Any, sharding: Any) -> Array:
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), sharding), impl=jax.random.key_impl(x))
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def layout_of(wanted: MeshConfig, batch_size: int, *, mapped: bool = False) -> Layout:
    """The layout of a program on the devices there are, with `wanted` where that says something.

    What is not said: one run has as many devices for its batches as divide them evenly; of many replicates each has
    one device, and all devices are used.

    Raises ValueError for more devices than there are, and for batches that cannot be divided evenly.
    """
    there = jax.device_count()
    batch = wanted.batch or (1 if mapped else _most_that_divide(batch_size, there // (wanted.replicates or 1)))
    replicates = wanted.replicates or (max(there // batch, 1) if mapped else 1)
    told = f"at most the {there} {jax.default_backend().upper()} {'device' if there == 1 else 'devices'} there are"
    require(batch <= there, "mesh.batch", batch, told)
    require(batch * replicates <= there, "mesh.replicates", replicates, f"{told}, {batch} for each")
    divides = f"a multiple of mesh.batch ({batch}), among which it is divided"
    require(batch_size % batch == 0, "train.batch_size", batch_size, divides)
    if jax.process_count() > 1:
        all_ = f"all {there} devices of the {jax.process_count()} processes, in batches that they divide evenly"
        require(batch == there, "mesh.batch", batch, all_)
    return Layout(batch, replicates if mapped else 1, mapped)


def _most_that_divide(n: int, most: int) -> int:
    return max(d for d in range(1, max(min(n, most), 1) + 1) if n % d == 0)
