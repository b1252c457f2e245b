"""Planted wrong gradients, for testing a gradient checker: how many of them does it find, and does it spare the right?

Each mutant has the right value and works under jit; its gradient is wrong in the way that its `defect` tells, many of
them as they once were in a library. `differs` measures that, without any checker.
"""

from __future__ import annotations

from convnet.gradcheck.mutants import conv_input, conv_kernel, elementwise, generic, loss, norm, pool, response
from convnet.gradcheck.mutants.controls import CONTROLS
from convnet.gradcheck.mutants.difference import differences, differs
from convnet.gradcheck.mutants.planting import Control, Mutant

__all__ = ["CONTROLS", "MUTANTS", "Control", "Mutant", "differences", "differs"]

MUTANTS: tuple[Mutant, ...] = (
    *conv_input.MUTANTS, *conv_kernel.MUTANTS, *pool.MUTANTS, *norm.MUTANTS, *response.MUTANTS, *elementwise.MUTANTS,
    *loss.MUTANTS, *generic.MUTANTS,
)  # fmt: skip
