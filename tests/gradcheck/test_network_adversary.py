"""Networks that deceive: wrong rules that only a whole audit can see, and right ones that look suspicious."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import audit_network
from convnet.ops import AUTO, HAND

IMAGES, LABELS = np.random.default_rng(0).normal(size=(3, 2, 2, 1)), np.array([0, 2, 1])


def parameters(seed=1):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(4, 5)), "b": rng.normal(size=5), "out": rng.normal(size=(5, 3))}


def network(beside=lambda x: x):
    """(ops, variables, images) -> logits, with code of one's own between two layers."""

    def apply(ops, v, images):
        hidden = ops.tanh(ops.dense(images.reshape(len(images), -1), v["w"], v["b"]))
        return ops.dense(beside(hidden), v["out"])

    return apply


def rule(value, gradient, beside=None):
    """`value` with a gradient of one's own, of (x, g), and with another value beside it."""

    @jax.custom_vjp
    def f(x):
        return value(x)

    f.defvjp(lambda x: ((beside or value)(x), x), lambda x, g: (gradient(x, g),))
    return f


BESIDE = {
    "a cube's slope off by a thousandth": rule(lambda x: x**3, lambda x, g: 3.003 * x**2 * g),
    "a gradient that is dropped": rule(jnp.sin, lambda x, g: 0 * g),
    "a gradient that is clipped": rule(jnp.sin, lambda x, g: jnp.clip(jnp.cos(x) * g, -0.01, 0.01)),
    "one unit forgotten": rule(jnp.sin, lambda x, g: (jnp.cos(x) * g).at[..., 3].set(0)),
    "another value beside the gradient": rule(jnp.sin, lambda x, g: jnp.cos(x) * g, lambda x: jnp.sin(x) + 1e-6),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_wrong_rule_beside_the_op_set_is_seen_in_the_parameters_below_it(name):
    report = audit_network(network(BESIDE[name]), parameters(), IMAGES, LABELS)
    assert not report.passed
    stages = {check.stage for check in report.failures}
    assert stages <= {"differences", "parameters"}
    if "value" not in name:
        assert {"w", "b"} <= {check.name for check in report.failures}
        assert "out" not in {check.name for check in report.failures}


def planted(op, wrong):
    """HAND with the rule of an op changed: wrong(right op) -> (value of arrays, gradient of pull and g)."""
    right = getattr(HAND, op)

    def changed(*args, **settings):
        floats = [arg for arg in args if jnp.issubdtype(jnp.result_type(arg), jnp.floating)]
        others = args[len(floats) :]
        change_value, change_gradient = wrong

        def forward(*arrays):
            return change_value(right(*arrays, *others, **settings))

        f = jax.custom_vjp(forward)
        f.defvjp(lambda *arrays: jax.vjp(forward, *arrays), lambda pull, g: change_gradient(pull, g))
        return f(*floats)

    return replace(HAND, **{op: changed})


def same(y):
    return y


def only_in_float32(change):
    return lambda y: change(y) if y.dtype == jnp.float32 else y


PLANTED = {
    ("loss", "a slope off by a thousandth"): ("softmax_cross_entropy", (same, lambda pull, g: pull(1.001 * g))),
    ("loss", "another value"): ("softmax_cross_entropy", (lambda y: y + 1e-6, lambda pull, g: pull(g))),
    ("loss", "a class forgotten"): (
        "softmax_cross_entropy",
        (same, lambda pull, g: (pull(g)[0].at[:, 2].set(0),)),
    ),
    ("float32", "another gradient"): (
        "dense",
        (same, lambda pull, g: jax.tree.map(only_in_float32(lambda d: d * 1.001), pull(g))),
    ),
    ("float32", "another value"): ("tanh", (only_in_float32(lambda y: y + 1e-3), lambda pull, g: pull(g))),
    ("float32", "another dtype"): (
        "tanh",
        (only_in_float32(lambda y: y.astype(jnp.bfloat16)), lambda pull, g: pull(g)),
    ),
    ("float32", "an integer too large without x64"): (
        "tanh",
        (same, lambda pull, g: pull(g * (1 - (jnp.full((), 2**16).astype(int) ** 2 == 0)).astype(g.dtype))),
    ),
    ("linear", "clipped at 10"): ("dense", (same, lambda pull, g: pull(jnp.clip(g, -10, 10)))),
    ("linear", "small ones dropped"): ("tanh", (same, lambda pull, g: pull(jnp.where(abs(g) < 1e-9, 0, g)))),
    ("linear", "the first example's for all"): (
        "softmax_cross_entropy",
        (same, lambda pull, g: pull(jnp.full_like(g, g[0]))),
    ),
    ("linear", "saturating"): ("dense", (same, lambda pull, g: pull(g / (1 + 1e-14 * abs(g))))),
}  # fmt: skip
STAGES = {"loss": "ops", "float32": "precisions", "linear": "consistency"}

COARSER = (("loss", "a slope off by a thousandth"), ("linear", "clipped at 10"))
"""Than one beside them that the same comparison has to see; they are for the sweep."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [pytest.param(*which, marks=pytest.mark.sweep if which in COARSER else ()) for which in PLANTED],
)
def test_a_wrong_op_is_blamed_by_the_stage_that_can_see_it(kind, name):
    op, wrong = PLANTED[kind, name]
    report = audit_network(network(), parameters(), IMAGES, LABELS, hand=planted(op, wrong))
    blamed = {check.name for check in report.failures if check.stage == STAGES[kind]}
    assert blamed
    assert all(title.startswith(op) for title in blamed)


def held(ops, v, images):
    """The first layer's weights are not trained."""
    v = {**v, "w": jax.lax.stop_gradient(v["w"])}
    return network()(ops, v, images)


def test_parameters_that_are_held_on_purpose_can_be_named():
    report = audit_network(held, parameters(), IMAGES, LABELS)
    assert {check.name for check in report.failures} == {"w", "all parameters at once"}
    (told,) = [check.note for check in report.failures if check.name == "w"]
    assert told == "a parameter that is held on purpose can be named: frozen="
    report = audit_network(held, parameters(), IMAGES, LABELS, frozen="w")
    assert report.passed
    assert ("w", "frozen") in {(check.name, check.note) for check in report.untested}
    with pytest.raises(ValueError, match=r"^frozen names 'v': expected some of b, out, w"):
        audit_network(held, parameters(), IMAGES, LABELS, frozen=("v",))


def layers(run):
    """Three layers by one loop over their weights: run(ops, one step, x, weights)."""

    def apply(ops, v, images):
        x = run(ops, images.reshape(len(images), -1), v["w"])
        return ops.dense(x, v["out"])

    return apply


def step(ops, x, w):
    return ops.tanh(ops.dense(x, w))


def scanned(ops, x, weights):
    return jax.lax.scan(lambda x, w: (step(ops, x, w), None), x, weights)[0]


def compiled(ops, x, weights):
    return jax.jit(lambda x: step(ops, jax.jit(lambda x: step(ops, x, weights[0]))(x), weights[1]))(x)


def rematerialised(ops, x, weights):
    return jax.checkpoint(lambda x: step(ops, x, weights[0]))(step(ops, x, weights[1]))


def mapped(ops, x, weights):
    return jax.vmap(lambda x: step(ops, x[None], weights[0])[0])(x)


def chosen(ops, x, weights):
    return jax.lax.cond(jnp.sum(x) > 0, lambda x: step(ops, x, weights[0]), lambda x: ops.relu(x), x)


def nested(ops, x, weights):
    def body(x, w):
        y = jax.checkpoint(lambda x: step(ops, x, w))(jax.jit(lambda x: ops.relu(x))(x))
        return ops.sigmoid(y), ops.batch_norm(y, w[0], w[1], eps=1e-3)[1]

    x, means = jax.lax.scan(body, x, weights)
    return x + jnp.sum(means)


@pytest.mark.parametrize("run", [scanned, compiled, rematerialised, mapped, chosen, nested])
def test_what_stands_inside_other_transformations_is_judged_or_named(run):
    rng = np.random.default_rng(2)
    variables = {"w": rng.normal(size=(3, 4, 4)), "out": rng.normal(size=(4, 3))}
    report = audit_network(layers(run), variables, IMAGES, LABELS)
    assert report.passed
    hidden = {check.name.split(",")[0] for check in report.untested if check.stage == "ops"}
    expected = {rematerialised: {"dense", "tanh"}, mapped: {"dense", "tanh"}, nested: {"dense", "tanh"}}
    assert hidden == expected.get(run, set())


def test_a_wrong_op_inside_a_checkpoint_is_seen_in_the_whole():
    rng = np.random.default_rng(2)
    variables = {"w": rng.normal(size=(3, 4, 4)), "out": rng.normal(size=(4, 3))}
    hand = planted("tanh", (same, lambda pull, g: pull(1.001 * g)))
    report = audit_network(layers(rematerialised), variables, IMAGES, LABELS, hand=hand)
    assert {check.stage for check in report.failures} >= {"parameters", "differences"}


@pytest.mark.parametrize("factor", [30, 300])
def test_logits_far_out_are_right(factor):
    variables = parameters()
    assert audit_network(network(), {**variables, "out": factor * variables["out"]}, IMAGES, LABELS).passed


def attention(ops, v, images):
    """The softmax does not feel a bias of the keys."""
    x = images.reshape(len(images), 4, 1)
    query, key = x * v["q"], ops.dense(x.reshape(-1, 1), v["k"], v["kb"]).reshape(len(x), 4, 3) + v["beside"]
    weights = jax.nn.softmax(jnp.einsum("nqd,nkd->nqk", query, key))
    return jnp.einsum("nqk,nkd->nd", weights, x * v["v"])


@pytest.mark.parametrize("hand", [HAND, AUTO], ids=["hand", "auto"])
def test_biases_of_keys_have_a_gradient_that_cancels(hand, rng):
    shapes = dict(q=(1, 1, 3), k=(1, 3), kb=(3,), beside=(1, 1, 3), v=(1, 1, 3))
    variables = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    assert audit_network(attention, variables, IMAGES, LABELS, hand=hand).passed


def test_a_network_on_a_tie_says_so():
    """relu stands at 0 for every image whose pixels are 0, and max pooling on ties of them."""
    images = np.where(IMAGES > 0, 1.0, 0.0)
    variables = {**parameters(), "b": np.zeros(5)}
    images[0] = 0

    def apply(ops, v, x):
        return ops.dense(ops.relu(ops.dense(x.reshape(3, -1), v["w"], v["b"])), v["out"])

    report = audit_network(apply, variables, images, LABELS)
    assert report.passed
    assert any("b" in check.name and "tie or a kink" in check.note for check in report.untested)
