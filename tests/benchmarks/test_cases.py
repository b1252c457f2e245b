import pytest

from benchmarks.cases import CONTEXTS, LAYERS, ConvLayer, GemmTask, OpTask, tasks_of
from benchmarks.messages import decode, encode
from benchmarks.networks import (
    MODES,
    NETWORKS,
    QUICK_NETWORKS,
    Conv,
    Dense,
    Flatten,
    Network,
    StepTask,
    initial_parameters,
    plain_cnn,
    step_flops,
    walk,
)
from benchmarks.scaling import BASE, SWEEPS, sweep


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


EVERY_TASK = [
    GemmTask(64, "float32"),
    *(task for layer in LAYERS.values() for way in CONTEXTS for task in tasks_of(
        layer, way, batch=2, precision="bfloat16", repeats=3)),
    *(StepTask(network, mode, 4, 2) for network in (NETWORKS | QUICK_NETWORKS).values() for mode in MODES),
]  # fmt: skip


def test_every_task_survives_the_journey_to_a_worker():
    import json

    for task in EVERY_TASK:
        assert decode(json.loads(json.dumps(encode(task)))) == task


def test_an_op_by_itself_is_not_repeated():
    tasks = tasks_of(LAYERS["conv3-64-64-at-32"], "once", batch=2, precision="float32", repeats=7)
    assert tasks == [OpTask(LAYERS["conv3-64-64-at-32"], way, "once", 2, "float32", 1) for way in ("fwd", "dx", "dw")]


def test_flops_of_a_step_by_hand():
    network = Network("", (4, 4, 2), (Conv(3), Flatten(), Dense(5)))
    assert step_flops(network, 7) == 2 * 7 * (2 * 16 * 3 * 9 * 2 + 3 * 48 * 5)


def test_the_small_vgg_takes_117_gflop():
    assert step_flops(NETWORKS["small_vgg"], 128) == pytest.approx(117e9, rel=0.01)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_parameters_belong_to_layers_and_end_in_ten_classes(network):
    found = initial_parameters(network)
    assert set(found) <= {name for name, _, _ in walk(network.layers, network.image_shape)}
    assert list(found.values())[-1]["kernel"].shape[1] == 10
    again = initial_parameters(network)
    assert all((own["kernel"] == again[name]["kernel"]).all() for name, own in found.items() if "kernel" in own)


def test_a_residual_without_a_shortcut_keeps_the_shape():
    names = [name for name, _, _ in walk(NETWORKS["resnet8"].layers, (32, 32, 3))]
    assert "layer_3_body_0" in names
    assert not any(name.startswith("layer_3_shortcut") for name in names)
    assert "layer_4_shortcut_0" in names


@pytest.mark.parametrize("quantity", SWEEPS)
def test_a_sweep_changes_one_quantity(quantity):
    tasks = sweep(quantity, SWEEPS[quantity], BASE)
    assert len(set(tasks)) == len(SWEEPS[quantity])
    assert {task.mode for task in tasks} == {"vmapped" if quantity == "replicates" else "single"}
    base = plain_cnn(side=BASE.side, channels=BASE.channels, depth=BASE.depth)
    unchanged = [task.network == base for task in tasks]
    assert all(unchanged) if quantity in ("batch", "replicates") else unchanged.count(True) == 1
