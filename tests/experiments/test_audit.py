"""The command that audits a function of one's own."""

import json
import shlex
import sys

import pytest
from convnet.experiments.audit import main

SOURCE = """
import jax
import jax.numpy as jnp
import numpy as np

@jax.custom_vjp
def cube(x):
    return x**3

cube.defvjp(lambda x: (cube(x), x), lambda x, g: (jnp.where(x > 1, 2, 3) * x**2 * g,))

def plain_cube(x):
    return x**3

def scaled(x, factor, kind="sum", power=1):
    if factor > 0 and kind == "sum":
        return factor * jnp.sum(x**power)
    raise ValueError("no\\nsuch thing")

def silent(x):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory to work in, with a module in it."""
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mine", None)


def audited(words):
    return main([*shlex.split(words), "--level", "quick"])


@pytest.mark.usefixtures("here")
def test_a_function_of_the_current_directory(capsys):
    assert audited("mine:cube --args 'f32[3,2] in -1..0.5' --reference mine:plain_cube") == 0
    assert capsys.readouterr().out.startswith("cube: passed at level quick, seed 0; ")
    assert audited("mine:cube --args 'f32[3,2] in 2..3' --reference mine:plain_cube") == 1
    assert capsys.readouterr().out.startswith("cube: FAILED at level quick, seed 0; ")


@pytest.mark.usefixtures("here")
def test_values_and_settings_are_given_as_they_are(capsys):
    assert audited("mine:scaled --args f32[3] 2.5 \"'sum'\" --set power=2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("other Python scalars: factor, kind" in line for line in lines)
    assert audited("mine:scaled --args f32[3] -2.5") == 2  # a number, not an option
    assert capsys.readouterr().err == "error: fn (scaled) fails at these arguments: ValueError: no\n"


def test_several_points_and_their_reports(here, capsys):
    words = "mine:cube --args 'f32[2]' --argnums 0 --draws 4 --seed 3 --json all.json"
    assert audited(words) == 1
    told = json.loads((here / "all.json").read_text())
    passed = [report["passed"] for report in told["reports"]]
    assert [report["seed"] for report in told["reports"]] == [3, 4, 5, 6]
    assert set(passed) == {True, False}  # some numbers are larger than 1
    output = capsys.readouterr().out.splitlines()
    assert output[-2] == f"{sum(passed)} of 4 points passed"
    seed = 3 + passed.index(False)
    assert output[0].startswith(f"cube: FAILED at level quick, seed {seed}; ")
    again = output[-1].partition(": convnet-audit ")[2]
    assert main(shlex.split(again)) == 1
    assert capsys.readouterr().out.splitlines()[0] == output[0]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mine:quux --args f32[3]", "function is 'mine:quux': there is no 'quux'; "),
        ("yours:f --args f32[3]", "function is 'yours:f': yours cannot be imported (ModuleNotFoundError: "),
        ("mine:cube --args f32[3] --reference mine:jax", "reference is 'mine:jax': expected a function"),
        ("mine:cube", "args hold no floating-point array"),
        ("mine:cube --args f32[3] f32[3]", "fn (cube) fails at these arguments: TypeError: "),
        ("jax.numpy:dot --args f32[3] f32[4]", "fn (dot) fails at these arguments: TypeError: "),
        ("jax.numpy:argmax --args f32[3]", "fn (argmax) returns int64: expected a floating-point result"),
        ("mine:silent --args f32[3]", "the gradient of fn (silent) fails: ValueError: "),
        ("mine:cube --args f33[3]", "args holds 'f33[3]': no dtype is called 'f33'; did you mean f32?"),
        ("mine:cube --args f32[3] --set power", "set is 'power': expected name=value"),
        ("mine:cube --args f32[3] --argnums 1", "argnums is (1,): expected positions of the 1 arguments"),
        ("mine:cube --args f32[3] --draws 0", "draws is 0: expected 1 or more"),
        ("mine:cube --args f32[3] --seed -1", "seed is -1: expected 0 or more"),
        ("mine:cube --args f32[3] --json nowhere/all.json", "json is 'nowhere/all.json': expected "),
    ],
)
def test_bad_input_is_one_line(words, said, capsys):
    assert audited(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def test_help_has_the_grammar_and_examples(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    output = capsys.readouterr().out
    for words in ('convnet-audit jax.numpy:tanh --args "f32[3,5]"', "f32[3] in 0.1..2", "i32[4] in 0..9", "name=value"):
        assert words in output
