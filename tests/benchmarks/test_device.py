"""The check of a device: every part by itself, within a budget, and a table that says what there is and what not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from math import lcm
from pathlib import Path

import jax
import pytest

from benchmarks.device import devices, formulations, several, steps, summary, tables
from benchmarks.device.__main__ import PARTS, environment_of, main
from benchmarks.device.document import Document
from benchmarks.device.part import main as run_part
from benchmarks.device.peers import RESERVE
from benchmarks.interleave import Gap
from benchmarks.ratios import Sample

ROOT = Path(__file__).resolve().parents[2]


IN_THEIR_OWN = ("audit", "devices", "resume")
"""Parts that are begun as users begin them: those that start processes, or need two devices. One that does not has a
test below."""


@pytest.mark.slow
def test_the_whole_check_runs(tmp_path):
    """With the smallest shapes: some parts as its users start them, from elsewhere; the others in this process."""
    out = tmp_path / "an odd name"
    environment = os.environ | {"OUT": str(out), "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"}
    environment["JAX_NUM_CPU_DEVICES"] = "2"
    environment.pop("TFDS_DATA_DIR", None)
    command = ["bash", str(ROOT / "scripts" / "device_check.sh"), "--tiny"]
    command += ["--budget", "5000", "--parts", *IN_THEIR_OWN]  # a slow machine may take long
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=5000)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("2 × cpu (JAX ")
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
    check_two_devices(documents["devices"], documents["resume"])
    read, resident = (documents["streaming"]["results"][i] for i in (1, 0))
    assert read["digest"] == resident["digest"]
    again, whole = (documents["determinism"]["results"][i]["interruption"] for i in (1, 0))
    assert again == {"resumed": whole["whole"], "stopped_after": 1}


def check_two_devices(together, resumed):
    one, two = (r["losses"] for r in together["results"] if r["precision"] == "float32" and r["losses"])
    assert len(one) == devices.TINY.steps
    assert one[0] != pytest.approx(one[1], rel=1e-3)  # they tell of the steps before
    assert two == pytest.approx(one, rel=several.AGREE)
    assert {(r["devices"], r["program"]) for r in together["results"] if r["seconds"]} == {
        (1, "whole step"), (2, "whole step"), (2, "sum alone")}  # fmt: skip
    *whole, there, back = resumed["results"]
    assert [(r["start"], r["equal"]) for r in whole] == [(2, True), (1, True)]
    mesh = {"batch": 2, "replicates": 1}
    assert [(r["start"], r["end"], r["mesh"]) for r in (there, back)] == [
        (2, 1, {"mesh": [mesh, None]}), (1, 2, {"mesh": [None, mesh]})]  # fmt: skip
    for r in (there, back):
        assert "would have other bits now" in r["refused"]
        assert "mesh" in r["refused"]
        assert r["kept"]
        assert r["losses"] == pytest.approx(whole[0]["losses"], rel=1e-4)


@pytest.mark.parametrize("name", ["devices", "resume"])
def test_one_device_is_not_several(name, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert run_part([name, str(tmp_path / f"{name}.json"), "60", "--tiny"]) == 0
    _, line = summary.lines_of(tmp_path, [name], {})
    assert " ".join(line.split()) == f"{name} not measured: one device"


def test_a_part_sees_one_device_unless_it_is_about_several(monkeypatch):
    gpus = {"backend": "gpu", "devices": 8}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment_of(PARTS["train"], gpus)["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(PARTS["devices"], gpus)
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(PARTS["train"], {"backend": "gpu", "devices": 1})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert environment_of(PARTS["train"], gpus)["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment_of(PARTS["resume"], gpus)["CUDA_VISIBLE_DEVICES"] == "3,5"


class Clocked:
    """A document whose time passes while its peer prepares: `costs` seconds by mode. It is the peer, too."""

    tiny = True

    def __init__(self, left, **costs):
        self.left, self.costs, self.results, self.skipped = left, costs, [], {}

    def add(self, results):
        self.results += results

    def now(self):
        return -self.left

    def prepare(self, task):
        if task in self.skipped:
            raise Gap(self.skipped[task])
        self.left -= self.costs.pop(task.mode, 0)
        return {}

    def skip(self, task, reason):
        self.skipped[task] = reason

    def sample(self, task):
        return Sample(1.0)

    def forget(self):
        pass


@pytest.mark.parametrize(("left", "gap"), [(20.0, "no time"), (30.0, None)])
def test_a_scanned_program_is_not_begun_in_less_time_than_the_dispatched_one_took(left, gap, monkeypatch):
    clocked = Clocked(RESERVE + left, single=12.0, scanned=1.0)
    monkeypatch.setattr(steps, "monotonic", clocked.now)
    steps.measure_plan(clocked, steps.TINY, {"ours": clocked})
    single, scanned = clocked.results
    assert (single["gap"], scanned["gap"]) == (None, gap)
    assert single["seconds"]


@pytest.mark.parametrize(
    ("there", "counts"), [(2, (1, 2)), (3, (1, 3, 2)), (6, (1, 6, 4, 2)), (8, (1, 8, 4, 2)), (9, (1, 9, 8, 4, 2))]
)
def test_steps_are_asked_of_one_and_all_devices_first(there, counts):
    assert devices.counts_of(there, tiny=False) == counts
    assert devices.counts_of(there, tiny=True) == counts[:2]
    total = lcm(*counts)
    asked = list(devices.cases(devices.PLAN, counts, total))
    assert [(case.devices, case.precision) for case in asked[:2]] == [(1, "float32"), (there, "float32")]
    whole = [case for case in asked if case.question.program == "whole step"]
    assert all(case.question.batch % case.devices == 0 for case in whole)
    for batch in (lambda n: n * devices.PLAN.share, lambda n: total):
        found = [case.devices for case in whole[2:] if case.question.batch == batch(case.devices)]
        assert set(found) == set(counts)


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


def test_steps_at_224_stand_beside_a_matrix_product():
    task = {"precision": "bfloat16", "batch": 256}
    gemm = [{"peer": "ours", "task": task, "seconds": [0.001], "flops": 8e11}]
    shared = {"case": "net", "flops": 4e12, "gap": None}
    results = [
        {**shared, "task": task | {"mode": "single"}, "peer": "ours", "seconds": [0.02]},
        {**shared, "task": task | {"mode": "scanned"}, "peer": "ours", "seconds": [0.016]},
        {**shared, "task": task | {"mode": "single"}, "peer": "torch", "seconds": []},
    ]
    assert lines("resnet224", results, gemm=gemm)[-3:] == [
        ("  scanned ÷ dispatched", "0.80", "1.0 or less", "yes"),
        ("  ours, dispatched", "12,800 images/s, 25% of the matrix product", "", ""),
        ("  ours, scanned", "16,000 images/s, 31% of the matrix product", "", ""),
    ]


@pytest.mark.parametrize(("digest", "told"), [("a", ("equal", "equal", "yes")), ("b", ("not equal", "equal", "no"))])
def test_images_that_are_read_stand_beside_those_in_memory(digest, told):
    shared = dict(case="random", images=1000, disturbed=[False] * 2)
    results = [
        dict(**shared, way="resident", seconds=[0.5, 0.5], digest="a"),
        dict(**shared, way="from the cache", seconds=[0.6, 0.6], digest=digest),
    ]
    assert lines("streaming", results) == [
        ("1,000 images from the cache ÷ in memory", "1.20, 1,667 images/s", "", ""),
        ("  bits of the parameters", *told),
    ]


def scaled(devices, batch, seconds, precision="bfloat16", **facts):
    shared = dict(label="net", devices=devices, program="whole step", batch=batch, bytes=0, precision=precision)
    return shared | dict(seconds=seconds, losses=None, gap=None) | facts


@pytest.mark.parametrize(
    ("loss", "told"), [(2.0002, ("relative difference 1.0e-04", "yes")), (2.01, ("5.0e-03", "no"))]
)
def test_several_devices_stand_beside_one(loss, told):
    results = [
        scaled(1, 8, [], "float32", losses=[4.0, 2.0]),
        scaled(4, 8, [], "float32", losses=[4.0, loss - 1e-9]),
        scaled(1, 4, [0.1]),
        scaled(4, 16, [0.125]),
        scaled(1, 8, [0.2]),
        scaled(4, 8, [0.1]),
        scaled(2, 8, [], gap="the process that computed it died"),
        {**scaled(4, 0, [2e-5]), "program": "sum alone", "bytes": 2_000_000},
    ]
    plan = dict(share=4, total=8, steps=2, gradients=2_000_000, precision="bfloat16")
    found = lines("devices", results, plan=plan)
    assert found[:5] == [
        ("images/s ÷ one device, 4 images each", "3.20 on 4", "", ""),
        ("  on 4 devices", "128 images/s", "", ""),
        ("images/s ÷ one device, 8 images in all", "2.00 on 4", "", ""),
        ("  on 4 devices", "80 images/s", "", ""),
        ("sum of its gradients alone, 2.0 MB", "20 µs on 4", "", ""),
    ]
    assert found[5][0] == "losses of 4 devices and of 1, float32"
    assert found[5][1].endswith(told[0])
    assert found[5][2:] == ("0.0001 or less", told[1])
    assert found[6] == ("  2 devices, whole step, bfloat16", "not measured: the process that computed it died", "", "")
    weak, strong, sums, losses = (table for _, table in several.devices_tables({"results": results, "plan": plan}))
    assert weak[1:] == [["1", "4", "100", "40", "1.00", "100%"], ["2", "8", "not measured", "", "", ""],
                        ["4", "16", "125", "128", "3.20", "80%"]]  # fmt: skip
    assert strong[-1] == ["4", "8", "100", "80", "2.00", "50%"]
    assert sums == [["devices", "2,000,000 bytes"], ["4", "20"]]
    assert losses[1] == ["1", "4.0000000", "2.0000000", "0.0e+00", "not measured"]


def test_runs_on_other_devices_tell_what_changed():
    shared = dict(interrupted=True, gap=None, equal=False, difference=1e-7, changed=["mesh", "programs.epoch"])
    results = [
        dict(start=2, end=2, interrupted=False, equal=True, difference=0.0, gap=None),
        dict(**shared, start=2, end=1, mesh={"mesh": [{"batch": 2}, None]}, refused="holds another"),
        dict(**shared, start=1, end=2, mesh={}, refused=None),
        dict(start=1, end=2, gap="RuntimeError: no"),
    ]
    told = "bits not equal, relative difference of losses 1.0e-07"
    assert lines("resume", results) == [
        ("bits of a run on 2 devices, twice", "equal", "equal", "yes"),
        ("saved on 2, resumed on 1, beside all on 2", told, "", ""),
        ("  changes that its manifest tells of the mesh", "mesh: {'batch': 2} then, None now", "some", "yes"),
        ("  where changes are not accepted", "refused", "refused", "yes"),
        ("saved on 1, resumed on 2, beside all on 1", told, "", ""),
        ("  changes that its manifest tells of the mesh", "none", "some", "no"),
        ("  where changes are not accepted", "not refused", "refused", "no"),
        ("saved on 1, resumed on 2", "not measured: RuntimeError: no", "", ""),
    ]
    ((_, table),) = several.resume_tables({"results": results, "plan": {"epochs": 4}})
    assert table[2] == ["2", "1", "not equal", "1.0e-07", "mesh, programs.epoch"]
    assert table[4] == ["1", "2", "not measured", "", ""]


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


@pytest.mark.parametrize(
    ("resumed", "told"),
    [
        ({"resumed": "a"}, ("equal, in another process", "equal", "yes")),
        ({"resumed": "b"}, ("not equal, in another process", "equal", "no")),
        ({"failed": "OtherRun: it is another"}, ("OtherRun: it is another", "equal", "no")),
    ],
)
def test_an_interrupted_run_has_the_bits_of_one_that_was_not(resumed, told):
    shared = dict(kind="deterministic", digests=["a"], seconds=[9.0, 0.25])
    results = [
        dict(**shared, alone=True, interruption={"whole": "a"}),
        dict(**shared, alone=False, interruption=resumed),
    ]
    assert lines("determinism", results)[1:] == [("  interrupted after an epoch and resumed", *told)]


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
