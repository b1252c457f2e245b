"""Activations, as definitions: the smooth ones take complex numbers, those with a kink give their gradient as well."""

import numpy as np
from scipy import special

# --- kinks: (x, …, g) -> y, dL/dx, … ----------------------------------------------------------------------------------


def leaky_relu(x, g, *, negative_slope=0.01):
    """y, dL/dx; at 0 the slope is that of the negative side."""
    slope = np.where(x > 0, 1.0, negative_slope)
    return slope * x, slope * g


def relu(x, g):
    return leaky_relu(x, g, negative_slope=0.0)


def dropout(x, mask, g, *, rate):
    """y, dL/dx, None: what is kept is divided by the probability of being kept; at rate 1 nothing is."""
    if rate == 1:
        return np.zeros(x.shape), np.zeros(x.shape), None
    return np.where(mask, x, 0) / (1 - rate), np.where(mask, g, 0) / (1 - rate), None


# --- smooth -----------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tanh(x):
    return np.tanh(x)


def gelu(x, *, approximate=True):
    """x·Φ(x), Φ = ½(1 + erf(x/√2)), or Φ ≈ ½(1 + tanh u) (Hendrycks & Gimpel, arXiv:1606.08415).

    Written as 1 + erf(z) = erfc(−z) and ½(1 + tanh u) = σ(2u), because the sums cancel for x < 0.
    """
    if approximate:
        return x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return x / 2 * special.erfc(-x / np.sqrt(2))


def softplus(x, *, beta=1.0):
    """log(1 + e^βx) / β."""
    return special.log1p(np.exp(beta * x)) / beta


def silu(x):
    return x * sigmoid(x)
