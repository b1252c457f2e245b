"""Functions with right gradients, at realistic arguments of many sizes: nothing that an audit may condemn.

By origin, a module each. A function comes as people use it; its reference and oracle, where it has them, as careful
people write them, with the habits that they have (`np.abs`, buffers, `scipy.special`).
"""

from __future__ import annotations

from convnet.gradcheck.evidence.right_functions import layers, linalg, losses, nn, ops, signal, special, stats
from convnet.gradcheck.evidence.right_functions.right import RightFunction

__all__ = ["RIGHT_FUNCTIONS", "RightFunction"]

_ORIGINS = {
    "jax.nn": nn, "losses": losses, "layers": layers, "linear algebra": linalg, "signals": signal, "special": special,
    "statistics": stats, "the library's ops": ops,
}  # fmt: skip

RIGHT_FUNCTIONS: dict[str, tuple[RightFunction, ...]] = {name: module.RIGHT for name, module in _ORIGINS.items()}
"""By origin."""
