"""The stages of an audit, in the order in which they are run: each takes a `Subject` and yields `Check`s."""

from __future__ import annotations

from collections.abc import Callable

from convnet.gradcheck.checks.consistency import consistency
from convnet.gradcheck.checks.context import context
from convnet.gradcheck.checks.first_order import adjoint, elementwise, hygiene
from convnet.gradcheck.checks.fuzz import fuzz
from convnet.gradcheck.checks.kinks import kinks
from convnet.gradcheck.checks.precisions import power, precisions
from convnet.gradcheck.checks.scope import scope
from convnet.gradcheck.checks.second_order import higher_orders, second_order
from convnet.gradcheck.checks.slopes import differences
from convnet.gradcheck.checks.taylor import taylor
from convnet.gradcheck.checks.variations import variations

STAGES: dict[str, Callable] = {
    "hygiene": hygiene,
    "elementwise": elementwise,
    "adjoint": adjoint,
    "differences": differences,
    "taylor": taylor,
    "second order": second_order,
    "kinks": kinks,
    "precisions": precisions,
    "fuzz": fuzz,
    "context": context,
    "power": power,
    "consistency": consistency,
    "higher orders": higher_orders,
    "variations": variations,
    "scope": scope,
}

__all__ = ["STAGES"]
