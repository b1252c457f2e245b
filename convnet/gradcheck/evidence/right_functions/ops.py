"""The library's own ops with their hand-derived gradients, at every case of theirs, with arguments of other sizes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from convnet.gradcheck.evidence import EVIDENCE, Case
from convnet.gradcheck.evidence.right_functions.right import Draw, RightFunction, right
from convnet.ops import AUTO, HAND

DECADES = tuple(10.0**k for k in range(-3, 4))


def scaled(case: Case) -> Draw:
    """The case's own arguments, the real ones multiplied by the scale."""

    def draw(rng: np.random.Generator, scale: float) -> tuple:
        return jax.tree.map(lambda leaf: scale * leaf if np.asarray(leaf).dtype.kind == "f" else leaf, case.draw(rng))

    return draw


def audited(op: str, case: Case) -> RightFunction:
    rule: Callable = getattr(HAND, op)
    given = dict(reference=getattr(AUTO, op), oracle=EVIDENCE[op].oracle, settings=case.settings, terms=case.terms)
    return right(f"{op}: {case.name}", rule, scaled(case), DECADES, **given)


RIGHT: tuple[RightFunction, ...] = tuple(
    audited(op, case) for op, evidence in EVIDENCE.items() for case in evidence.cases
)
