"""One update, against gradient descent written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet import models
from convnet.ops import AUTO, HAND
from convnet.train import TrainState, make_train_step, stream

QUICK = {"xla_backend_optimization_level": 0}
"""Compiles in half the time, and these programs run once."""


def softmax_gradients(w, b, x, labels):
    """Mean cross-entropy of x W + b, accuracy, and the gradients: dL/dW = xᵀ(p − y)/n, dL/db = Σ(p − y)/n."""
    z = x @ w + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    slope = (p - np.eye(z.shape[1])[labels]) / len(labels)
    loss, accuracy = -np.log(p[rows, labels]).mean(), (z.argmax(1) == labels).mean()
    return loss, accuracy, x.T @ slope, slope.sum(0)


@pytest.mark.parametrize("opset", [HAND, AUTO], ids=["hand", "auto"])
def test_one_step_of_the_linear_model_is_gradient_descent(opset, problem, random_state, prepare, x64):
    model = models.build("linear", num_classes=problem.classes, precision="float64", ops=opset)
    optimizer = optax.sgd(0.5)
    state = random_state(model, optimizer)
    step = jax.jit(make_train_step(model, optimizer, opset.softmax_cross_entropy, prepare), compiler_options=QUICK)
    new, info = step(state, (problem.images, problem.labels))

    x = np.asarray(prepare(None, problem.images), np.float64).reshape(problem.n, -1)
    w, b = (np.asarray(state.params["logits"][name]) for name in ("kernel", "bias"))
    loss, accuracy, dw, db = softmax_gradients(w, b, x, np.asarray(problem.labels))
    np.testing.assert_allclose(new.params["logits"]["kernel"], w - 0.5 * dw, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(new.params["logits"]["bias"], b - 0.5 * db, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(info["loss"], loss, rtol=1e-12)
    np.testing.assert_allclose(info["accuracy"], accuracy, rtol=1e-6)
    np.testing.assert_allclose(info["grad_norm"], np.sqrt((dw**2).sum() + (db**2).sum()), rtol=1e-12)
    assert set(info) == {"loss", "accuracy", "grad_norm"}
    assert all(value.shape == () for value in info.values())


def test_a_parameter_at_rest_has_no_gradient_and_those_of_others_are_as_before(problem, random_state, prepare, x64):
    model = models.build("linear", num_classes=problem.classes, precision="float64")
    optimizer = optax.sgd(0.5)
    state = random_state(model, optimizer)
    resting = {"logits": {"kernel": False, "bias": True}}
    step, usual = (
        jax.jit(make_train_step(model, optimizer, HAND.softmax_cross_entropy, prepare, resting=some))
        for some in (resting, None)
    )
    (new, info), (expected, _) = (one(state, (problem.images, problem.labels)) for one in (step, usual))
    np.testing.assert_array_equal(new.params["logits"]["bias"], state.params["logits"]["bias"])
    np.testing.assert_allclose(new.params["logits"]["kernel"], expected.params["logits"]["kernel"], rtol=1e-12)
    moved = np.asarray(new.params["logits"]["kernel"]) - state.params["logits"]["kernel"]
    np.testing.assert_allclose(info["grad_norm"], np.linalg.norm(moved) / 0.5, rtol=1e-12)


def test_the_state_moves_on_by_one_and_keeps_its_key(problem, random_state, prepare):
    model = models.build("linear", num_classes=problem.classes)
    optimizer = optax.trace(0.9)
    state = random_state(model, optimizer)
    step = make_train_step(model, optimizer, HAND.softmax_cross_entropy, prepare)
    shapes, _ = jax.eval_shape(step, state, (problem.images, problem.labels))
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), shapes, state)
    assert jax.tree.all(same)  # so it can be carried through a scan
    new, _ = jax.jit(step, compiler_options=QUICK)(state, (problem.images, problem.labels))
    assert int(new.step) == 1
    np.testing.assert_array_equal(jax.random.key_data(new.key), jax.random.key_data(state.key))


def test_memory_of_the_optimizer_is_carried(problem, random_state, prepare, x64):
    """Two steps of momentum 0.9 on one batch, with a plain NumPy v."""
    model = models.build("linear", num_classes=problem.classes, precision="float64")
    optimizer = optax.chain(optax.trace(0.9), optax.scale(-0.1))
    state = random_state(model, optimizer)
    step = jax.jit(make_train_step(model, optimizer, HAND.softmax_cross_entropy, prepare), compiler_options=QUICK)
    x = np.asarray(prepare(None, problem.images), np.float64).reshape(problem.n, -1)
    w, b = (np.asarray(state.params["logits"][name]) for name in ("kernel", "bias"))
    vw, vb = np.zeros_like(w), np.zeros_like(b)
    for _ in range(3):
        state, _ = step(state, (problem.images, problem.labels))
        _, _, dw, db = softmax_gradients(w, b, x, np.asarray(problem.labels))
        vw, vb = 0.9 * vw + dw, 0.9 * vb + db
        w, b = w - 0.1 * vw, b - 0.1 * vb
    np.testing.assert_allclose(state.params["logits"]["kernel"], w, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(state.params["logits"]["bias"], b, rtol=1e-12, atol=1e-14)


class Spy:
    """A model of one number that notes the keys and settings it is applied with."""

    def __init__(self):
        self.dropout_keys, self.train = [], []

    def apply(self, variables, images, *, train, rngs):
        self.dropout_keys.append(jax.random.key_data(rngs["dropout"]))
        self.train.append(train)
        return variables["params"] * jnp.ones((len(images), 3))


def test_each_step_draws_from_its_own_keys(problem):
    """Run eagerly, so that keys are values: key number `step` of the augment and of the dropout stream."""
    augment_keys, spy, root = [], Spy(), jax.random.key(9)

    def prepare(key, images):
        augment_keys.append(jax.random.key_data(key))
        return images.astype(jnp.float32)

    step = make_train_step(spy, optax.sgd(0.1), lambda logits, labels: logits[:, 0], prepare)
    state = TrainState(params=jnp.ones(()), opt_state=optax.sgd(0.1).init(jnp.ones(())), step=jnp.int32(0), key=root)
    for _ in range(3):
        state, _ = step(state, (problem.images, problem.labels))
    for seen, name in ((augment_keys, "augment"), (spy.dropout_keys, "dropout")):
        expected = [jax.random.key_data(stream(root, name, i)) for i in range(3)]
        np.testing.assert_array_equal(np.stack(seen), np.stack(expected))
    assert spy.train == [True, True, True]


def test_mirroring_comes_before_preparation_with_one_key_for_all_steps(problem):
    """It is told how many updates there were, and sees images as they are in the data."""
    seen, root = [], jax.random.key(9)

    def mirror(key, images, step):
        np.testing.assert_array_equal(images, problem.images)
        seen.append((jax.random.key_data(key).tolist(), int(step)))
        return images[:, :, ::-1]

    def prepare(key, images):
        np.testing.assert_array_equal(images, problem.images[:, :, ::-1])
        return images.astype(jnp.float32)

    step = make_train_step(Spy(), optax.sgd(0.1), lambda logits, labels: logits[:, 0], prepare, mirror)
    state = TrainState(params=jnp.ones(()), opt_state=optax.sgd(0.1).init(jnp.ones(())), step=jnp.int32(0), key=root)
    for _ in range(3):
        state, _ = step(state, (problem.images, problem.labels))
    key = jax.random.key_data(stream(root, "flip")).tolist()
    assert seen == [(key, 0), (key, 1), (key, 2)]


def test_preparation_comes_before_the_model(problem, random_state):
    """Training sees what `prepare` returns: here images without content, so that only the bias has a gradient."""
    model = models.build("linear", num_classes=problem.classes)
    optimizer = optax.sgd(0.1)
    state = random_state(model, optimizer)
    blank = lambda key, images: jnp.zeros(images.shape)  # noqa: E731
    step = make_train_step(model, optimizer, HAND.softmax_cross_entropy, blank)
    new, _ = jax.jit(step, compiler_options=QUICK)(state, (problem.images, problem.labels))
    np.testing.assert_array_equal(new.params["logits"]["kernel"], state.params["logits"]["kernel"])
    assert np.abs(new.params["logits"]["bias"] - state.params["logits"]["bias"]).max() > 0


@pytest.mark.parametrize("loss", ["weston_watkins_hinge", "crammer_singer_hinge"])
def test_the_objective_is_the_mean_of_the_given_loss(loss, problem, random_state, prepare):
    model = models.build("linear", num_classes=problem.classes)
    state = random_state(model, optax.sgd(0.1))
    step = make_train_step(model, optax.sgd(0.1), getattr(HAND, loss), prepare)
    _, info = jax.jit(step, compiler_options=QUICK)(state, (problem.images, problem.labels))
    logits = model.apply({"params": state.params}, prepare(None, problem.images))
    z, y = np.asarray(logits), np.asarray(problem.labels)
    slack = np.maximum(0, 1 + z - z[np.arange(problem.n), y][:, None])
    slack[np.arange(problem.n), y] = 0
    expected = slack.sum(1) if loss == "weston_watkins_hinge" else slack.max(1)
    np.testing.assert_allclose(info["loss"], expected.mean(), rtol=1e-5)
