"""The model of a step follows from its definitions, and docs/scale.md from the stored results."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale_model, scale_tables
from benchmarks.made import made
from benchmarks.parallel import PLAN, Crew, sums_in
from benchmarks.scale_model import resnet18
from benchmarks.scale_page import page
from benchmarks.step_cost import BACKWARD, Fabric, Step, best_sum, fitted, load_of, scales_to, step, sum_seconds
from convnet.architectures.layers import BatchNorm, Conv, Dense, Flatten
from convnet.architectures.shapes import walk

ROOT = Path(__file__).resolve().parents[2]
RING = Fabric(start=1e-5, near_hop=1e-6, near_bandwidth=1e9, far_hop=1e-4, far_bandwidth=1e8, per_machine=4)


def test_a_ring_by_its_formula():
    assert sum_seconds(RING, 1, 1e6) == 0
    assert sum_seconds(RING, 4, 1e6) == pytest.approx(1e-5 + 6e-6 + 1.5 * 1e6 / 1e9)
    # Two machines: 14 hops, of which each machine's edge is gone over twice; the network is what is slow.
    assert sum_seconds(RING, 8, 1e6) == pytest.approx(1e-5 + 10e-6 + 4e-4 + 1.75 * 1e6 / 1e8)


def test_a_tree_has_logarithmic_hops_and_sends_all_twice():
    tree = Fabric(start=0, near_hop=1e-6, near_bandwidth=1e9, far_hop=1e-4, per_machine=1, tree=True)
    assert sum_seconds(tree, 1024, 0) == pytest.approx(20e-4)
    assert sum_seconds(tree, 1024, 1e6) - sum_seconds(tree, 1024, 0) == pytest.approx(2e6 / 1e9)
    ring = Fabric(start=0, near_hop=1e-6, near_bandwidth=1e9, far_hop=1e-4, per_machine=1)
    assert best_sum((ring, tree), 1024, 4) == sum_seconds(tree, 1024, 4)
    assert best_sum((ring, tree), 2, 1e9) == sum_seconds(ring, 2, 1e9)


def test_a_fit_finds_the_constants_that_made_its_points():
    made_by = Fabric(start=0, near_hop=3e-5, near_bandwidth=2e9)
    points = [(n, size, sum_seconds(made_by, n, size)) for n in (2, 4, 8) for size in (4, 2**16, 2**23)]
    found = fitted(points)
    assert found.near_hop == pytest.approx(3e-5)
    assert found.near_bandwidth == pytest.approx(2e9)


def test_a_fit_of_falling_times_has_no_negative_constant():
    found = fitted([(2, 4, 1e-3), (2, 2**20, 5e-4)])
    assert found.near_hop > 0
    assert found.near_bandwidth == float("inf")


def test_what_hides_behind_what():
    alone = Step(1, compute=3.0, input=1.0)
    assert alone.exposed == alone.hidden == 3.0
    assert Step(1, compute=3.0, input=5.0).exposed == 5.0
    several = Step(8, compute=3.0, gradients=2.5, statistics=0.25)
    assert several.exposed == 5.75
    assert several.hidden == pytest.approx(3.0 + 2.5 - BACKWARD * 3.0 + 0.25)
    assert several.apart.hidden == pytest.approx(3.5)


def test_the_load_of_resnet18_is_the_published_one():
    load = load_of(resnet18(), 256)
    assert load.gradient_bytes == 4 * 11_689_512
    assert len(load.statistics) == 20
    assert 0.95 < load.flops / (6 * 256 * 1_814_073_344) < 1  # the first layer has no gradient in the images


def test_gradients_of_frozen_kernels_are_not_summed():
    layers = (Conv("one", 3, 2, frozen=True), BatchNorm("norm", use_scale=False), Flatten(), Dense("logits", 2))
    load = load_of(list(walk(layers, (4, 4, 1))), 5)
    assert load.gradient_bytes == 4 * (3 + 3 + 48 * 2 + 2)
    assert load.statistics == (12,)


def test_more_devices_never_make_one_faster():
    load = load_of(resnet18(), 256)
    rates = [step(load, n, 1e14, (RING,), (RING,)).hidden for n in (1, 2, 8, 64, 1024)]
    assert rates == sorted(rates)
    assert rates[0] == load.flops / 1e14
    most = [scales_to(load, 1e14, share, apart=False, hidden=True) for share in (0.9, 0.5, 0.1)]
    assert most == sorted(most)


def test_sums_are_found_in_a_compiled_program():
    text = """
  %all-reduce.1 = f32[64,3]{1,0} all-reduce(%x), channel_id=1, replica_groups={{0,1}}
  %all-reduce.2 = (f32[], bf16[5]{0}) all-reduce(%y, %z), channel_id=2
  %s = f32[2]{0} all-reduce-start(%w), channel_id=3
  %t = f32[2]{0} add(%all-reduce.1, %w)
