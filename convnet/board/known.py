"""Public threads about what the board finds. Each is about that defect, not the function alone."""

from __future__ import annotations

ISSUES = "https://github.com/jax-ml/jax/issues/"
PULLS = "https://github.com/jax-ml/jax/pull/"
_FOUND: dict[str, dict[str, tuple[str, ...]]] = {
    f"{ISSUES}669": {"not finite": ("jax.lax.linalg.eigh", "jax.numpy.linalg.eigh", "jax.scipy.linalg.eigh")},
    f"{ISSUES}2821": {"higher order": ("jax.numpy.linalg.det", "jax.scipy.linalg.det")},
    f"{ISSUES}8732": {
        "not finite": ("jax.lax.linalg.svd", "jax.numpy.linalg.svd", "jax.scipy.linalg.svd", "jax.scipy.linalg.polar"),
    },
    f"{ISSUES}15709": {"not finite": ("jax.scipy.special.xlogy", "jax.scipy.special.xlog1py")},
    f"{ISSUES}20574": {"higher order": ("jax.numpy.power",)},
    f"{ISSUES}21896": {"higher order": ("jax.numpy.linalg.eigvalsh",)},
    f"{ISSUES}22398": {"special points": ("jax.nn.logsumexp", "jax.scipy.special.logsumexp")},
    f"{ISSUES}25564": {"higher order": ("jax.scipy.special.log_ndtr",)},
    f"{ISSUES}34139": {"wrong": ("jax.numpy.sinc",)},
    # Through betaln at equal arguments, as all of these are.
    f"{ISSUES}34353": {
        "higher order": (
            "jax.scipy.special.betaln",
            "jax.scipy.special.beta",
            "jax.scipy.stats.beta.logpdf",
            "jax.scipy.stats.beta.pdf",
            "jax.scipy.stats.betabinom.logpmf",
            "jax.scipy.stats.betabinom.pmf",
        ),
    },
    f"{ISSUES}37635": {"wrong": ("jax.lax.digamma", "jax.scipy.special.digamma", "jax.scipy.special.polygamma")},
    f"{ISSUES}37992": {"special points": ("jax.numpy.ldexp",)},
    f"{ISSUES}38199": {"wrong": ("jax.scipy.special.zeta",)},
    f"{ISSUES}38607": {"special points": ("jax.scipy.special.erfcx",)},
    f"{ISSUES}39800": {"higher order": ("jax.lax.lgamma", "jax.scipy.special.gammaln", "jax.scipy.special.gamma")},
    f"{ISSUES}40627": {"higher order": ("jax.numpy.i0",)},
    f"{ISSUES}40628": {"special points": ("jax.scipy.special.i0",)},
    f"{PULLS}40640": {"higher order": ("jax.scipy.special.i1",)},
}
THREADS = {
    (kind, name): address for address, kinds in _FOUND.items() for kind, names in kinds.items() for name in names
}
"""(kind, function) -> address."""
