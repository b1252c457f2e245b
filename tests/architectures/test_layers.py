"""Tables of one's own: what each layer computes, what fits, and what is refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models, ops
from convnet.architectures import AlexNet, LeNet5, Table
from convnet.architectures.layers import (
    Activation,
    BatchNorm,
    Block,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    Pool,
    Residual,
)
from convnet.architectures.shapes import cost, multiply_adds, spatial, walk

IMAGE = (7, 6, 4)


def run(*layers, train=False, image=IMAGE, rngs=None):
    """(variables with no zeros, images, activations) of a table, whose logits come after all."""
    rng = np.random.default_rng(0)
    model = models.build(Table((*layers, Flatten())), num_classes=3)
    images = jnp.asarray(rng.standard_normal((2, *image)), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda a: jnp.asarray(rng.uniform(0.5, 1.5, a.shape), a.dtype), shapes)
    return variables, images, models.activations(model, variables, images)


# --- what is computed: by the ops, written out ------------------------------------------------------------------------

COMPUTED = {
    "conv": (
        Conv("a", 6, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 2),
        lambda x, p: ops.conv2d(
            x, p["kernel"], p["bias"], stride=(2, 1), padding=((1, 0), (0, 2)), dilation=(1, 2), groups=2
        ),
    ),
    "conv without bias": (Conv("a", 3, bias=False), lambda x, p: ops.conv2d(x, p["kernel"])),
    "max pool": (Pool("a", "max", (3, 2), 2, 1), lambda x, p: ops.max_pool(x, (3, 2), stride=2, padding=1)),
    "avg pool": (Pool("a", "avg", 2), lambda x, p: ops.avg_pool(x, 2)),
    "global average": (GlobalAvgPool("a"), lambda x, p: x.mean((1, 2))),
    "layer norm": (LayerNorm("a"), lambda x, p: ops.layer_norm(x, p["scale"], p["bias"])),
    "group norm": (GroupNorm("a", 2), lambda x, p: ops.group_norm(x, p["scale"], p["bias"], groups=2)),
    "local response norm": (
        LocalResponseNorm("a", 3, 1.5, 0.1, 0.6),
        lambda x, p: ops.local_response_norm(x, size=3, k=1.5, alpha=0.1, beta=0.6),
    ),
    **{f: (Activation("a", f), lambda x, p, f=f: getattr(ops, f)(x)) for f in ("relu", "tanh", "gelu", "silu")},
}


@pytest.mark.parametrize(("layer", "op"), COMPUTED.values(), ids=COMPUTED)
def test_a_layer_is_its_op(layer, op):
    variables, images, found = run(layer)
    expected = op(images, variables["params"].get("a", {}))
    assert found["a"].shape == expected.shape
    np.testing.assert_allclose(found["a"], expected, rtol=1e-5, atol=1e-6)


def test_a_dense_layer_after_flattening():
    variables, images, found = run(Flatten(), Dense("a", 5))
    p = variables["params"]["a"]
    np.testing.assert_allclose(found["a"], images.reshape(2, -1) @ p["kernel"] + p["bias"][None], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("function", ["relu", "tanh"])
def test_a_residual_block_adds_body_and_shortcut(function):
    body, shortcut = (Conv("conv1", 6, stride=2), Activation("act", "tanh"), Conv("conv2", 6)), (Conv("s", 6, 1, 2),)
    variables, images, found = run(Block("stage", (Residual("block", body, shortcut, function),)))
    p = variables["params"]["stage"]["block"]

    def conv(name, x, stride=1):
        return ops.conv2d(x, p[name]["kernel"], p[name]["bias"], stride=stride)

    total = conv("conv2", jnp.tanh(conv("conv1", images, 2))) + conv("s", images, 2)
    np.testing.assert_allclose(found["stage/block/sum"], total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["stage/block"], getattr(ops, function)(total), rtol=1e-4, atol=1e-5)
    names = ["conv1", "act", "conv2", "s", "sum"]
    assert list(found) == [*(f"stage/block/{name}" for name in names), "stage/block", "logits"]


def test_an_empty_shortcut_is_the_identity():
    variables, images, found = run(Residual("block", (Conv("conv", IMAGE[2]),)))
    p = variables["params"]["block"]["conv"]
    expected = np.maximum(ops.conv2d(images, p["kernel"], p["bias"]) + images, 0)
    np.testing.assert_allclose(found["block"], expected, rtol=1e-5, atol=1e-5)


def test_dropout_is_for_training():
    model = models.build(Table((Flatten(), Dropout(0.5))), num_classes=3)
    images = jnp.ones((2, *IMAGE))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    still = model.apply(variables, images)
    np.testing.assert_array_equal(model.apply(variables, images), still)
    drawn = [model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(i)}) for i in range(2)]
    assert not np.allclose(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], still)


def test_batch_norm_has_the_statistics_of_the_batch_in_training_only():
    model = models.build(Table((BatchNorm("a"), Flatten())), num_classes=3)
    images = jnp.asarray(np.random.default_rng(1).normal(3, 2, (4, *IMAGE)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    _, changed = model.apply(variables, images, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(changed["batch_stats"]["a"]["mean"], 0.1 * images.mean((0, 1, 2)), rtol=1e-4)
    found = models.activations(model, variables, images)["a"]
    np.testing.assert_allclose(found, images / np.sqrt(1 + 1e-5), rtol=1e-5)


# --- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "taps"),
    [
        (Conv("a", 6), 7 * 6 * 3 * 3 * 4 * 6),
        (Conv("a", 6, (3, 2), 2, "VALID", groups=2), 3 * 3 * 3 * 2 * 2 * 6),
        (Conv("a", 8, 3, 1, "VALID", 2), 3 * 2 * 3 * 3 * 4 * 8),
        (Pool("a"), 0),
    ],
)
def test_multiply_adds_are_those_of_the_definition(layer, taps):
    """Outputs × window × channels of a group × features."""
    (placed,) = walk((layer,), IMAGE)
    assert multiply_adds(placed) == taps


@pytest.mark.parametrize(
    "layer", [Conv("a", 6, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 2), Conv("a", 2, 2, 3, 1, (3, 1)), Conv("a", 8, 4)]
)
def test_multiply_adds_are_the_products_that_a_convolution_sums(layer):
    """Each result of a kernel of ones on an image of ones, padded with ones, is the number of its products."""
    (placed,) = walk((layer,), IMAGE)
    rows, cols = spatial(layer, IMAGE)
    padded = np.ones((1, *(axis.lo + axis.size + axis.hi for axis in (rows, cols)), IMAGE[2]), np.float32)
    kernel = np.ones((rows.kernel, cols.kernel, IMAGE[2] // layer.groups, layer.features), np.float32)
    settings = dict(stride=layer.stride, padding="VALID", dilation=layer.dilation, groups=layer.groups)
    assert multiply_adds(placed) == ops.conv2d(padded, kernel, **settings).sum()


# --- what does not fit ------------------------------------------------------------------------------------------------

WRONG = {
    "a pool on nothing": (AlexNet().layers((32, 32, 3), 10), (32, 32, 3), "layer pool5 does not fit an input of 1×1×2"),
    "a conv on little": (LeNet5().layers((8, 8, 1), 10), (8, 8, 1), "layer conv2 does not fit an input of 4×4×6: the"),
    "a map into a dense layer": ((Dense("a", 3),), IMAGE, "layer a does not fit an input of 7×6×4: a dense layer"),
    "a vector into a conv": ((Flatten(), Conv("a", 3)), IMAGE, "layer a does not fit an input of 168: it reads"),
    "an average of a vector": ((Flatten(), GlobalAvgPool()), IMAGE, "layer global_avg does not fit an input of 168"),
    "groups of channels": ((Conv("a", 6, groups=3),), IMAGE, "layer a does not fit an input of 7×6×4: 3 groups do not"),
    "groups of features": ((Conv("a", 3, groups=2),), IMAGE, "2 groups do not divide its channels and features"),
    "groups of a norm": ((GroupNorm("a", 3),), IMAGE, "layer a does not fit an input of 7×6×4: 3 groups do not divide"),
    "nested": (
        (Block("stage1", (Residual("block2", (Conv("conv1", 4, 9, padding="VALID"),)),)),),
        IMAGE,
        "layer stage1/block2/conv1 does not fit an input of 7×6×4: the output is empty",
    ),
    "a body of another shape": (
        (Residual("block", (Conv("conv", 8),)),),
        IMAGE,
        "layer block does not fit an input of 7×6×4: its body gives 7×6×8, its shortcut 7×6×4",
    ),
    "two of one name": ((Conv("a", 3), Conv("a", 3)), IMAGE, "two layers are called 'a': expected a name for each"),
    "a block of a layer's name": ((Block("a", (Conv("b", 3),)), Conv("a", 3)), IMAGE, "two layers are called 'a'"),
    "two blocks of one name": (
        (Residual("a", (Conv("b", 4),)), Residual("a", (Conv("c", 4),))), IMAGE, "two layers are called 'a'"
    ),
    "a body and a shortcut": (
        (Residual("a", (Conv("b", 4),), (Conv("b", 4),)),), IMAGE, "two layers are called 'a/b'"
    ),
    "a part called as the sum": ((Residual("a", (Conv("sum", 4),)),), IMAGE, "two layers are called 'a/sum'"),
    "no layer": (("conv",), IMAGE, "layer 'conv' is none of convnet.architectures.layers"),
    "a stride of 0": ((Conv("a", 3, stride=0),), IMAGE, "layer a does not fit an input of 7×6×4: stride is 0"),
    "an unknown padding": ((Conv("a", 3, padding="same"),), IMAGE, "layer a .*: padding is 'same': expected 'SAME'"),
}  # fmt: skip


@pytest.mark.parametrize(("layers", "image", "message"), WRONG.values(), ids=WRONG)
def test_a_table_that_does_not_fit_names_the_layer_and_the_sizes(layers, image, message):
    with pytest.raises(ValueError, match=message):
        list(walk(layers, image))
    model = models.build(Table(layers), num_classes=3)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image)))


def test_layers_without_a_name_may_stand_twice():
    assert [p.output for p in walk((Dropout(0.1), Flatten(), Dropout(0.1), Flatten()), IMAGE)][-1] == (168,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Activation("a", "swish"), "function of layer a is 'swish': expected relu, leaky_relu, sigmoid"),
        (lambda: Pool("a", "median"), "kind of layer a is 'median': expected 'max' or 'avg'"),
        (lambda: Residual("a", (), function="none"), "function of layer a is 'none'"),
        (lambda: Conv("a", 0), "features of layer a is 0: expected 1 or more"),
        (lambda: Conv("a", 3, groups=0), "groups of layer a is 0: expected 1 or more"),
        (lambda: Dense("a", -1), "features of layer a is -1: expected 1 or more"),
        (lambda: BatchNorm("a", 1.0), r"momentum of layer a is 1\.0: expected a number in \[0, 1\)"),
        (lambda: BatchNorm("a", -0.1), r"momentum of layer a is -0\.1: expected a number in \[0, 1\)"),
        (lambda: GroupNorm("a", 0), "groups of layer a is 0: expected 1 or more"),
        (lambda: Dropout(1.5), r"rate of a dropout is 1\.5: expected a probability in \[0, 1\]"),
    ],
)
def test_what_no_layer_could_be_is_refused_when_it_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(filters=3), r"^unknown setting 'model\.filters': expected one of name, initializer, "),
        (dict(precision="float16"), r"^model\.precision is 'float16': expected 'float32', 'tf32', 'bfloat16', 'floa"),
    ],
)
def test_settings_of_a_table_are_checked_as_those_of_a_model(settings, message):
    assert models.build(Table((Flatten(),)), num_classes=3, precision="bfloat16").precision == "bfloat16"
    with pytest.raises(ValueError, match=message):
        models.build(Table((Flatten(),)), num_classes=3, **settings)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'filters'"):
        Conv("a", 3, filters=3)


def test_what_layers_cost_on_an_image():
    found = cost((Conv("conv", 4, 3, bias=False), Flatten(), Dense("dense", 5)), (6, 6, 2))
    assert found == (9 * 2 * 4 + 144 * 5 + 5, 36 * 4 * 18 + 144 * 5, 5)
    assert found.bytes == 4 * (found.weights + 5)
