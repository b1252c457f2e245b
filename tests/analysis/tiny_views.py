"""Views of networks that are small enough for loops of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from convnet import models
from convnet.analysis import View
from convnet.architectures import Table
from convnet.architectures.layers import Flatten


def view_of(table, shape=(5, 7, 1), change=lambda name, values: values):
    """A view of a table with random weights and positive biases, which `change` changes: (name, values) -> values."""
    model, rng = models.build(Table((*table, Flatten())), num_classes=3), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))
    values = {name: rng.normal(size=leaf.shape, scale=0.5) for name, leaf in models.flatten(shapes).items()}
    values = {name: np.abs(leaf) if "bias" in name else leaf for name, leaf in values.items()}
    values = {name: jnp.asarray(change(name, leaf), jnp.float32) for name, leaf in values.items()}
    return View.of_module(model, models.unflatten(values), shape)
