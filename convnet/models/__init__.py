"""Flax modules over an `OpSet`, built from tables of layers (`convnet.architectures`). The only home of Flax."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from convnet.architectures import MODELS, Architecture, ModelConfig, Table
from convnet.models.network import Model, Network, Trunk
from convnet.ops import HAND, OpSet
from convnet.settings import from_dict

__all__ = [
    "MODELS",
    "Model",
    "Network",
    "Trunk",
    "activations",
    "build",
    "count_parameters",
    "flatten",
    "flops_per_image",
    "planned_bytes",
    "unflatten",
    "warm_start",
]


def build(
    name: str | Architecture | Table,
    *,
    num_classes: int,
    ops: OpSet = HAND,
    patch_moment: tuple[float, ...] = (),
    **settings,
) -> Network:
    """The network called `name`, with its settings, computing through `ops`.

    name: one of MODELS; or an architecture, which `settings` change; or a table of one's own layers. patch_moment: for
    one that whitens patches, their second moment (`Dataset.patch_moment`), row by row; without, its frozen kernels
    start as other kernels do.

    Raises ValueError for an unknown model, a setting that the model has not (naming the nearest that it has), and a
    value out of range.
    """
    if isinstance(name, Table):
        model, table = from_dict(Architecture, settings, base=Architecture("table"), path="model"), name
    else:
        base = MODELS["cnn"]() if isinstance(name, str) else name
        named = {"name": name if isinstance(name, str) else base.name}
        model = table = from_dict(ModelConfig, settings | named, base=base, path="model")
    shared = {key: getattr(model, key) for key in ("initializer", "initializer_scale")}
    shared |= {"precision": model.dtype, "patch_moment": tuple(patch_moment)}
    return Network(architecture=table, num_classes=num_classes, ops=ops, **shared)


def activations(model: Any, variables, images: Array) -> dict[str, Array]:
    """Every named intermediate result for `images` [N, H, W, C], in the order the network computes them; of a Flax
    module that hands out none, what each of its submodules gives, by the submodule's name."""
    shows = isinstance(model, Model)
    _, state = model.apply(variables, images, mutable=["activations"] if shows else [], capture_intermediates=not shows)
    if shows:
        return {name: x for entry in state["activations"]["in_order"] for name, x in entry.items()}
    called = flatten_dict(state["intermediates"])
    return {"/".join(path[:-1]) or "output": x for path, (x, *_) in called.items()}


def warm_start(model: Any, variables: Any, *, anew: Collection[str] = ()) -> Callable[[Array, Array], Any]:
    """An `init` of `model` that starts from `variables`, those of a trained network, instead of at random.

    anew: layers, or blocks of them, that start as the model starts them, such as logits for other classes.

    The `init` raises ValueError for a parameter that `variables` lack, or have in another shape, unless its layer is to
    start anew, and for a name in `anew` that the model has not.
    """
    given = flatten(variables)

    def init(key: Array, images: Array) -> Any:
        found = flatten(model.init(key, images))
        fresh = {layer: [name for name in found if f"/{layer}/" in f"/{name.split('/', 1)[1]}"] for layer in anew}
        if unknown := [layer for layer, names in fresh.items() if not names]:
            raise ValueError(f"anew holds {unknown[0]!r}: expected a layer of the model")
        kept = [name for name in found if not any(name in names for names in fresh.values())]
        for name in kept:
            theirs = given[name].shape if name in given else None
            if theirs != found[name].shape:
                expected = f"{found[name].shape}, or its layer among those that start anew"
                raise ValueError(f"{name} is {theirs or 'not there'}: expected {expected}")
            found[name] = jnp.asarray(given[name], found[name].dtype)
        return unflatten(found)

    return init


def count_parameters(variables) -> int:
    """Number of trained values."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def flatten(variables) -> dict[str, Array]:
    """The variables as one mapping from names such as params/conv1/kernel."""
    return flatten_dict(variables, sep="/")


def unflatten(arrays: dict[str, Array]):
    """The variables that `flatten` was given."""
    return unflatten_dict(arrays, sep="/")


def flops_per_image(model: Any, image_shape: tuple[int, int, int]) -> float:
    """Floating-point operations of one image's forward pass, as XLA counts them (multiply and add are two)."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    cost = jax.jit(model.apply).lower(variables, image).cost_analysis()
    return float(cost["flops"])


def planned_bytes(model: Any, image_shape: tuple[int, int, int]) -> int:
    """Memory that XLA plans for one image's forward pass in float32: weights, image, results, and what it keeps
    between. Nothing is computed."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    plan = jax.jit(model.apply).lower(variables, image).compile().memory_analysis()
    return plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
