"""Flax modules over an `OpSet`, and the table they are built from. The only home of Flax."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from convnet.config import ModelConfig
from convnet.models.cnn import CNN
from convnet.models.layers import Model
from convnet.models.linear import Linear
from convnet.models.mlp import MLP
from convnet.ops import HAND, OpSet

__all__ = [
    "CNN",
    "MLP",
    "MODELS",
    "Linear",
    "Model",
    "activations",
    "build",
    "count_parameters",
    "flatten",
    "flops_per_image",
    "unflatten",
    "unused_settings",
]

MODELS: dict[str, type[Model]] = {"linear": Linear, "mlp": MLP, "cnn": CNN}


def build(name: str, *, num_classes: int, ops: OpSet = HAND, **settings) -> Model:
    """The model called `name`, computing through `ops`.

    settings: fields of `ModelConfig`; those that this model has no use for are ignored.

    Raises ValueError for an unknown model (listing the known ones), an unknown setting, or a value out of range.
    """
    if name not in MODELS:
        raise ValueError(f"model.name is {name!r}: expected one of {', '.join(MODELS)}")
    known = {f.name for f in dataclasses.fields(ModelConfig)}
    if unknown := sorted(set(settings) - known):
        raise ValueError(f"unknown model setting {unknown[0]!r}: expected one of {', '.join(sorted(known))}")
    config = ModelConfig(name=name, **settings)
    used = known - {"name"} - unused_settings(name)
    return MODELS[name](num_classes=num_classes, ops=ops, **{key: getattr(config, key) for key in used})


def unused_settings(name: str) -> set[str]:
    """Fields of `ModelConfig` that the model called `name` does not have; none of a name that is not in MODELS."""
    if name not in MODELS:
        return set()
    known, own = ({f.name for f in dataclasses.fields(kind)} for kind in (ModelConfig, MODELS[name]))
    return known - own - {"name"}


def activations(model: Model, variables, images: Array) -> dict[str, Array]:
    """Every named intermediate result for `images` [N, H, W, C], in the order the network computes them."""
    _, state = model.apply(variables, images, mutable=["activations"])
    return {name: x for entry in state["activations"]["in_order"] for name, x in entry.items()}


def count_parameters(variables) -> int:
    """Number of trained values."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def flatten(variables) -> dict[str, Array]:
    """The variables as one mapping from names such as params/conv1/kernel."""
    return flatten_dict(variables, sep="/")


def unflatten(arrays: dict[str, Array]):
    """The variables that `flatten` was given."""
    return unflatten_dict(arrays, sep="/")


def flops_per_image(model: Model, image_shape: tuple[int, int, int]) -> float:
    """Floating-point operations of one image's forward pass, as XLA counts them (multiply and add are two)."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    cost = jax.jit(model.apply).lower(variables, image).cost_analysis()
    return float(cost["flops"])
