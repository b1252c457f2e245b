"""Gradients asserted in a test, and failures as Python that shows them again."""

import functools
import re
import subprocess
import sys
import tempfile
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convnet.gradcheck
from convnet.gradcheck import Oracle, assert_gradients
from convnet.gradcheck.reproduction import array_literal, reproduction
from convnet.gradcheck.verdict import Check, Report

X = np.random.default_rng(0).normal(size=(4, 5))


@jax.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (cube(x), x), lambda x, g: (3.03 * x**2 * g,))


def plain_cube(x):
    return x**3


class Kind(Enum):
    SAME = 1


class Pair(NamedTuple):
    first: object
    second: object


def test_a_right_gradient_returns_the_report():
    report = assert_gradients(jnp.tanh, (X,), level="quick", seed=3, stages=["differences"])
    assert (report.passed, report.level, report.seed) == (True, "quick", 3)


@pytest.fixture
def own_folder(monkeypatch, tmp_path):
    """For what is kept of a failure."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("own_folder")
def test_a_wrong_gradient_is_an_error_with_the_report_and_a_reproduction():
    with pytest.raises(AssertionError, match=r"cube: FAILED at level quick, seed 0; ") as caught:
        assert_gradients(cube, (X,), level="quick", reference=plain_cube, stages=["elementwise", "taylor"])
    text = str(caught.value)
    report, _, again = text.partition("To see it again, ")
    assert "gradient, autodiff" in report
    assert len(report.splitlines()) < 12
    script = Path(again.partition(":\n")[0])
    done = subprocess.run([sys.executable, str(script)], cwd="/", capture_output=True, text=True)
    wrong = re.search(r"FAILED .* (x\[\d, \d\] is [-\d.]+: expected [-\d.]+);", report)[1]
    assert wrong in done.stdout, done.stderr
    assert script.read_text() in text


@pytest.mark.usefixtures("own_folder")
def test_what_nothing_independent_has_looked_at_is_an_error():
    with pytest.raises(AssertionError, match=r"(?s)sin: NOT TESTED at level quick.*elementwise +untested .* reference"):
        assert_gradients(jnp.sin, (X,), level="quick", stages=["hygiene", "elementwise"])


def test_bad_input_is_no_failed_assertion():
    with pytest.raises(ValueError, match=r"^level is 'fast': expected one of quick"):
        assert_gradients(jnp.sin, (X,), level="fast")
    with pytest.raises(TypeError, match="levle"):
        assert_gradients(jnp.sin, (X,), levle="quick")


def test_warnings_that_are_errors_take_no_stage_away():
    def warns(x):
        import warnings

        warnings.warn("beware", FutureWarning, stacklevel=1)
        return jnp.sin(x)

    assert assert_gradients(warns, (X,), level="quick", stages=["differences"]).passed  # in here they are errors


# --- reproductions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def played(monkeypatch, tmp_path):
    """`played(fn, args, **options)`: what the reproduction gives to `audit`, and its text."""

    def played(fn, args, **options):
        seen = []
        monkeypatch.setattr(convnet.gradcheck, "audit", lambda *given, **named: seen.append((given, named)))
        text = reproduction(fn, args, options, tmp_path)
        exec(text, {})
        (((found, again), named),) = seen
        return found, again, named, text

    return played


def same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if hasattr(b, "dtype"):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            a, b = (jax.random.key_data(k) if jnp.issubdtype(k.dtype, jax.dtypes.prng_key) else k for k in (a, b))
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
        else:
            assert (type(a), a) == (type(b), b)


DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool")


@pytest.mark.parametrize("size", [6, 60])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_come_back_bit_for_bit(dtype, size, played):
    array = (np.random.default_rng(0).normal(size=(size // 3, 3)) * 5).astype(dtype)
    found, again, _, text = played(cube, (array,))
    assert found is cube
    same(again, (array,))
    assert ("np.load(" in text) is (size == 60)


def test_numbers_are_told_in_as_few_digits_as_say_them():
    assert array_literal(np.float32([0.1, 2.5])) == "np.array([0.1, 2.5], 'float32')"
    assert array_literal(np.float64([0.1])) == "np.array([0.1], 'float64')"


ARGUMENTS = {
    "nothing is there": (np.zeros((0, 3)), np.zeros(0, np.float32)),
    "not finite": (np.array([np.inf, -np.inf, np.nan, -0.0]), float("inf")),
    "a number": (np.float32(0.1), np.asarray(2.0), 0.1),
    "containers": ({"w": X, "b": [X[0], (1, "same")]}, (X[:1],), (), [], None, True),
    "keys": (jax.random.key(3), jax.random.split(jax.random.key(1), 2), X),
    "JAX's arrays": (jnp.float32([1, 2]), jnp.asarray(X[0], jnp.bfloat16)),
    "a class of its own": (Pair(X, X[0]),),
    "functions and choices": (X, jax.nn.relu, Kind.SAME, functools.partial(plain_cube)),
}


@pytest.mark.parametrize("args", ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_come_back(args, played):
    _, again, _, _ = played(cube, args)
    if isinstance(args[-1], functools.partial):
        assert (again[-1].func, again[1:3]) == (plain_cube, args[1:3])
    else:
        same(again, args)


def test_options_come_back(played):
    options = dict(level="quick", seed=7, reference=plain_cube, oracle=Oracle(plain_cube, cube), settings={"n": (2, 3)})
    *_, named, _ = played(cube, (X,), **options)
    assert named == options


def test_many_small_arrays_are_saved(played):
    args = ([np.full(20, float(i)) for i in range(12)],)
    _, again, _, text = played(cube, args)
    same(again, args)
    assert len(text) < 2000


def test_two_functions_of_one_name(played, monkeypatch):
    import convnet.ops

    _, _, named, text = played(jax.nn.relu, (X,), reference=convnet.ops.HAND.relu, oracle=jax.nn.relu)
    assert (named["reference"], named["oracle"]) == (convnet.ops.HAND.relu, jax.nn.relu)
    assert "import relu as relu_2" in text


def test_what_cannot_be_imported_is_pickled(played):
    factor = 3.0
    found, again, named, text = played(lambda x: factor * plain_cube(x), (X,), reference=lambda x: x * x)
    np.testing.assert_array_equal(found(X), 3 * X**3)
    np.testing.assert_array_equal(named["reference"](X), X * X)
    same(again, (X,))
    assert "\nfn = pickled[0]  # <lambda>, of " in text
    assert f"{Path(__file__).name}, line " in text


def test_rules_that_cannot_be_imported_are_pickled(played):
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (square(x), x), lambda x, g: (5 * cube(x) * g,))
    found, *_ = played(square, (X,))
    np.testing.assert_allclose(jax.grad(lambda x: found(x).sum())(X), 5 * X**3, rtol=1e-6)


class Stubborn:
    """What no pickle takes."""

    def __reduce__(self):
        raise TypeError("no")


def test_what_cannot_be_pickled_is_a_line_to_be_filled_in(played):
    _, again, named, text = played(cube, (X, Stubborn(), [Stubborn()]), reference=Stubborn().__reduce__)
    assert again[1:] == (..., [...])
    assert named["reference"] is ...
    assert "\narg1 = ...  # a Stubborn: Python cannot write it down, so put it here\n" in text


def test_a_module_with_a_function_that_has_no_name(played):
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    _, again, _, _ = played(cube, (model,))
    np.testing.assert_array_equal(again[0](X[0, :3]), model(X[0, :3]))


def test_a_summary_fits_on_a_screen():
    failed = [Check(stage, f"check {i}", "failed", worst="x" * 500) for stage in "abc" for i in range(20)]
    lines = Report("fn", "quick", 0, failed).summary().splitlines()
    assert len(lines) == 13
    assert max(map(len, lines)) <= 200
    assert [line.split()[0] for line in lines[2:-1]] == [*"aaaabbbccc"]
    assert lines[-1] == "and 50 more"
