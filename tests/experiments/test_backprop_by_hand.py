"""Back-propagation by hand: it equals autodiff and differences, uses neither, and a fault in it is seen and located."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convnet.experiments import backprop_by_hand as by_hand

from convnet import models, trial
from convnet.architectures import layers
from convnet.ops import OPSETS

QUICK = {"xla_backend_optimization_level": 0}
"""Compiles in half the time, and these programs run once."""

IMAGE = (7, 9, 2)
CNN = dict(name="cnn", widths=(3,), head_width=5)

VARIANTS = {
    "linear": dict(name="linear"),
    "mlp": dict(name="mlp", widths=(6, 5)),
    "mlp, sigmoid, depth": dict(name="mlp", widths=(6,), depth=2, activation="sigmoid"),
    "cnn": dict(CNN, depth=2),
    "cnn, tanh, avg": dict(CNN, activation="tanh", pool="avg"),
    "cnn, leaky relu, stride": dict(CNN, activation="leaky_relu", pool="stride", widths=(3, 4)),
    "cnn, first stride, even kernels": dict(CNN, kernel=2, first_kernel=5, stride=2),
    "cnn, no pool, global": dict(CNN, pool="none", head="global_avg"),
    "cnn, no head": dict(CNN, head_width=0),
}


def problem(rng, opset="hand", **settings):
    """(model, params, images, labels) in float64; no bias is zero, so that no unit sits on its kink."""
    model = models.build(**settings, num_classes=3, ops=OPSETS[opset], precision="float64")
    images = jnp.asarray(rng.standard_normal((4, *IMAGE)))
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    params = jax.tree.map(lambda p: jnp.asarray(0.4 * rng.standard_normal(p.shape)), shapes)
    return model, params, images, jnp.asarray([0, 2, 1, 2], jnp.int32)


def compiled(function):
    return jax.jit(function, compiler_options=QUICK)


def both(model):
    """The gradient by hand, and by autodiff."""
    return by_hand.gradient_by_hand(model, IMAGE), trial.gradient_by_jax(model)


# --- it is the gradient -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "opset"),
    [
        *((variant, "hand") for variant in VARIANTS),
        *((variant, "auto") for variant in ("mlp", "cnn", "cnn, tanh, avg")),
    ],
)
def test_equals_jax_grad_in_every_parameter(variant, opset, rng, x64):
    """Autodiff of the project's ops, and of the plain forward passes, which know no rule of ours."""
    model, *batch = problem(rng, opset, **VARIANTS[variant])
    (loss, found), (expected_loss, expected) = (compiled(gradient)(*batch) for gradient in both(model))
    assert abs(loss - expected_loss) <= 1e-14
    assert all(np.abs(leaf).max() > 1e-6 for leaf in jax.tree.leaves(expected)), "nothing is compared"
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    differences = trial.relative_differences(found, expected)
    assert max(differences.values()) <= 1e-12, differences


@pytest.mark.parametrize("variant", ["mlp", "cnn", "cnn, tanh, avg", "cnn, leaky relu, stride"])
def test_equals_differences_of_its_own_loss(variant, rng, x64):
    """Central differences at three random entries of each parameter: exact to 10⁻¹⁰ / step, and 10⁻¹² of curvature."""
    model, params, images, labels = problem(rng, **VARIANTS[variant])
    gradient = compiled(by_hand.gradient_by_hand(model, IMAGE))
    arrays, (found, _) = models.flatten(params), gradient(params, images, labels)[1]
    for name, slopes in models.flatten(found).items():
        for _ in range(3):
            at = tuple(rng.integers(0, slopes.shape))
            up, down = (
                gradient(models.unflatten(arrays | {name: arrays[name].at[at].add(step)}), images, labels)[0]
                for step in (1e-6, -1e-6)
            )
            np.testing.assert_allclose(slopes[at], (up - down) / 2e-6, rtol=0, atol=1e-7 * np.abs(slopes).max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_are_those_of_the_model(variant, rng, x64):
    """Each layer's result, by its name, is the model's own activation of that name."""
    model, params, images, _ = problem(rng, **VARIANTS[variant])

    @compiled
    def results(params, x):
        found, expected = {}, models.activations(model, {"params": params}, x)
        for name, layer in by_hand.network_of(model, IMAGE):
            x, _ = layer.forward(params.get(name, {}), x)
            found[name] = x
        return found, expected

    found, expected = results(params, images)
    assert set(found) - {"flatten"} == set(expected)
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-12, atol=1e-14, err_msg=name)


