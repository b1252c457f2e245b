"""What is asked of images and features: total variation and Gram matrices."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.evidence.case import Case, Convention, Evidence, drawing, gaussian
from convnet.gradcheck.evidence.case import image as image_of
from convnet.gradcheck.evidence.draws import Draws, strategy
from convnet.gradcheck.evidence.planting import Control, Mutant, corrupted, scaled, with_rule
from convnet.gradcheck.oracle import by_complex_step
from convnet.ops import HAND

TOTAL_VARIATION = tuple(
    Case("total_variation", name, drawing(shape), settings, 12)
    for name, shape, settings in (
        ("beta 1, H ≠ W", (2, 3, 5, 2), {"beta": 1.0, "eps": 1.0}),
        ("beta 2", (2, 5, 3, 2), {}),
        ("beta 3", (1, 4, 6, 2), {"beta": 3.0}),
        ("beta 1.5, small eps", (1, 5, 4, 2), {"beta": 1.5}),
        ("one row", (2, 1, 6, 2), {"beta": 1.5, "eps": 1e-4}),
        ("one column", (2, 6, 1, 2), {"beta": 1.0, "eps": 1.0}),
    )
)
GRAM_MATRIX = tuple(
    Case("gram_matrix", name, drawing(shape), {}, 2 * shape[-1])
    for name, shape in {
        "H ≠ W": (2, 3, 4, 3),
        "more channels than places": (1, 1, 2, 5),
        "one channel": (2, 4, 3, 1),
    }.items()
)
CONVENTIONS = (
    Convention("total_variation", "flat, eps 0", (np.ones((1, 3, 2, 1)),), {"beta": 1.0, "eps": 0.0},
               (np.zeros((1, 3, 2, 1)),)),
    Convention("total_variation", "flat next to a step, eps 0", (image_of([0, 0, 2]),), {"beta": 1.0, "eps": 0.0},
               (image_of([0, -1, 1]),)),
    Convention("total_variation", "flat, eps 0, beta 2", (np.ones((1, 2, 3, 1)),), {"beta": 2.0, "eps": 0.0},
               (np.zeros((1, 2, 3, 1)),)),
)  # fmt: skip


# --- oracles: definitions that take complex numbers -------------------------------------------------------------------


def total_variation(x, *, beta=2.0, eps=1e-8):
    """Σ (∂h² + ∂w² + ε)^(β/2) per example; a difference past the border is 0."""
    down, right = np.zeros(x.shape, x.dtype), np.zeros(x.shape, x.dtype)
    down[:, :-1] = x[:, 1:] - x[:, :-1]
    right[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    return np.sum((down**2 + right**2 + eps) ** (beta / 2), axis=(1, 2, 3))


def gram_matrix(f):
    """G[c, d] = Σ_places f[c] · f[d] / (H·W) per example."""
    n, height, width, channels = f.shape
    gram = np.zeros((n, channels, channels), f.dtype)
    for h, w in np.ndindex(height, width):
        gram += f[:, h, w, :, None] * f[:, h, w, None, :] / (height * width)
    return gram


# --- random calls -----------------------------------------------------------------------------------------------------


def _variation_call(draws: Draws) -> tuple[tuple, dict]:
    """For β = 1 along one line the gradient is a difference of near ±1: with a small ε only rounding is left."""
    beta = draws.choice(2.0, 1.0, 3.0, 1.5)
    settings = dict(beta=beta, eps=1.0 if beta == 1 else draws.choice(1e-2, 1e-8, 1.0))
    return draws.gaussians((*draws.shape(axes=(3, 3)), draws.number(1, 2))), settings


def _gram_call(draws: Draws) -> tuple[tuple, dict]:
    return draws.gaussians(draws.shape(axes=(4, 4))), {}


EVIDENCE = {
    "total_variation": Evidence(TOTAL_VARIATION, by_complex_step(total_variation), strategy(_variation_call)),
    "gram_matrix": Evidence(GRAM_MATRIX, by_complex_step(gram_matrix), strategy(_gram_call)),
}


# --- planted ----------------------------------------------------------------------------------------------------------


def image(op: str, name: str, shape: tuple = (2, 4, 5, 2), **settings) -> Case:
    return Case(op, name, lambda rng: (gaussian(rng, shape),), settings, terms=2 * shape[1] * shape[2])


VARIATION = image("total_variation", "β = 1", beta=1.0, eps=1e-2)
SQUARED_VARIATION = image("total_variation", "β = 2")
FEATURES = image("gram_matrix", "features", (2, 3, 4, 3))
FEATURE = image("gram_matrix", "one channel", (2, 3, 4, 1))


def differences(x):
    """(x[h+1] − x[h], x[w+1] − x[w]), 0 past the border."""
    a = jnp.concatenate([x[:, 1:] - x[:, :-1], jnp.zeros_like(x[:, :1])], axis=1)
    b = jnp.concatenate([x[:, :, 1:] - x[:, :, :-1], jnp.zeros_like(x[:, :, :1])], axis=2)
    return a, b


def gathered(u, v):
    """u[h−1] − u[h] + v[w−1] − v[w], nothing from past the border: the adjoint of `differences`."""
    down = jnp.concatenate([jnp.zeros_like(u[:, :1]), u[:, :-1]], axis=1)
    right = jnp.concatenate([jnp.zeros_like(v[:, :, :1]), v[:, :, :-1]], axis=2)
    return down - u + right - v


def wrapped(u, v):
    """The adjoint of periodic differences, taken inwards: the last row and column keep their own."""
    return jnp.roll(u, 1, 1) - u + jnp.roll(v, 1, 2) - v


def no_border(u, v):
    """The first row and column, which have no neighbour before them, are left out."""
    return gathered(u, v).at[:, 0].set(0).at[:, :, 0].set(0)


def _variation(name, defect, *cases, eps_kept=True, exponent=-2.0, factor=True, adjoint=gathered, **fields) -> Mutant:
    def rule(g, x, *, beta=2.0, eps=1e-8):
        a, b = differences(x)
        m = jnp.sqrt(a * a + b * b + (eps if eps_kept else 0.0))
        slope = (beta if factor else 1.0) * jnp.where(m > 0, m, jnp.ones_like(m)) ** (beta + exponent)
        return (g[:, None, None, None] * adjoint(slope * a, slope * b),)

    return Mutant(f"total variation: {name}", "total_variation", lambda: with_rule(HAND.total_variation, rule), defect,
                  cases=cases or (VARIATION,), **fields)  # fmt: skip


def _gram(name, defect, rule, *cases, **fields) -> Mutant:
    def ruled(g, f):
        n, h, w, c = f.shape
        return (rule(g, f.reshape(n, h * w, c)).reshape(f.shape) / (h * w),)

    return Mutant(f"gram: {name}", "gram_matrix", lambda: with_rule(HAND.gram_matrix, ruled), defect,
                  cases=cases or (FEATURES,), **fields)  # fmt: skip


MUTANTS = (
    _variation("no border", "the first row and column get none", adjoint=no_border),
    _variation("wrapped", "a periodic border, which changes nothing: the last differences are 0", adjoint=wrapped,
               equivalent=True),
    _variation("ε forgotten", "m without ε", eps_kept=False),
    _variation("exponent", "m^(β − 1) for m^(β − 2)", exponent=-1.0),
    _variation("β forgotten", "the factor β is missing", SQUARED_VARIATION, factor=False),
    _variation("β = 1 forgotten", "the same at β = 1", factor=False, equivalent=True),
    _gram("one side", "F g for F (g + gᵀ)", lambda g, f: f @ g),
    _gram("symmetric", "2 F g, right for a symmetric g alone", lambda g, f: 2 * f @ g),
    _gram("symmetric, one channel", "the same where every g is symmetric", lambda g, f: 2 * f @ g, FEATURE,
          equivalent=True),
    _gram("not divided", "1 / HW is missing", lambda g, f: f.shape[1] * (f @ (g + jnp.swapaxes(g, 1, 2)))),
    Mutant("gram: sign", "gram_matrix", lambda: corrupted("gram_matrix", scaled(-1.0)), "the sign is flipped",
           cases=(FEATURES,)),
)  # fmt: skip


def variation_by_shifts(x, *, beta=2.0, eps=1e-8):
    """Written with concatenations, under autodiff, which is kept away from the slope of a root at 0."""
    a, b = differences(x)
    squares = a * a + b * b + eps
    flat = squares == 0
    power = jnp.where(flat, jnp.ones_like(squares), squares) ** (beta / 2)
    return jnp.sum(jnp.where(flat, jnp.zeros_like(power), power), axis=(1, 2, 3))


def gram_by_einsum(f):
    return jnp.einsum("nhwc,nhwd->ncd", f, f) / (f.shape[1] * f.shape[2])


CONTROLS = (
    Control("total variation by shifts", "total_variation", lambda: variation_by_shifts, "autodiff", (
        VARIATION, SQUARED_VARIATION)),
    Control("gram by einsum", "gram_matrix", lambda: gram_by_einsum, "autodiff of a product with itself"),
)  # fmt: skip
