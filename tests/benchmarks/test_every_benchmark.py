"""Every command of the benchmarks runs, with --quick, as `python -m benchmarks NAME`."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.parallel import QUICK
from benchmarks.step_cost import STATISTICS
from convnet.architectures.layers import BatchNorm
from convnet.architectures.shapes import parameter_shapes

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = {"ops": (3 + 2) * 3, "train": 2 * 3, "scaling": 2 * 2, "attribution": 2}
"""Name -> tasks of its quick run: directions × contexts, networks × modes, quantities × sizes, methods."""


def run(*args, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "CONVNET_TRACEBACK"}
    environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """`here(*args)`: the same in this process, which costs no start of JAX; (code, output, errors)."""

    def run_here(*args):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *args])
        monkeypatch.chdir(tmp_path)
        try:
            code = main()
        except SystemExit as ended:  # after --help
            code = ended.code
        return code, *capsys.readouterr()

    return run_here


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_commands_are_listed_each_in_a_line(args, here):
    code, output, errors = here(*args)
    assert (code, errors) == (0, "")
    for name, (_, what) in COMMANDS.items():
        assert [line for line in output.splitlines() if line.split()[:1] == [name] and line.endswith(what)]


def test_every_command_has_a_module():
    measuring = ["ops", "formulations", "train", "scaling", "attribution", "replicates", "units"]
    of_scale = ["parallel", "streaming", "memory", "race", "scale"]
    assert list(COMMANDS) == [*measuring, *of_scale, "tables", "device"]
    assert all(find_spec(module) for module, _ in COMMANDS.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("opps", "error: unknown benchmark 'opps': did you mean ops?\n"),
        ("--quick", f"error: unknown benchmark '--quick': expected one of {', '.join(COMMANDS)}\n"),
    ],
)
def test_an_unknown_command_names_the_nearest(name, message, here):
    assert here(name, "--quick") == (2, "", message)


def test_the_check_of_a_device_is_one_of_them(here):
    code, output, _ = here("device", "--help")
    assert code == 0
    assert "--budget" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ops", marks=pytest.mark.sweep),
        pytest.param("train", marks=pytest.mark.sweep),
        pytest.param("scaling", marks=pytest.mark.sweep),
        pytest.param("attribution", marks=pytest.mark.sweep),
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
    assert output.startswith(f"usage: python -m benchmarks {name} ")
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("--methods", "nobody"), "methods is 'nobody': expected one of integrated-gradients, occlusion"),
        (("--steps", "0"), "steps is 0: expected 1 or more"),
        (("--window", "33"), "window is 33: expected at most the images' 32 pixels"),
        (("--stride", "9"), "stride is 9: expected at most the window's 8"),
    ],
)
def test_attributions_that_do_not_exist_are_refused(settings, message, here, tmp_path):
    code, _, errors = here("attribution", *settings)
    assert code == 2
    assert f"error: {message}" in errors
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
    page = (tmp_path / "out" / "README.md").read_text()
    assert "| dw | **direct** |" in page
    assert "\n`python -m benchmarks formulations --quick --out out`: " in page


@pytest.mark.sweep
def test_replicates_run_quickly(tmp_path):
    done = run("replicates", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "out" / "results" / "cpu" / "replicates.json").read_text())
    found = [(r["case"], r["way"], r["replicates"], len(r["seconds"])) for r in document["results"]]
    ways = ("single", "threads", "vmapped")
    assert found == [(case, way, 2, 1) for case in ("digits", "like-mnist") for way in ways]
    assert "| single | 2 |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.sweep
def test_units_run_quickly(tmp_path):
    done = run("units", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "out" / "results" / "cpu" / "units.json").read_text())
    found = [(r["case"], r["way"], r["units"], len(r["seconds"])) for r in document["results"]]
    assert found == [(case, way, 2, 1) for case in ("digits", "mnist", "cifar10") for way in ("alone", "together")]
    assert "| together | 2 |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--cases", "nobody"), "cases is 'nobody': expected one of digits, mnist, cifar10"),
        (("--units", "65"), "units is 65: expected 1 to 64"),
        (("--steps", "0"), "steps is 0: expected 1 or more"),
    ],
)
def test_units_that_cannot_be_timed_are_refused(args, told, here):
    code, _, errors = here("units", *args)
    assert code == 2
    assert told in errors


@pytest.mark.sweep
def test_devices_and_processes_run_quickly(tmp_path):
    done = run("parallel", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "out" / "results" / "cpu" / "parallel.json").read_text())["results"]
    assert [r["gap"] for r in results] == [None] * (2 + 2 * 4 + 2 + 1)
    assert all(r["seconds"] for r in results if r["case"] != "resnet18")
    sums = {(r["crew"]["processes"], r["crew"]["devices"], r["program"]): r["sums"] for r in results}
    assert sums[1, 1, "whole step"] == sums[1, 2, "nothing summed"] == sums[2, 1, "nothing summed"] == []
    layers = QUICK.counted.placed
    arrays = sum(len(parameter_shapes(layer)) for layer in layers)
    normalisations = sum(isinstance(layer.layer, BatchNorm) for layer in layers)
    loss_and_accuracy = 2
    assert len(results[-1]["sums"]) == arrays + STATISTICS * normalisations + loss_and_accuracy
    assert "| 2 processes | 4 |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_streaming_runs_quickly(tmp_path):
    done = run("streaming", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "out" / "results" / "cpu" / "streaming.json").read_text())["results"]
    assert [(r["way"], len(r["seconds"]), len(r["read"])) for r in results] == [
        ("resident", 1, 0), ("from the cache", 1, 1)]  # fmt: skip
    assert "| made | from the cache |" in (tmp_path / "out" / "README.md").read_text()


def test_streaming_without_the_data_says_so(here, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("CONVNET_CACHE_DIR", str(tmp_path / "empty"))
    code, output, errors = here("streaming", "--cases", "mnist", "--out", "out")
    assert code == 0, errors
    assert "not measured: mnist: mnist 3.0.1 is not prepared in " in output + errors
    assert "| mnist | resident | not measured |" in output


@pytest.mark.sweep
def test_memory_is_measured_quickly(tmp_path):
    done = run("memory", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "out" / "results" / "cpu" / "memory.json").read_text())["results"]
    assert [(r["case"], r["images"], r["gap"]) for r in results] == [
        (way, images, None) for way in ("streamed", "resident") for images in (512, 1024)]  # fmt: skip
    assert all(r["peak_bytes"] > r["idle_bytes"] > 0 for r in results)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("parallel", "--cases", "nobody"), "cases is 'nobody': expected one of devices, split, resnet18"),
        (("parallel", "--rounds", "0"), "rounds is 0: expected more than 0"),
        (("streaming", "--cases", "nobody"), "cases is 'nobody': expected one of mnist, cifar10"),
        (("streaming", "--rounds", "0"), "rounds is 0: expected 1 or more"),
        (("memory", "--images", "255"), "images is 255: expected 256 or more"),
    ],
)
def test_what_cannot_be_measured_of_scale_is_refused(args, told, here, tmp_path):
    code, _, errors = here(*args)
    assert code == 2
    assert told in errors
    assert not list(tmp_path.iterdir())


def test_formulations_of_unknown_layers_are_refused(here):
    code, _, errors = here("formulations", "--cases", "nobody")
    assert code == 2
    assert "error: cases is 'nobody': expected one of conv5-1-32-at-28, " in errors


def test_tables_are_written_again(tmp_path):
    done = run("tables", "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "README.md").read_text().startswith("# Benchmarks")
