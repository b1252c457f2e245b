import json

import pytest

from benchmarks import tables
from benchmarks.attributions import QUICK_CASES, AttributionTask
from benchmarks.cases import QUICK_LAYERS, tasks_of
from benchmarks.machine import Moment, directory_name, foreign_cores
from benchmarks.messages import encode
from benchmarks.networks import QUICK_NETWORKS, StepTask
from benchmarks.scaling import QUICK_BASE, sweep
from benchmarks.session import Effort, chosen, store

LAYER = QUICK_LAYERS["conv3-4-8-at-8-stride2"]


def result(case, task, peer, seconds, **facts):
    known = {"gap": None, "flops": 2e9, "compile_seconds": 0.25, "peak_bytes": 7 * 2**20, "idle_bytes": 2**20}
    known |= {"disturbed": [False] * len(seconds), "allocator": "default"}
    return {"case": case, "task": encode(task), "peer": peer, "seconds": seconds, "label": "", **known, **facts}


def document(benchmark, results):
    packages = {"jax": "0.10"}
    where = dict(command="scripts/x.py", device="A Chip", backend="cpu", cpus=2, python="3.11", packages=packages)
    where |= dict(started="2026-01-02T03:04:05", git={"commit": "0123456789ab", "dirty": True})
    gemm = [{"seconds": [0.1, 0.2], "disturbed": [False, False], "flops": 3e9}]
    plan = {"rounds": 3, "threads": 1}
    return {"benchmark": benchmark, "environment": where, "plan": plan, "gemm": gemm, "results": results, "peers": {}}


def tasks(context):
    return {t.direction: t for t in tasks_of(LAYER, context, batch=2, precision="float32", repeats=2)}


@pytest.fixture
def ops():
    once, scan = tasks("once"), tasks("scan")
    results = [
        result("conv", once["fwd"], "ours", [0.010, 0.020, 0.030]),
        result("conv", once["fwd"], "autodiff", [0.020, 0.060, 0.060]),
        result("conv", once["fwd"], "torch", [], gap="not installed"),
        result("conv", once["dx"], "ours", [0.010, 0.010, 0.010], disturbed=[True] * 3),
        result("conv", once["dx"], "autodiff", [], gap="crashed"),
        result("conv", scan["fwd"], "ours", [0.050, 0.050, 0.050]),
        result("conv", scan["fwd"], "torch", [], gap="dispatches every step"),
    ]
    return document("ops", results)


def test_ratios_of_ops(ops):
    table = tables.op_tables(ops)[0][1]
    assert table == [
        ["", "direction", "allocator", "ours ms", "GFLOP/s", "autodiff ÷ ours", "torch ÷ ours"],
        ["conv", "fwd", "default", "20", "100", "3.00 (2.00–2.50)", "not measured"],
        ["conv", "dx", "default", "10*", "200", "not measured", "not measured"],
    ]


def test_cost_of_contexts(ops):
    table = tables.op_tables(ops)[1][1]
    assert table[1:] == [["conv", "fwd", "default", "ours", "20", "2.50", "not measured"]]


def test_compile_time_and_memory_of_ops(ops):
    found = tables.op_tables(ops)
    assert found[2][1][1] == ["conv", "fwd", "default", "0.25", "0.25", "not measured"]
    assert found[3][1][1:] == [["conv", "default", "6", "6", "not measured"]]


def test_without_ours_the_first_peer_is_the_reference():
    once = tasks("once")
    results = [result("conv", once["fwd"], "torch", [0.01]), result("conv", once["fwd"], "autodiff", [0.02])]
    head, line = tables.op_tables(document("ops", results))[0][1]
    assert head[3:] == ["torch ms", "GFLOP/s", "autodiff ÷ torch"]
    assert line[3:] == ["10", "200", "2.00 (2.00–2.00)"]


def train():
    task = StepTask(QUICK_NETWORKS["tiny_cnn"], "single", 2)
    return document("train", [
        result("net", task, "ours", [0.002, 0.002], loss=2.5),
        result("net", task, "flax", [0.004, 0.004], loss=2.5),
        result("net", task, "keras", [], gap="not installed"),
        result("net", task, "ours", [0.001, 0.001], loss=2.5, allocator="tuned"),
    ])  # fmt: skip


def test_tables_of_training():
    found = {title: table[1:] for title, table in tables.train_tables(train())}
    default, tuned = found["One training step of one replicate:"]
    assert default == ["net", "single", "default", "2", "1000", "2.00 (2.00–2.00)", "not measured"]
    assert tuned == ["net", "single", "tuned", "1", "2000", "not measured", "not measured"]
    losses = next(table for title, table in found.items() if title.startswith("Loss"))
    assert losses[0][3:] == ["2.50000", "2.50000", "not measured"]


def test_tables_of_attributions():
    network = QUICK_CASES["tiny_cnn"]
    path, windows = (
        AttributionTask(network, *settings)
        for settings in (("integrated-gradients", 64, (20,)), ("occlusion", 8, (3, 2)))
    )
    results = [
        result("net", path, "ours", [0.002, 0.002], loss=0.5),
        result("net", path, "captum", [0.006, 0.006], loss=0.5),
        result("net", windows, "ours", [0.002, 0.002], loss=0.25),
        result("net", windows, "captum", [], gap="not installed"),
    ]
    found = dict(tables.attribution_tables(document("attribution", results)))
    assert found["One batch of images:"] == [
        ["", "method", "allocator", "ours ms", "GFLOP/s", "captum ÷ ours"],
        ["net", "integrated gradients, 64 images, 20 steps", "default", "2", "1000", "3.00 (3.00–3.00)"],
        ["net", "occlusion, 8 images, windows of 3×3, stride 2", "default", "2", "1000", "not measured"],
    ]
    means = next(table for title, table in found.items() if title.startswith("Mean absolute"))
    assert [line[3:] for line in means[1:]] == [["0.50000", "0.50000"], ["0.25000", "not measured"]]


