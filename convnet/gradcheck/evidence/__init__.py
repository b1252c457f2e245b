"""What speaks for or against a rule of each op, family by family: a family of ops has one room, as in `convnet.ops`.

A family gives four things. EVIDENCE: the calls of each op that are worth auditing, the op written once more in NumPy,
and random calls. CONVENTIONS: what is declared at kinks and ties. MUTANTS: gradients that are wrong on purpose, for
testing a gradient checker, many of them as they once were in a library; each has the right value and works under jit,
and `difference` measures how wrong it is without any checker. CONTROLS: right gradients obtained in unusual ways, to
which nobody must object.
"""

from __future__ import annotations

from convnet.gradcheck.evidence import activation, conv, dense, dropout, image, loss, norm, pool, sized, softmax
from convnet.gradcheck.evidence.case import Case, Convention, Evidence, Mask
from convnet.gradcheck.evidence.planting import Control, Mutant

__all__ = [
    "CONTROLS", "CONVENTIONS", "EVIDENCE", "MUTANTS", "Case", "Control", "Convention", "Evidence", "Mask", "Mutant",
]  # fmt: skip

_FAMILIES = (conv, dense, pool, activation, dropout, norm, softmax, loss, image)

EVIDENCE: dict[str, Evidence] = {op: evidence for family in _FAMILIES for op, evidence in family.EVIDENCE.items()}
"""By op."""

CONVENTIONS: dict[str, tuple[Convention, ...]] = {
    op: tuple(convention for family in _FAMILIES for convention in family.CONVENTIONS if convention.op == op)
    for op in EVIDENCE
}
"""By op; empty where nothing has to be declared."""

MUTANTS: tuple[Mutant, ...] = (*(mutant for family in _FAMILIES for mutant in family.MUTANTS), *sized.MUTANTS)

CONTROLS: tuple[Control, ...] = tuple(control for family in _FAMILIES for control in family.CONTROLS)
