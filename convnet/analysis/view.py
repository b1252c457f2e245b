"""A network seen from inside: where every method of this package starts.

view = View.of(convnet.load(run))            # or View.of_module(module, variables, (H, W, C))
view.layers                                  # {"conv1": (8, 8, 32), "conv1_relu": (8, 8, 32), …}
view.at("conv1_relu", images)                # [N, 8, 8, 32]

A view is a pytree: its leaves are the variables, its structure is the network. So it goes through `jax.jit` and
`jax.vmap` as an argument, programs are shared between views of one network (trained, at random, with other weights),
and another backward pass is another view (`replace_ops`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import prod
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import models
from convnet.architectures import shapes
from convnet.architectures.layers import Dense, Layer
from convnet.data import check_images
from convnet.settings import require
from convnet.task import computing_in, make_task
from convnet.trained import Trained

MEMORY = 2**28
"""Bytes that the results of one chunk of work may take, unless told otherwise."""


@dataclass(frozen=True)
class _UnitPixels:
    """Preprocessing of images in pixel units, as one of images in 0 … 1."""

    preprocess: Callable[[Array], Array]

    def __call__(self, images: Array) -> Array:
        return self.preprocess(255 * images)


def _as_they_are(images: Array) -> Array:
    return images


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("variables",),
    meta_fields=("model", "preprocess", "image_shape", "class_names", "computes_in"),
)
@dataclass(frozen=True, eq=False)
class View:
    """The results of a network's layers as functions of images [N, H, W, C], float from 0 to 1.

    variables: what the model was trained to. model: a Flax module from images to logits [N, K]. preprocess: from those
    images to what the model sees; differentiated through, like any layer. computes_in: as `model.precision` has it.
    """

    variables: Any
    model: Any
    preprocess: Callable[[Array], Array]
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    computes_in: str = "float32"

    @classmethod
    def of(cls, network: Trained | View, *, image_shape: tuple[int, int, int] | None = None) -> View:
        """A view of a loaded network; of a view, itself.

        image_shape: (H, W, C) of other images than those of training, photographs say: the view has the layers before
        the first dense one then, and sees whole images where training crops them.

        Raises ValueError for images that the network cannot take.
        """
        if isinstance(network, View):
            found = network
        else:
            task, precision = network.task, network.config.model.precision
            preprocess = _UnitPixels(task.preprocess)
            found = cls(network.variables, task.model, preprocess, network.image_shape, network.class_names, precision)
        if image_shape is None or tuple(image_shape) == found.image_shape:
            return found
        return found._on(tuple(image_shape), network)

    def _on(self, image_shape: tuple[int, int, int], network: Trained | View) -> View:
        told = f"(H, W, {self.image_shape[2]})"
        require(len(image_shape) == 3 and image_shape[2] == self.image_shape[2], "image_shape", image_shape, told)
        preprocess = self.preprocess
        if isinstance(network, Trained) and "preprocess" not in network.task.own:
            whole = replace(network.config, data=replace(network.config.data, crop=None))
            preprocess = _UnitPixels(make_task(whole, network.task.facts).preprocess)
        self._table()  # raises where there is none
        trunk = self.model.trunk(self._shapes(self.preprocess))
        names = self.class_names if isinstance(trunk.layers[-1], Dense) else ()
        found = replace(self, model=trunk, preprocess=preprocess, image_shape=image_shape, class_names=names)
        found._table()  # raises where a layer does not fit
        return found

    @classmethod
    def of_module(
        cls,
        module: Any,
        variables: Any,
        image_shape: tuple[int, int, int],
        *,
        class_names: Iterable[str] | None = None,
        preprocess: Callable[[Array], Array] = _as_they_are,
    ) -> View:
        """A view of one's own Flax module that was trained elsewhere: its submodules are the layers, by their names.

        preprocess: from images in 0 … 1 to what the module sees. class_names: None numbers the classes from 0.
        """
        found = cls(variables, module, preprocess, tuple(image_shape), ())
        names = range(found._shapes(found.logits)[-1]) if class_names is None else class_names
        return replace(found, class_names=tuple(map(str, names)))

    # --- what it computes ---------------------------------------------------------------------------------------------

    def results(self, images: Array) -> dict[str, Array]:
        """Every named result, in the order in which the network computes them."""
        return models.activations(self.model, self.variables, self.preprocess(images))

    def at(self, layer: str, images: Array) -> Array:
        """The result of one layer: [N, H', W', C'] or [N, D]. Under jit, nothing above it is computed."""
        found = self.results(images)
        require(layer in found, "layer", layer, f"one of {', '.join(found)}")
        return found[layer]

    def logits(self, images: Array) -> Array:
        """[N, K], of the images as they are, whatever `data.views` says."""
        return self.model.apply(self.variables, self.preprocess(images))

    def replace_ops(self, **ops: Callable) -> View:
        """The same network with another backward pass: view.replace_ops(relu=deconvnet_relu).

        Raises ValueError for a model that does not compute through an `OpSet`.
        """
        if not hasattr(self.model, "ops"):
            raise ValueError(
                f"model is a {type(self.model).__name__}: its backward pass can be replaced only where it computes "
                "through an OpSet in a field `ops`, as convnet.models.Model does"
            )
        return replace(self, model=self.model.clone(ops=replace(self.model.ops, **ops)))

    def with_variables(self, variables: Any) -> View:
        """The same network with other weights."""
        return replace(self, variables=variables)

    def precision(self) -> AbstractContextManager:
        """The context to trace and run programs in."""
        return computing_in(self.computes_in)

    # --- what there is to see -----------------------------------------------------------------------------------------

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape without N of every result, in the order of the network. Nothing is computed."""
        leaves, structure = jax.tree.flatten(self)
        return dict(_layers_of(structure, tuple(map(_Abstract.of, leaves))))

    @property
    def placed(self) -> tuple[shapes.Placed, ...]:
        """The layers of the network's table, each where it stands.

        Raises ValueError for a model that has no table of layers.
        """
        return tuple(shapes.walk(self._table(), self._shapes(self.preprocess)))

    def units(self, layer: str, units: Iterable[int] | None = None) -> np.ndarray:
        """Numbers of units of a layer, all of them where none are named: channels of maps, entries of vectors.

        Raises ValueError for a layer or unit that does not exist, saying which do.
        """
        layers = self.layers
        require(layer in layers, "layer", layer, f"one of {', '.join(layers)}")
        count = layers[layer][-1]
        found = np.arange(count) if units is None else np.asarray(list(units))
        if wrong := [int(unit) for unit in found if not 0 <= unit < count]:
            raise ValueError(f"units of {layer} hold {wrong[0]}: expected numbers from 0 to {count - 1}")
        return found.astype(np.int32)

    def images(self, images: Any) -> Array:
        """Images as the methods take them: float [N, H, W, C] from 0 to 1, from those or uint8; [N, H, W] where there
        is one channel.

        Raises ValueError as `data.check_images` does.
        """
        images = check_images(images, self.image_shape)
        return images.astype(self.dtype) / (255 if images.dtype == jnp.uint8 else 1)

    def labels(self, labels: Any, count: int) -> Array:
        """Classes of `count` images, as int32 [N]. Raises ValueError for another number of them or no class."""
        labels = np.asarray(labels)
        classes = len(self.class_names)
        if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels are {labels.dtype} {list(labels.shape)}: expected {count} whole numbers")
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"labels hold {labels.min()} … {labels.max()}: expected classes from 0 to {classes - 1}")
        return jnp.asarray(labels, jnp.int32)

    @property
    def dtype(self) -> Any:
        """Of images: float64 where the model computes in it, else float32."""
        return jnp.float64 if self.computes_in == "float64" else jnp.float32

    def chunk(self, memory: int = MEMORY, *, most: int = 1024) -> int:
        """How many images may go through the network at once so that all results, forward and backward, take at most
        `memory` bytes; at least 1, at most `most`."""
        values = sum(map(prod, self.layers.values())) + 2 * prod(self.image_shape)
        return int(np.clip(memory // (2 * values * np.dtype(self.dtype).itemsize), 1, most))

    def _table(self) -> tuple[Layer, ...]:
        if not hasattr(self.model, "table"):
            raise ValueError(f"model is a {type(self.model).__name__}: it has no table of layers, as models here have")
        return self.model.table(self._shapes(self.preprocess))

    def _shapes(self, function: Callable[[Array], Any]) -> Any:
        """The shapes, without N, of what `function` gives for images."""
        with self.precision():
            image = jax.ShapeDtypeStruct((1, *self.image_shape), self.dtype)
            return jax.tree.map(lambda array: array.shape[1:], jax.eval_shape(function, image))


@dataclass(frozen=True)
class _Abstract:
    """What of an array decides the shapes of all that is made of it."""

    shape: tuple[int, ...]
    dtype: Any

    @classmethod
    def of(cls, array: Any) -> _Abstract:
        return cls(np.shape(array), jnp.result_type(array))


@lru_cache(maxsize=256)  # tracing a network takes a while, and what it has is asked for often
def _layers_of(structure: Any, leaves: tuple[_Abstract, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of the results of a view."""
    names: list[str] = []

    def values(view: View, images: Array) -> list[Array]:
        found = view.results(images)
        names[:] = found  # a dict would come back sorted
        return list(found.values())

    view = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves])
    with view.precision():
        image = jax.ShapeDtypeStruct((1, *view.image_shape), view.dtype)
        found = jax.eval_shape(values, view, image)
    return tuple(zip(names, (array.shape[1:] for array in found), strict=True))


def in_chunks(
    function: Callable[[Any], Any],
    items: Any,
    *,
    size: int,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Any:
    """function(items), `size` items at a time: a pytree of NumPy arrays [N, …].

    function: [B, …] -> pytree of [B, …], compiled; items: an array [N, …] or a pytree of such. The last chunk is filled
    up with its last item, so that one program serves all; on_progress is told how many items each chunk has done.
    """
    count = len(jax.tree.leaves(items)[0])
    found = list(_chunks(function, items, min(size, count), count, on_progress))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *found)


def _chunks(function, items, size: int, count: int, on_progress) -> Iterator[Any]:
    for start in range(0, count, size):
        chunk = jax.tree.map(itemgetter(np.minimum(np.arange(start, start + size), count - 1)), items)
        yield jax.tree.map(np.asarray, function(chunk))
        on_progress(min(size, count - start))
