"""What the settings do, what is refused, and that a network computes through its OpSet alone."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models
from convnet.architectures import CNN
from convnet.ops import HAND, OpSet

CLASSES = 3
IMAGE = (12, 10, 2)


def build(name, **settings):
    return models.build(name, num_classes=CLASSES, **settings)


def recording(calls: list) -> OpSet:
    """HAND, noting each op that is called, with the shapes of its arrays and its keywords."""

    def noting(name, op):
        def call(*args, **kwargs):
            calls.append((name, [getattr(a, "shape", a) for a in args], kwargs))
            return op(*args, **kwargs)

        return call

    return OpSet(**{f.name: noting(f.name, getattr(HAND, f.name)) for f in fields(OpSet)})


def calls_of(name, *, train=False, **settings):
    calls = []
    model = build(name, ops=recording(calls), **settings)
    images = jax.ShapeDtypeStruct((5, *IMAGE), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    calls.clear()
    rngs = {"dropout": jax.random.key(1)}
    jax.eval_shape(lambda v, x: model.apply(v, x, train=train, rngs=rngs), variables, images)
    return calls


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "tanh"])
@pytest.mark.parametrize(("pool", "op"), [("max", ["max_pool"]), ("avg", ["avg_pool"]), ("stride", []), ("none", [])])
def test_a_network_computes_through_its_opset_alone(activation, pool, op):
    calls = calls_of("cnn", widths=(4,), head_width=5, pool=pool, activation=activation, dropout=0.5, train=True)
    expected = ["conv2d", activation, *op, "dropout", "dense", activation, "dropout", "dense"]
    assert [name for name, *_ in calls] == expected


def test_the_mlp_computes_through_its_opset_alone():
    calls = calls_of("mlp", widths=(4,), depth=2, activation="tanh")
    assert [name for name, *_ in calls] == ["dense", "tanh", "dense", "tanh", "dense"]
    assert [name for name, *_ in calls_of("linear")] == ["dense"]


@pytest.mark.parametrize(
    ("name", "settings", "dropped"),
    [
        ("mlp", dict(widths=(7, 5)), [(5, 7), (5, 5)]),
        ("cnn", dict(widths=(4,), head_width=8), [(5, 6 * 5 * 4), (5, 8)]),
        ("cnn", dict(widths=(4,), head_width=0), [(5, 6 * 5 * 4)]),
        ("cnn", dict(widths=(4,), head="global_avg"), [(5, 4)]),
    ],
)
def test_dropout_comes_before_each_dense_layer_that_does_not_read_the_image(name, settings, dropped):
    calls = [call for call in calls_of(name, train=True, dropout=0.3, **settings) if call[0] == "dropout"]
    assert [(args[0], args[1], kwargs) for _, args, kwargs in calls] == [(s, s, {"rate": 0.3}) for s in dropped]
    for off in (dict(train=False, dropout=0.3), dict(train=True, dropout=0.0)):
        assert not [call for call in calls_of(name, **off, **settings) if call[0] == "dropout"]


def test_dropout_keeps_the_right_share_and_varies_with_the_key(random_variables):
    masks = []
    ops = replace(HAND, dropout=lambda x, mask, *, rate: masks.append(mask) or HAND.dropout(x, mask, rate=rate))
    model = build("mlp", widths=(2000,), dropout=0.2, ops=ops)
    images = jnp.ones((5, 2, 2, 1))
    variables = random_variables(model, images)
    for seed in (1, 1, 2):
        model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(seed)})
    one, same, other = (np.asarray(mask) for mask in masks)
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.2
    # 10,000 draws: the standard error of the share is 0.004.
    assert abs(one.mean() - 0.8) < 0.02
    assert (one[0] != one[1]).any()  # each image has its own mask


def test_dropout_of_everything_leaves_the_bias(random_variables):
    model = build("mlp", widths=(4,), dropout=1.0)
    variables = random_variables(model, jnp.ones((1, 2, 2, 1)))
    logits = model.apply(variables, jnp.ones((2, 2, 2, 1)), train=True, rngs={"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(logits, np.tile(variables["params"]["logits"]["bias"], (2, 1)))


@pytest.mark.parametrize(
    ("name", "settings"),
    [("linear", {}), ("mlp", dict(widths=(4,))), ("cnn", dict(widths=(4,))), ("resnet8", dict(width=0.25))],
)
def test_initializer_and_scale_reach_every_kernel_and_biases_start_at_zero(name, settings):
    model = build(name, **settings, initializer="constant", initializer_scale=0.25)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 4, 4, 1)))
    for path, array in models.flatten({"params": variables["params"]}).items():
        value = {"kernel": 0.25, "bias": 0.0, "scale": 1.0}[path.split("/")[-1]]
        np.testing.assert_array_equal(array, np.full(array.shape, value), err_msg=path)


def test_layers_of_one_shape_start_differently():
    params = build("mlp", widths=(4, 4, 4)).init(jax.random.key(0), jnp.ones((1, 4, 4, 1)))["params"]
    assert np.abs(params["dense2"]["kernel"] - params["dense3"]["kernel"]).max() > 0.01


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cnn", dict(kernel=0), r"^model\.kernel is 0: expected 1 or more"),
        ("mlp", dict(kernel=3), r"^unknown setting 'model\.kernel' of mlp: expected one of name, "),
        ("linear", dict(widths=(3,)), r"^unknown setting 'model\.widths' of linear"),
        ("cnn", dict(kernels=3), r"^unknown setting 'model\.kernels' of cnn: did you mean kernel or first_kernel\?$"),
        ("resnet18", dict(widths=(3,)), r"^unknown setting 'model\.widths' of resnet18: did you mean width\?$"),
        ("resnet19", {}, r"^model\.name is 'resnet19': did you mean resnet18 or resnet8 or resnet34\?$"),
    ],
)
def test_what_a_model_has_not_is_refused_by_name(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build(name, **settings)


def test_an_architecture_is_built_with_changes():
    assert build(CNN(widths=(4,)), dropout=0.5) == build("cnn", widths=(4,), dropout=0.5)
    assert build(CNN(precision="float64")).precision == "float64"


def test_models_of_equal_settings_are_equal_and_hashable():
    """What is static in a compiled program must be."""
    assert build("cnn", widths=(4,)) == build("cnn", widths=(4,))
    assert hash(build("cnn", widths=(4,))) == hash(build("cnn", widths=(4,)))
    assert build("cnn", widths=(4,)) != build("cnn", widths=(5,))
