"""Passes over data: every training example at most once, every evaluation example exactly once."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet import models
from convnet.ops import HAND
from convnet.train import TrainState, make_epoch, make_evaluate, make_train_step, stream

QUICK = {"xla_backend_optimization_level": 0}
"""Compiles in half the time, and these programs run for milliseconds."""

NAMES = jnp.arange(23, dtype=jnp.int32)


def empty_state(seed=0, step=0):
    return TrainState(params=(), opt_state=(), step=jnp.int32(step), key=jax.random.key(seed))


def note(state, batch):
    """A step that learns nothing and tells what it was given."""
    return replace(state, step=state.step + 1), batch


@cache
def noting_epoch(batch_size):
    return jax.jit(make_epoch(note, batch_size), compiler_options=QUICK)


def order(problem, batch_size, state):
    """Which examples each step of the epoch is given; an example's label is its number here."""
    new, (images, names) = noting_epoch(batch_size)(state, problem.images, NAMES)
    np.testing.assert_array_equal(images, np.asarray(problem.images)[np.asarray(names)])  # pairs stay together
    assert int(new.step) == int(state.step) + len(names)
    return np.asarray(names)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 23])
def test_an_epoch_takes_each_example_at_most_once(batch_size, problem):
    names = order(problem, batch_size, empty_state())
    assert names.shape == (23 // batch_size, batch_size)
    assert len(set(names.ravel().tolist())) == names.size


def test_the_order_is_shuffled_anew_in_each_epoch_and_for_each_seed(problem):
    steps = 23 // 5
    seen = [order(problem, 5, empty_state(seed, step=epoch * steps)) for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, one in enumerate(seen):
        assert (one.ravel() != np.sort(one.ravel())).any()
        assert all((one != other).any() for other in seen[:i])


def test_no_example_is_left_out_for_ever(problem):
    """Of 23 examples three miss each epoch of four batches of five: other ones each time."""
    left_out = [set(range(23)) - set(order(problem, 5, empty_state(step=4 * e)).ravel().tolist()) for e in range(12)]
    assert all(len(missing) == 3 for missing in left_out)
    assert set.intersection(*left_out) == set()
    assert len({tuple(sorted(missing)) for missing in left_out}) > 6


def test_the_order_is_a_function_of_key_and_step_alone(problem):
    """So a run resumes from its state: the third epoch is the third epoch, whoever starts there."""
    state, seen = empty_state(seed=4), []
    for _ in range(3):
        state, (_, names) = noting_epoch(5)(state, problem.images, NAMES)
        seen.append(np.asarray(names))
    np.testing.assert_array_equal(order(problem, 5, empty_state(seed=4, step=8)), seen[2])
    key = stream(jax.random.key(4), "order", 2)
    np.testing.assert_array_equal(seen[2], jax.random.permutation(key, NAMES)[:20].reshape(4, 5))


@pytest.mark.parametrize("batch_size", [24, 100, 0])
def test_a_batch_that_does_not_fit_the_data_is_refused(batch_size, problem):
    with pytest.raises(ValueError, match=rf"batch_size must be from 1 to the number of examples 23, got {batch_size}"):
        make_epoch(note, batch_size)(empty_state(), problem.images, NAMES)


def test_an_epoch_equals_its_steps_one_by_one(problem, random_state, x64):
    """With everything that could get out of step: augmentation, dropout, momentum and a falling learning rate."""
    model = models.build("mlp", num_classes=3, widths=(4,), dropout=0.5, precision="float64")
    optimizer = optax.chain(optax.trace(0.9), optax.scale_by_learning_rate(lambda step: 0.1 / (1 + step)))

    def noisy(key, images):
        return images.astype(jnp.float64) / 255 + jax.random.bernoulli(key, 0.5, images.shape)

    step = make_train_step(model, optimizer, HAND.softmax_cross_entropy, noisy)
    start = random_state(model, optimizer)
    whole, infos = jax.jit(make_epoch(step, 5), compiler_options=QUICK)(start, problem.images, problem.labels)
    single, one_by_one, losses = start, jax.jit(step, compiler_options=QUICK), []
    for rows in order(problem, 5, start):
        single, info = one_by_one(single, (problem.images[rows], problem.labels[rows]))
        losses.append(info["loss"])
    np.testing.assert_allclose(infos["loss"], losses, rtol=1e-12)
    assert int(whole.step) == int(single.step) == 4
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(single.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_seeds_can_be_mapped(problem, random_state, prepare):
    """Keys are traced, so one program trains several replicates."""
    model, optimizer = models.build("linear", num_classes=3), optax.sgd(0.1)
    epoch = make_epoch(make_train_step(model, optimizer, HAND.softmax_cross_entropy, prepare), 5)
    state, keys = random_state(model, optimizer), jax.random.split(jax.random.key(1), 3)
    train = lambda key: epoch(replace(state, key=key), problem.images, problem.labels)[0].params["logits"]  # noqa: E731
    together, alone = jax.jit(jax.vmap(train), compiler_options=QUICK)(keys), jax.jit(train, compiler_options=QUICK)
    for i, key in enumerate(keys):
        for name, value in alone(key).items():
            np.testing.assert_allclose(together[name][i], value, rtol=1e-5, atol=1e-6)
    assert np.abs(together["kernel"][0] - together["kernel"][1]).max() > 1e-4


# --- evaluation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, 12, 23, 500])
def test_evaluation_counts_every_example_once(batch_size, problem, random_state, x64):
    """23 divides by none of 4 and 12: loss and hits are NumPy's over all, and the logits stand in order."""
    model = models.build("linear", num_classes=3, precision="float64")
    params = random_state(model, optax.identity()).params

    def classify(variables, images):
        return model.apply(variables, images.astype(jnp.float64) / 255)

    evaluate = make_evaluate(classify, HAND.softmax_cross_entropy, batch_size)
    info, logits = jax.jit(evaluate, compiler_options=QUICK)({"params": params}, problem.images, problem.labels)
    x = np.asarray(problem.images, np.float64).reshape(23, -1) / 255
    w, b = (np.asarray(params["logits"][name]) for name in ("kernel", "bias"))
    z, y = x @ w + b, np.asarray(problem.labels)
    np.testing.assert_allclose(logits, z, rtol=1e-12, atol=1e-14)
    loss = np.log(np.exp(z).sum(1)) - z[np.arange(23), y]
    np.testing.assert_allclose(info["loss"], loss.mean(), rtol=1e-12)
    assert int(info["hits"]) == (z.argmax(1) == y).sum()
    assert jnp.issubdtype(info["hits"].dtype, jnp.integer)
    assert set(info) == {"loss", "hits"}


def test_evaluation_drops_nothing(problem, random_state):
    """Dropout is for training; with a rate of 1 it would leave the bias alone."""
    model = models.build("mlp", num_classes=3, widths=(4,), dropout=1.0)
    params = random_state(model, optax.identity()).params
    classify = lambda variables, images: model.apply(variables, images.astype(jnp.float32))  # noqa: E731
    evaluate = make_evaluate(classify, HAND.softmax_cross_entropy, 8)
    _, logits = jax.jit(evaluate, compiler_options=QUICK)({"params": params}, problem.images, problem.labels)
    assert np.asarray(logits).std(0).min() > 0.1
