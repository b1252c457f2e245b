"""A network's result and that of one of its layers, in one pass; and derivatives of the one by the other."""

from __future__ import annotations

from typing import Any

from flax import linen as nn
from jax import Array

from convnet.models.network import Model


def perturbed(
    model: Any, variables: Any, images: Array, layer: str, change: Array | None = None
) -> tuple[Array, Array]:
    """The model's result for `images` where `change` is added to the result of `layer`, and that before it is.

    layer: a name of `models.activations`; change: of that result's shape. The derivative with respect to it at 0 is
    that with respect to the layer's result, whatever its place, inside a residual block, too. Of a layer that a module
    of one's own calls more than once, the first call is meant, as in `models.activations`.

    Raises ValueError where the model has no such layer.
    """
    shows, found = isinstance(model, Model), []

    def add(call, args, kwargs, context):
        result = call(*args, **kwargs)
        path = context.module.path
        if shows:
            here = path == () and context.method_name == "show" and args[0] == layer
        else:
            here = context.method_name == "__call__" and ("/".join(path) or "output") == layer
        if not here or found:
            return result
        found.append(result)
        return result if change is None else result + change

    with nn.intercept_methods(add):
        output = model.apply(variables, images)
    if not found:
        raise ValueError(f"layer is {layer!r}: the model computes nothing of that name")
    return output, found[0]