def scaling():
    points = zip((2, 4), sweep("batch", (2, 4), QUICK_BASE), (0.1, 0.4), strict=True)
    return document("scaling", [result("batch", task, "ours", [s], size=size) for size, task, s in points])


def test_replicates_stand_beside_as_many_single_runs():
    seconds = {"single": [4.0, 8.0, 9.0], "threads": [2.0, 2.0, 3.0], "vmapped": [10.0, 10.0, 10.0]}
    shared = dict(case="digits", label="CNN", replicates=4, epochs=2)
    results = [dict(**shared, way=way, seconds=found) for way, found in seconds.items()]
    (_, table), *_ = tables.replicate_tables(document("replicates", results))
    assert table[1:] == [
        ["CNN, 2 epochs", "single", "4", "2", "1.00"],
        ["CNN, 2 epochs", "threads", "4", "0.5", "0.25"],
        ["CNN, 2 epochs", "vmapped", "4", "2.5", "1.25"],
    ]


def test_units_together_stand_beside_units_alone():
    seconds = {"alone": [4.0, 8.0, 9.0], "together": [2.0, 2.0, 3.0]}
    shared = dict(case="digits", label="CNN", units=4, steps=2)
    results = [dict(**shared, way=way, seconds=found) for way, found in seconds.items()]
    (_, table), *_ = tables.unit_tables(document("units", results))
    assert table[1:] == [
        ["CNN, 2 steps", "alone", "4", "2", "1.00"],
        ["CNN, 2 steps", "together", "4", "0.5", "0.25"],
    ]


def test_readme_of_everything_that_was_measured(tmp_path, ops):
    for name, found in {"ops": ops, "train": train(), "scaling": scaling()}.items():
        store(found, name, tmp_path, None)
    text = tables.write_readme(tmp_path).read_text(encoding="utf-8")
    assert "`python scripts/x.py`: A Chip, 2 CPU cores, 1 threads;" in text
    assert "matrix product 20 to 20 GFLOP/s" in text
    assert "commit 0123456789 with changes" in text
    _, gpu = text.split("## h200")
    assert gpu.count("Not measured.") == len(tables.ON_ACCELERATORS)
    pictures = [line.split("](")[1][:-1] for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) == 3  # the tuned allocator has nothing to compare
    assert all((tmp_path / picture).stat().st_size > 5000 for picture in pictures)


def test_readme_of_nothing(tmp_path):
    text = tables.write_readme(tmp_path).read_text(encoding="utf-8")
    assert text.count("Not measured.") == len(tables.ON_CPUS) + len(tables.ON_ACCELERATORS)


def test_slope_stands_in_the_legend(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(tables.charts.figures, "scaling", lambda curves, *labels: drawn.append((curves, labels)))
    tables.charts.scaling_curves(scaling())
    (curves, (xlabel, _)) = drawn[0]
    assert curves == {"ours ∝ batch^2.00": ([2, 4], [100.0, 400.0])}
    assert xlabel == "images per batch"


def test_results_go_where_their_device_is_named(tmp_path):
    assert store(train(), "train", tmp_path, None) == tmp_path / "results" / "cpu" / "train.json"
    path = store(train(), "train", tmp_path, "h200")
    assert path.parent.name == "h200"
    assert json.loads(path.read_text(encoding="utf-8"))["benchmark"] == "train"


@pytest.mark.parametrize(
    ("backend", "device", "name"),
    [
        ("cpu", "AMD EPYC", "cpu"),
        ("gpu", "NVIDIA H200", "h200"),
        ("gpu", "NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("tpu", "TPU v4", "tpu-v4"),
    ],
)
def test_directory_of_a_device(backend, device, name):
    assert directory_name(backend, device) == name


def test_unknown_names_are_refused_with_the_known_ones():
    assert chosen("peers", ["b", "a", "b"], ("a", "b", "c")) == ("b", "a")
    assert chosen("peers", [], ("a", "b")) == ("a", "b")
    with pytest.raises(ValueError, match=r"peers is 'd': expected one of a, b, c"):
        chosen("peers", ["a", "d"], ("a", "b", "c"))


@pytest.mark.parametrize(("name", "value"), [("rounds", 0), ("seconds", 0.0), ("timeout", -1.0), ("threads", 10_000)])
def test_a_plan_that_cannot_be_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} is {value}: expected"):
        Effort(**{name: value})


def test_foreign_cores_are_what_others_kept_busy():
    start, end = Moment(wall=1.0, own=2.0, everybody=10.0), Moment(wall=3.0, own=5.0, everybody=14.0)
    assert foreign_cores(start, end) == 0.5
    assert foreign_cores(start, Moment(wall=3.0, own=7.0, everybody=14.0)) == 0.0
    assert foreign_cores(start, Moment(wall=3.0, own=5.0, everybody=None)) is None
