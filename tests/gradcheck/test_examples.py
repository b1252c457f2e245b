"""The examples of modules of other libraries: what they assert holds, and their command lines run as they stand."""

import importlib
import re
import shlex

import pytest
from convnet.experiments.audit import main

import convnet_pytest

EXAMPLES = {"plain": None, "linen": "flax", "nnx": "flax", "equinox": "equinox", "haiku": "haiku"}
"""Module -> the library that it needs."""


def example(name):
    if EXAMPLES[name]:
        pytest.importorskip(EXAMPLES[name])
    return importlib.import_module(f"convnet.gradcheck.examples.{name}")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes(name, monkeypatch):
    monkeypatch.setattr(convnet_pytest.CURRENT, "level", "quick")
    example(name).test_gradients()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_command_of_an_example_passes(name, capsys):
    command = shlex.split(re.search(r"^convnet-audit (.*?)\n\Z", example(name).__doc__, re.DOTALL | re.MULTILINE)[1])
    assert main([*command, "--level", "quick"]) == 0
    assert capsys.readouterr().out.startswith("loss: passed at level quick")
