"""Wrong gradients of normalisations: the textbook formulas, each with a term, a factor or an axis that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.gradcheck.evidence.case import Case, gaussian
from convnet.gradcheck.evidence.planting import (
    Mutant,
    corrupted_in,
    corrupted_second_order,
    corrupted_under_vmap,
    corrupted_when_eager,
    right_gradients,
    scaled,
    with_rule,
)
from convnet.ops import HAND


def norm_case(name: str, op: str, x: tuple, draw: Callable = gaussian, **settings) -> Case:
    def arrays(rng):
        channel = [1 + 0.5 * rng.random(x[-1:]), rng.standard_normal(x[-1:])]
        if op == "batch_norm_inference":
            channel += [rng.standard_normal(x[-1:]), 0.5 + rng.random(x[-1:])]
        return draw(rng, x), *channel

    return Case(op, name, arrays, settings, terms=3 * int(np.prod(x)))


def constant_channel(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The first channel is the same everywhere."""
    x = gaussian(rng, shape)
    x[..., 0] = 0.5
    return x


def far_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1e5 + gaussian(rng, shape)


IMAGES = norm_case("images", "batch_norm", (3, 4, 3, 2))
CONSTANT = norm_case("constant channel", "batch_norm", (3, 4, 3, 2), constant_channel)
FAR = norm_case("mean 1e5", "batch_norm", (3, 4, 3, 2), far_from_zero)
NARROW = norm_case("ε of the size of the variance", "batch_norm", (3, 4, 3, 2), lambda rng, s: 3e-3 * gaussian(rng, s))
TOKENS = norm_case("rank 3", "layer_norm", (3, 4, 5))
ROWS = norm_case("rank 2", "layer_norm", (4, 5))
GROUPS = norm_case("2 groups of 3", "group_norm", (2, 3, 4, 6), groups=2)


@dataclass(frozen=True)
class Moments:
    """The quantities that the formulas speak of."""

    x: Array
    axes: tuple[int, ...]
    eps: float

    def mean(self, value: Array) -> Array:
        return jnp.mean(value, axis=self.axes, keepdims=True)

    @property
    def count(self) -> int:
        return int(np.prod([self.x.shape[axis] for axis in self.axes]))

    @property
    def centred(self) -> Array:
        return self.x - self.mean(self.x)

    @property
    def var(self) -> Array:
        return self.mean(self.centred**2)

    @property
    def rho(self) -> Array:
        return lax.rsqrt(self.var + self.eps)

    @property
    def normal(self) -> Array:
        return self.centred * self.rho


def like(channel: Array, x: Array) -> Array:
    """[C] as [1, …, 1, C], which may be multiplied with x."""
    return channel.reshape((1,) * (x.ndim - 1) + channel.shape)


def over_all_but_last(value: Array) -> Array:
    return jnp.sum(value, axis=tuple(range(value.ndim - 1)))


def standard_dx(m: Moments, h: Array) -> Array:
    """ρ (h − ⟨h⟩ − x̂ ⟨h x̂⟩) with h = dL/dx̂: the right rule."""
    return m.rho * (h - m.mean(h) - m.normal * m.mean(h * m.normal))


def through_moments(m: Moments, dmean: Array, dvar: Array) -> Array:
    """What comes through the outputs μ and v: right."""
    return (like(dmean, m.x) + 2 * like(dvar, m.x) * m.centred) / m.count


def _batch(name, defect, dx=None, *cases, dscale=None, moments=through_moments, source="invented", **fields) -> Mutant:
    """dx(m, h), dscale(m, g), moments(m, dmean, dvar): each the right one unless given."""

    def rule(g, x, scale, bias, *, eps=1e-5):
        g, dmean, dvar = g
        m = Moments(x, tuple(range(x.ndim - 1)), eps)
        through_y = (dx or standard_dx)(m, g * like(scale, x))
        through_scale = dscale(m, g) if dscale else over_all_but_last(g * m.normal)
        return through_y + moments(m, dmean, dvar), through_scale, over_all_but_last(g)

    return Mutant(
        f"batch norm: {name}", "batch_norm", lambda: with_rule(HAND.batch_norm, rule), defect, source,
        cases or (IMAGES,), **fields,
    )  # fmt: skip


