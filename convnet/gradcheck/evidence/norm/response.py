"""Wrong gradients of local response normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.gradcheck.evidence.case import Case, gaussian
from convnet.gradcheck.evidence.planting import Mutant, with_rule
from convnet.ops import HAND


def response_case(name: str, **settings) -> Case:
    return Case("local_response_norm", name, lambda rng: (gaussian(rng, (2, 2, 3, 7)),), settings, terms=16)


ALPHA_1 = response_case("α = 1", alpha=1.0)
EVEN_WINDOW = response_case("α = 1, even window", alpha=1.0, size=4)


def sum_channels(x: Array, before: int, after: int) -> Array:
    """Σ over the channels c − before … c + after."""
    channels = np.arange(x.shape[-1])
    distance = channels[:, None] - channels  # from the channel that is summed into to the one summed
    reached = (distance <= before) & (-distance <= after)
    return jnp.einsum("kc,...c->...k", jnp.asarray(reached, x.dtype), x)


@dataclass(frozen=True)
class Response:
    x: Array
    size: int
    k: float
    alpha: float
    beta: float

    @property
    def s(self) -> Array:
        return self.k + self.alpha / self.size * sum_channels(self.x**2, self.size // 2, (self.size - 1) // 2)

    def spread(self, value: Array) -> Array:
        """Wᵀ: the mirrored window."""
        return sum_channels(value, (self.size - 1) // 2, self.size // 2)

    @property
    def factor(self) -> float:
        return 2 * self.alpha * self.beta / self.size

    def cross(self, g: Array) -> Array:
        return self.spread(g * self.x * self.s ** (-self.beta - 1))


def _response(name, defect, dx, *cases, source="invented", **fields) -> Mutant:
    def rule(g, x, *, size=5, k=2.0, alpha=1e-4, beta=0.75):
        return (dx(Response(x, size, k, alpha, beta), g),)

    return Mutant(
        f"LRN: {name}", "local_response_norm", lambda: with_rule(HAND.local_response_norm, rule), defect, source,
        cases or (ALPHA_1,), **fields,
    )  # fmt: skip


def own_channel(r, g):
    """In the cross term only the channel itself, not its neighbours."""
    return g * r.s**-r.beta - r.factor * r.x * (g * r.x * r.s ** (-r.beta - 1))


MUTANTS = (
    _response("own channel", "the cross term lacks the neighbours", own_channel,
              source="deeplearning4j/deeplearning4j 7272"),
    _response("copied rule", "the rule of the layer before: g goes through", lambda r, g: g,
              source="andersbll/deeppy 15"),
    _response("no factor 2", "the slope of x² is x", lambda r, g: g * r.s**-r.beta - r.factor / 2 * r.x * r.cross(g)),
    _response("α undivided", "1/n is missing in the gradient", lambda r, g:
              g * r.s**-r.beta - r.size * r.factor * r.x * r.cross(g)),
    _response("window not mirrored", "W for Wᵀ", lambda r, g: g * r.s**-r.beta - r.factor * r.x * sum_channels(
        g * r.x * r.s ** (-r.beta - 1), r.size // 2, (r.size - 1) // 2), EVEN_WINDOW),
    _response("odd window not mirrored", "the same where both are one", lambda r, g:
              g * r.s**-r.beta - r.factor * r.x * sum_channels(g * r.x * r.s ** (-r.beta - 1), r.size // 2,
                                                               (r.size - 1) // 2), ALPHA_1, equivalent=True),
    _response("exponent", "s^−β for s^(−β−1) in the cross term", lambda r, g:
              g * r.s**-r.beta - r.factor * r.x * r.spread(g * r.x * r.s**-r.beta)),
)  # fmt: skip
