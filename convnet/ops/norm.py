"""Normalisation, with hand-derived gradients.

Batch, layer and group normalisation differ only in the set of values that share a mean and a variance. So there is one
rule, that of `_standardize`; the ops choose the axes, then scale and shift. bfloat16 and float16 are computed in
float32 throughout. Every op supports every transform, to any order.
"""

from __future__ import annotations

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet.ops.checks import check_array, check_groups, check_same_dtype, real
from convnet.ops.dense import spread_forward, spread_p
from convnet.ops.precision import in_float32
from convnet.ops.primitive import divided_as


def check_channels(x: Array, *, averaged: slice | None = None, **per_channel: Array) -> None:
    """x: [N, …, C]; `averaged`: the axes of which at least one value is needed; per_channel: arrays [C]."""
    x = check_array("x", x)
    if len(x.shape) < 2:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected at least 2 axes [N, …, C]")
    for name, value in per_channel.items():
        if tuple(check_array(name, value).shape) != tuple(x.shape[-1:]):
            raise ValueError(f"{name} has shape {tuple(value.shape)}: expected ({x.shape[-1]},), one per channel")
    check_same_dtype(x=x, **per_channel)
    if averaged is not None and 0 in x.shape[averaged]:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected at least one value to average")


# --- one mean and variance for some axes ------------------------------------------------------------------------------