def every_equal_wins(seen):
    """`winner_takes_all` without a rule for ties."""
    return (seen == seen.max(axis=(3, 4), keepdims=True)).astype(seen.dtype)


def test_average_pooling_divides_by_the_area_of_an_oblong_window(x64):
    """Pixels of ones: every share is 1/6 of the window that sees it, and no window overlaps another."""
    pool = by_hand.pool(layers.Pool("pool", kind="avg", window=(2, 3)))
    y, seen = pool.forward({}, jnp.ones((1, 4, 6, 1)))
    np.testing.assert_allclose(y, np.ones((1, 2, 2, 1)))
    dx, _ = pool.backward({}, seen, jnp.ones_like(y))
    np.testing.assert_allclose(dx, np.full((1, 4, 6, 1), 1 / 6))


@pytest.mark.parametrize("fault", [None, every_equal_wins], ids=["as in the model", "planted fault"])
def test_the_first_of_equals_wins(fault, rng, x64, monkeypatch):
    """On images of one colour whole maps are ties."""
    model, params, _, labels = problem(rng, **CNN)
    batch = params, jnp.ones((4, *IMAGE)), labels
    if fault:
        monkeypatch.setattr(by_hand, "winner_takes_all", fault)
    found, expected = (compiled(g)(*batch)[1] for g in both(model))
    worst = max(trial.relative_differences(found, expected).values())
    assert worst > 0.1 if fault else worst <= 1e-12


