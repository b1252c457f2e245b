"""What a config's loss is: by its formula, and with numbers that a program takes as inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import ops
from convnet.config import RunConfig, TrainConfig
from convnet.task import make_loss

LOGITS, LABELS = np.float32([[2.0, 1.0, 0.5], [0.0, 0.2, 0.1]]), np.int32([0, 2])


@pytest.mark.parametrize("opset", [ops.HAND, ops.AUTO], ids=["hand", "auto"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (dict(), lambda z, y: np.log(np.exp(z).sum()) - z[y]),
        (dict(label_smoothing=0.3), lambda z, y: np.log(np.exp(z).sum()) - 0.7 * z[y] - 0.3 * z.mean()),
        (dict(loss="weston_watkins"), lambda z, y: np.maximum(0, 1 + np.delete(z, y) - z[y]).sum()),
        (dict(loss="crammer_singer"), lambda z, y: np.maximum(0, 1 + np.delete(z, y) - z[y]).max()),
    ],
    ids=["softmax", "smoothed", "weston_watkins", "crammer_singer"],
)
def test_losses(settings, expected, opset):
    loss = make_loss(RunConfig(train=TrainConfig(**settings)), opset)
    values = [expected(*row) for row in zip(LOGITS, LABELS, strict=True)]
    np.testing.assert_allclose(jax.jit(loss)(LOGITS, LABELS), values, rtol=1e-5)


@pytest.mark.parametrize("opset", [ops.HAND, ops.AUTO], ids=["hand", "auto"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 0.9])
def test_a_traced_smoothing_has_the_value_and_gradient_of_a_fixed_one(smoothing, opset):
    fixed = make_loss(RunConfig(train=TrainConfig(label_smoothing=smoothing)), opset)
    traced = make_loss(RunConfig(), opset, jnp.float32(smoothing))

    @jax.jit
    def values_and_slopes(z):
        return [(loss(z, LABELS), jax.grad(lambda z, loss=loss: loss(z, LABELS).sum())(z)) for loss in (traced, fixed)]

    (value, slope), (expected, expected_slope) = values_and_slopes(LOGITS)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-5, atol=1e-6)
