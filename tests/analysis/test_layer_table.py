"""A network's layers, counted by hand."""

from convnet import models
from convnet.analysis import View, layer_table
from convnet.architectures import Table
from convnet.architectures.layers import Activation, Conv, Flatten, Pool


def test_by_hand():
    layers = (
        Conv("conv1", 4, 3),
        Activation("relu1"),
        Pool("pool1", "max"),
        Conv("conv2", 2, 5, padding="VALID"),
        Flatten(),
    )
    model = models.build(Table(layers), num_classes=3)
    table = layer_table(View.of_module(model, {}, (12, 12, 1), class_names=map(str, range(3))))
    assert [tuple(row) for row in table] == [
        ("conv1", (12, 12, 4), 3, 9 * 4 + 4, 12 * 12 * 4 * 9),
        ("conv2", (2, 2, 2), 12, 25 * 4 * 2 + 2, 2 * 2 * 2 * 25 * 4),
        ("logits", (3,), 12, 8 * 3 + 3, 8 * 3),  # of the image, all
    ]  # fmt: skip
