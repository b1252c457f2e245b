"""A network slid over an image says of each window what it says of the window alone."""

from dataclasses import replace

import numpy as np

from convnet import data, models
from convnet.analysis.sliding import hottest, slid_logits
from convnet.architectures import Own, Table
from convnet.architectures.layers import Activation, Conv, Flatten
from convnet.claims.networks import recipe
from convnet.run import Trainer
from convnet.task import Facts, make_task
from convnet.trained import Trained

LAYERS = (Conv("conv1", 3, 3, padding="VALID"), Activation("relu1"), Conv("conv2", 4, 6, padding="VALID"),
          Activation("relu2"), Flatten())  # fmt: skip


def test_each_place_has_the_logits_of_its_window(rng):
    digits = data.load("digits", limit=100)
    config = recipe(Own(label="windows"), 1)
    task = replace(make_task(config, Facts.of(digits)), model=models.build(Table(LAYERS), num_classes=10))
    network = Trained(task, Trainer(config, digits, task=task).run().variables, 0)
    canvases = rng.integers(0, 256, (3, 11, 10, 1)).astype(np.uint8)
    found = slid_logits(network, "relu2", canvases, chunk=2)
    assert found.shape == (3, 4, 3, 10)
    for y, x in np.ndindex(4, 3):
        alone = network.logits(canvases[:, y : y + 8, x : x + 8])
        np.testing.assert_allclose(found[:, y, x], alone, rtol=1e-3, atol=1e-3)


def test_the_hottest_place_is_the_first_of_equals():
    maps = np.zeros((2, 3, 4))
    maps[0, 2, 1] = maps[0, 2, 3] = 5
    maps[1] = -1
    maps[1, 0, 3] = 0
    np.testing.assert_array_equal(hottest(maps), [[2, 1], [0, 3]])
