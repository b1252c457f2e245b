"""What a config's loss is: by its formula, and with numbers that a program takes as inputs; what it computes in; and
what is made of images, in training and where they are classified."""

import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import data, models, ops
from convnet.architectures import CNN, Airbench, Linear, Own
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.settings import to_dict
from convnet.task import Facts, make_loss, make_task
from convnet.train import init_state, make_train_step
from convnet.train.programs import init_of

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


# --- images -----------------------------------------------------------------------------------------------------------


def linear(**settings):
    """A task of images of 6×8, all of them as `settings` of the data say, and variables of its model."""
    config = RunConfig(model=Linear(), data=DataConfig(**settings))
    task = make_task(config, Facts((6, 8, 1), (90.0,), (40.0,), ("a", "b", "c")))
    image = jnp.zeros((1, *task.input_shape))
    shapes = jax.eval_shape(task.model.init, jax.random.key(0), image)
    rng = np.random.default_rng(1)
    return task, jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32), shapes)


def dots(variables, images):
    kernel, bias = (np.asarray(variables["params"]["logits"][name], np.float64) for name in ("kernel", "bias"))
    return images.reshape(len(images), -1) @ kernel + bias


def test_an_image_is_classified_as_it_is_unless_more_views_are_asked_for(rng):
    images = rng.integers(0, 256, (3, 6, 8, 1), np.uint8)
    task, variables = linear()
    np.testing.assert_allclose(task.classify(variables, images), dots(variables, (images - 90.0) / 40), rtol=1e-4)


def test_views_are_those_of_the_part_that_is_seen(rng):
    """Of the centre, where training crops: normalised, then moved, its own border reflected."""
    images = rng.integers(0, 256, (3, 6, 8, 1), np.uint8)
    task, variables = linear(crop=4, views="mirror_shift")
    centre = (images[:, 1:5, 2:6].astype(float) - 90) / 40
    padded = np.pad(centre, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    moved = [(1 / 2, centre), (1 / 4, padded[:, :4, :4]), (1 / 4, padded[:, 2:, 2:])]
    expected = sum(w * (dots(variables, x) + dots(variables, x[:, :, ::-1])) / 2 for w, x in moved)
    np.testing.assert_allclose(task.classify(variables, images), expected, rtol=1e-4, atol=1e-4)


def test_flips_alternate_outside_of_the_preparation(rng):
    """An epoch of five steps is one in which an image is mirrored always or never, from one to the next by turns."""
    images = rng.integers(0, 256, (20, 6, 8, 1), np.uint8)
    task, _ = linear(flip=True, alternate=True)
    np.testing.assert_allclose(task.prepare(jax.random.key(1), images), (images - 90.0) / 40, rtol=1e-5)
    mirror = task.mirror(5)
    for step in range(12):
        expected = data.alternating_flip(jax.random.key(2), images, step // 5)
        np.testing.assert_array_equal(mirror(jax.random.key(2), images, jnp.int32(step)), expected)
    assert linear()[0].mirror(5) is linear(flip=True)[0].mirror(5) is None


def test_the_border_of_training_images_is_the_configs(rng):
    images = rng.integers(0, 256, (4, 6, 8, 1), np.uint8)
    for border in ("zero", "reflect"):
        found = linear(shift=2, border=border)[0].prepare(jax.random.key(1), images)
        expected = data.augment(jax.random.key(1), images, shift_pixels=2, border=border)
        np.testing.assert_allclose(found, (np.asarray(expected) - 90.0) / 40, rtol=1e-5)


# --- whitening --------------------------------------------------------------------------------------------------------

WHITENED = RunConfig(model=Airbench(widths=(2,)))


def test_facts_for_a_model_that_whitens_hold_the_moment_of_patches():
    digits = data.load("digits")
    facts = Facts.of(digits, WHITENED.model)
    np.testing.assert_array_equal(np.reshape(facts.patch_moment, (4, 4)), digits.patch_moment(2))
    assert Facts.from_dict(json.loads(json.dumps(to_dict(facts)))) == facts
    for others in (Facts.of(digits), Facts.of(digits, CNN()), Facts.of(digits, Airbench(whiten=False))):
        assert others == replace(facts, patch_moment=())
        assert "patch_moment" not in to_dict(others)
        assert Facts.from_dict(to_dict(others)) == others


@pytest.mark.parametrize("patch_moment", [(), (1.0,) * 4])
def test_facts_without_it_are_refused(patch_moment):
    facts = replace(FACTS, patch_moment=patch_moment)
    expected = rf"{len(patch_moment)} numbers: expected 16, as Facts\.of\(dataset, config\.model\) has"
    with pytest.raises(ValueError, match=rf"^facts\.patch_moment has {expected}$"):
        make_task(WHITENED, facts)
    assert make_task(RunConfig(model=Airbench(widths=(2,), whiten=False)), facts).model is not None
    assert make_task(RunConfig(model=Own()), facts).model is None


def test_images_without_a_patch_are_refused(rng):
    dataset = data.from_arrays("row", rng.integers(0, 256, (60, 1, 9), np.uint8), np.arange(60) % 3)
    with pytest.raises(ValueError, match=r"^images of 1×9 pixels have no patches of 2×2$"):
        Facts.of(dataset, WHITENED.model)


@pytest.fixture(scope="module")
def whitened():
    return make_task(WHITENED, Facts.of(data.load("digits"), WHITENED.model), traced=("model.initializer_scale",))


def started(task, **values):
    return models.flatten(init_of(task, 5)(jax.random.key(0), values).variables)


def test_a_traced_scale_reaches_the_kernels_of_a_network_that_whitens(whitened):
    usual, wide = (started(whitened, **{"model.initializer_scale": jnp.float32(scale)}) for scale in (1, 3))
    name = "batch_stats/whiten/kernel"
    np.testing.assert_array_equal(wide[name], usual[name])
    assert np.abs(usual[name]).max() > 0
    np.testing.assert_allclose(wide["params/conv1/kernel"], 3 * usual["params/conv1/kernel"], rtol=1e-6)
    np.testing.assert_array_equal(wide["params/logits/kernel"], usual["params/logits/kernel"])


def test_another_model_in_its_place_has_its_own_start(whitened):
    own = replace(whitened, model=models.build("linear", num_classes=10), traced=())
    assert started(own).keys() == {"params/logits/kernel", "params/logits/bias"}
    assert own.own == ("model",)
    assert replace(whitened, traced=()).own == ()


def test_optimizers_of_a_task_are_the_configs():
    """Names of parameters are those of the network."""
    config = RunConfig(model=CNN(widths=(2,)), optim=OptimConfig("sgd", 0.1, schedule="constant", rates=("conv1/*=0",)))
    task = make_task(config, FACTS)
    params = jax.eval_shape(task.model.init, jax.random.key(0), jnp.zeros((1, 6, 6, 1)))["params"]
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), params)
    optimizer = task.optimizer(4)
    updates, _ = optimizer.update(ones, optimizer.init(ones), ones)
    moved = {name: float(update.ravel()[0]) for name, update in models.flatten(updates).items()}
    assert moved["conv1/kernel"] == moved["conv1/bias"] == 0
    assert {round(value, 6) for name, value in moved.items() if not name.startswith("conv1")} == {-0.1}
