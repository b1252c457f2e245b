"""Right gradients of pooling, obtained in unusual ways."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.planting import Control, ruled
from convnet.gradcheck.evidence.pool.mutants import geometry, given, reads, winners


def max_by_routing(g, x, window, *, stride=None, padding="VALID"):
    rows, cols = geometry(x, window, stride, padding)
    return (given(g, winners(x, rows, cols)[1], rows, cols),)


def avg_by_matrix(x, window, *, stride=None, padding="VALID", count_include_pad=True):
    """Two matrices of averages, one per axis: exactly linear, under autodiff."""
    rows, cols = geometry(x, window, stride, padding)
    means = []
    for axis in (rows, cols):
        sums = reads(axis).sum(1).astype(np.float64)
        means.append(sums / (axis.kernel if count_include_pad else axis.real.sum(1)[:, None]))
    return jnp.einsum("oh,pw,nhwc->nopc", *(jnp.asarray(m, x.dtype) for m in means), x)


CONTROLS = (
    Control("max pool by routing", "max_pool", ruled("max_pool", max_by_routing), "one-hot matrices"),
    Control("avg pool by matrices", "avg_pool", lambda: avg_by_matrix, "exactly linear, autodiff of two products"),
    Control("global avg pool by repetition", "global_avg_pool", ruled("global_avg_pool", lambda g, x: (
        jnp.repeat(jnp.repeat(g[:, None, None] / (x.shape[1] * x.shape[2]), x.shape[1], 1), x.shape[2], 2),)),
            "as one would in NumPy"),
)  # fmt: skip
