"""What is audited: a table for each part of the ecosystem."""

from convnet.board.case import Case
from convnet.board.cases import special

TABLES = (special,)
CASES: tuple[Case, ...] = tuple(case for table in TABLES for case in table.CASES)
NOT_COVERED: dict[str, str] = {name: why for table in TABLES for name, why in table.NOT_COVERED.items()}
"""Functions without a gradient that anybody could want, and why."""
