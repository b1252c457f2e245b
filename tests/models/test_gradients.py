"""Whole networks: the hand-derived backward pass equals autodiff's, layer by layer, and is the OpSet's alone."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models
from convnet.ops import AUTO, HAND

QUICK = {"xla_backend_optimization_level": 0}
"""Compiles in half the time, and these programs run once."""

CNN = dict(widths=(3,), head_width=5)

VARIANTS = {
    "linear": ("linear", {}),
    "mlp, relu": ("mlp", dict(widths=(6, 5))),
    "mlp, tanh": ("mlp", dict(widths=(6,), activation="tanh", depth=2)),
    "cnn, relu, max": ("cnn", CNN),
    "cnn, leaky relu, avg": ("cnn", dict(CNN, pool="avg", activation="leaky_relu")),
    "cnn, sigmoid, stride": ("cnn", dict(CNN, pool="stride", activation="sigmoid")),
    "cnn, tanh, none, global": ("cnn", dict(CNN, pool="none", activation="tanh", head="global_avg")),
    "cnn, odd map, even kernels, first stride": ("cnn", dict(widths=(3, 4), kernel=2, first_kernel=5, stride=2)),
    "mlp, layer norm": ("mlp", dict(widths=(6,), norm="layer")),
    "cnn, batch norm": ("cnn", dict(CNN, norm="batch", activation="tanh")),
    "cnn, local response": ("cnn", dict(CNN, norm="local_response")),
    "cnn, depth, dropout": ("cnn", dict(CNN, depth=2, dropout=0.5, head_width=0)),
}


def batch(rng, dtype=np.float64):
    return jnp.asarray(rng.standard_normal((4, 7, 9, 2)), dtype), jnp.asarray([0, 2, 1, 2], jnp.int32)


def gradients(model, opset, variables, images, labels):
    """(loss, gradient in every parameter and in the images)."""
    return compiled(model, opset)(variables, images, labels)


@cache
def compiled(model, opset):
    def loss(variables, images, labels):
        rngs = {"dropout": jax.random.key(5)}
        logits = model.clone(ops=opset).apply(variables, images, train=True, rngs=rngs)
        return jnp.mean(opset.softmax_cross_entropy(logits, labels))

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), compiler_options=QUICK)


@pytest.mark.parametrize(("name", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_hand_equals_auto_in_every_layer(name, settings, rng, random_variables, x64):
    """To rounding: 10⁻¹³ of the layer's largest slope, with float64's ε of 2·10⁻¹⁶ and sums of some hundred terms."""
    model = models.build(name, num_classes=3, precision="float64", **settings)
    images, labels = batch(rng)
    variables = random_variables(model, images)
    (hand_loss, hand), (auto_loss, auto) = (gradients(model, o, variables, images, labels) for o in (HAND, AUTO))
    np.testing.assert_allclose(hand_loss, auto_loss, rtol=1e-13)
    for path, expected in jax.tree_util.tree_leaves_with_path(auto):
        if "batch_stats" in jax.tree_util.keystr(path):
            continue  # not trained
        got = dict(jax.tree_util.tree_leaves_with_path(hand))[path]
        scale = np.abs(expected).max()
        assert scale > 1e-6, f"{jax.tree_util.keystr(path)} has no gradient: nothing is compared"
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * scale, err_msg=jax.tree_util.keystr(path))


def doubled(op):
    """The same function, with twice its gradient."""

    @jax.custom_vjp
    def wrong(*args):
        return op(*args)

    def forward(*args):
        y, pull = jax.vjp(op, *args)
        return y, pull

    wrong.defvjp(forward, lambda pull, g: pull(2 * g))
    return wrong


@pytest.mark.parametrize(
    ("member", "layer"),
    [
        ("relu", lambda x: doubled(HAND.relu)(x)),
        ("dense", lambda x, w, b: doubled(HAND.dense)(x, w, b)),
        ("max_pool", lambda x, window, **kwargs: doubled(lambda x: HAND.max_pool(x, window, **kwargs))(x)),
        ("conv2d", lambda x, w, b, **kwargs: doubled(lambda *a: HAND.conv2d(*a, **kwargs))(x, w, b)),
    ],
)
def test_another_op_changes_the_gradient_and_not_the_output(member, layer, rng, random_variables):
    """What deconvnets and planted faults rest on."""
    model = models.build("cnn", num_classes=3, **CNN)
    images, labels = batch(rng, np.float32)
    variables = random_variables(model, images)
    changed = replace(HAND, **{member: layer})
    (loss, (before, _)), (same, (after, _)) = (
        gradients(model, opset, variables, images, labels) for opset in (HAND, changed)
    )
    np.testing.assert_allclose(loss, same, rtol=1e-6)  # two programs, so perhaps two roundings
    # conv1 lies below one convolution, two activations, one pooling and two dense layers.
    power = {"relu": 4, "dense": 4, "max_pool": 2, "conv2d": 2}[member]
    before, after = (np.asarray(g["params"]["conv1"]["kernel"]) for g in (before, after))
    np.testing.assert_allclose(after, power * before, rtol=1e-4, atol=1e-6 * np.abs(before).max())


def test_bfloat16_gradients_are_float32_and_near(rng, random_variables):
    """Of a smooth network: with max pooling, rounding makes ties, and sends whole slopes to another pixel."""
    images, labels = batch(rng, np.float32)
    smooth = dict(CNN, pool="stride", activation="tanh")
    both = {name: models.build("cnn", num_classes=3, precision=name, **smooth) for name in ("float32", "bfloat16")}
    variables = random_variables(both["float32"], images)
    found = {name: gradients(model, HAND, variables, images, labels)[1][0] for name, model in both.items()}
    for expected, got in zip(*map(jax.tree.leaves, found.values()), strict=True):
        assert got.dtype == jnp.float32
        # Eight bits: 0.4 % per operation, and about ten operations in a row.
        assert np.linalg.norm(got - expected) < 0.05 * np.linalg.norm(expected)
