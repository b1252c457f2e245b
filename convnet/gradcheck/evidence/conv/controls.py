"""Right gradients of convolutions, obtained in unusual ways."""

from __future__ import annotations

import jax.numpy as jnp

from convnet.gradcheck.evidence.conv.rules import wrong_transpose
from convnet.gradcheck.evidence.planting import Control, right_gradients, ruled
from convnet.gradcheck.evidence.pool.mutants import patches, put_back
from convnet.ops.window import windows


def _places(x, w, settings):
    geometry = {name: value for name, value in settings.items() if name != "groups"}
    rows, cols = windows(x.shape[1:3], w.shape[:2], padding=geometry.pop("padding", "SAME"), **geometry)
    return rows, cols, settings.get("groups", 1)


def _grouped(values, groups):
    """[…, C] -> […, G, C // G]."""
    return values.reshape(*values.shape[:-1], groups, -1)


def conv_by_taps(g, x, w, b=None, **settings):
    """dL/dw tap by tap: the image as that tap sees it, times g."""
    rows, cols, groups = _places(x, w, settings)
    g_split = _grouped(g, groups)
    dw = [jnp.einsum("nopgc,nopgk->cgk", _grouped(seen, groups), g_split) for seen in patches(x, rows, cols)]
    dx = right_gradients("conv2d", g, x, w, **settings)[0]
    return dx, jnp.stack(dw).reshape(w.shape), *([] if b is None else [g.sum((0, 1, 2))])


def conv_by_scattering(g, x, w, b=None, **settings):
    """dL/dx by adding, for every tap, g times the tap's weights where that tap had read."""
    rows, cols, groups = _places(x, w, settings)
    kernel = _grouped(w, groups).reshape(-1, w.shape[2], groups, w.shape[3] // groups)
    shares = jnp.einsum("nopgk,tcgk->tnopgc", _grouped(g, groups), kernel)
    dx = put_back(shares.reshape(*shares.shape[:4], -1), rows, cols)
    dw = right_gradients("conv2d", g, x, w, **settings)[1]
    return dx, dw, *([] if b is None else [g.sum((0, 1, 2))])


def conv_by_patches(x, w, b=None, **settings):
    """The whole convolution as one matrix product with gathered patches, under autodiff."""
    rows, cols, groups = _places(x, w, settings)
    kernel = _grouped(w, groups).reshape(-1, w.shape[2], groups, w.shape[3] // groups)
    y = jnp.einsum("tnopgc,tcgk->nopgk", _grouped(patches(x, rows, cols), groups), kernel)
    y = y.reshape(*y.shape[:3], -1)
    return y if b is None else y + b[None, None, None]


CONTROLS = (
    Control("conv dw by taps", "conv2d", ruled("conv2d", conv_by_taps), "one product per tap"),
    Control("conv dx by scattering", "conv2d", ruled("conv2d", conv_by_scattering), "one sum per tap"),
    Control("conv by patches", "conv2d", lambda: conv_by_patches, "autodiff of one matrix product"),
    Control("conv dx from primitives", "conv2d", wrong_transpose,
            "what the mutants are planted in"),
)  # fmt: skip