"""
    assert sums_in(text) == [768, 4, 10, 8]


def test_every_crew_is_asked_for_its_share_and_for_the_total():
    for crew in (Crew(1, 1, 2), Crew(1, 4, 2), Crew(4, 1, 1)):
        asked = list(PLAN.questions(crew))
        batches = [q.batch for q in asked if q.program == "whole step"]
        assert batches == [crew.count * PLAN.share, PLAN.total]
        assert any(q.program == "sum alone" for q in asked) == (crew.count > 1)


def test_made_images_are_the_same_stored_and_in_memory():
    stored, resident = made(300, (4, 4, 3), stored=True), made(300, (4, 4, 3), stored=False)
    assert stored.stored
    assert not resident.stored
    assert stored.digest == resident.digest
    assert len(np.unique(resident.train.images[:256], axis=0)) == 256


def test_the_page_of_nothing_measures_nothing(tmp_path):
    text = page(tmp_path)
    assert text.count("Not measured.") >= 6
    assert "Model, not measured" in text
    assert "{" not in text.replace("{1", "")


def test_the_page_is_what_the_stored_results_say():
    assert (ROOT / "docs" / "scale.md").read_text(encoding="utf-8") == page(ROOT / "benchmarks" / "results")


def result(crew, program="whole step", batch=16, seconds=(1.0, 1.0), **facts):
    crew = dict(zip(("processes", "devices", "threads"), crew, strict=True))
    known = dict(
        case="devices", label="net", crew=crew, program=program, batch=batch, bytes=0, sums=[], flops=1e9, gap=None
    )
    return {**known, "seconds": list(seconds), "disturbed": [False] * len(seconds), **facts}


def test_steps_that_follow_the_model_are_predicted_without_an_error():
    ring = Fabric(start=0, near_hop=1e-3, near_bandwidth=1e9)
    size, results = 10**6, []
    for n in (1, 2, 4):
        crew, batch = (1, n, 2), 16 * n
        own = dict(batch=batch, flops=batch * 1e9)
        sent = 3 * sum_seconds(ring, n, size)
        results.append(result(crew, seconds=(batch / 100 + sent,), sums=[size] * 3, **own))
        if n > 1:
            results.append(result(crew, "nothing summed", seconds=(batch / 100,), **own))
            results += [
                result(crew, "sum alone", batch=0, bytes=b, seconds=(sum_seconds(ring, n, b),)) for b in (4, 10**6)
            ]
    parts = scale_model.cpu_parts(results)
    assert "Steps of several devices are off by 0 %" in parts["errors"]
    assert "| 1 process, 4 devices | 64 |" in parts["predictions"]
    assert "| latency of a hop, devices of one process | sums alone | 1,000 µs |" in parts["constants"]
    assert "| bandwidth, devices of one process | sums alone | 1.00 GB/s |" in parts["constants"]
    assert "| arithmetic, one device | its steps | 100 GFLOP/s |" in parts["constants"]


def test_a_device_more_beside_one():
    results = [result((1, 1, 2)), result((1, 2, 2), batch=32, seconds=(2.5, 2.5)),
               result((1, 2, 2), "nothing summed", batch=32, seconds=(2.0, 2.0))]  # fmt: skip
    table = scale_tables.scaling(results, 16, weak=True)
    assert table[1:] == [
        ["1 process, 1 device", "16", "2", "1e+03", "1.00", "", ""],
        ["1 process, 2 devices", "32", "2", "2.5e+03", "0.80", "2e+03", "1.25 (1.25–1.25)"],
    ]
