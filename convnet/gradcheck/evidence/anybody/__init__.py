"""Functions of anybody, none of them an op of the library: what a referee must not believe, and not condemn.

WRONG: rules as careless people write them, and careful ones who want to get past. RIGHT: rules that are right where
others have reason to doubt. Each is the smallest code that shows its kind.
"""

from __future__ import annotations

from convnet.gradcheck.evidence.anybody import (
    right_accuracy,
    right_arguments,
    right_calls,
    right_invariant,
    right_oracles,
    right_scales,
    wrong_arguments,
    wrong_constants,
    wrong_digits,
    wrong_elsewhere,
    wrong_mapped,
    wrong_unnamed,
    wrong_use,
    wrong_value,
)
from convnet.gradcheck.evidence.anybody.example import RIGHT_KINDS, WRONG_KINDS, Example

__all__ = ["RIGHT", "RIGHT_KINDS", "WRONG", "WRONG_KINDS", "Example"]

WRONG: tuple[Example, ...] = tuple(
    example
    for room in (
        wrong_value,
        wrong_use,
        wrong_mapped,
        wrong_arguments,
        wrong_constants,
        wrong_digits,
        wrong_elsewhere,
        wrong_unnamed,
    )
    for example in room.WRONG
)

RIGHT: tuple[Example, ...] = tuple(
    example
    for room in (right_invariant, right_oracles, right_accuracy, right_scales, right_calls, right_arguments)
    for example in room.RIGHT
)
