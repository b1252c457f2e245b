"""All peers start from the same parameters and the same images: whoever reports another loss computes another thing."""

import re
from functools import cache

import jax
import numpy as np
import pytest

from benchmarks.attributions import METHODS, QUICK_CASES, AttributionTask
from benchmarks.cases import QUICK_LAYERS, ConvLayer, PoolLayer, tasks_of
from benchmarks.networks import QUICK_NETWORKS, Network, StepTask
from benchmarks.peers import PEERS, jax_ops, load
from benchmarks.peers.program import Unsupported
from convnet.architectures import Table, layers
from convnet.ops import OPSETS

BATCH = 4
STEPS = [(name, mode) for name in QUICK_NETWORKS for mode in ("single", "vmapped")]


def task(network, mode):
    return StepTask(QUICK_NETWORKS[network], mode, BATCH, 1 if mode == "single" else 2)


def losses(peer, task, calls):
    with jax.numpy_rank_promotion("allow" if peer == "keras" else "raise"):
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
    # torch 2.13 on CPUs: of a 1×1 kernel with stride 2 and 4 or 8 channels, channels last, oneDNN's gradient is noise.
    calls = 1 if (peer, network) == ("torch", "tiny_resnet") else 3
    np.testing.assert_allclose(
        losses(peer, task(network, "single"), calls), expected((network, "single"))[:calls], rtol=1e-4, atol=1e-5
    )


RICH = (
    layers.Conv("wide", 4, kernel=(3, 5), stride=(2, 1), padding=((0, 2), (1, 1))),
    layers.BatchNorm("wide_norm"),
    layers.Activation("wide_tanh", "tanh"),
    layers.Conv("grouped", 6, kernel=(1, 3), padding=(0, 2), dilation=(1, 2), groups=2, bias=False),
    layers.Pool("average", "avg", window=(2, 3), stride=(1, 2)),
    layers.Block("inner", (layers.Residual("both", (layers.Conv("conv", 6),), function="tanh"),)),
    layers.Flatten(),
    layers.Dropout(0.0),
    layers.Dense("hidden", 5, bias=False),
    layers.BatchNorm("hidden_norm"),
    layers.Activation("hidden_sigmoid", "sigmoid"),
)
PADDED = (layers.Pool("even", "max", 3, 2, 1), layers.Pool("uneven", "max", 2, 2, ((0, 1), (1, 0))), layers.Flatten())


UNSCALED = (
    layers.Conv("conv", 4, bias=False),
    layers.BatchNorm("norm", momentum=0.6, use_scale=False),
    layers.Activation("relu", "relu"),
    layers.Flatten(),
)


@pytest.mark.parametrize("body", [RICH, PADDED, UNSCALED], ids=["rich", "padded pooling", "a norm without a scale"])
@pytest.mark.parametrize("peer", ["flax", "torch-nchw", "keras"])
def test_every_setting_of_a_layer_is_read(peer, body):
    pytest.importorskip(peer.split("-")[0])
    task = StepTask(Network("", (9, 8, 2), Table(body)), "single", BATCH)
    if (peer, body) == ("keras", PADDED):
        with pytest.raises(Unsupported, match=r"Pool\(name='even', .*\) is not written in Keras"):
            load(peer).build(task)
    else:
        np.testing.assert_allclose(losses(peer, task, 3), losses("ours", task, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5),
        layers.Conv("still", 3, frozen=True),
        layers.LocalResponseNorm("local"),
        layers.Activation("bent", "gelu"),
        layers.Residual("both", (), function="gelu"),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("peer", ["flax", "torch", "keras"])
def test_what_a_peer_has_not_written_is_named(peer, layer):
    pytest.importorskip(peer)
    task = StepTask(Network("", (4, 4, 2), Table((layer, layers.Flatten()))), "single", BATCH)
    with pytest.raises(Unsupported, match=f"^{re.escape(repr(layer))} is not written in"):
        load(peer).build(task).run(1)


@pytest.mark.parametrize("method", METHODS)
def test_captum_attributes_the_same(method):
    pytest.importorskip("captum")
    task = AttributionTask(QUICK_CASES["tiny_cnn"], method, BATCH, {"occlusion": (3, 2)}.get(method, (4,)))
    expected = load("ours").build(task).run(1)
    assert expected > 1e-3
    for peer in ("captum", "captum-nchw"):
        assert load(peer).build(task).run(1) == pytest.approx(expected, rel=1e-4)


def test_captum_only_attributes():
    pytest.importorskip("captum")
    with pytest.raises(Unsupported, match="captum only attributes"):
        load("captum").build(task("tiny_cnn", "single"))


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
        arguments, results = jax_ops.arguments_of(task), []
        for opset in OPSETS.values():
            function = jax_ops.function_of(task, opset)
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
        arguments = jax_ops.arguments_of(task)
        result = jax_ops.function_of(task, OPSETS["hand"])(*arguments)
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
