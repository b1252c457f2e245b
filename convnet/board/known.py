"""Public threads about what the board finds, where there are any."""

ISSUES = "https://github.com/jax-ml/jax/issues/"
THREADS = {
    name: f"{ISSUES}{number}"
    for number, names in {
        22398: ("jax.nn.logsumexp", "jax.scipy.special.logsumexp"),
        34139: ("jax.numpy.sinc",),
        37635: (
            "jax.lax.digamma",
            "jax.lax.polygamma",
            "jax.scipy.special.digamma",
            "jax.scipy.special.polygamma",
        ),
        38199: ("jax.lax.zeta", "jax.scipy.special.zeta"),
        40384: ("jax.nn.log_softmax", "jax.scipy.special.log_softmax"),
        40634: ("jax.lax.acosh", "jax.lax.asinh", "jax.numpy.arccosh", "jax.numpy.arcsinh"),
    }.items()
    for name in names
}
"""Function -> address."""
