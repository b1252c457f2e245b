"""The twin in PyTorch computes what the network does, layer by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models
from convnet.architectures import CNN, LeNet5, Linear, Table
from convnet.architectures.layers import Activation, Conv, Dense, Flatten, GlobalAvgPool, LayerNorm, Pool
from tests.analysis.torch_twin import torch, torch_twin

UNEVEN = Table(
    (
        Conv("first", 4, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2),
        Activation("first_relu"),
        Pool("widest", "max", (2, 3), 2, "SAME"),
        Conv("second", 3, 2, dilation=(1, 2), bias=False),
        Activation("second_tanh", "tanh"),
        Pool("mean", "avg", 2, 1, 1),
        Flatten(),
        Dense("dense1", 6),
        Activation("dense1_relu"),
    )
)
MEAN = Table((Conv("only", 4), GlobalAvgPool()))


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        (UNEVEN, (5, 7, 2)),
        (UNEVEN, (9, 8, 2)),
        (MEAN, (5, 7, 2)),
        (CNN(widths=(4,)), (5, 7, 1)),
        (LeNet5(), (28, 30, 1)),
        (Linear(), (5, 7, 3)),
    ],
)
def test_every_layer_gives_what_ours_gives(table, shape, rng):
    network = models.build(table, num_classes=3)
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape)))
    variables = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape, scale=0.1).astype(leaf.dtype), variables)
    images = rng.normal(size=(2, *shape)).astype(np.float32)
    twin, seen = torch_twin(network, variables, shape), {}
    for name, module in twin.modules.items():
        module.register_forward_hook(lambda module, given, result, name=name: seen.update({name: result}))
    logits = twin.net(torch.tensor(images))
    expected = models.activations(network, variables, images)
    assert list(seen) == list(expected)
    for name, values in expected.items():
        theirs = seen[name].numpy()
        theirs = theirs.transpose(0, 2, 3, 1) if theirs.ndim == 4 else theirs
        np.testing.assert_allclose(theirs, values, rtol=1e-4, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(logits, expected["logits"], rtol=1e-4, atol=1e-4)


def test_a_layer_without_a_twin_is_refused():
    network = models.build(Table((LayerNorm("norm"), Flatten())), num_classes=3)
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
    with pytest.raises(ValueError, match="norm is a LayerNorm"):
        torch_twin(network, variables, (4, 4, 1))
