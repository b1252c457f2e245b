"""Models of one's own: what of a plain Flax module training and activations find, and where a network starts from."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from convnet import models, ops, train
from convnet.architectures.layers import Conv, Flatten
from convnet.models import warm_start
from convnet.train.step import training_argument

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 5, 4, 2), dtype=np.uint8)
LABELS = np.int32([0, 1, 2, 0, 1, 2])


class Plain(nn.Module):
    """No argument but the images."""

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Dense(4, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(3, name="out")(x)


class Noisy(nn.Module):
    """Drops everything in training, and follows the batches' statistics."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.BatchNorm(use_running_average=not train)(x.reshape(len(x), -1))
        return nn.Dense(3)(nn.Dropout(1.0, deterministic=not train)(x))


class Mixed(models.Model):
    """Layers of the library in a `__call__` of one's own."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = self.run((Conv("conv1", 3), Flatten()), x, train)
        return self.show("logits", 2 * x[:, :3])


def step_of(model):
    optimizer = optax.sgd(0.1)
    step = train.make_train_step(model, optimizer, ops.softmax_cross_entropy, lambda key, x: x / jnp.float32(255))
    return jax.jit(step), train.init_state(model, optimizer, jax.random.key(0), IMAGES.shape[1:])


@pytest.mark.parametrize(("module", "asks"), [(Plain, False), (Noisy, True), (Mixed, True)])
def test_only_a_module_that_asks_is_told_that_it_is_training(module, asks):
    assert training_argument(module()) == ({"train": True} if asks else {})


def test_a_plain_module_is_trained_by_its_gradient():
    step, state = step_of(Plain())
    after, info = step(state, (IMAGES, LABELS))

    @jax.jit
    @jax.value_and_grad
    def loss_and_gradient(params):
        logits = Plain().apply({"params": params}, IMAGES / jnp.float32(255))
        return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()

    value, gradient = loss_and_gradient(state.params)
    np.testing.assert_allclose(info["loss"], value, rtol=1e-6)
    for moved, w, g in zip(*map(jax.tree.leaves, (after.params, state.params, gradient)), strict=True):
        np.testing.assert_allclose(moved, w - 0.1 * g, rtol=1e-5, atol=1e-7)


def test_dropout_and_statistics_of_a_plain_module_work():
    step, state = step_of(Noisy())
    after, info = step(state, (IMAGES, LABELS))
    np.testing.assert_allclose(info["loss"], np.log(3), rtol=1e-6)  # all is dropped: the logits are the biases, 0
    assert not np.allclose(jax.tree.leaves(after.batch_stats)[0], jax.tree.leaves(state.batch_stats)[0])


def test_activations_of_a_plain_module_are_what_its_parts_give():
    images = IMAGES / np.float32(255)
    variables = jax.jit(Plain().init)(jax.random.key(0), images)
    found = models.activations(Plain(), variables, images)
    assert list(found) == ["hidden", "out", "output"]
    np.testing.assert_array_equal(found["output"], Plain().apply(variables, images))
    np.testing.assert_allclose(
        found["out"], np.tanh(found["hidden"]) @ variables["params"]["out"]["kernel"], rtol=1e-5, atol=1e-6
    )


def test_layers_of_the_library_in_a_module_of_ones_own():
    images = IMAGES / np.float32(255)
    variables = jax.jit(Mixed().init)(jax.random.key(0), images)
    found = models.activations(Mixed(), variables, images)
    assert list(found) == ["conv1", "logits"]
    conv = ops.conv2d(images, variables["params"]["conv1"]["kernel"], variables["params"]["conv1"]["bias"])
    np.testing.assert_allclose(found["logits"], 2 * conv.reshape(6, -1)[:, :3], rtol=1e-6)


# --- where a network starts from --------------------------------------------------------------------------------------


@cache
def resnet(classes):
    model = models.build("resnet8", num_classes=classes, width=0.25)
    return model, jax.jit(model.init)(jax.random.key(classes), IMAGES / np.float32(255))


def test_a_warm_start_takes_all_but_what_starts_anew():
    (_, given), (model, fresh) = resnet(5), resnet(3)
    init = jax.jit(warm_start(model, given, anew=("logits", "stage3/block1")))
    start = init(jax.random.key(3), IMAGES / np.float32(255))
    found, given, fresh = map(models.flatten, (start, given, fresh))
    assert found.keys() == fresh.keys()
    for name, array in found.items():
        anew = name.startswith(("params/logits/", "params/stage3/block1/", "batch_stats/stage3/block1/"))
        np.testing.assert_array_equal(array, (fresh if anew else given)[name], err_msg=name)


BAD_STARTS = {
    "another shape": ((), {}, r"params/logits/kernel is \(16, 5\): expected \(16, 3\), or its layer among those"),
    "not there": (
        ("logits",),
        {"params/conv1/kernel": None},
        r"params/conv1/kernel is not there: expected",
    ),
    "no such layer": (("logits", "logit"), {}, "anew holds 'logit': expected a layer of the model"),
}


@pytest.mark.parametrize(("anew", "changes", "message"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_a_start_that_does_not_fit_is_refused(anew, changes, message):
    (_, given), (model, _) = resnet(5), resnet(3)
    kept = {name: array for name, array in models.flatten(given).items() if name not in changes}
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(warm_start(model, models.unflatten(kept), anew=anew), jax.random.key(0), jnp.float32(IMAGES))
