"""All peers start from the same parameters and the same images: whoever reports another loss computes another thing."""

from functools import cache

import numpy as np
import pytest

from benchmarks.cases import QUICK_LAYERS, ConvLayer, PoolLayer, tasks_of
from benchmarks.networks import QUICK_NETWORKS, StepTask
from benchmarks.peers import PEERS, jax_ops, load
from benchmarks.peers.program import Unsupported
from convnet.ops import OPSETS

BATCH = 4
STEPS = [(name, mode) for name in QUICK_NETWORKS for mode in ("single", "vmapped")]


def task(network, mode):
    return StepTask(QUICK_NETWORKS[network], mode, BATCH, 1 if mode == "single" else 2)


def losses(peer, task, calls):
    program = load(peer).build(task)
    return [program.run(1) for _ in range(calls)]


@pytest.fixture(scope="module")
def expected():
    """Of a step, computed when asked for."""
    return cache(lambda step: losses("ours", task(*step), 3))


@pytest.mark.parametrize(
    "step", [STEPS[0], *(pytest.param(s, marks=pytest.mark.sweep) for s in STEPS[1:])], ids="-".join
)
@pytest.mark.parametrize("peer", [pytest.param("autodiff", marks=pytest.mark.sweep), "flax"])
def test_jax_peers_compute_the_same_losses(peer, step, expected):
    np.testing.assert_allclose(losses(peer, task(*step), 3), expected(step), rtol=1e-4, atol=1e-5)
    assert expected(step)[0] > expected(step)[2] > 0


@pytest.mark.parametrize("network", QUICK_NETWORKS)
@pytest.mark.parametrize("peer", ["torch", "torch-nchw", "keras"])
def test_other_frameworks_compute_the_same_losses(peer, network, expected):
    pytest.importorskip(peer.split("-")[0])
    np.testing.assert_allclose(
        losses(peer, task(network, "single"), 3), expected((network, "single")), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("gradient", ["hand", "auto"])
def test_scanned_epochs_learn_too(gradient):
    peer = {"hand": "ours", "auto": "autodiff"}[gradient]
    program = load(peer).build(StepTask(QUICK_NETWORKS["tiny_cnn"], "scanned", BATCH, 3))
    assert program.units == 3
    first, *_, last = [program.run(1) for _ in range(8)]
    assert first > last > 0


@pytest.mark.parametrize("context", ["once", "scan", "vmap"])
@pytest.mark.parametrize("layer", QUICK_LAYERS.values(), ids=QUICK_LAYERS)
def test_hand_and_autodiff_time_the_same_arrays(layer, context):
    for task in tasks_of(layer, context, batch=2, precision="float32", repeats=2):
        arguments, results = jax_ops._arguments(task), []
        for opset in OPSETS.values():
            function = jax_ops._function(task, opset)
            if context == "vmap":
                results.append([function(*(value[i] for value in arguments)) for i in range(2)])
            else:
                results.append(function(*arguments))
            program = jax_ops.op_program(task, opset)
            assert program.run(1) is None
            assert program.units == (1 if context == "once" else 2)
        np.testing.assert_allclose(*map(np.asarray, results), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [ConvLayer(3, 4, 6, 7, stride=2), PoolLayer(2, 3, 4)], ids=lambda layer: layer.label)
def test_shapes_of_the_table_are_those_of_the_ops(layer):
    for task in tasks_of(layer, "once", batch=2, precision="float32", repeats=1):
        arguments = jax_ops._arguments(task)
        result = jax_ops._function(task, OPSETS["hand"])(*arguments)
        expected = {
            "fwd": layer.output_shape(2),
            "dw": getattr(layer, "kernel_shape", tuple)(),
        }.get(task.direction, layer.image_shape(2))
        assert result.shape == expected


@pytest.mark.parametrize("peer", ["flax", "keras"])
def test_peers_without_ops_of_their_own_say_so(peer):
    pytest.importorskip(peer)
    (op, *_) = tasks_of(QUICK_LAYERS["maxpool2-4-at-8"], "once", batch=2, precision="float32", repeats=1)
    with pytest.raises(Unsupported, match="no convolution of its own"):
        load(peer).build(op)


def test_every_peer_has_a_label_of_its_own():
    assert len({peer.label for peer in PEERS.values()}) == len(PEERS)
