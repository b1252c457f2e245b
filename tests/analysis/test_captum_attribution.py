"""What captum makes of the same network in PyTorch, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models
from convnet.analysis.grad_cam import grad_cam
from convnet.analysis.integrated_gradients import integrated_gradients
from convnet.analysis.occlusion import occlusion
from convnet.analysis.smoothgrad import smoothgrad
from convnet.analysis.view import View
from convnet.architectures import CNN, Linear
from tests.analysis.torch_twin import torch, torch_twin

captum = pytest.importorskip("captum.attr")
SHAPE = (6, 9, 2)
LABELS = np.array([0, 2, 1])


@pytest.fixture(scope="module")
def both():
    """Our view of a network of wide images, and its twin."""
    model = models.build(CNN(widths=(4, 5), head_width=6), num_classes=3)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    return View.of_module(model, variables, SHAPE), torch_twin(model, variables, SHAPE)


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, *SHAPE)).astype(np.float32)


def asked(images, **settings):
    return dict(inputs=torch.tensor(images), target=torch.tensor(LABELS)) | settings


@pytest.mark.parametrize("steps", [1, 20])
def test_integrated_gradients(both, images, rng, steps):
    view, twin = both
    base = rng.uniform(size=images.shape).astype(np.float32)
    theirs, gap = captum.IntegratedGradients(twin.net).attribute(
        **asked(images, baselines=torch.tensor(base), n_steps=steps, return_convergence_delta=True)
    )
    mine = integrated_gradients(view, images, LABELS, baseline=base, steps=steps)
    np.testing.assert_allclose(mine.attributions, theirs, atol=1e-5)
    np.testing.assert_allclose(mine.gap, abs(gap), atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [((2, 3), (1, 1)), ((3, 4), (2, 3)), ((6, 9), (6, 9))])
def test_occlusion(both, images, window, stride):
    """captum gives each pixel the mean drop over the windows that hide it, the last ones cut off by the border."""
    view, twin = both
    theirs = captum.Occlusion(twin.net).attribute(
        **asked(images, baselines=0.25, sliding_window_shapes=(*window, 2), strides=(*stride, 2))
    )
    mine = occlusion(view, images, LABELS, window=window, stride=stride, baseline=0.25)
    by_pixel = mine.grid.per_pixel(mine.logit_drop)
    assert np.abs(by_pixel).max() > 1e-3
    np.testing.assert_allclose(np.broadcast_to(by_pixel[..., None], theirs.shape), theirs, atol=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "conv1_relu", "conv2", "pool2"])
@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam(both, images, layer, relu):
    view, twin = both
    theirs = captum.LayerGradCam(twin.net, twin.modules[layer]).attribute(
        **asked(images, relu_attributions=relu, attr_dim_summation=True)
    )
    mine = grad_cam(view, images, LABELS, layer=layer, relu=relu, upsample=False)
    np.testing.assert_allclose(mine, theirs.detach()[:, 0], atol=1e-5)
    large = captum.LayerAttribution.interpolate(theirs, SHAPE[:2], interpolate_mode="bilinear")
    np.testing.assert_allclose(grad_cam(view, images, LABELS, layer=layer, relu=relu), large.detach()[:, 0], atol=1e-5)


def test_smoothgrad_without_noise_and_of_a_linear_network(both, images):
    """Their noise is not ours: they can only be compared where it does not matter."""
    view, twin = both
    tunnel = captum.NoiseTunnel(captum.Saliency(twin.net))
    settings = dict(nt_type="smoothgrad", nt_samples=4, abs=False)
    theirs = tunnel.attribute(**asked(images, stdevs=1e-12, **settings))
    np.testing.assert_allclose(smoothgrad(view, images, LABELS, noise=0.0, samples=4), theirs, atol=1e-5)
    model = models.build(Linear(), num_classes=3)
    variables = jax.jit(model.init)(jax.random.key(1), jnp.zeros((1, *SHAPE)))
    linear = captum.NoiseTunnel(captum.Saliency(torch_twin(model, variables, SHAPE).net))
    theirs = linear.attribute(**asked(images, stdevs=0.3, **settings))
    mine = smoothgrad(View.of_module(model, variables, SHAPE), images, LABELS, noise=0.3, samples=4)
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_smoothgrad_of_the_same_images_comes_to_the_same_mean(both, images):
    """Where every image has the range 1, a noise of 0.2 is their deviation of 0.2: the means of many samples agree."""
    view, twin = both
    images[:, 0, 0, 0], images[:, 5, 8, 1] = 0, 1
    torch.manual_seed(0)
    samples = 400
    tunnel = captum.NoiseTunnel(captum.Saliency(twin.net))
    settings = dict(nt_type="smoothgrad", nt_samples=samples, nt_samples_batch_size=50, abs=False)
    theirs = tunnel.attribute(**asked(images, stdevs=0.2, **settings)).numpy()
    mine = smoothgrad(view, images, LABELS, noise=0.2, samples=samples)
    plain = smoothgrad(view, images, LABELS, noise=0.0, samples=1)
    assert np.sqrt(((mine - theirs) ** 2).mean()) < 0.25 * np.sqrt(((mine - plain) ** 2).mean())
