"""A network's layers, counted by hand."""

from convnet import models
from convnet.analysis import View, layer_table
from convnet.analysis.layer_table import published_view
from convnet.architectures import Table
from convnet.architectures.layers import Activation, Conv, Flatten, Pool
from convnet.architectures.published import PUBLISHED


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


def test_a_frozen_kernel_is_computed_with_and_not_counted_as_trained():
    layers = (Conv("first", 4, 3, frozen=True), Conv("second", 2, 1, frozen=True, bias=False), Flatten())
    model = models.build(Table(layers), num_classes=3)
    table = layer_table(View.of_module(model, {}, (5, 5, 2), class_names="abc"))
    assert [(row.name, row.parameters, row.multiply_adds) for row in table] == [
        ("first", 4, 25 * 4 * 18),
        ("second", 0, 25 * 2 * 4),
        ("logits", 50 * 3 + 3, 50 * 3),
    ]


def test_a_published_network_adds_up_to_what_is_counted_of_it():
    entry = PUBLISHED["lenet5"]
    table = layer_table(published_view(entry))
    assert sum(row.parameters for row in table) == entry.counted == 61_706
    assert sum(row.multiply_adds for row in table) == entry.multiply_adds
    assert table[0] == ("conv1", (28, 28, 6), 5, 156, 28 * 28 * 6 * 25)