REFUSED = {
    "dropout": (
        dict(name="mlp", dropout=0.5),
        r"the model has Dropout\(rate=0.5\): expected layers that are written out",
    ),
    "activation": (dict(name="mlp", activation="gelu"), r"the model has Activation\(name='dense1_gelu'"),
    "normalisation": (dict(CNN, norm="layer"), r"the model has LayerNorm\(name='conv1_norm'\)"),
    "residual": (dict(name="resnet8"), r"the model has Conv\(name='conv1', .*bias=False, "),
    "frozen": (dict(name="airbench", widths=(4,)), r"the model has Conv\(name='whiten', .*frozen=True\)"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_written_out_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        by_hand.gradient_by_hand(models.build(**settings, num_classes=3), IMAGE)


# --- and nothing differentiated ---------------------------------------------------------------------------------------

AUTODIFF = {
    "grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jacfwd", "jacrev", "jacobian", "hessian",
    "custom_jvp", "custom_vjp", "custom_gradient", "defjvp", "defvjp", "closure_convert", "checkpoint", "ad",
}  # fmt: skip
JAX_ALLOWED = {"jax.numpy", "jax.Array"}


def traces_of_autodiff(source: str) -> set[str]:
    """Names of JAX's derivatives, and everything imported from JAX but its arrays."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            found |= {name} & AUTODIFF
            continue
        found |= {
            n for n in names if n.split(".")[-1] in AUTODIFF or (n.split(".")[0] == "jax" and n not in JAX_ALLOWED)
        }
    return found


def test_the_source_knows_no_autodiff():
    assert traces_of_autodiff(Path(by_hand.__file__).read_text()) == set()


@pytest.mark.parametrize(
    "source",
    ["import jax\njax.grad(f)", "from jax import vjp", "from jax.interpreters import ad", "import jax.ad_checkpoint",
     "x = y.custom_jvp", "from convnet.ops.primitive import ad", "from jax import lax"],
)  # fmt: skip
def test_autodiff_in_a_source_is_seen(source):
    assert traces_of_autodiff(source)


ARITHMETIC = {
    "add", "add_any", "and", "argmax", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "div",
    "dot_general", "eq", "exp", "gather", "ge", "gt", "integer_pow", "iota", "jit", "le", "log", "logistic", "lt",
    "max", "mul", "ne", "neg", "pad", "pjit", "reduce_max", "reduce_sum", "reshape", "scatter-add", "scatter_add",
    "select_n", "slice", "square", "squeeze", "stop_gradient", "sub", "tanh", "transpose",
}  # fmt: skip


def primitives(jaxpr):
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from primitives(value.jaxpr)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_computed_is_plain_arithmetic(variant, rng, x64):
    """Nothing hides in what it calls: no custom derivative, no primitive of the project, no lax.conv."""
    model, *batch = problem(rng, **VARIANTS[variant])
    used = set(primitives(jax.make_jaxpr(by_hand.gradient_by_hand(model, IMAGE))(*batch).jaxpr))
    assert used - ARITHMETIC == set()
    assert "dot_general" in used


# --- a fault is seen, and where it is ---------------------------------------------------------------------------------


def overwriting(dseen, rows, cols):
    """`give_back` with = for +=: of overlapping windows the last one counts."""
    framed = jnp.zeros((len(dseen), *(w.lo + w.size + w.hi for w in (rows, cols)), dseen.shape[5]), dseen.dtype)
    framed = framed.at[:, *by_hand.places(rows, cols)].set(dseen)
    return framed[:, rows.lo : rows.lo + rows.size, cols.lo : cols.lo + cols.size]


def dense_of_one_bias():
    """`dense` whose bias learns from the first example only."""

    def backward(w, x, g):
        return g @ w["kernel"].T, {"kernel": x.T @ g, "bias": g[0]}

    return by_hand.Layer(DENSE.forward, backward)


DENSE = by_hand.dense()
BLIND = {"relu": by_hand.elementwise(lambda x: jnp.maximum(x, 0), jnp.ones_like)}
"""A relu that passes everything down."""

CONV1 = {"conv1/kernel", "conv1/bias", "images"}
FAULTS = {
    "overlaps overwrite": ("give_back", overwriting, CONV1),
    "the bias of one example": ("dense", dense_of_one_bias, {"dense1/bias", "logits/bias"}),
    "a relu that passes all": (
        "ACTIVATIONS", BLIND, {"dense1/kernel", "dense1/bias", "conv2/kernel", "conv2/bias", *CONV1},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("member", "fault", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_shows_in_its_layer_and_below(member, fault, expected, rng, x64, monkeypatch):
    model, *batch = problem(rng, **VARIANTS["cnn"])
    monkeypatch.setattr(by_hand, member, fault)
    found, right = (compiled(gradient)(*batch)[1] for gradient in both(model))
    differences = trial.relative_differences(found, right)
    assert {name for name, difference in differences.items() if difference > 1e-3} == expected, differences
    assert all(difference <= 1e-12 for name, difference in differences.items() if name not in expected)


def test_relative_differences_let_nothing_pass():
    ones, zeros = np.ones((2, 3)), np.zeros((2, 3))
    cases = {
        "equal": (ones, ones, 0),
        "twice": (2 * ones, ones, 1),
        "transposed": (ones.T, ones, np.inf),
        "both zero": (zeros, zeros, 0),
        "zero expected": (ones, zeros, np.inf),
    }
    for name, (a, b, expected) in cases.items():
        found = trial.relative_differences(({"w": {"kernel": a}}, ones), ({"w": {"kernel": b}}, ones))
        assert found == {"w/kernel": expected, "images": 0}, name
    nan = trial.relative_differences(({"w": {"kernel": ones * np.nan}}, ones), ({"w": {"kernel": ones}}, ones))
    assert np.isnan(nan["w/kernel"])
