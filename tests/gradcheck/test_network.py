"""Whole networks: the models pass, and a planted error is blamed on its own call."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convnet.experiments import audit_gradients

from convnet import models
from convnet.architectures import Table
from convnet.architectures.layers import (
    Activation,
    Block,
    Conv,
    GlobalAvgPool,
    LayerNorm,
    LocalResponseNorm,
    Pool,
    Residual,
)
from convnet.gradcheck import audit_network
from convnet.ops import AUTO, HAND

IMAGES, LABELS = np.random.default_rng(0).normal(size=(3, 8, 8, 1)), np.array([0, 2, 1])


def network(name, **settings):
    """(apply, variables) of a model in float64, away from the zeros it starts with."""
    model = models.build(name, num_classes=3, precision="float64", **settings)
    with jax.enable_x64(True):
        variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf) + 0.05 * rng.normal(size=leaf.shape), variables)
    return (lambda ops, variables, images: model.clone(ops=ops).apply(variables, images)), variables


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("linear", {}),
        pytest.param("mlp", dict(widths=(6, 5), activation="tanh"), marks=pytest.mark.sweep),
        pytest.param("cnn", dict(widths=(3, 4), head_width=5), marks=pytest.mark.sweep),
        ("cnn", dict(widths=(3,), pool="avg", head="global_avg", activation="leaky_relu", stride=2)),
    ],
)
def test_models_pass(name, settings):
    apply, variables = network(name, **settings)
    report = audit_network(apply, variables, IMAGES, LABELS)
    assert report.passed
    layers = len(variables["params"])
    assert sum(" in " in check.name for check in report.checks) == layers
    assert sum("/" in check.name for check in report.checks if check.stage == "parameters") == 2 * layers


PUBLISHED = Table(
    (
        *(Conv("conv1", 4, (3, 5), 2, 2), LocalResponseNorm("norm1", alpha=0.5), Activation("relu1")),
        *(Pool("pool1", "max", 3, 2, 1), Conv("conv2", 4, groups=2)),
        Block("stage", (Residual("block", (Conv("conv1", 6, 3, 2, 1, bias=False), LayerNorm("norm")),
                                 (Conv("shortcut", 6, 1, 2, 0),), "tanh"),)),
        GlobalAvgPool(),
    )
)  # fmt: skip
"""What AlexNet, ZFNet and the ResNets are made of, in one network."""


def test_the_layers_of_published_networks_pass():
    apply, variables = network(PUBLISHED)
    report = audit_network(apply, variables, IMAGES, LABELS)
    assert report.passed
    judged = {check.name for check in report.checks if check.stage == "ops"}
    assert {"conv2d in stage/block/conv1", "conv2d in stage/block/shortcut", "conv2d in conv2"} <= judged


@pytest.mark.sweep
@pytest.mark.parametrize("name", [name for name, (*_, shape) in audit_gradients.NETWORKS.items() if shape])
def test_published_networks_pass(name):
    assert audit_gradients.audit_model(name).passed


def plant(op, change):
    """The hand-derived op with its gradient in the first argument passed through `change`."""
    right = getattr(HAND, op)

    def wrong(*args, **settings):
        arrays = [arg for arg in args if not isinstance(arg, int)]  # a window is no array
        static = [arg for arg in args if isinstance(arg, int)]

        def forward(*arrays):
            return right(*arrays, *static, **settings)

        def backward(pull, g):
            dx, *others = pull(g)
            return change(dx), *others

        f = jax.custom_vjp(forward)
        f.defvjp(lambda *arrays: jax.vjp(forward, *arrays), backward)
        return f(*arrays)

    return replace(HAND, **{op: wrong})


@pytest.mark.parametrize(
    ("op", "call", "change", "where"),
    [
        ("conv2d", "conv2d in conv2", lambda dx: dx.at[:, -1].multiply(0.9), "axis 1 = 3 (the last)"),
        pytest.param(
            *("max_pool", "max_pool, call 6", lambda dx: dx.at[..., 2].set(0), "axis 3 = 2"), marks=pytest.mark.sweep
        ),
        pytest.param(
            *("dense", "dense in dense1", lambda dx: dx.at[1].multiply(1 + 1e-6), "axis 0 = 1"), marks=pytest.mark.sweep
        ),
    ],
)
def test_an_error_is_blamed_on_its_call_and_its_entries(op, call, change, where):
    apply, variables = network("cnn", widths=(3, 4), head_width=5)
    report = audit_network(apply, variables, IMAGES, LABELS, hand=plant(op, change))
    blamed = {check.name: check for check in report.failures if check.stage == "ops"}
    assert call in blamed
    assert all(name.startswith(op) for name in blamed)
    assert where in blamed[call].note
    assert any(check.stage == "parameters" for check in report.failures)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_bias_before_batch_norm_has_a_gradient_that_cancels(wrong, rng):
    """It is 0 to the rounding of what is added up, which no wiggling of parameters shows; more is still an error."""
    shapes = dict(w=(3, 3, 1, 4), b=(4,), scale=(4,), shift=(4,), v=(4, 3))
    variables = {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def apply(ops, v, images):
        y = ops.batch_norm(ops.conv2d(images, v["w"], v["b"]), v["scale"], v["shift"], eps=1e-5)[0]
        return ops.dense(ops.global_avg_pool(ops.relu(y)), v["v"])

    hand = plant("batch_norm", lambda dx: dx.at[..., 1].add(1e-9)) if wrong else HAND
    report = audit_network(apply, variables, IMAGES, LABELS, hand=hand)
    failed = {check.name for check in report.failures if check.stage == "parameters"}
    assert ("b" in failed) is wrong
    assert report.passed is not wrong


def test_parameters_above_the_error_are_right():
    apply, variables = network("cnn", widths=(3, 4), head_width=5)
    report = audit_network(apply, variables, IMAGES, LABELS, hand=plant("max_pool", lambda dx: 2 * dx))
    wrong = {check.name.split("/")[1] for check in report.failures if check.stage == "parameters"}
    assert wrong == {"conv1", "conv2"}


def test_refusals():
    apply, variables = network("linear")
    with pytest.raises(ValueError, match=r"^apply calls no op of the OpSet"):
        audit_network(lambda ops, variables, images: images.reshape(3, -1)[:, :3], variables, IMAGES, LABELS)
    narrow = lambda ops, v, x: apply(ops, v, x) + ops.relu(jnp.float32(x[:, 0, 0]))  # noqa: E731
    with pytest.raises(ValueError, match=r"^relu returned float32 in this network"):
        audit_network(narrow, variables, IMAGES, LABELS, auto=AUTO)
