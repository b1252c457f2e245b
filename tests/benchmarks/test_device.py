"""The check of a device: every part by itself, within a budget, and a table that says what there is and what not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.device import formulations, summary, tables
from benchmarks.device.__main__ import PARTS, main
from benchmarks.device.document import Document
from benchmarks.device.part import main as run_part

ROOT = Path(__file__).resolve().parents[2]


IN_THEIR_OWN = ("audit",)
"""Parts that are begun as users begin them: one that starts processes. One that does not has a test below."""


@pytest.mark.slow
def test_the_whole_check_runs(tmp_path):
    """With the smallest shapes: some parts as its users start them, from elsewhere; the others in this process."""
    out = tmp_path / "an odd name"
    environment = os.environ | {"OUT": str(out), "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"}
    environment.pop("TFDS_DATA_DIR", None)
    command = ["bash", str(ROOT / "scripts" / "device_check.sh"), "--tiny"]
    command += ["--budget", "5000", "--parts", *IN_THEIR_OWN]  # a slow machine may take long
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=5000)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "JAX sees no accelerator" in done.stdout
    table = done.stdout.split("\n\n")[-1]
    assert "not measured" not in table
    for part in (part for name, part in PARTS.items() if name not in IN_THEIR_OWN):
        assert run_part([part.module, str(out / f"{part.file}.json"), "5000", "--tiny"]) == 0
    documents = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert documents.keys() == {part.file for part in PARTS.values()}
    for document in documents.values():
        assert document["gap"] is None
        assert document["cut"] == []
        assert document["results"]
    whole = "\n".join(summary.lines_of(out, list(documents), {}))
    assert "1 of 1 ops" in table
    assert "not measured" not in whole


def test_a_part_without_time_names_what_it_cut(tmp_path):
    document = Document(tmp_path / "x.json", seconds=0.0)
    formulations.measure(document)
    stored = json.loads((tmp_path / "x.json").read_text())
    assert stored["results"] == []
    assert "3×3 depthwise 64 at 32² correlate, bfloat16" in stored["cut"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "0"], "budget is 0: expected a positive number of seconds"),
        (["--mnist", "nowhere.npz"], "mnist is 'nowhere.npz': expected a file"),
        (["--out", "a_file/below"], "out is 'a_file/below': cannot be written"),
    ],
)
def test_bad_input_is_told_in_a_line_before_anything_starts(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a_file").write_text("")
    assert main(arguments) == 2
    output, errors = capsys.readouterr()
    assert errors.startswith(f"error: {said}")
    assert len(errors.splitlines()) == 1
    assert output == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


def test_what_cannot_run_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PARTS, "mnist", replace(PARTS["mnist"], needs=("no_such_package",)))
    monkeypatch.setitem(PARTS, "ops", replace(PARTS["ops"], module="no_such_part", share=1000))
    assert main(["--out", str(tmp_path), "--tiny", "--budget", "600", "--parts", "mnist", "ops", "formulations"]) == 0
    output, _ = capsys.readouterr()
    table = output.split("\n\n")[-1]
    assert "formulations: the table's is the fastest" in table
    assert "mnist" in table
    assert "not measured: not run, no_such_package is not installed" in table
    assert "not measured: ModuleNotFoundError: No module named 'benchmarks.device.no_such_part'" in table


def test_a_budget_too_small_for_any_part(tmp_path, capsys):
    assert main(["--out", str(tmp_path), "--tiny", "--budget", "0.1", "--parts", "audit", "ops"]) == 0
    output, _ = capsys.readouterr()
    assert output.count("not measured: not run, the budget leaves it 0 s") == 2
    assert list(tmp_path.glob("*.json")) == []


# --- what the results come to -----------------------------------------------------------------------------------------


def lines(name, results, **facts):
    _, *found = summary.table({name: {"results": results, **facts}})
    return [tuple(line) for line in found]


def op(peer, seconds, direction="fwd"):
    task = {"precision": "tf32", "direction": direction}
    return {"case": "conv", "task": task, "peer": peer, "seconds": seconds, "flops": 3e12, "label": ""}


def test_ops_stand_beside_the_faster_of_their_peers():
    gemm = [{**op("ours", [0.01]), "flops": 2e12}]
    results = [op("ours", [0.02]), op("autodiff", [0.02]), op("torch", [0.01]), op("ours", [1.0], "dx")]
    found = lines("ops", results, gemm=gemm, cut=["one", "two"])
    assert ("matrix product, tf32", "200.0 TFLOP/s", "", "") in found
    assert ("ops, tf32", "0 of 1 maps", "0.98 of the faster peer", "no") in found
    assert ("  conv fwd", "0.50", "", "") in found
    assert ("  of the matrix product, tf32", "2% to 75%", "", "") in found
    assert found[-1] == ("ops, no time for", "2 more", "", "")


def test_steps_stand_beside_torch_compile_and_scanned_beside_dispatched():
    def step(peer, mode, seconds, **facts):
        task = {"precision": "bfloat16", "mode": mode}
        return {"case": "net", "task": task, "peer": peer, "seconds": seconds, "flops": 4e9, **facts}

    results = [
        step("ours", "single", [0.004, 0.002, 0.002], disturbed=[True, False, False], device_bytes=3 * 2**20),
        step("torch-compile", "single", [0.001]),
        step("torch", "single", [], gap="not installed"),
        step("ours", "scanned", [0.001]),
    ]
    assert lines("train", results) == [
        ("net, bfloat16", "2.00 ms a step, 2.0 TFLOP/s", "", ""),
        ("  torch-compile ÷ ours", "0.50", "1.0 or more", "no"),
        ("  scanned ÷ dispatched", "0.50", "1.0 or less", "yes"),
        ("  memory, MiB", "ours 3", "", ""),
    ]


def test_replicates_stand_beside_one_run_and_beside_all_of_them():
    shared = dict(case="digits", label="CNN", replicates=64, epochs=2)
    ways = {"one": [1.0], "vmapped": [5.0], "single": [40.0]}
    assert lines("replicates", [dict(**shared, way=way, seconds=s) for way, s in ways.items()]) == [
        ("64 × CNN in one program ÷ one run", "5.00", "4 or less", "no"),
        ("  64 one after the other ÷ in one program", "8.0", "", ""),
    ]


def test_bits_of_a_kind_that_did_not_run_alone_have_no_seconds():
    results = [
        dict(kind="deterministic", alone=True, gap="ended with code 1"),
        dict(kind="deterministic", alone=False, digests=["a", "a"], seconds=[9.0, 0.25]),
    ]
    assert lines("determinism", results) == [("bits, deterministic", "equal in one process", "equal", "yes")]


@pytest.mark.parametrize(
    ("digests", "told", "reached"),
    [
        ([["a", "a"], ["a", "a"]], "equal in one process, equal in 2", "yes"),
        ([["a", "a"], ["b", "b"]], "equal in one process, not equal in 2", "no"),
        ([["a", "b"], ["a", "b"]], "not equal in one process, not equal in 2", "no"),
    ],
)
def test_bits_are_equal_within_and_across_processes_or_not(digests, told, reached):
    results = [
        dict(kind="deterministic", alone=alone, digests=found, seconds=[9.0, 0.25])
        for alone, found in zip((True, False), digests, strict=True)
    ]
    assert lines("determinism", results) == [("bits, deterministic", f"{told}; 250.0 ms a run", "equal", reached)]
    ((_, table),) = tables.determinism_tables({"results": results})
    assert table[1] == ["deterministic", "alone", ", ".join(dict.fromkeys(digests[0])), "250.0"]


def test_audits_that_fail_are_named():
    check = dict(stage="elementwise", error=3.0, bound=2.0)
    results = [
        dict(op="relu", passed=False, stages={"elementwise": "failed", "fuzz": "passed"}, checks=[check]),
        dict(op="gelu", passed=False, error="RuntimeError: no such kernel"),
        dict(op="tanh", passed=True, stages={}, checks=[]),
    ]
    assert lines("audit", results) == [
        ("gradients that pass", "1 of 3 ops", "all", "no"),
        ("  relu", "failed: elementwise", "", ""),
        ("  gelu", "RuntimeError: no such kernel", "", ""),
    ]
    ((_, table),) = tables.audit_tables({"results": results})
    assert [line[:3] for line in table[1:]] == [
        ["gelu", "failed", "not measured"],
        ["relu", "failed", "1.5"],
        ["tanh", "passed", "not measured"],
    ]


def test_formulations_that_beat_the_chosen_one_are_named():
    shared = dict(label="conv", direction="dw", precision="tf32", pairs=2)
    results = [
        dict(**shared, formulation="direct", way="one by one", chosen=True, seconds=[0.02]),
        dict(**shared, formulation="patches", way="at once", chosen=False, seconds=[0.01]),
    ]
    assert lines("formulations", results) == [
        ("formulations: the table's is the fastest", "0 of 1 maps", "", ""),
        ("  conv dw, tf32, 2 pairs", "patches at once: 0.50 of the time", "", ""),
    ]


def test_mnist_tells_the_median_of_those_that_got_there():
    run = dict(seed=0, epoch_ends=[1.0, 2.0], test_accuracy=0.99, compile_seconds=7.0)
    assert lines("mnist", [run | {"seconds": 2.0}, run | {"seconds": None}]) == [
        ("MNIST, 99 % on validation after", "2.00 s (median of 1), and 7 s to compile; test 99.00%, 99.00%", "", "")
    ]
    ((_, table),) = tables.mnist_tables({"results": [run | {"seconds": None}]})
    assert table[1] == ["0", "not reached", "2.00", "99.00%"]