def unbiased(m, h):
    """The variance is taken for Σ(x − μ)² / (m − 1)."""
    var = m.var * m.count / (m.count - 1)
    rho = lax.rsqrt(var + m.eps)
    normal = m.centred * rho
    return rho * (h - m.mean(h) - normal * m.mean(h * normal))


def summed(m, h):
    return m.rho * (h - m.count * m.mean(h) - m.normal * m.count * m.mean(h * m.normal))


def through_deviation(m, h):
    """By way of σ = √v, whose slope at 0 is infinite: 0 · ∞ where x is constant."""
    sigma = jnp.sqrt(m.var)
    dsigma = -m.mean(h * m.centred) * m.rho**3 * sigma
    return m.rho * (h - m.mean(h)) + dsigma * m.centred / sigma


def by_raw_moments(m, h):
    """The variance as ⟨x²⟩ − ⟨x⟩², which cancels where the mean is large."""
    rho = lax.rsqrt(jnp.abs(m.mean(m.x**2) - m.mean(m.x) ** 2) + m.eps)
    normal = m.centred * rho
    return rho * (h - m.mean(h) - normal * m.mean(h * normal))


def training_formula(g, x, scale, bias, mean, var, *, eps=1e-5):
    """The rule of training where mean and variance are given."""
    _, *rest = right_gradients("batch_norm_inference", g, x, scale, bias, mean, var, eps=eps)
    return standard_dx(Moments(x, tuple(range(x.ndim - 1)), eps), g * like(scale, x)), *rest


def no_half(g, *args, **settings):
    *rest, dvar = right_gradients("batch_norm_inference", g, *args, **settings)
    return *rest, 2 * dvar


def _layer(name, defect, dx, *cases, dscale=None, source="invented", **fields) -> Mutant:
    """dx(m, g, scale), dscale(m, g)."""

    def rule(g, x, scale, bias, *, eps=1e-5):
        m = Moments(x, (x.ndim - 1,), eps)
        through_scale = dscale(m, g) if dscale else over_all_but_last(g * m.normal)
        return dx(m, g, like(scale, x)), through_scale, over_all_but_last(g)

    return Mutant(
        f"layer norm: {name}", "layer_norm", lambda: with_rule(HAND.layer_norm, rule), defect, source,
        cases or (TOKENS,), **fields,
    )  # fmt: skip


def rows_are_examples(m, g, scale):
    """M = shape[0] rows of numel / M: means over all axes but the first."""
    wide = Moments(m.x, tuple(range(1, m.x.ndim)), m.eps)
    h = g * scale
    return m.rho * (h - wide.mean(h) - m.normal * wide.mean(h * m.normal))


def scaled_late(m, g, scale):
    """γ taken out of the means, as batch normalisation may."""
    return scale * standard_dx(m, g)


def eps_outside(m, g, scale):
    rho = 1 / (jnp.sqrt(m.var) + m.eps)
    h = g * scale
    return rho * (h - m.mean(h) - m.centred * rho * m.mean(h * m.centred * rho))


def right_layer(m, g, scale):
    return standard_dx(m, g * scale)


