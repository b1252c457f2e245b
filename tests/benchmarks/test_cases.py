import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.attributions import CASES, METHODS, AttributionTask
from benchmarks.cases import CONTEXTS, LAYERS, ConvLayer, GemmTask, OpTask, tasks_of
from benchmarks.messages import decode, encode
from benchmarks.networks import (
    CLASSES,
    LARGE_NETWORKS,
    MODES,
    NETWORKS,
    QUICK_NETWORKS,
    Network,
    StepTask,
    initial_parameters,
    plain_cnn,
    step_flops,
)
from benchmarks.scaling import BASE, SWEEPS, sweep
from convnet import models
from convnet.architectures import Table
from convnet.architectures.layers import Conv, Flatten

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("layer", "side", "flops"),
    [
        (ConvLayer(3, 64, 64, 32), 32, 2 * 128 * 32 * 32 * 64 * 9 * 64),
        (ConvLayer(3, 64, 128, 32, stride=2), 16, 2 * 128 * 16 * 16 * 128 * 9 * 64),
        (ConvLayer(1, 64, 128, 32, stride=2), 16, 2 * 128 * 16 * 16 * 128 * 64),
        (ConvLayer(3, 64, 64, 32, groups=64), 32, 2 * 128 * 32 * 32 * 64 * 9),
    ],
    ids=["plain", "strided", "pointwise", "depthwise"],
)
def test_layers_by_hand(layer, side, flops):
    assert (layer.output_side, layer.flops(128)) == (side, flops)


def test_labels_are_distinct():
    assert len({layer.label for layer in LAYERS.values()}) == len(LAYERS)
    assert LAYERS["depthwise3-64-at-32"].label == "3×3 depthwise 64 at 32²"
    assert LAYERS["conv5-32-64-at-28-stride2"].label == "5×5 32→64 at 28², stride 2"


EVERY_NETWORK = NETWORKS | LARGE_NETWORKS | QUICK_NETWORKS
EVERY_TASK = [
    GemmTask(64, "float32"),
    *(task for layer in LAYERS.values() for way in CONTEXTS for task in tasks_of(
        layer, way, batch=2, precision="bfloat16", repeats=3)),
    *(StepTask(network, mode, 4, 2) for network in EVERY_NETWORK.values() for mode in MODES),
    *(AttributionTask(network, method, 4, (2, 1)) for network in CASES.values() for method in METHODS),
]  # fmt: skip


def test_every_task_survives_the_journey_to_a_worker():
    for task in EVERY_TASK:
        assert decode(json.loads(json.dumps(encode(task)))) == task


def test_an_op_by_itself_is_not_repeated():
    tasks = tasks_of(LAYERS["conv3-64-64-at-32"], "once", batch=2, precision="float32", repeats=7)
    assert tasks == [OpTask(LAYERS["conv3-64-64-at-32"], way, "once", 2, "float32", 1) for way in ("fwd", "dx", "dw")]


def test_flops_of_a_step_by_hand():
    network = Network("", (4, 4, 2), Table((Conv("conv", 3), Flatten())))
    assert step_flops(network, 7) == 2 * 7 * (2 * 16 * 3 * 9 * 2 + 3 * 48 * 10)


def test_flops_of_a_step_with_frozen_kernels_by_hand():
    """Of a frozen first layer only the forward pass is computed, of one further up the gradient in its input, too."""
    layers = (Conv("one", 3, frozen=True), Conv("two", 3, 1, frozen=True), Flatten())
    network = Network("", (4, 4, 2), Table(layers))
    assert step_flops(network, 7) == 2 * 7 * (16 * 3 * 9 * 2 + 2 * 16 * 3 * 3 + 3 * 48 * 10)
    assert {name: set(own) for name, own in initial_parameters(network).items()} == {
        "one": {"bias"}, "two": {"bias"}, "logits": {"kernel", "bias"}
    }  # fmt: skip


def test_flops_of_an_attribution_by_hand():
    network = Network("", (4, 4, 2), Table((Conv("conv", 3), Flatten())))
    forward = 2 * (16 * 3 * 9 * 2 + 48 * 10)
    assert AttributionTask(network, "integrated-gradients", 7, (5,)).flops == 7 * 2 * 5 * forward
    assert AttributionTask(network, "occlusion", 7, (3, 2)).flops == 7 * 4 * forward  # three of four cut off


def test_the_small_vgg_takes_117_gflop():
    assert step_flops(NETWORKS["small_vgg"], 128) == pytest.approx(117e9, rel=0.01)


SIZES = {"mlp": 535_818, "mnist_cnn": 824_458, "small_vgg": 2_196_810, "resnet8": 308_650, "resnet18": 11_173_962}
"""Trained values of the networks that the stored results are of."""


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_initial_parameters_are_those_of_the_model(name):
    network = EVERY_NETWORK[name]
    drawn = initial_parameters(network)
    model = models.build(network.architecture, num_classes=CLASSES)
    expected = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *network.image_shape)))
    sizes = {f"params/{layer}/{part}": value.shape for layer, own in drawn.items() for part, value in own.items()}
    flat = models.flatten({"params": expected["params"]})
    assert sizes == {path: leaf.shape for path, leaf in flat.items()}
    count = sum(value.size for own in drawn.values() for value in own.values())
    assert count == models.count_parameters(expected)
    assert count == SIZES.get(name, count)


@pytest.mark.parametrize("network", QUICK_NETWORKS.values(), ids=QUICK_NETWORKS)
def test_initial_parameters_are_the_same_ones_every_time(network):
    found, again, other = (initial_parameters(network, seed) for seed in (0, 0, 1))
    for name, own in found.items():
        for part, value in own.items():
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, again[name][part])
            if part == "kernel":
                assert (value != other[name][part]).any()
            else:
                assert (value == (part == "scale")).all()


def test_kernels_have_the_deviation_that_keeps_relus_alive():
    kernel = initial_parameters(NETWORKS["resnet8"])["stage3/block1/conv2"]["kernel"]
    assert kernel.shape == (3, 3, 128, 128)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.01)


def test_parents_and_workers_need_no_flax():
    code = "import sys, benchmarks.messages; sys.exit('flax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0


@pytest.mark.parametrize("quantity", SWEEPS)
def test_a_sweep_changes_one_quantity(quantity):
    tasks = sweep(quantity, SWEEPS[quantity], BASE)
    assert len(set(tasks)) == len(SWEEPS[quantity])
    assert {task.mode for task in tasks} == {"vmapped" if quantity == "replicates" else "single"}
    base = plain_cnn(side=BASE.side, channels=BASE.channels, depth=BASE.depth)
    unchanged = [task.network == base for task in tasks]
    assert all(unchanged) if quantity in ("batch", "replicates") else unchanged.count(True) == 1
