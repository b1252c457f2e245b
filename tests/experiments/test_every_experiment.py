"""Every experiment runs, from its own file, with --quick."""

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments"


def _defines_main(path):
    tree = ast.parse(path.read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


TOOLS = ("audit", "dream", "exercise", "look", "predict", "reproduce", "style_transfer")
"""Commands that take a stored run, or what the reader wrote."""
EXPERIMENTS = sorted(path for path in FOLDER.glob("*.py") if _defines_main(path) and path.stem not in TOOLS)


def test_there_are_experiments():
    assert FOLDER / "compare.py" in EXPERIMENTS


def run(path, *args, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    return subprocess.run(
        [sys.executable, str(path), *args], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )


USUAL = ("compare_checkers",)
"""What the usual run of the tests goes through; the others have tests of their own that run them."""

OF_PREPARED_DATA = ("cifar10_speed",)
"""What knows no other data."""

WITHOUT_CHANCE = ("audit_jax",)
"""Where nothing is drawn, so that there is no seed."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, id=p.stem, marks=() if p.stem in USUAL else pytest.mark.sweep)
        for p in EXPERIMENTS
        if p.stem not in OF_PREPARED_DATA
    ],
)
def test_runs_quickly(path, tmp_path):
    done = run(path, "--quick", "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert str(tmp_path / "out" / "report.html") in done.stdout


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_help_explains_every_option(path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(path), run_name="__main__")
    output = capsys.readouterr().out
    for option in ("--quick", "--out", *(() if path.stem in WITHOUT_CHANCE else ("--seed",))):
        assert option in output
