"""What training carries, as NumPy arrays by name, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from convnet.settings import describe_differences
from convnet.train.sharding import put
from convnet.train.state import TrainState


def _leaves(state: TrainState, best_variables: Any) -> dict[str, Any]:
    """Every array by its name, such as state.params.dense1.kernel."""
    leaves = jax.tree_util.tree_leaves_with_path({"state": state, "best_variables": best_variables})
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _is_key(leaf) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def to_host(state: TrainState, best_variables: Any) -> dict[str, np.ndarray]:
    """Copies, never views: the next epoch overwrites the device's buffers (and could not reuse them under a view)."""
    leaves = _leaves(state, best_variables)
    return {name: np.array(jax.random.key_data(x) if _is_key(x) else x) for name, x in leaves.items()}


def from_host(arrays: dict[str, np.ndarray], template: TrainState, path: Path) -> tuple[TrainState, Any]:
    """The state and the best parameters, each leaf with the dtype and on the device of the template's."""
    like = {"state": template, "best_variables": template.variables}
    wanted = _leaves(template, template.variables)
    expected = {name: _kind(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for name, leaf in wanted.items()}
    empty = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in wanted.items() if not leaf.size}
    arrays = {**empty, **arrays}
    found = {name: _kind(array) for name, array in arrays.items()}
    if found != expected:
        differences = describe_differences(found, expected, "there", "here")
        raise ValueError(f"{path} does not fit this code's parameters: {differences}")

    def place(name, leaf):
        array = arrays[name]
        value = jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array
        return put(value, leaf.sharding)

    leaves = [place(name, leaf) for name, leaf in wanted.items()]
    tree = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return tree["state"], tree["best_variables"]


def _kind(array) -> str:
    return f"{array.dtype}{list(array.shape)}"