def _standardize_forward(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    """(x̂, μ, v) with x̂ = (x − μ) / √(v + ε), μ and v (biased) over `axes`, which stay as 1 in μ and v."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    var = jnp.mean(centred * centred, axis=axes, keepdims=True)
    return centred * lax.rsqrt(var + eps), mean, var


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _standardize(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    """`_standardize_forward` with its rule. With ρ = (v + ε)^−½ and ⟨·⟩ the mean over the axes:

    dμ = ⟨dx⟩,   dv = 2⟨(x − μ) dx⟩,   dx̂ = ρ (dx − ⟨dx⟩ − x̂ ⟨x̂ dx⟩),

    the last from x̂ = (x − μ) ρ and dρ = −½ρ³ dv = −ρ² ⟨x̂ dx⟩. The map dx -> dx̂ is its own transpose, so with h = dL/dx̂
    dL/dx = ρ (h − ⟨h⟩ − x̂ ⟨x̂ h⟩) + (dL/dμ + 2 (x − μ) dL/dv) / m, m values sharing one mean.
    """
    return _standardize_forward(x, axes, eps)


@_standardize.defjvp
def _standardize_jvp(axes, eps, primals, tangents):
    (x,), (dx,) = primals, tangents
    normal, mean, var = _standardize(x, axes, eps)

    def average(value):
        return jnp.mean(value, axis=axes, keepdims=True)

    dmean = average(dx)
    dnormal = lax.rsqrt(var + eps) * (dx - dmean - normal * average(normal * dx))
    return (normal, mean, var), (dnormal, dmean, 2 * average((x - mean) * dx))


def _scale_shift(spread, x: Array, scale: Array, bias: Array) -> Array:
    """x γ + β with γ, β: [C] at every place: dL/dx = g γ; spreading's adjoint adds up, dL/dγ = Σ g x, dL/dβ = Σ g."""
    scale, bias = (divided_as(spread(v, middle=tuple(x.shape[:-1])), x) for v in (scale, bias))
    return x * scale + bias


# --- batch ------------------------------------------------------------------------------------------------------------


def _batch_norm(standardize, spread, x, scale, bias, eps):
    check_channels(x, scale=scale, bias=bias, averaged=slice(None, -1))
    eps, axes = real("eps", eps, above=0), tuple(range(len(x.shape) - 1))

    def normalize(x, scale, bias):
        normal, mean, var = standardize(x, axes, eps)
        return _scale_shift(spread, normal, scale, bias), mean.reshape(x.shape[-1:]), var.reshape(x.shape[-1:])

    return in_float32(normalize, x, scale, bias)


def batch_norm(x: Array, scale: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """y = γ x̂ + β with x̂ = (x − μ) / √(v + ε), and the μ and v of each channel (Ioffe & Szegedy, ICML 2015).

    x: [N, …, C], scale γ, bias β: [C], all of one floating dtype -> y: as x, μ: [C], v: [C] of the same. μ and v are
    taken over all axes but the last; v is biased, Σ(x − μ)² / m with m values per channel.

    Gradient, with ρ = (v + ε)^−½, ⟨·⟩ the mean over the m values of a channel, and ḡ_μ, ḡ_v upstream of μ and v:
        dL/dβ = Σ g,   dL/dγ = Σ g x̂,
        dL/dx = γρ (g − ⟨g⟩ − x̂ ⟨g x̂⟩) + ḡ_μ / m + 2 ḡ_v (x − μ) / m.
    So for y alone Σ dx = 0, a constant g gives dx = 0, and Σ x̂·dx = γρ·(dL/dγ)·ε/(v + ε), which is not 0.
    Where x is constant it is smooth too, thanks to ε. Every transform, any order.

    Raises ValueError for fewer than two axes, mixed dtypes, a scale or bias that is not [C], an eps that is not
    positive, and where there are no values to average.
    """
    return _batch_norm(_standardize, spread_p.bind, x, scale, bias, eps)


def batch_norm_forward(x, scale, bias, *, eps=1e-5):
    """`batch_norm` without our gradient."""
    return _batch_norm(_standardize_forward, spread_forward, x, scale, bias, eps)


batch_norm.forward = batch_norm_forward


def _standardize_with_forward(spread, x, mean, var, eps):
    mean, scale = (divided_as(spread(v, middle=tuple(x.shape[:-1])), x) for v in (mean, lax.rsqrt(var + eps)))
    return (x - mean) * scale


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _standardize_with(x: Array, mean: Array, var: Array, eps: float) -> Array:
    """x̂ = (x − μ)ρ for given μ, v: [C]. With ρ = (v + ε)^−½ and dρ = −½ρ³ dv: dx̂ = ρ (dx − dμ) − ½ x̂ dv / (v + ε)."""
    return _standardize_with_forward(spread_forward, x, mean, var, eps)


@_standardize_with.defjvp
def _standardize_with_jvp(eps, primals, tangents):
    (x, mean, var), (dx, dmean, dvar) = primals, tangents

    def spread(v):
        return divided_as(spread_p.bind(v, middle=tuple(x.shape[:-1])), x)

    normal = _standardize_with(x, mean, var, eps)
    return normal, spread(lax.rsqrt(var + eps)) * (dx - spread(dmean)) - normal * spread(0.5 * dvar / (var + eps))


def _batch_norm_inference(standardize_with, spread, x, scale, bias, mean, var, eps):
    check_channels(x, scale=scale, bias=bias, mean=mean, var=var)
    eps = real("eps", eps, above=0)

    def normalize(x, scale, bias, mean, var):
        return _scale_shift(spread, standardize_with(x, mean, var, eps), scale, bias)

    return in_float32(normalize, x, scale, bias, mean, var)


def batch_norm_inference(x: Array, scale: Array, bias: Array, mean: Array, var: Array, *, eps: float = 1e-5) -> Array:
    """y = γ x̂ + β with x̂ = (x − μ) / √(v + ε), μ and v given, as after training: each value on its own.

    x: [N, …, C], scale γ, bias β, mean μ, var v: [C], all of one floating dtype -> as x.

    Gradient, with ρ = (v + ε)^−½: dL/dx = γρ g; sums over all axes but the last: dL/dβ = Σ g, dL/dγ = Σ g x̂,
    dL/dμ = −γρ Σ g, dL/dv = −½ γ Σ g x̂ / (v + ε). Every transform, any order.

    Raises ValueError as `batch_norm` does, for mean and var too; a batch without values is fine.
    """
    return _batch_norm_inference(_standardize_with, spread_p.bind, x, scale, bias, mean, var, eps)


def batch_norm_inference_forward(x, scale, bias, mean, var, *, eps=1e-5) -> Array:
    """`batch_norm_inference` without our gradient."""
    return _batch_norm_inference(
        partial(_standardize_with_forward, spread_forward), spread_forward, x, scale, bias, mean, var, eps
    )


batch_norm_inference.forward = batch_norm_inference_forward


# --- layer and group --------------------------------------------------------------------------------------------------


def _layer_norm(standardize, spread, x, scale, bias, eps):
    check_channels(x, scale=scale, bias=bias, averaged=slice(-1, None))
    eps = real("eps", eps, above=0)

    def normalize(x, scale, bias):
        return _scale_shift(spread, standardize(x, (len(x.shape) - 1,), eps)[0], scale, bias)

    return in_float32(normalize, x, scale, bias)


def layer_norm(x: Array, scale: Array, bias: Array, *, eps: float = 1e-5) -> Array:
    """y = γ x̂ + β with x̂ = (x − μ) / √(v + ε), μ and v over the last axis (Ba, Kiros & Hinton, arXiv:1607.06450).

    x: [N, …, C], scale γ, bias β: [C], all of one floating dtype -> as x.

    Gradient, with ρ = (v + ε)^−½, h = γ g and ⟨·⟩ the mean over the last axis: dL/dx = ρ (h − ⟨h⟩ − x̂ ⟨h x̂⟩);
    dL/dγ = Σ g x̂ and dL/dβ = Σ g over all other axes. Every transform, any order.

    Raises ValueError as `batch_norm` does.
    """
    return _layer_norm(_standardize, spread_p.bind, x, scale, bias, eps)


def layer_norm_forward(x, scale, bias, *, eps=1e-5) -> Array:
    """`layer_norm` without our gradient."""
    return _layer_norm(_standardize_forward, spread_forward, x, scale, bias, eps)


layer_norm.forward = layer_norm_forward


def _group_norm(standardize, spread, x, scale, bias, groups, eps):
    check_channels(x, scale=scale, bias=bias, averaged=slice(1, None))
    check_groups(groups, x.shape[-1])
    eps = real("eps", eps, above=0)
    n, *places, channels = x.shape

    def normalize(x, scale, bias):
        rows = x.reshape(n, prod(places), channels)  # in two steps, each of which explicit sharding understands
        normal = standardize(rows.reshape(*rows.shape[:2], groups, channels // groups), (1, 3), eps)[0]
        return _scale_shift(spread, normal.reshape(rows.shape).reshape(x.shape), scale, bias)

    return in_float32(normalize, x, scale, bias)


def group_norm(x: Array, scale: Array, bias: Array, *, groups: int, eps: float = 1e-5) -> Array:
    """y = γ x̂ + β with x̂ = (x − μ) / √(v + ε), μ and v per image and group of channels (Wu & He, ECCV 2018).

    x: [N, …, C], scale γ, bias β: [C], all of one floating dtype -> as x. A mean is taken over all places of an image
    and C / groups neighbouring channels. groups = C is instance normalisation.

    Gradient: that of `layer_norm`, ⟨·⟩ the mean over those values. Every transform, any order.

    Raises ValueError as `batch_norm` does, and for groups that do not divide the channels.
    """
    return _group_norm(_standardize, spread_p.bind, x, scale, bias, groups, eps)


def group_norm_forward(x, scale, bias, *, groups, eps=1e-5) -> Array:
    """`group_norm` without our gradient."""
    return _group_norm(_standardize_forward, spread_forward, x, scale, bias, groups, eps)


group_norm.forward = group_norm_forward
