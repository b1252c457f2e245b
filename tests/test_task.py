"""What a config's loss is: by its formula, and with numbers that a program takes as inputs; and what it computes in."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import ops
from convnet.architectures import CNN
from convnet.config import RunConfig, TrainConfig
from convnet.task import Facts, make_loss, make_task
from convnet.train import init_state, make_train_step

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


# --- precision --------------------------------------------------------------------------------------------------------

FACTS = Facts((6, 6, 1), (0.0,), (1.0,), ("a", "b", "c"))


def products_for_a_gpu(precision, gradient, seeds):
    """What a training step asks of each of its products, as XLA for GPUs is given it: (operation, words).

    seeds: None, or how many train side by side. Whatever the process asks for stands around it.
    """
    config = RunConfig(model=CNN(widths=(4, 4), head_width=5, precision=precision), gradient=gradient)
    task = make_task(config, FACTS)
    optimizer = task.optimizer(9)
    step = make_train_step(task.model, optimizer, task.loss, task.prepare)

    def first(key, images, labels):
        return step(init_state(task.model, optimizer, key, task.input_shape), (images, labels))

    with jax.default_matmul_precision("bfloat16"), task.precision():
        key = jax.random.key(0) if seeds is None else jax.random.split(jax.random.key(0), seeds)
        first = jax.jit(first if seeds is None else jax.vmap(first, (0, None, None)))
        traced = first.trace(key, np.zeros((2, 6, 6, 1), np.uint8), np.zeros(2, np.int32))
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    lines = re.findall(r"stablehlo\.(dot_general|convolution)\b(.*)", text)
    return [(operation, tuple(re.findall(r"\b(DEFAULT|HIGH|HIGHEST)\b", told))) for operation, told in lines]


@pytest.mark.parametrize("gradient", ["hand", "auto"])
@pytest.mark.parametrize("seeds", [None, 3])
@pytest.mark.parametrize(
    ("precision", "word"),
    [("float32", "HIGHEST"), ("tf32", "HIGH"), ("bfloat16", "HIGHEST"), ("float64", "HIGHEST")],
)
def test_every_product_on_a_gpu_is_as_the_config_says(precision, word, seeds, gradient):
    found = products_for_a_gpu(precision, gradient, seeds)
    assert {words for _, words in found} == {(word, word)}
    assert len(found) >= 11  # of four layers, forward and in weights and inputs, but for the gradient in the images
    assert {operation for operation, _ in found} == {"dot_general", "convolution"}
