"""The tables of cases hold together, and their mathematics is the functions' value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

from convnet.board.cases import CASES, NOT_COVERED
from convnet.board.contraction import contracted
from convnet.board.inventory import inventory, resolved
from convnet.board.measure import cast, precision
from convnet.board.oracle import differentiated, phi_of

HERE = [case for case in CASES if resolved(case.function) is not None]


def value_here(case, point):
    with precision("float64"), jax.numpy_rank_promotion("allow"):
        result = case.fn(*(jnp.asarray(a) for a in cast(case, point, "float64")))
        return float(result if case.elementwise else contracted(result))


def value_there(case, point):
    with mp.workdps(50):
        args = cast(case, point, "float64")
        return float(phi_of(case, args)([mp.mpf(float(x)) for x in differentiated(case, point, "float64")]))


def check(case):
    """Of what is not wrong itself: that is what the board is for, and its truth has a second witness."""
    point = next((point for point in case.points if point.label == "generic"), case.points[0])
    with np.errstate(all="ignore"):
        assert value_here(case, point) == pytest.approx(value_there(case, point), rel=2e-5, abs=1e-6), case.call


@pytest.mark.parametrize("case", HERE[::23], ids=lambda case: case.function)
def test_oracles_are_the_functions_that_they_are_of(case):
    check(case)


@pytest.mark.sweep
@pytest.mark.parametrize("case", HERE, ids=lambda case: case.key)
def test_all_oracles_are_the_functions_that_they_are_of(case):
    check(case)


def test_no_two_cases_are_one():
    assert len({case.key for case in CASES}) == len(CASES)


def test_every_public_function_has_a_case_or_a_reason():
    found = inventory(CASES, NOT_COVERED)
    assert len(found.covered) >= 300
    if jax.__version__.startswith("0.10."):  # a newer release may have new ones, which its board reports
        assert found.missing == ()
