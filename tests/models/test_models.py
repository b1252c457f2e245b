"""Architectures: shapes, names and sizes. Mostly by shape evaluation, which compiles nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import models
from convnet.architectures.compared import default_widths
from convnet.architectures.layers import Dense, Flatten

CLASSES = 3
IMAGE = (12, 10, 2)


def build(name, **settings):
    return models.build(name, num_classes=CLASSES, **settings)


def shapes(model, image=IMAGE, n=5):
    """Shape and dtype of the variables, of the logits, and of the named activations in their order."""
    images = jax.ShapeDtypeStruct((n, *image), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    named = {}

    def look(variables, images):
        found = models.activations(model, variables, images)
        named.update({name: (x.shape, str(x.dtype)) for name, x in found.items()})  # a dict out of jit is sorted

    jax.eval_shape(look, variables, images)
    return variables, jax.eval_shape(model.apply, variables, images), named


def sizes(model, image=IMAGE):
    return {name: shape[1:] for name, (shape, _) in shapes(model, image)[2].items()}


def kernels(model, image=IMAGE):
    return {name: layer["kernel"].shape for name, layer in shapes(model, image)[0]["params"].items()}


# --- shapes and names -------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "linear": ("linear", {}, {"logits": (3,)}),
    "mlp": (
        "mlp",
        dict(widths=(7, 5), depth=2, activation="tanh"),
        {
            "dense1": (7,), "dense1_tanh": (7,), "dense2": (7,), "dense2_tanh": (7,),
            "dense3": (5,), "dense3_tanh": (5,), "dense4": (5,), "dense4_tanh": (5,), "logits": (3,),
        },
    ),
    "cnn": (
        "cnn",
        dict(widths=(4, 6), head_width=8),
        {
            "conv1": (12, 10, 4), "conv1_relu": (12, 10, 4), "pool1": (6, 5, 4),
            "conv2": (6, 5, 6), "conv2_relu": (6, 5, 6), "pool2": (3, 2, 6),
            "dense1": (8,), "dense1_relu": (8,), "logits": (3,),
        },
    ),
    "cnn, depth 2, strided, global head": (
        "cnn",
        dict(widths=(4, 6), depth=2, pool="stride", head="global_avg", activation="sigmoid"),
        {
            "conv1": (12, 10, 4), "conv1_sigmoid": (12, 10, 4), "conv2": (6, 5, 4), "conv2_sigmoid": (6, 5, 4),
            "conv3": (6, 5, 6), "conv3_sigmoid": (6, 5, 6), "conv4": (3, 3, 6), "conv4_sigmoid": (3, 3, 6),
            "global_avg": (6,), "logits": (3,),
        },
    ),
    "cnn, no pooling, stride 2, no hidden head": (
        "cnn",
        dict(widths=(4,), pool="none", stride=2, head_width=0, activation="leaky_relu"),
        {"conv1": (6, 5, 4), "conv1_leaky_relu": (6, 5, 4), "logits": (3,)},
    ),
    "cnn, both strides on the one layer": (
        "cnn",
        dict(widths=(4,), pool="stride", stride=2, head="global_avg"),
        {"conv1": (3, 3, 4), "conv1_relu": (3, 3, 4), "global_avg": (4,), "logits": (3,)},
    ),
    "cnn, only the first convolution is strided": (
        "cnn",
        dict(widths=(4,), depth=2, stride=2, pool="avg", head_width=0),
        {
            "conv1": (6, 5, 4), "conv1_relu": (6, 5, 4), "conv2": (6, 5, 4), "conv2_relu": (6, 5, 4),
            "pool1": (3, 2, 4), "logits": (3,),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "expected"), ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_every_activation_has_its_name_shape_and_place(name, settings, expected):
    got = sizes(build(name, **settings))
    assert got == expected
    assert list(got) == list(expected)


FAMILIES = {"linear": {}, "mlp": dict(widths=(4,)), "cnn": dict(widths=(4,)), "resnet8": dict(width=0.25)}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_the_last_activation_one_row_per_image(name):
    _, logits, named = shapes(build(name, **FAMILIES[name]))
    assert logits.shape == named["logits"][0] == (5, CLASSES)
    assert list(named)[-1] == "logits"


def test_activations_are_values_of_the_same_forward_pass(rng, random_variables):
    """Recomputed one from the other in NumPy, up to the logits."""
    model = build("cnn", widths=(4,), kernel=3, head_width=5, pool="avg", activation="tanh")
    images = jnp.asarray(rng.standard_normal((2, 6, 4, 2)), jnp.float32)
    variables = random_variables(model, images)
    got = {name: np.asarray(x, np.float64) for name, x in models.activations(model, variables, images).items()}
    layers = {name: (np.float64(x["kernel"]), np.float64(x["bias"])) for name, x in variables["params"].items()}
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.float64(images), ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2)
    )
    flat = got["pool1"].reshape(2, -1)
    expected = {
        "conv1": np.einsum("nhwcij,ijck->nhwk", windows, layers["conv1"][0]) + layers["conv1"][1],
        "conv1_tanh": np.tanh(got["conv1"]),
        "pool1": got["conv1_tanh"].reshape(2, 3, 2, 2, 2, 4).mean((2, 4)),
        "dense1": flat @ layers["dense1"][0] + layers["dense1"][1],
        "dense1_tanh": np.tanh(got["dense1"]),
        "logits": got["dense1_tanh"] @ layers["logits"][0] + layers["logits"][1],
    }
    assert list(got) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(model.apply(variables, images), got["logits"], atol=1e-6)


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "widths"),
    [(2, (32,)), (4, (32,)), (8, (32,)), (12, (32,)), (15, (32,)), (16, (32, 64)), (28, (32, 64)),
     (32, (32, 64, 128)), (64, (32, 64, 128, 256))],
)  # fmt: skip
def test_default_widths_bring_the_map_to_4_to_7(side, widths):
    assert default_widths(side) == widths
    if side >= 8:
        assert 4 <= side // 2 ** len(widths) <= 7


def test_default_widths_follow_the_smaller_side():
    assert kernels(build("cnn", head_width=0), (32, 8, 1)) == {"conv1": (3, 3, 1, 32), "logits": (16 * 4 * 32, 3)}
    assert sizes(build("mlp"))["dense1"] == (256,)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (dict(), [(3, 3, 2, 4), (3, 3, 4, 4), (3, 3, 4, 6), (3, 3, 6, 6)]),
        (dict(kernel=5), [(5, 5, 2, 4), (5, 5, 4, 4), (5, 5, 4, 6), (5, 5, 6, 6)]),
        (dict(first_kernel=7), [(7, 7, 2, 4), (3, 3, 4, 4), (3, 3, 4, 6), (3, 3, 6, 6)]),
        (dict(first_kernel=1, kernel=2), [(1, 1, 2, 4), (2, 2, 4, 4), (2, 2, 4, 6), (2, 2, 6, 6)]),
    ],
    ids=str,
)
def test_kernel_sizes(settings, expected):
    got = kernels(build("cnn", widths=(4, 6), depth=2, **settings))
    assert [got[f"conv{i}"] for i in (1, 2, 3, 4)] == expected


H, W, C = IMAGE
PARAMETERS = {
    "linear": ("linear", {}, H * W * C * 3 + 3),
    "mlp": ("mlp", dict(widths=(7, 5)), (H * W * C * 7 + 7) + (7 * 5 + 5) + (5 * 3 + 3)),
    "cnn": (
        "cnn",
        dict(widths=(4, 6), kernel=3, first_kernel=5, head_width=8),
        (5 * 5 * C * 4 + 4) + (3 * 3 * 4 * 6 + 6) + (3 * 2 * 6 * 8 + 8) + (8 * 3 + 3),
    ),
    "cnn, global head": ("cnn", dict(widths=(4,), head="global_avg"), (9 * C * 4 + 4) + (4 * 3 + 3)),
}


@pytest.mark.parametrize(("name", "settings", "expected"), PARAMETERS.values(), ids=PARAMETERS)
def test_number_of_parameters(name, settings, expected):
    assert models.count_parameters(shapes(build(name, **settings))[0]) == expected


def convolution(h, w, c, k):
    """1×1, so that no tap lies in padding, which XLA does not count."""
    return 2 * h * w * c * k + h * w * k


FLOPS = {
    "linear": ("linear", {}, 2 * H * W * C * 3 + 3),
    # relu is one operation per unit
    "mlp": ("mlp", dict(widths=(7,)), (2 * H * W * C * 7 + 7) + 7 + (2 * 7 * 3 + 3)),
    # max pooling 2×2 is three comparisons per output
    "cnn": (
        "cnn",
        dict(widths=(4,), kernel=1, head_width=0),
        convolution(H, W, C, 4) + H * W * 4 + 3 * (6 * 5 * 4) + (2 * 6 * 5 * 4 * 3 + 3),
    ),
    "cnn, strided": (
        "cnn",
        dict(widths=(4,), kernel=1, head_width=0, pool="stride"),
        convolution(6, 5, C, 4) + 6 * 5 * 4 + (2 * 6 * 5 * 4 * 3 + 3),
    ),
}


@pytest.mark.parametrize(("name", "settings", "expected"), FLOPS.values(), ids=FLOPS)
def test_flops(name, settings, expected):
    assert models.flops_per_image(build(name, **settings), IMAGE) == expected


@pytest.mark.parametrize(("precision", "stored"), [("float32", "float32"), ("bfloat16", "float32"),
                                                   ("float64", "float64")])  # fmt: skip
@pytest.mark.parametrize("name", FAMILIES)
def test_precision(name, precision, stored, x64):
    """Everything is computed in it; parameters and logits are float32 at least."""
    variables, logits, named = shapes(build(name, precision=precision, **FAMILIES[name]))
    assert {str(x.dtype) for x in jax.tree.leaves(variables)} == {stored}
    assert {dtype for _, dtype in named.values()} == {precision}
    assert str(logits.dtype) == stored


def test_more_stages_than_the_image_can_halve_are_refused():
    with pytest.raises(ValueError, match="the output is empty"):
        shapes(build("cnn", widths=(4, 4, 4, 4)), (8, 8, 1))


def test_flatten_and_unflatten_are_inverse(random_variables):
    variables = random_variables(build("cnn", widths=(4,)), jnp.ones((1, 4, 4, 1)))
    flat = models.flatten(variables)
    assert sorted(flat) == [f"params/{layer}/{part}" for layer in ("conv1", "dense1", "logits") for part in
                            ("bias", "kernel")]  # fmt: skip
    again = models.unflatten(flat)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    assert all(a is b for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(variables), strict=True))


def test_planned_bytes_are_at_least_those_of_weights_image_and_result():
    layers = (Flatten(), Dense("dense", 50, bias=False))
    planned = models.planned_bytes(models.Trunk(layers=layers), (20, 20, 1))
    least = 4 * (400 * 50 + 400 + 50)
    assert least <= planned <= 1.05 * least
