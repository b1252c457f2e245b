"""Log densities of `jax.scipy.stats`, likelihoods, filters and solvers of statistics and physics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax.scipy import stats
from jax.scipy.special import gammaln
from scipy.special import erfc, loggamma

from convnet.gradcheck.evidence.right_functions.right import (
    MODERATE,
    UNIT,
    RightFunction,
    definite,
    normal,
    probabilities,
    right,
)

LOG_2PI = float(np.log(2 * np.pi))


def located(rng, scale):
    """Observations at the scale, with location and width to match."""
    return (
        scale * rng.standard_normal(8),
        0.3 * scale * rng.standard_normal(),
        scale * np.exp(0.3 * rng.standard_normal()),
    )


def tailed(rng, scale):
    x, place, width = located(rng, scale)
    return x, rng.uniform(2, 8), place, width


def above_zero(rng, scale):
    return scale * np.exp(0.5 * rng.standard_normal(8)), rng.uniform(0.5, 4)


def fractions(rng, scale):
    return rng.uniform(0.05, 0.95, 8), rng.uniform(0.5, 4), rng.uniform(0.5, 4)


def counts(rng, scale):
    return rng.poisson(scale, 8), scale * np.exp(0.3 * rng.standard_normal())


def composition(rng, scale):
    return probabilities(rng, (4,)), rng.uniform(0.5, 4, 4)


def vectors(rng, scale):
    return scale * rng.standard_normal(4), scale * rng.standard_normal(4), scale**2 * definite(rng, 4)


def normal_logpdf(x, mean, sigma):
    return -(((x - mean) / sigma) ** 2) / 2 - jnp.log(sigma) - LOG_2PI / 2


def numpy_normal_logpdf(x, mean, sigma):
    return -(((x - mean) / sigma) ** 2) / 2 - np.log(sigma) - LOG_2PI / 2


def t_logpdf(x, df, place, width):
    z = (x - place) / width
    normaliser = gammaln((df + 1) / 2) - gammaln(df / 2) - jnp.log(df * np.pi) / 2 - jnp.log(width)
    return normaliser - (df + 1) / 2 * jnp.log1p(z**2 / df)


def gaussian_by_cholesky(x, mean, covariance):
    factor = jnp.linalg.cholesky(covariance)
    z = jsl.solve_triangular(factor, x - mean, lower=True)
    return -(z @ z) / 2 - jnp.log(jnp.diag(factor)).sum() - len(x) * LOG_2PI / 2


def gaussian_by_inverse(x, mean, covariance):
    covariance = (covariance + covariance.T) / 2
    d = x - mean
    return -(d @ jnp.linalg.inv(covariance) @ d + jnp.linalg.slogdet(covariance)[1] + len(x) * LOG_2PI) / 2


def process_likelihood(jitter: float):
    """Log marginal likelihood of a Gaussian process at fixed places, in its length, amplitude and observations."""
    places = np.linspace(0, 1, 12)
    squared = (places[:, None] - places[None, :]) ** 2

    def likelihood(log_length, log_amplitude, y):
        kernel = jnp.exp(2 * log_amplitude - squared / 2 * jnp.exp(-2 * log_length))
        factor = jnp.linalg.cholesky(kernel + jitter * jnp.eye(12))
        z = jsl.solve_triangular(factor, y, lower=True)
        return -(z @ z) / 2 - jnp.log(jnp.diag(factor)).sum() - 6 * LOG_2PI

    return likelihood


def smooth_observations(rng, scale):
    x = np.linspace(0, 1, 12)
    y = scale * (np.sin(5 * x) + 0.01 * rng.standard_normal(12))
    return np.log(0.15) + 0.1 * rng.standard_normal(), np.log(scale) + 0.1 * rng.standard_normal(), y


def kalman(mean, covariance, observation, noise):
    """One step of a filter of position and velocity: predicted, then corrected."""
    f, h = np.array([[1, 0.1], [0, 1]]), np.array([[1.0, 0]])
    mean, covariance = f @ mean, f @ covariance @ f.T + 0.01 * np.eye(2)
    s = h @ covariance @ h.T + noise
    gain = jnp.linalg.solve(s, h @ covariance).T
    return mean + gain @ (observation - h @ mean), covariance - gain @ h @ covariance


def filter_state(rng, scale):
    return scale * rng.standard_normal(2), definite(rng, 2), scale * rng.standard_normal(1), np.array([[0.5]])


def forward_algorithm(log_start, log_steps, log_emissions):
    """Likelihood of a hidden Markov model, in logarithms."""

    def step(alpha, emission):
        return jax.nn.logsumexp(alpha[:, None] + log_steps, axis=0) + emission, None

    alpha, _ = jax.lax.scan(step, log_start + log_emissions[0], log_emissions[1:])
    return jax.nn.logsumexp(alpha)


def all_paths(log_start, log_steps, log_emissions):
    """The same over all sequences of states."""
    paths = np.stack(np.meshgrid(*[range(3)] * 5, indexing="ij"), -1).reshape(-1, 5)
    scores = log_start[paths[:, 0]] + log_emissions[np.arange(5), paths].sum(1)
    return jax.nn.logsumexp(scores + log_steps[paths[:, :-1], paths[:, 1:]].sum(1))


def pendulum(state, length):
    """Twenty steps of Runge and Kutta."""

    def slope(s):
        return jnp.stack([s[1], -9.81 / length * jnp.sin(s[0])])

    def step(s, _):
        a = slope(s)
        b = slope(s + 0.025 * a)
        c = slope(s + 0.025 * b)
        d = slope(s + 0.05 * c)
        return s + 0.05 / 6 * (a + 2 * b + 2 * c + d), None

    return jax.lax.scan(step, state, None, length=20)[0]


def lorenz_energy(state):
    def step(s, _):
        x, y, z = s
        return s + 0.01 * jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]), None

    return jnp.sum(jax.lax.scan(step, state, None, length=50)[0] ** 2)


def lennard_jones(places):
    """Energy of atoms: [N, 3]."""
    i, j = np.triu_indices(len(places), 1)
    r6 = ((places[i] - places[j]) ** 2).sum(-1) ** -3
    return 4 * jnp.sum(r6**2 - r6)


def lattice(rng, scale):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], float)
    return (scale * (1.1 * corners + 0.05 * rng.standard_normal((5, 3))),)


def black_scholes(spot, strike, time, volatility, rate):
    d = (jnp.log(spot / strike) + (rate + volatility**2 / 2) * time) / (volatility * jnp.sqrt(time))
    later = d - volatility * jnp.sqrt(time)
    return spot * stats.norm.cdf(d) - strike * jnp.exp(-rate * time) * stats.norm.cdf(later)


def cdf(x):
    """Of the normal distribution, also of complex numbers."""
    return erfc(-x / np.sqrt(2)) / 2


def option(rng, scale):
    return scale * rng.uniform(80, 120), scale * 100.0, rng.uniform(0.2, 2), rng.uniform(0.1, 0.4), 0.03


def odds(rng, scale):
    return rng.integers(0, 2, 8), rng.uniform(0.1, 0.9, 8)


def soft_assignments(points, centres):
    d = ((points[:, None] - centres[None]) ** 2).sum(-1)
    return -jax.nn.logsumexp(-d / 2, axis=1).sum()


def sinkhorn(cost):
    """Optimal transport with entropy, thirty rounds in logarithms."""
    f, g = jnp.zeros(4), jnp.zeros(5)
    for _ in range(30):
        f = -jax.nn.logsumexp(g[None] - cost - np.log(5), axis=1)
        g = -jax.nn.logsumexp(f[:, None] - cost - np.log(4), axis=0)
    return f.mean() + g.mean()


RIGHT: tuple[RightFunction, ...] = (
    right("norm.logpdf", stats.norm.logpdf, located, reference=normal_logpdf, oracle=numpy_normal_logpdf),
    right("norm.logcdf", stats.norm.logcdf, normal((8,)), accuracy=1e-6),  # a series of three terms in the tail
    right("norm.cdf", stats.norm.cdf, located, reference=lambda x, m, s: jax.scipy.special.ndtr((x - m) / s)),
    right("t.logpdf", stats.t.logpdf, tailed, reference=t_logpdf),
    right("cauchy.logpdf", stats.cauchy.logpdf, located, oracle=lambda x, m, s: (
        -np.log(np.pi * s * (1 + ((x - m) / s) ** 2)))),
    right("laplace.logpdf", stats.laplace.logpdf, located, reference=lambda x, m, s: (
        -jnp.abs(x - m) / s - jnp.log(2 * s))),
    right("logistic.logpdf", stats.logistic.logpdf, located, reference=lambda x, m, s: (
        -(x - m) / s - 2 * jax.nn.softplus(-(x - m) / s) - jnp.log(s))),
    right("gamma.logpdf", lambda x, a: stats.gamma.logpdf(x, a), above_zero, reference=lambda x, a: (
        (a - 1) * jnp.log(x) - x - gammaln(a))),
    right("chi2.logpdf", lambda x, k: stats.chi2.logpdf(x, k), above_zero, oracle=lambda x, k: (
        (k / 2 - 1) * np.log(x) - x / 2 - k / 2 * np.log(2) - loggamma(k / 2))),
    right("expon.logpdf", lambda x, s: stats.expon.logpdf(x, scale=s), above_zero),
    right("pareto.logpdf", lambda x, b: stats.pareto.logpdf(1 + x, b), above_zero, reference=lambda x, b: (
        jnp.log(b) - (b + 1) * jnp.log1p(x))),
    right("beta.logpdf", lambda x, a, b: stats.beta.logpdf(x, a, b), fractions, UNIT, oracle=lambda x, a, b: (
        (a - 1) * np.log(x) + (b - 1) * np.log(1 - x) + loggamma(a + b) - loggamma(a) - loggamma(b))),
    right("gennorm.logpdf", lambda x, b: stats.gennorm.logpdf(x, b), above_zero, MODERATE),
    right("truncnorm.logpdf", lambda x: stats.truncnorm.logpdf(x, -3.0, 3.0), lambda rng, scale: (
        rng.uniform(-2.5, 2.5, 8),), UNIT),
    right("vonmises.logpdf", lambda x, k: stats.vonmises.logpdf(x, k), lambda rng, scale: (
        rng.uniform(-3, 3, 8), scale * rng.uniform(0.5, 2))),
    right("poisson.logpmf", stats.poisson.logpmf, counts, reference=lambda k, mu: (
        k * jnp.log(mu) - mu - gammaln(k + 1.0))),
    right("bernoulli.logpmf", stats.bernoulli.logpmf, odds, UNIT, reference=lambda k, p: (
        jnp.where(k == 1, jnp.log(p), jnp.log1p(-p)))),
    right("nbinom.logpmf", lambda k, p: stats.nbinom.logpmf(k, 5.0, p), lambda rng, scale: (
        rng.integers(0, 20, 8), rng.uniform(0.1, 0.9)), UNIT),
    right("dirichlet.logpdf", lambda a, x: stats.dirichlet.logpdf(x, a), lambda rng, scale: (
        composition(rng, scale)[::-1]), UNIT, argnums=0, reference=lambda a, x: (
        jnp.sum((a - 1) * jnp.log(x)) + gammaln(a.sum()) - gammaln(a).sum())),
    right("multivariate_normal.logpdf", stats.multivariate_normal.logpdf, vectors, reference=gaussian_by_cholesky),
    right("Gaussian by inverse", gaussian_by_inverse, vectors),
    right("Gaussian process", process_likelihood(1e-2), smooth_observations, UNIT),
    right("Gaussian process, small jitter", process_likelihood(1e-6), smooth_observations, UNIT),
    right("Gaussian process, tiny jitter", process_likelihood(1e-9), smooth_observations, UNIT),
    right("Kalman filter", kalman, filter_state),
    right("hidden Markov model", forward_algorithm, normal((3,), (3, 3), (5, 3)), reference=all_paths),
    right("pendulum", pendulum, lambda rng, scale: (scale * rng.standard_normal(2), rng.uniform(0.5, 2)),
          (1e-3, 0.1, 1.0)),
    right("Lorenz", lorenz_energy, lambda rng, scale: (scale * (rng.standard_normal(3) + 5),), UNIT),
    right("Lennard-Jones", lennard_jones, lattice, (1.0, 2.0)),
    right("Black-Scholes", black_scholes, option, (0.01, 1.0, 100.0), oracle=lambda s, k, t, v, r: s * cdf(
        (np.log(s / k) + (r + v**2 / 2) * t) / (v * np.sqrt(t))) - k * np.exp(-r * t) * cdf(
        (np.log(s / k) + (r - v**2 / 2) * t) / (v * np.sqrt(t)))),
    right("soft clusters", soft_assignments, normal((6, 2), (3, 2))),
    right("optimal transport", sinkhorn, lambda rng, scale: (scale * rng.random((4, 5)),), (0.1, 1.0, 10.0)),
)  # fmt: skip
