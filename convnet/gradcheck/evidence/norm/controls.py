"""Right gradients of normalisations, obtained in unusual ways."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from convnet.gradcheck.evidence.norm import mutants as norm
from convnet.gradcheck.evidence.norm.response import Response
from convnet.gradcheck.evidence.planting import Control, ruled, with_rule
from convnet.ops import HAND


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
    r = Response(x, size, k, alpha, beta)
    return (g * r.s**-beta - r.factor * x * r.cross(g),)


CONTROLS = (
    Control("batch norm by steps", "batch_norm", lambda: _batch(by_steps), "dv, dμ, dx; returns a tuple"),
    Control("batch norm by sums", "batch_norm", lambda: _batch(by_sums), "1/m outside"),
    Control("batch norm by projection", "batch_norm", lambda: _batch(by_projection), "x̂ never formed"),
    Control("layer norm by its Jacobian", "layer_norm", ruled("layer_norm", layer_by_jacobian), "a matrix per row"),
    Control("layer norm of one channel", "layer_norm", ruled("layer_norm", layer_by_jacobian),
            "constant in x: a gradient of zero is right", (norm.norm_case("one channel", "layer_norm", (4, 3, 1)),)),
    Control("LRN by a matrix", "local_response_norm", ruled("local_response_norm", response_by_matrix),
            "W as a matrix"),
)  # fmt: skip
