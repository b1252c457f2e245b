"""Every benchmark runs, from its own file, with --quick."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts"
BENCHMARKS = {"ops": (3 + 2) * 3, "train": 2 * 3, "scaling": 2 * 2}
"""Name -> tasks of its quick run: directions × contexts, networks × modes, quantities × sizes."""


def run(name, *args, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "CONVNET_TRACEBACK"} | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(FOLDER / f"bench_{name}.py"), *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """`here(name, *args)`: the same in this process, which costs no start of JAX; (code, output, errors)."""

    def run_here(name, *args):
        path = FOLDER / f"bench_{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *args])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return run_here


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ops", marks=pytest.mark.sweep),
        pytest.param("train", marks=pytest.mark.sweep),
        pytest.param("scaling", marks=pytest.mark.sweep),
    ],
)
def test_runs_quickly(name, tmp_path):
    done = run(name, "--quick", "--peers", "ours", "autodiff", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "out" / "results" / "cpu" / f"{name}.json").read_text())
    results = document["results"]
    assert [result["gap"] for result in results] == [None] * 2 * BENCHMARKS[name]
    assert all(seconds > 0 for result in results for seconds in result["seconds"])
    assert "ours" in document["peers"]
    assert "autodiff ÷ ours" in (tmp_path / "out" / "README.md").read_text()
    assert list((tmp_path / "out" / "results" / "cpu" / "figures").glob(f"{name}-*.png"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_explains_every_option(name, here):
    code, output, _ = here(name, "--help")
    assert code == 0
    for option in ("--quick", "--out", "--peers", "--cases", "--rounds", "--threads", "--allocator"):
        assert option in output


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("ops", "peers"),
        *(pytest.param(n, "cases", marks=() if n == "train" else pytest.mark.sweep) for n in BENCHMARKS),
    ],
)
def test_unknown_names_are_refused(name, option, here, tmp_path):
    code, _, errors = here(name, "--quick", f"--{option}", "nobody")
    assert code == 2
    assert f"error: {option} is 'nobody': expected one of " in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_formulations_run_quickly(tmp_path):
    done = run("formulations", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "out" / "results" / "cpu" / "formulations.json").read_text())
    chosen = [(r["direction"], r["formulation"]) for r in document["results"] if r["chosen"]]
    assert [direction for direction, _ in chosen] == ["fwd", "dx", "dw"]
    assert all(0 < result["error"] < 1e-5 for result in document["results"])
    assert all(result["error_over_direct"] == 1 for result in document["results"] if result["formulation"] == "direct")
    assert "error ÷ direct" in done.stdout
    assert "| dw | **direct** |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.sweep
def test_replicates_run_quickly(tmp_path):
    done = run("replicates", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "out" / "results" / "cpu" / "replicates.json").read_text())
    found = [(r["case"], r["way"], r["replicates"], len(r["seconds"])) for r in document["results"]]
    ways = ("single", "threads", "lockstep")
    assert found == [(case, way, 2, 1) for case in ("digits", "like-mnist") for way in ways]
    assert "| single | 2 |" in (tmp_path / "out" / "README.md").read_text()


def test_formulations_of_unknown_layers_are_refused(here):
    code, _, errors = here("formulations", "--cases", "nobody")
    assert code == 2
    assert "error: cases is 'nobody': expected one of conv5-1-32-at-28, " in errors


def test_tables_are_written_again(tmp_path):
    done = run("tables", "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "README.md").read_text().startswith("# Benchmarks")
