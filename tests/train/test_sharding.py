"""A run on several devices is the run on one, to rounding; equal meshes give equal bits."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from convnet.ablation.replicates import chunks_of
from convnet.config import MeshConfig
from convnet.ops import conv2d
from convnet.train import layout_of

ROOT = Path(__file__).resolve().parents[2]


def on_eight_devices(part):
    command = [sys.executable, "-m", "tests.train.eight_devices", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_curves_are_those_of_one_device():
    """With batch norm, dropout and augmentation, too, which look at a batch as a whole or draw for each image."""
    curves = on_eight_devices("curves_of_meshes")
    for name in ("all", "recipe"):
        np.testing.assert_allclose(curves[f"{name} 8"], curves[f"{name} 1"], rtol=1e-11)
    assert not np.allclose(curves["all 1"], curves["recipe 1"], rtol=0.01)


def test_devices_send_each_other_gradients_and_nothing_else():
    found = on_eight_devices("sent_between_devices")
    assert found["devices"] == 8
    assert {kind for kind, _ in found["sent"]} == {"all-reduce"}
    loss_and_accuracy = 2
    assert sum(values for _, values in found["sent"]) == found["parameters"] + loss_and_accuracy


@pytest.mark.slow
def test_devices_agree_in_bfloat16():
    one, two = on_eight_devices("in_bfloat16")
    assert two == pytest.approx(one, rel=1e-2)


@pytest.mark.sweep
def test_equal_meshes_give_equal_bits():
    first, second = on_eight_devices("equal_meshes")
    assert first == second


@pytest.mark.slow
def test_replicates_on_devices_of_their_own_send_nothing_and_have_the_bits_of_one_device():
    found = on_eight_devices("replicates_on_devices")
    assert found["width"] == 8
    assert found["sent"] == []
    assert found["eight"] == found["one"]
    assert len(set(found["one"])) == 3


@pytest.mark.sweep
def test_replicates_that_have_several_devices_each():
    found = on_eight_devices("both_axes")
    np.testing.assert_allclose(found["eight"], found["one"], rtol=1e-11)


def test_what_is_said_of_meshes_that_cannot_be():
    assert on_eight_devices("refused") == {
        "too many": "mesh.batch is 16: expected at most the 8 CPU devices there are",
        "uneven": "train.batch_size is 16: expected a multiple of mesh.batch (3), among which it is divided",
        "too many in all": "mesh.replicates is 4: expected at most the 8 CPU devices there are, 4 for each",
    }


@pytest.mark.slow
def test_a_run_goes_on_on_another_mesh_where_that_is_accepted():
    found = on_eight_devices("resumed_on_another_mesh")
    assert "mesh.batch (8 then, 2 now)" in found["refused"]
    assert found["changed"] == [8, 2]
    assert found["epochs"] == [1, 2, 3]
    np.testing.assert_allclose(found["resumed"], found["whole"], rtol=1e-11)


@pytest.mark.slow
def test_gradients_of_every_formulation_are_summed_over_devices():
    """Value, gradients, and gradients of gradients."""
    found = on_eight_devices("gradients_of_every_formulation")
    assert {"correlate winograd", "input_gradient col2im", "kernel_gradient eigen", "grouped"} <= found.keys()
    assert {name: error for name, error in found.items() if not error < 1e-11} == {}


def test_a_single_device_needs_no_mesh():
    layout = layout_of(MeshConfig(), batch_size=7)
    assert layout.mesh is None
    assert layout.description is None


@pytest.mark.parametrize(("n", "largest", "devices", "chunks"), [
    (0, 4, 2, []), (1, 4, 1, [(0, 1)]), (9, 4, 1, [(0, 3), (3, 3), (6, 3)]), (3, 4, 8, [(0, 8)]),
    (17, 2, 8, [(0, 16), (16, 16)]), (16, 2, 8, [(0, 16)]), (5, 16, 2, [(0, 6)]),
])  # fmt: skip
def test_replicates_are_dealt_out_evenly(n, largest, devices, chunks):
    assert chunks_of(n, largest, devices) == chunks


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"replicates": -1}])
def test_mesh_settings_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"mesh\.{name} is {wrong[name]}: expected 1 or more devices"):
        MeshConfig(**wrong)


def test_a_mesh_with_another_name_changes_nothing(rng):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    x, w = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(3, 3, 3, 4))
    with jax.set_mesh(mesh):
        text = jax.jit(conv2d).lower(x, w).as_text()
    assert "manual_computation" not in text
