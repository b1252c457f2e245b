"""Public threads about what the board finds, where there are any."""

THREADS = {
    "jax.scipy.special.digamma": "https://github.com/jax-ml/jax/issues/37635",
    "jax.scipy.special.polygamma": "https://github.com/jax-ml/jax/issues/37635",
    "jax.scipy.special.zeta": "https://github.com/jax-ml/jax/issues/38199",
    "jax.lax.digamma": "https://github.com/jax-ml/jax/issues/37635",
    "jax.lax.polygamma": "https://github.com/jax-ml/jax/issues/37635",
    "jax.lax.zeta": "https://github.com/jax-ml/jax/issues/38199",
}
"""Function -> address."""
