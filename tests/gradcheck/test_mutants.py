"""The planted gradients: right values, wrong gradients, and the size of the fault, measured without any checker."""

from dataclasses import fields, replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.difference import differences, differs
from convnet.gradcheck.evidence import CONTROLS, EVIDENCE, MUTANTS
from convnet.gradcheck.evidence.sized import MUTANTS as SIZED
from convnet.ops import HAND, OpSet

ROUNDING = 1e-11
PLANTED = tuple(mutant for mutant in MUTANTS if not mutant.equivalent)
EQUIVALENT = tuple(mutant for mutant in MUTANTS if mutant.equivalent)
OWN = tuple(mutant for mutant in PLANTED if mutant not in SIZED)

MUSEUM = (
    "jax-ml/jax pull 567", "pytorch/pytorch 50042", "pytorch/pytorch 51430", "flagos-ai/FlagGems pull 1576",
    "NervanaSystems/neon 111", "FluxML/NNlib.jl 205", "ahrefs/ocannl 512", "Theano/Theano 4568",
    "PaddlePaddle/Paddle pull 74077", "pytorch/xla 913", "flagos-ai/FlagGems 5392", "uxlfoundation/oneDNN pull 3615",
    "deeplearning4j/deeplearning4j 7272", "andersbll/deeppy 15", "jax-ml/jax 2107", "jax-ml/jax 2140",
    "ddbourgin/numpy-ml 94", "kaldi-asr/kaldi 3890", "jax-ml/jax 23842", "jax-ml/jax 11716",
)  # fmt: skip


def named(things):
    return [pytest.param(thing, id=thing.name) for thing in things]


def swept(thing):
    return [pytest.param(thing, id=thing.name, marks=[pytest.mark.sweep, pytest.mark.slow])]


def reported(mutants):
    """Those that were once bugs in a library; what was invented is for the sweep."""
    return [param for m in mutants for param in (named([m]) if m.source != "invented" else swept(m))]


def cases(thing):
    return thing.cases or EVIDENCE[thing.op].cases


def shown(mutant):
    """The largest difference in the way in which the mutant says that it shows, up to the first case that has it."""
    largest = 0.0
    for case in cases(mutant):
        largest = max(largest, differences(mutant, case, ways=[mutant.shows])[mutant.shows])
        if largest >= mutant.size:
            break
    return largest


def test_the_tables():
    for table in (MUTANTS, CONTROLS):
        names = [thing.name for thing in table]
        assert len(set(names)) == len(names)
        assert {thing.op for thing in table} <= {field.name for field in fields(OpSet)}
        assert all(case.op == thing.op for thing in table for case in thing.cases)
    assert len(PLANTED) >= 120
    assert len(EQUIVALENT) >= 15
    assert len(CONTROLS) >= 20
    assert {mutant.op for mutant in PLANTED} == {field.name for field in fields(OpSet)}


def test_every_bug_of_the_museum_is_planted():
    assert {mutant.source for mutant in PLANTED} >= set(MUSEUM)


@pytest.mark.parametrize(
    "thing",
    reported([*OWN, *EQUIVALENT]) + named(CONTROLS) + [param for m in SIZED for param in swept(m)],
)
def test_values_are_those_of_the_op(thing, x64):
    case = cases(thing)[0]
    args = [a if a is None else jnp.asarray(a) for a in case.draw(np.random.default_rng(1))]
    both = thing.build(), getattr(HAND, thing.op)
    actual, expected = jax.jit(lambda *args: [f(*args, **case.settings) for f in both])(*args)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), actual, expected)


@pytest.mark.parametrize("mutant", reported(OWN))
def test_a_mutant_differs_as_it_says(mutant):
    assert shown(mutant) >= mutant.size


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("mutant", named(SIZED))
def test_a_mutant_of_a_given_size_has_it(mutant):
    difference = shown(mutant)
    assert difference >= mutant.size
    if "off by" in mutant.name:
        assert difference <= 1.02 * mutant.size / 0.99


@pytest.mark.parametrize("mutant", named(EQUIVALENT))
def test_an_equivalent_mutant_does_not_differ(mutant):
    assert all(differences(mutant, case, ways=["first order"])["first order"] <= ROUNDING for case in cases(mutant))


@pytest.mark.parametrize("control", named(CONTROLS))
def test_a_control_does_not_differ(control):
    assert differences(control, cases(control)[0], ways=["first order"])["first order"] <= ROUNDING


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("mutant", named(EQUIVALENT))
def test_an_equivalent_mutant_does_not_differ_in_any_way(mutant):
    for case, seed in product(cases(mutant), range(3)):
        assert differs(mutant, case, seed) <= ROUNDING, case.name


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("control", named(CONTROLS))
def test_a_control_does_not_differ_in_any_way(control):
    for case in cases(control):
        assert differs(control, case) <= ROUNDING, case.name


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("mutant", named(PLANTED))
def test_a_mutant_differs_for_every_seed(mutant):
    ways = [mutant.shows]
    for seed in (1, 2, 3):
        assert max(differences(mutant, case, seed, ways)[mutant.shows] for case in cases(mutant)) >= mutant.size


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("mutant", named(mutant for mutant in OWN if mutant.shows != "first order"))
def test_a_fault_that_needs_a_way_hides_in_another(mutant):
    hides = "eager" if mutant.shows == "scan" else "first order"
    assert differences(mutant, cases(mutant)[0], ways=[hides])[hides] <= ROUNDING


def test_differs_takes_the_largest():
    mutant = next(mutant for mutant in PLANTED if mutant.name == "sigmoid: x for y")
    case = cases(mutant)[0]
    found = differences(mutant, case)
    assert differs(mutant, case) == max(found.values()) >= found["vmap"] > 1
    right = replace(mutant, build=lambda: HAND.sigmoid)
    assert differs(right, case) == 0


def test_a_fault_at_a_tie_shows_among_the_conventions():
    mutant = next(mutant for mutant in PLANTED if mutant.name == "relu: 1 at 0")
    assert differences(mutant, EVIDENCE["relu"].cases[0], ways=["first order", "conventions"]) == {
        "first order": 0.0,
        "conventions": 1.0,
    }
