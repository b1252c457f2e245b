"""Right gradients obtained in unusual ways: who objects to one of these has raised a false alarm."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.mutants import conv_rules, elementwise, loss, norm, pool, response
from convnet.gradcheck.mutants.planting import Control, corrupted, right_gradients, with_rule, with_slope
from convnet.ops import AUTO, HAND
from convnet.ops.window import windows

# --- convolution ------------------------------------------------------------------------------------------------------


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
    dw = [jnp.einsum("nopgc,nopgk->cgk", _grouped(seen, groups), g_split) for seen in pool.patches(x, rows, cols)]
    dx = right_gradients("conv2d", g, x, w, **settings)[0]
    return dx, jnp.stack(dw).reshape(w.shape), *([] if b is None else [g.sum((0, 1, 2))])


def conv_by_scattering(g, x, w, b=None, **settings):
    """dL/dx by adding, for every tap, g times the tap's weights where that tap had read."""
    rows, cols, groups = _places(x, w, settings)
    kernel = _grouped(w, groups).reshape(-1, w.shape[2], groups, w.shape[3] // groups)
    shares = jnp.einsum("nopgk,tcgk->tnopgc", _grouped(g, groups), kernel)
    dx = pool.put_back(shares.reshape(*shares.shape[:4], -1), rows, cols)
    dw = right_gradients("conv2d", g, x, w, **settings)[1]
    return dx, dw, *([] if b is None else [g.sum((0, 1, 2))])


def conv_by_patches(x, w, b=None, **settings):
    """The whole convolution as one matrix product with gathered patches, under autodiff."""
    rows, cols, groups = _places(x, w, settings)
    kernel = _grouped(w, groups).reshape(-1, w.shape[2], groups, w.shape[3] // groups)
    y = jnp.einsum("tnopgc,tcgk->nopgk", _grouped(pool.patches(x, rows, cols), groups), kernel)
    y = y.reshape(*y.shape[:3], -1)
    return y if b is None else y + b[None, None, None]


# --- pooling ----------------------------------------------------------------------------------------------------------


def max_by_routing(g, x, window, *, stride=None, padding="VALID"):
    rows, cols = pool.geometry(x, window, stride, padding)
    return (pool.given(g, pool.winners(x, rows, cols)[1], rows, cols),)


def avg_by_matrix(x, window, *, stride=None, padding="VALID", count_include_pad=True):
    """Two matrices of averages, one per axis: exactly linear, under autodiff."""
    rows, cols = pool.geometry(x, window, stride, padding)
    means = []
    for axis in (rows, cols):
        sums = pool.reads(axis).sum(1).astype(np.float64)
        means.append(sums / (axis.kernel if count_include_pad else axis.real.sum(1)[:, None]))
    return jnp.einsum("oh,pw,nhwc->nopc", *(jnp.asarray(m, x.dtype) for m in means), x)


# --- normalisation ----------------------------------------------------------------------------------------------------


def _batch(dx):
    def rule(g, x, scale, bias, *, eps=1e-5):
        g, dmean, dvar = g
        m = norm.Moments(x, tuple(range(x.ndim - 1)), eps)
        through_y = dx(m, g * norm.like(scale, x))
        return (
            through_y + norm.through_moments(m, dmean, dvar),
            norm.over_all_but_last(g * m.normal),
            norm.over_all_but_last(g),
        )

    return with_rule(HAND.batch_norm, rule)


def by_steps(m, h):
    """As the paper has it: dv, then dμ, then dx (Ioffe & Szegedy, 2015)."""
    dvar = -0.5 * m.rho**3 * jnp.sum(h * m.centred, axis=m.axes, keepdims=True)
    dmean = -m.rho * jnp.sum(h, axis=m.axes, keepdims=True)
    return h * m.rho + dvar * 2 * m.centred / m.count + dmean / m.count


def by_sums(m, h):
    """(ρ/m) (m h − Σh − x̂ Σ h x̂)."""
    total = partial(jnp.sum, axis=m.axes, keepdims=True)
    return m.rho / m.count * (m.count * h - total(h) - m.normal * total(h * m.normal))


def by_projection(m, h):
    """ρ times what is left of h − ⟨h⟩ without its component along x̂, the latter being ε short of the whole."""
    h = h - m.mean(h)
    return m.rho * (h - m.centred * m.mean(h * m.centred) / (m.var + m.eps))


def layer_by_jacobian(g, x, scale, bias, *, eps=1e-5):
    """J = ρ (1 − 1/C − x̂ x̂ᵀ/C) written out for every row."""
    m = norm.Moments(x, (x.ndim - 1,), eps)
    size = x.shape[-1]
    outer = m.normal[..., :, None] * m.normal[..., None, :]
    eye = jnp.eye(size, dtype=x.dtype).reshape((1,) * (x.ndim - 1) + (size, size))
    jacobian = m.rho[..., None] * (eye - 1 / size - outer / size)
    dx = jnp.einsum("...ij,...i->...j", jacobian, g * norm.like(scale, x))
    return dx, norm.over_all_but_last(g * m.normal), norm.over_all_but_last(g)


def response_by_matrix(g, x, *, size=5, k=2.0, alpha=1e-4, beta=0.75):
    r = response.Response(x, size, k, alpha, beta)
    return (g * r.s**-beta - r.factor * x * r.cross(g),)


# --- the rest ---------------------------------------------------------------------------------------------------------


def entropy_by_log_softmax(z, y, *, label_smoothing=0.0):
    """−Σ q log p, under autodiff of the log-softmax with its hand-derived gradient."""
    q = (1 - label_smoothing) * loss.one_hot(z, y) + label_smoothing / z.shape[1]
    return -jnp.sum(q * HAND.log_softmax(z), axis=1)


def hinge_by_margins(g, z, y, *, margin=1.0):
    return g[:, None] * loss.hinge_slope(z, y, margin=margin), None


def variation_by_shifts(x, *, beta=2.0, eps=1e-8):
    """Written with concatenations, under autodiff, which is kept away from the slope of a root at 0."""
    a, b = loss.differences(x)
    squares = a * a + b * b + eps
    flat = squares == 0
    power = jnp.where(flat, jnp.ones_like(squares), squares) ** (beta / 2)
    return jnp.sum(jnp.where(flat, jnp.zeros_like(power), power), axis=(1, 2, 3))


def gram_by_einsum(f):
    return jnp.einsum("nhwc,nhwd->ncd", f, f) / (f.shape[1] * f.shape[2])


def error_by_product(a, t):
    return jnp.einsum("nk,nk->n", a - t, a - t)


def logsumexp_by_softmax(g, x, *, axis=-1, where=None):
    kept = jnp.ones(x.shape, bool) if where is None else where
    p = jax.nn.softmax(jnp.where(kept, x, jnp.full_like(x, -jnp.inf)), axis=axis)
    p = jnp.where(kept.any(axis, keepdims=True), p, jnp.zeros_like(p))
    gradient = jnp.expand_dims(g, axis) * p
    return (gradient,) if where is None else (gradient, None)


def gelu_by_erf(x, *, approximate=True):
    return 0.5 * x * (1 + lax.erf(x / math.sqrt(2)))


def _ruled(op, rule):
    return lambda: with_rule(getattr(HAND, op), rule)


CONTROLS = (
    Control("conv dw by taps", "conv2d", _ruled("conv2d", conv_by_taps), "one product per tap"),
    Control("conv dx by scattering", "conv2d", _ruled("conv2d", conv_by_scattering), "one sum per tap"),
    Control("conv by patches", "conv2d", lambda: conv_by_patches, "autodiff of one matrix product"),
    Control("conv dx from primitives", "conv2d", conv_rules.wrong_transpose,
            "what the mutants are planted in"),
    Control("max pool by routing", "max_pool", _ruled("max_pool", max_by_routing), "one-hot matrices"),
    Control("avg pool by matrices", "avg_pool", lambda: avg_by_matrix, "exactly linear, autodiff of two products"),
    Control("global avg pool by repetition", "global_avg_pool", _ruled("global_avg_pool", lambda g, x: (
        jnp.repeat(jnp.repeat(g[:, None, None] / (x.shape[1] * x.shape[2]), x.shape[1], 1), x.shape[2], 2),)),
            "as one would in NumPy"),
    Control("batch norm by steps", "batch_norm", lambda: _batch(by_steps), "dv, dμ, dx; returns a tuple"),
    Control("batch norm by sums", "batch_norm", lambda: _batch(by_sums), "1/m outside"),
    Control("batch norm by projection", "batch_norm", lambda: _batch(by_projection), "x̂ never formed"),
    Control("layer norm by its Jacobian", "layer_norm", _ruled("layer_norm", layer_by_jacobian), "a matrix per row"),
    Control("layer norm of one channel", "layer_norm", _ruled("layer_norm", layer_by_jacobian),
            "constant in x: a gradient of zero is right", (norm.norm_case("one channel", "layer_norm", (4, 3, 1)),)),
    Control("LRN by a matrix", "local_response_norm", _ruled("local_response_norm", response_by_matrix),
            "W as a matrix"),
    Control("cross-entropy by log-softmax", "softmax_cross_entropy", lambda: entropy_by_log_softmax, "composition"),
    Control("logsumexp by softmax", "logsumexp", _ruled("logsumexp", logsumexp_by_softmax), "JAX's own softmax"),
    Control("hinge by margins", "weston_watkins_hinge", _ruled("weston_watkins_hinge", hinge_by_margins), "counted"),
    Control("squared error by a product", "squared_error", lambda: error_by_product, "autodiff of einsum",
            (loss.PAIR,)),
    Control("sigmoid by tanh", "sigmoid", lambda: with_slope(HAND.sigmoid, lambda x: 0.25 * (
        1 - jnp.tanh(0.5 * x)) * (1 + jnp.tanh(0.5 * x))), "σ = ½ (1 + tanh ½x)"),
    Control("tanh by its square", "tanh", lambda: with_slope(HAND.tanh, lambda x: 1 - jnp.tanh(x) ** 2), "1 − t²"),
    Control("gelu by erf", "gelu", lambda: gelu_by_erf, "autodiff of erf", (elementwise.both_signs(
        "gelu", approximate=False),)),
    Control("gelu by its formula", "gelu", lambda: with_slope(HAND.gelu, lambda x, approximate=True: (
        elementwise.gelu_slope(x) if approximate else elementwise.exact_gelu_slope(x))), "as in the textbook",
            (elementwise.at("gelu", "near 0", [-1.4, -0.6, 0.3, 1.1, 1.6], spread=0.05),)),  # farther out it cancels
    Control("silu by autodiff", "silu", lambda: AUTO.silu, "x σ(x)"),
    Control("relu without forward mode", "relu", _ruled("relu", lambda g, x: (jnp.where(x > 0, g, jnp.zeros_like(g)),)),
            "a custom_vjp"),
    Control("relu of negatives", "relu", lambda: HAND.relu, "constant: a gradient of zero is right",
            (elementwise.at("relu", "negative", [-3.0, -1.0, -0.2], spread=0.01),)),
    Control("dropout by multiplication", "dropout", lambda: lambda x, mask, *, rate: x * mask.astype(x.dtype) * (
        0.0 if rate == 1 else 1 / (1 - rate)), "autodiff of a product"),
    Control("total variation by shifts", "total_variation", lambda: variation_by_shifts, "autodiff", (
        loss.VARIATION, loss.SQUARED_VARIATION)),
    Control("gram by einsum", "gram_matrix", lambda: gram_by_einsum, "autodiff of a product with itself"),
    Control("dense handed through", "dense", lambda: corrupted("dense", lambda d: d), "a mutant that changes nothing"),
)  # fmt: skip
