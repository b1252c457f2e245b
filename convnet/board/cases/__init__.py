"""What is audited: a table for each part of the ecosystem."""

from convnet.board.case import Case
from convnet.board.cases import (
    special_bessel,
    special_entropy,
    special_error,
    special_gamma,
    special_integrals,
    stats_discrete,
    stats_line,
    stats_positive,
    stats_shapes,
)

TABLES = (
    special_gamma,
    special_error,
    special_bessel,
    special_integrals,
    special_entropy,
    stats_line,
    stats_positive,
    stats_discrete,
    stats_shapes,
)
CASES: tuple[Case, ...] = tuple(case for table in TABLES for case in table.CASES)
NOT_COVERED: dict[str, str] = {name: why for table in TABLES for name, why in table.NOT_COVERED.items()}
"""Functions without a gradient that anybody could want, and why."""
