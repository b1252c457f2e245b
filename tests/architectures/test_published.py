"""The published networks: numbers of parameters, and that a table is the network that Flax builds from it."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import pytest

from convnet import models
from convnet.architectures import MODELS, VGG, Airbench, AlexNet, LeNet5, ResNet, ZFNet
from convnet.architectures.layers import Block, Conv, Residual
from convnet.architectures.shapes import count_parameters, parameter_shapes, trained_shapes, walk
from convnet.settings import names

LARGE = (224, 224, 3)

PUBLISHED = {
    # 156 + 2,416 + 48,120 + 10,164 + 850: with every map of the second convolution connected
    "LeNet-5 at 28": (LeNet5(), (28, 28, 1), 10, 61_706),
    "LeNet-5 at 32": (LeNet5(), (32, 32, 1), 10, 61_706),
    # Krizhevsky et al. say "60 million"; 34,944 + 307,456 + 885,120 + 663,936 + 442,624 + 37,752,832 + 16,781,312
    # + 4,097,000
    "AlexNet": (AlexNet(), LARGE, 1000, 60_965_224),
    "AlexNet at 227": (AlexNet(), (227, 227, 3), 1000, 60_965_224),
    "AlexNet, one group": (AlexNet(groups=1), LARGE, 1000, 62_378_344),
    "ZFNet": (ZFNet(), LARGE, 1000, 62_357_608),
    "VGG-11": (VGG("vgg11"), LARGE, 1000, 132_863_336),
    "VGG-16": (VGG("vgg16"), LARGE, 1000, 138_357_544),
    "ResNet-8": (ResNet("resnet8"), (32, 32, 3), 10, 78_042),
    "ResNet-18": (ResNet("resnet18"), LARGE, 1000, 11_689_512),
    "ResNet-34": (ResNet("resnet34"), LARGE, 1000, 21_797_672),
}


@pytest.mark.parametrize(("model", "image", "classes", "published"), PUBLISHED.values(), ids=PUBLISHED)
def test_parameters_are_as_many_as_published(model, image, classes, published):
    assert count_parameters(model.layers(image, classes), image) == published


SMALL = {
    "linear": ({}, (5, 4, 2)),
    "mlp": (dict(widths=(4, 3), depth=2, norm="batch"), (5, 4, 2)),
    "cnn": (dict(widths=(4, 6), norm="layer", pool="avg"), (9, 12, 2)),
    "lenet5": ({}, (28, 31, 1)),
    "alexnet": (dict(width=1 / 24), (67, 71, 3)),
    "zfnet": (dict(width=1 / 24), (71, 67, 3)),
    "vgg11": (dict(width=1 / 32, norm="batch"), (32, 40, 3)),
    "vgg16": (dict(width=1 / 32), (40, 32, 3)),
    "resnet8": (dict(width=0.25), (17, 12, 1)),
    "resnet18": (dict(width=1 / 16), (66, 70, 3)),
    "resnet34": (dict(width=1 / 16, stem="small"), (19, 16, 3)),
    "airbench": (dict(widths=(4, 6)), (9, 12, 2)),
}


def test_every_model_is_looked_at():
    assert SMALL.keys() == MODELS.keys()


@pytest.mark.parametrize("name", SMALL)
def test_the_table_is_the_network(name):
    """Names and shapes of results and parameters, by the arithmetic of windows and by evaluation in JAX."""
    settings, image = SMALL[name]
    model = models.build(name, num_classes=7, **settings)
    x = jax.ShapeDtypeStruct((3, *image), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    named = {}

    def look(variables, x):
        named.update({n: a.shape[1:] for n, a in models.activations(model, variables, x).items()})

    jax.eval_shape(look, variables, x)
    placed = [p for p in walk(model.table(image), image) if hasattr(p.layer, "name")]
    assert {p.name: p.output for p in placed}.items() <= named.items()
    order = list(named)
    assert [order.index(p.name) for p in placed] == sorted(order.index(p.name) for p in placed)
    rest = named.keys() - {p.name for p in placed}
    assert {n.split("/")[-1] for n in rest} <= {"sum", "block1", "block2", "block3", "block4", "block5", "block6"}
    trained = {f"params/{p.name}/{n}": shape for p in placed for n, shape in trained_shapes(p).items()}
    frozen = {f"batch_stats/{p.name}/kernel": s["kernel"] for p in placed if (s := parameter_shapes(p)).keys()
              - trained_shapes(p).keys()}  # fmt: skip
    found = {n: a.shape for n, a in models.flatten(variables).items() if not n.endswith(("/mean", "/var"))}
    assert found == trained | frozen
    assert models.count_parameters(variables) == count_parameters(model.table(image), image)


@pytest.mark.parametrize(("groups", "expected"), [(2, {2, 4, 5}), (1, set())])
def test_the_groups_of_alexnet_are_those_of_its_two_gpus(groups, expected):
    convs = [layer for layer in AlexNet(groups=groups).layers(LARGE, 1000) if isinstance(layer, Conv)]
    assert {number for number, conv in enumerate(convs, start=1) if conv.groups == 2} == expected


@pytest.mark.parametrize(
    ("name", "side", "map_side"), [("resnet18", 224, 7), ("resnet18", 32, 4), ("resnet34", 224, 7), ("resnet8", 32, 8)]
)
def test_the_last_map_of_a_resnet(name, side, map_side):
    placed = {p.name: p for p in walk(ResNet(name).layers((side, side, 3), 10), (side, side, 3))}
    assert placed["global_avg"].input[:2] == (map_side, map_side)


@pytest.mark.parametrize(("name", "weighted"), [("resnet8", 8), ("resnet18", 18), ("resnet34", 34)])
def test_a_resnet_has_the_layers_of_its_name(name, weighted):
    """Those with weights on the way through the bodies; a shortcut is beside it."""
    placed = walk(ResNet(name).layers(LARGE, 1000), LARGE)
    kernels = [p.name for p in placed if "kernel" in parameter_shapes(p) and not p.name.endswith("shortcut")]
    assert len(kernels) == weighted


@pytest.mark.parametrize(("name", "convolutions"), [("vgg11", 8), ("vgg16", 13)])
def test_a_vgg_has_the_layers_of_its_name(name, convolutions):
    layers = VGG(name).layers(LARGE, 1000)
    convs = [layer for layer in layers if isinstance(layer, Conv)]
    assert len(convs) == convolutions
    assert {conv.kernel for conv in convs} == {3}


def test_a_shortcut_is_projected_only_where_the_shape_changes():
    blocks = [
        (f"{stage.name}/{block.name}", bool(block.shortcut))
        for stage in ResNet("resnet18").layers(LARGE, 10)
        if isinstance(stage, Block)
        for block in stage.layers
        if isinstance(block, Residual)
    ]
    projected = [name for name, has in blocks if has]
    assert projected == ["stage2/block1", "stage3/block1", "stage4/block1"]
    assert len(blocks) == 8


def test_a_width_scales_what_is_between_the_image_and_the_classes():
    narrow = {p.name: p for p in walk(AlexNet(width=0.5).layers(LARGE, 1000), LARGE)}
    assert narrow["conv1"].output[2] == 48
    assert narrow["dense1"].output == (2048,)
    assert narrow["logits"].output == (1000,)
    odd = [layer for layer in AlexNet(width=0.01).layers(LARGE, 10) if isinstance(layer, Conv)]
    assert all(conv.features % 2 == 0 for conv in odd)


OUT_OF_RANGE = {
    "no width": (lambda: VGG(width=0.0), r"model\.width is 0\.0: expected a positive factor"),
    "groups": (lambda: AlexNet(groups=3), r"model\.groups is 3: expected 1 or 2"),
    "dropout": (lambda: ZFNet(dropout=1.5), r"model\.dropout is 1\.5: expected a probability"),
    "variant": (lambda: VGG("vgg12"), r"model\.name is 'vgg12': expected 'vgg11', 'vgg16'"),
    "stem": (lambda: ResNet(stem="huge"), r"model\.stem is 'huge': expected 'auto', 'large', 'small'"),
    "pool": (lambda: LeNet5(pool="stride"), r"model\.pool is 'stride': expected 'max', 'avg'"),
    "no widths": (lambda: Airbench(widths=()), r"model\.widths is \(\): expected one positive width or more"),
    "a width of 0": (lambda: Airbench(widths=(8, 0)), r"model\.widths is \(8, 0\): expected one positive width"),
    "momentum": (lambda: Airbench(batch_momentum=1.0), r"model\.batch_momentum is 1\.0: expected a number in \[0, 1\)"),
    "activation": (lambda: Airbench(activation="swish"), r"model\.activation is 'swish': expected 'relu', "),
}


@pytest.mark.parametrize(("make", "message"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


CHANGES = {
    "lenet5, activation": (LeNet5(), dict(activation="relu")),
    "lenet5, pool": (LeNet5(), dict(pool="max")),
    "alexnet, groups": (AlexNet(), dict(groups=1)),
    "alexnet, norm": (AlexNet(), dict(norm="none")),
    "alexnet, width": (AlexNet(), dict(width=0.5)),
    "alexnet, dropout": (AlexNet(), dict(dropout=0.1)),
    "zfnet, norm": (ZFNet(), dict(norm="none")),
    "zfnet, width": (ZFNet(), dict(width=0.5)),
    "zfnet, dropout": (ZFNet(), dict(dropout=0.1)),
    "vgg, name": (VGG("vgg11"), dict(name="vgg16")),
    "vgg, norm": (VGG(), dict(norm="batch")),
    "vgg, width": (VGG(), dict(width=0.5)),
    "vgg, dropout": (VGG(), dict(dropout=0.1)),
    "resnet, name": (ResNet("resnet18"), dict(name="resnet34")),
    "resnet, width": (ResNet(), dict(width=0.5)),
    "resnet, stem": (ResNet(), dict(stem="small")),
    "airbench, widths": (Airbench(), dict(widths=(64, 256))),
    "airbench, whiten": (Airbench(), dict(whiten=False)),
    "airbench, activation": (Airbench(), dict(activation="silu")),
    "airbench, batch_momentum": (Airbench(), dict(batch_momentum=0.9)),
}
SHARED = {"initializer", "initializer_scale", "precision"}
"""What a table of layers does not say."""


@pytest.mark.parametrize(("model", "change"), CHANGES.values(), ids=CHANGES)
def test_every_setting_changes_the_table(model, change):
    assert replace(model, **change).layers(LARGE, 10) != model.layers(LARGE, 10)


@pytest.mark.parametrize("kind", [LeNet5, AlexNet, ZFNet, VGG, ResNet, Airbench])
def test_no_setting_is_left_out(kind):
    tried = {name for model, change in CHANGES.values() if isinstance(model, kind) for name in change}
    only = set() if len(names(kind)) > 1 else {"name"}
    assert tried == {f.name for f in fields(kind)} - SHARED - only