def _group(name, defect, dx, *cases, source="invented", **fields) -> Mutant:
    """dx(m, h, groups) with m the moments of [N, places, G, C // G], h = γ g of that shape."""

    def rule(g, x, scale, bias, *, groups, eps=1e-5):
        _, *rest = right_gradients("group_norm", g, x, scale, bias, groups=groups, eps=eps)
        shape = (x.shape[0], -1, groups, x.shape[-1] // groups)
        m = Moments(x.reshape(shape), (1, 3), eps)
        return dx(m, (g * like(scale, x)).reshape(shape), groups).reshape(x.shape), *rest

    return Mutant(
        f"group norm: {name}", "group_norm", lambda: with_rule(HAND.group_norm, rule), defect, source,
        cases or (GROUPS,), **fields,
    )  # fmt: skip


def per_channel(m, h, groups):
    """The sums of dγ and dβ, which belong to one channel, for those of the group."""
    alone = Moments(m.x, (1,), m.eps)
    return m.rho * (h - alone.mean(h) - m.normal * alone.mean(h * m.normal))


def interleaved(m, h, groups):
    """Channel c counted to group c mod G."""
    shape = (*m.x.shape[:2], m.x.shape[3], m.x.shape[2])
    turned = Moments(m.x.reshape(shape), (1, 2), m.eps)
    return standard_dx(turned, h.reshape(shape)).reshape(h.shape)


MUTANTS = (
    _batch("unbiased", "the variance is divided by m − 1", unbiased),
    _batch("sums for means", "1/m is missing", summed),
    _batch("no mean term", "⟨g⟩ is missing", lambda m, h: m.rho * (h - m.normal * m.mean(h * m.normal))),
    _batch("no x̂ term", "x̂ ⟨g x̂⟩ is missing", lambda m, h: m.rho * (h - m.mean(h))),
    _batch("statistics constant", "mean and variance are taken for constants", lambda m, h: m.rho * h),
    _batch("ε forgotten", "ρ = v^−½", lambda m, h: standard_dx(Moments(m.x, m.axes, 0.0), h), NARROW),
    _batch("NaN of a constant", "the slope of √v where x is constant", through_deviation, CONSTANT,
           source="jax-ml/jax 11716"),
    _batch("raw moments", "the variance as ⟨x²⟩ − ⟨x⟩²", by_raw_moments, FAR, size=1e-8),
    _batch("mean's gradient dropped", "what comes through the output μ is lost", moments=lambda m, dmean, dvar:
           through_moments(m, 0 * dmean, dvar)),
    _batch("variance's gradient dropped", "what comes through the output v is lost", moments=lambda m, dmean, dvar:
           through_moments(m, dmean, 0 * dvar)),
    _batch("variance's gradient halved", "the factor 2 is missing", moments=lambda m, dmean, dvar:
           through_moments(m, dmean, dvar / 2)),
    _batch("dγ of x", "Σ g (x − μ) for Σ g x̂", dscale=lambda m, g: over_all_but_last(g * m.centred)),
    _batch("dγ of one row", "the sum over one axis too few", dscale=lambda m, g: over_all_but_last(
        (g * m.normal)[:, 0])),
    Mutant("batch norm: second order", "batch_norm", lambda: corrupted_second_order("batch_norm"),
           "x̂ is a constant to the derivative of the gradient", cases=(IMAGES,), shows="second order"),
    Mutant("batch norm: float32 only", "batch_norm", lambda: corrupted_in("float32", "batch_norm", scaled(1.001), 0),
           "float32 is off by 1e-3", cases=(IMAGES,), shows="float32", size=9e-4),
    Mutant("batch norm eval: training formula", "batch_norm_inference", lambda: with_rule(
        HAND.batch_norm_inference, training_formula), "given statistics are differentiated", "pytorch/xla 913"),
    Mutant("batch norm eval: no half", "batch_norm_inference", lambda: with_rule(HAND.batch_norm_inference, no_half),
           "dL/dv lacks its ½"),
    _layer("first axis counts rows", "M = shape[0] for rank 3", rows_are_examples, TOKENS,
           source="flagos-ai/FlagGems 5392"),
    _layer("first axis counts rows, rank 2", "the same for rank 2, where it does", rows_are_examples, ROWS,
           equivalent=True),
    _layer("γ outside", "γ is taken out of the means over channels", scaled_late),
    _layer("ε outside", "ρ = 1 / (√v + ε)", eps_outside, size=1e-6),
    _layer("dγ of one place", "the sum over one axis too few", right_layer, dscale=lambda m, g: over_all_but_last(
        (g * m.normal)[:, 0])),
    Mutant("layer norm: vmap", "layer_norm", lambda: corrupted_under_vmap("layer_norm", lambda d: jnp.roll(d, 1, 0), 0),
           "the batching rule hands the rows' gradients round", cases=(TOKENS,), shows="vmap"),
    Mutant("layer norm: eager", "layer_norm", lambda: corrupted_when_eager("layer_norm", scaled(-1.0), 1),
           "the short cut for known values has a wrong sign in dγ", cases=(TOKENS,), shows="eager"),
    _group("channel sums", "sums per channel, as of layer norm's dγ and dβ, for those per group", per_channel,
           source="uxlfoundation/oneDNN pull 3615"),
    _group("group by modulo", "channel c is counted to group c mod G", interleaved),
)  # fmt: skip
