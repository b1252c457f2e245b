"""The host loop, with epochs that only pretend to train: what is kept, reported and refused."""

import time
from dataclasses import asdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.train import NonFiniteLoss, TrainState, fit

STEPS = 4


def start():
    return TrainState(params={"w": jnp.zeros(3)}, opt_state=(), step=jnp.int32(0), key=jax.random.key(0))


def pretend(state, losses=(4.0, 3.0, 2.0, 1.0), norms=(1.0, 2.0, 3.0, 6.0)):
    """An epoch of four steps after which the parameters are the epoch's number."""
    new = TrainState({"w": state.params["w"] + 1}, state.opt_state, state.step + STEPS, state.key)
    infos = {"loss": losses, "accuracy": (0.0, 0.5, 0.5, 1.0), "grad_norm": norms}
    return new, {name: jnp.asarray(values) for name, values in infos.items()}


def validations(*figures):
    """validate, returning one (accuracy, loss) after the other, and the parameters it was asked about."""
    asked, left = [], iter(figures)

    def validate(variables):
        asked.append(float(variables["params"]["w"][0]))
        accuracy, loss = next(left)
        return {"accuracy": jnp.asarray(accuracy), "loss": jnp.asarray(loss)}

    return validate, asked


SELECTION = {
    "the highest accuracy": ([(0.5, 1.0), (0.9, 2.0), (0.7, 0.5)], 2),
    "of equal accuracies the lowest loss": ([(0.9, 1.0), (0.9, 0.5), (0.9, 0.7)], 2),
    "of equal epochs the first": ([(0.9, 0.5), (0.9, 0.5), (0.9, 0.5)], 1),
    "the last": ([(0.1, 1.0), (0.2, 1.0), (0.3, 9.0)], 3),
    "the first": ([(0.3, 9.0), (0.2, 1.0), (0.1, 0.1)], 1),
    "accuracy zero": ([(0.0, 2.0), (0.0, 1.0)], 2),
    "a single epoch": ([(0.0, 2.0)], 1),
}


@pytest.mark.parametrize(("figures", "best"), SELECTION.values(), ids=SELECTION)
def test_the_best_epoch_on_the_validation_set_is_kept(figures, best):
    validate, asked = validations(*figures)
    got = fit(start(), pretend, validate, len(figures))
    assert got.best_epoch == best
    np.testing.assert_array_equal(got.best_variables["params"]["w"], np.full(3, best))
    np.testing.assert_array_equal(got.state.params["w"], np.full(3, len(figures)))
    assert asked == list(range(1, len(figures) + 1))  # once per epoch, with the parameters after it


def test_the_best_parameters_outlive_the_state_they_came_from():
    """A compiled epoch consumes the state it is given: the buffers of the best epoch are overwritten by the next."""
    epoch = jax.jit(partial(pretend), donate_argnums=0)
    consumed = start()
    epoch(consumed)
    assert consumed.params["w"].is_deleted()  # else this test shows nothing
    validate, _ = validations((0.5, 1.0), (0.9, 1.0), (0.1, 1.0), (0.1, 1.0))
    got = fit(start(), epoch, validate, 4)
    np.testing.assert_array_equal(got.best_variables["params"]["w"], np.full(3, 2))
    np.testing.assert_array_equal(got.state.params["w"], np.full(3, 4))


def test_records_are_means_over_the_epochs_steps():
    validate, _ = validations((0.25, 1.5), (0.75, 0.5))
    seen = []
    got = fit(start(), pretend, validate, 2, seen.append)
    assert list(got.records) == seen
    assert len(seen) == 2
    for number, record, (accuracy, loss) in zip((1, 2), seen, [(0.25, 1.5), (0.75, 0.5)], strict=True):
        values = asdict(record)
        assert values.pop("seconds") > 0
        assert values == {
            "epoch": number, "step": number * STEPS, "train_loss": 2.5, "train_accuracy": 0.5, "grad_norm": 3.0,
            "validation_loss": loss, "validation_accuracy": accuracy,
        }  # fmt: skip
        assert {type(value) for value in values.values()} == {int, float}  # plain numbers, for JSON


def test_seconds_are_those_of_the_training_epoch_alone():
    figures, _ = validations((0.5, 1.0))

    def slowly(state):
        time.sleep(0.02)
        return pretend(state)

    def validate(variables):
        time.sleep(0.5)
        return figures(variables)

    (record,) = fit(start(), slowly, validate, 1).records
    assert 0.02 <= record.seconds < 0.5


@pytest.mark.parametrize("name", ["losses", "norms"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("where", "bad_epoch"), [(0, 1), (2, 1), (3, 1), (1, 3)])
def test_a_value_that_is_not_finite_stops_training(name, value, where, bad_epoch):
    bad = [1.0] * STEPS
    bad[where] = value
    numbers = iter(range(1, 9))
    seen = []
    validate, asked = validations(*[(0.5, 1.0)] * 8)

    def epoch(state):
        return pretend(state, **({name: bad} if next(numbers) == bad_epoch else {}))

    with pytest.raises(NonFiniteLoss) as caught:
        fit(start(), epoch, validate, 8, seen.append)
    error, first = caught.value, STEPS * (bad_epoch - 1) + 1
    assert (error.at, error.epoch, error.first, error.last) == (first + where, bad_epoch, first, first + STEPS - 1)
    assert str(error).startswith(
        f"the loss or its gradient is not finite at step {error.at} (epoch {bad_epoch}, steps {first} to {error.last})"
    )
    assert [record.epoch for record in seen] == list(range(1, bad_epoch))
    assert len(asked) == bad_epoch - 1
    assert isinstance(error, ArithmeticError)


def test_the_first_bad_step_is_named():
    with pytest.raises(NonFiniteLoss, match=r"at step 2 \(epoch 1, steps 1 to 4\)"):
        fit(start(), partial(pretend, losses=(1.0, np.nan, np.nan, np.inf)), validations()[0], 1)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_parameters_ruined_by_an_epochs_last_update_stop_training_too(loss):
    """The steps of that epoch were finite, before their updates; the validation loss is the first to tell."""
    seen = []
    validate, _ = validations((0.5, 1.0), (0.1, loss))
    with pytest.raises(NonFiniteLoss, match="epoch 2"):
        fit(start(), pretend, validate, 2, seen.append)
    assert [record.epoch for record in seen] == [1]
