"""Whole training curves: derived by hand, derived by JAX, and written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet import models, optim
from convnet.config import OptimConfig
from convnet.ops import AUTO, HAND
from convnet.train import make_epoch, make_train_step

EPOCHS = 4
BATCH = 5
STEPS = EPOCHS * (23 // BATCH)

QUICK = {"xla_backend_optimization_level": 0}
"""Compiles in half the time, and these programs run for milliseconds."""

NETWORKS = {
    "linear": dict(name="linear"),
    "mlp": dict(name="mlp", widths=(6, 5)),
    "cnn": dict(name="cnn", widths=(3,), head_width=5, activation="leaky_relu"),
}


def curve(opset, problem, state, model, optimizer, loss):
    """Loss, accuracy and gradient norm of every step of `EPOCHS` epochs, and the parameters in the end."""

    def prepare(key, images):
        return (images.astype(jnp.float32) - 90) / 40

    step = make_train_step(model.clone(ops=opset), optimizer, getattr(opset, loss), prepare)
    epoch, history = jax.jit(make_epoch(step, BATCH), compiler_options=QUICK), []
    for _ in range(EPOCHS):
        state, infos = epoch(state, problem.images, problem.labels)
        history.append(infos)
    return {name: np.concatenate([infos[name] for infos in history]) for name in history[0]}, state.params


def both_curves(network, problem, random_state, precision, loss="softmax_cross_entropy"):
    model = models.build(**NETWORKS[network], num_classes=3, precision=precision)
    optimizer = optim.build(OptimConfig(name="nesterov", learning_rate=0.04, weight_decay=1e-3), STEPS)
    state = random_state(model, optimizer)
    return [curve(opset, problem, state, model, optimizer, loss) for opset in (HAND, AUTO)]


def compare(hand, auto, rtol):
    for name, expected in auto[0].items():
        assert expected.shape == (STEPS,)
        np.testing.assert_allclose(hand[0][name], expected, rtol=rtol, err_msg=name)
    for got, expected in zip(jax.tree.leaves(hand[1]), jax.tree.leaves(auto[1]), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize(
    ("network", "loss"),
    [("mlp", "softmax_cross_entropy"), ("cnn", "softmax_cross_entropy"), ("linear", "weston_watkins_hinge")],
)
def test_hand_and_auto_train_alike_to_rounding(network, loss, problem, random_state, x64):
    """float64, sixteen updates: rounding of 10⁻¹⁶ per operation has grown to 10⁻¹² at most."""
    hand, auto = both_curves(network, problem, random_state, "float64", loss)
    compare(hand, auto, 1e-12)
    assert auto[0]["loss"][-4:].mean() < 0.8 * auto[0]["loss"][:4].mean()  # it does learn


def test_hand_and_auto_train_alike_in_float32(problem, random_state):
    hand, auto = both_curves("cnn", problem, random_state, "float32")
    compare(hand, auto, 1e-4)


# --- gradient descent in NumPy ----------------------------------------------------------------------------------------


def descend(w, b, x, labels, batches, rate):
    """Softmax regression: W ← W − η xᵀ(p − y)/n over the given batches."""
    for rows in batches:
        z = x[rows] @ w + b
        p = np.exp(z - z.max(1, keepdims=True))
        slope = (p / p.sum(1, keepdims=True) - np.eye(3)[labels[rows]]) / len(rows)
        w, b = w - rate * x[rows].T @ slope, b - rate * slope.sum(0)
    return w, b


@pytest.mark.parametrize("batch_size", [1, 5, 23], ids=["stochastic", "mini-batch", "full"])
def test_three_epochs_of_the_linear_model(batch_size, problem, random_state, prepare, x64):
    """Batch gradient descent knows no order: NumPy is not told it there."""
    model, optimizer = models.build("linear", num_classes=3, precision="float64"), optax.sgd(0.1)
    state = random_state(model, optimizer)
    start = [np.asarray(state.params["logits"][name]) for name in ("kernel", "bias")]
    epoch = jax.jit(
        make_epoch(make_train_step(model, optimizer, HAND.softmax_cross_entropy, prepare), batch_size),
        compiler_options=QUICK,
    )
    tell = jax.jit(make_epoch(lambda state, batch: (state, batch[1]), batch_size))  # numbers instead of labels
    batches = []
    for _ in range(3):
        batches += list(np.asarray(tell(state, problem.images, jnp.arange(23))[1]))
        state, _ = epoch(state, problem.images, problem.labels)
    if batch_size == 23:
        batches = [np.arange(23)] * 3
    x = np.asarray(prepare(None, problem.images), np.float64).reshape(23, -1)
    w, b = descend(*start, x, np.asarray(problem.labels), batches, 0.1)
    assert len(batches) == 3 * (23 // batch_size) == int(state.step)
    np.testing.assert_allclose(state.params["logits"]["kernel"], w, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(state.params["logits"]["bias"], b, rtol=1e-11, atol=1e-13)
