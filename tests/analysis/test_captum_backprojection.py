"""The gradient, deconvnet and guided back-propagation are captum's, on one network in JAX and in PyTorch.

Where the two differ, and what is done about it here:

- captum changes the backward pass by hooks on modules, so of a relu that is called as a function it knows nothing, and
  gives the plain gradient in silence (the last test). The twin has a module for each.
- `Saliency` takes the absolute value unless told abs=False. Ours is signed.
- Projections of a unit start from 1 in captum and from the unit's activation in ours, as in Zeiler & Fergus: the ratio
  of the two is the activation, since all three rules are positively homogeneous.
- Of equal values in a pooling window PyTorch too takes the first, on the CPU at least; after a relu whole windows of
  zeros are common, and under the deconvnet rule one sees where they went.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from convnet.analysis.backprojection import backproject, backproject_seeds, saliency
from convnet.architectures.layers import Activation, Conv, Dense, Flatten, Pool
from tests.analysis.tiny_views import view_of
from tests.analysis.torch_twin import nn, torch, torch_twin

attr = pytest.importorskip("captum.attr")

pytestmark = pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks")

LAYERS = (
    *(Conv("conv1", 4), Activation("conv1_relu"), Pool("pool1", "max", 2)),
    *(Conv("conv2", 6), Activation("conv2_relu"), Flatten(), Dense("dense1", 8), Activation("dense1_relu")),
)
CAPTUM = {
    "gradient": (attr.Saliency, attr.NeuronGradient),
    "deconvnet": (attr.Deconvolution, attr.NeuronDeconvolution),
    "guided": (attr.GuidedBackprop, attr.NeuronGuidedBackprop),
}


@pytest.fixture(scope="module", params=[(5, 7, 1), (8, 6, 3)], ids=str)
def pair(request):
    """(view, twin, images, the same as a tensor)."""
    view, rng = view_of(LAYERS, request.param), np.random.default_rng(0)
    images = rng.uniform(size=(4, *view.image_shape)).astype(np.float32)
    twin = torch_twin(view.model, view.variables, view.image_shape)
    return view, twin, images, torch.tensor(images, requires_grad=True)


@pytest.mark.parametrize("rule", CAPTUM)
def test_of_a_class(pair, rule):
    view, twin, images, tensor = pair
    labels = [2, 0, 1, 1]
    settings = {"abs": False} if rule == "gradient" else {}
    expected = CAPTUM[rule][0](twin.net).attribute(tensor, target=labels, **settings)
    assert np.abs(expected.numpy()).max() > 0
    np.testing.assert_allclose(saliency(view, images, labels, rule=rule), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", CAPTUM)
def test_of_a_unit_of_a_map(pair, rule):
    view, twin, images, tensor = pair
    row, column = 1, 2
    values = np.asarray(view.at("conv2_relu", jnp.asarray(images)))[:, row, column]
    found = backproject(view, images, "conv2_relu", rule=rule, positions=np.full((4, 6, 2), (row, column)))
    method = CAPTUM[rule][1](twin.net, twin.modules["conv2_relu"])
    assert np.abs(found).max() > 0
    for unit in range(6):
        expected = method.attribute(tensor, neuron_selector=(unit, row, column)).numpy()
        np.testing.assert_allclose(found[:, unit], expected * values[:, unit, None, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", CAPTUM)
def test_of_neurons_before_their_relu_from_a_seed_of_1(pair, rule):
    view, twin, images, tensor = pair
    found = backproject_seeds(view, images, "dense1", np.tile(np.eye(8), (4, 1, 1)), rule=rule)
    method = CAPTUM[rule][1](twin.net, twin.modules["dense1"])
    for unit in range(8):
        expected = method.attribute(tensor, neuron_selector=unit)
        np.testing.assert_allclose(found[:, unit], expected, rtol=1e-4, atol=1e-5)


class WithFunction(nn.Module):
    """relu as a function, between the two halves of the same network."""

    def __init__(self, net):
        super().__init__()
        self.parts = nn.ModuleList([part for part in net if not isinstance(part, nn.ReLU)])
        self.before = {id(part) for part, after in zip(net, list(net)[1:], strict=False) if isinstance(after, nn.ReLU)}

    def forward(self, x):
        for part in self.parts:
            x = part(x)
            if id(part) in self.before:
                x = torch.relu(x)
        return x


def test_captum_gives_the_gradient_for_a_relu_that_is_no_module_and_ours_cannot(pair):
    view, twin, images, tensor = pair
    functional = WithFunction(twin.net)
    torch.testing.assert_close(functional(tensor), twin.net(tensor))
    silent = attr.Deconvolution(functional).attribute(tensor, target=0).numpy()
    labels = [0] * 4
    np.testing.assert_allclose(silent, saliency(view, images, labels), rtol=1e-4, atol=1e-5)
    assert not np.allclose(silent, saliency(view, images, labels, rule="deconvnet"), rtol=0.1)
