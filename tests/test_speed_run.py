"""A whole training as one program: the same network as the trainer's, timed in two parts; on pictures made here."""

from dataclasses import replace

import numpy as np
import pytest

from convnet import data, speed_run
from convnet.recipes import SPEED
from convnet.run import Trainer
from convnet.settings import apply
from convnet.speed_run import SpeedRun, matrix_product_rate, with_validation

TINY = {"model.widths": (4, 8), "train.epochs": 3, "train.batch_size": 20, "data.shift": 1}


@pytest.fixture(scope="module")
def pictures():
    """Two classes of 12×12 pixels in colour: bright above or bright below."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = rng.integers(0, 120, (120, 12, 12, 3))
    images[labels == 0, :6] += 120
    images[labels == 1, 6:] += 120
    return data.from_arrays("pictures", images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def config():
    return apply(SPEED["0.94"], {**TINY, "data.name": "pictures"})


@pytest.fixture(scope="module")
def speed(config, pictures):
    return SpeedRun(config, pictures)


def test_the_network_is_the_trainers(config, pictures, speed):
    """Which whitens with kernels that were found on the host, and stops after each epoch."""
    expected = Trainer(config, pictures).run(1)
    found = speed.run(1)
    epochs = found.losses.reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(epochs, [record.train_loss for record in expected.records], rtol=0.05)
    assert len(found.losses) == speed.steps == 3 * (len(pictures.train) // 20)
    # The trainer takes its best epoch, which need not be the last.
    assert abs(found.accuracy["mirror_shift"] - expected.test_accuracy) <= 0.25


def test_it_learns_and_counts_the_test_images(speed, pictures):
    found = speed.run(0)
    assert list(found.accuracy) == ["one", "mirror", "mirror_shift"]
    steps = speed.steps // 3
    assert np.mean(found.losses[-steps:]) < 0.8 * np.mean(found.losses[:steps])
    for accuracy in found.accuracy.values():
        assert accuracy >= 0.9
        assert accuracy * len(pictures.test) == pytest.approx(round(accuracy * len(pictures.test)))


def test_gradients_of_what_is_at_rest_are_not_missed(config, pictures, speed):
    """The whitening's bias rests in the last of three epochs. A run that clips by the norm of all gradients computes
    all; this one's norm is out of reach."""
    all_computed = SpeedRun(apply(config, {"optim.clip_norm": 1e6}), pictures).run(0)
    np.testing.assert_allclose(speed.run(0).losses, all_computed.losses, rtol=1e-3)


def test_a_seed_decides_all(speed):
    one, again, other = (speed.run(seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.losses, again.losses)
    assert one.accuracy == again.accuracy
    assert np.abs(one.losses - other.losses).max() > 1e-3


def test_what_a_second_is(speed, monkeypatch):
    """Training from the first to the second look at the clock, testing from there to the third."""
    looks = iter([10.0, 13.0, 13.5])
    monkeypatch.setattr(speed_run.time, "perf_counter", lambda: next(looks))
    found = speed.run(0)
    assert (found.train_seconds, found.evaluate_seconds, found.seconds) == (3.0, 0.5, 3.5)


def test_fewer_views(config, pictures):
    found = SpeedRun(apply(config, {"data.views": "mirror"}), pictures).run(0)
    assert list(found.accuracy) == ["one", "mirror"]


def test_operations_are_counted_by_hand(speed, pictures):
    """Multiply-adds of a picture: 2×2×3×12 kernels at 11×11 places, 3×3×12×4 at 11×11, 3×3×4×4 at 5×5, 3×3×4×8 at 5×5,
    3×3×8×8 at 2×2, and 8×2 logits."""
    one = 121 * 4 * 3 * 24 + 121 * 9 * 24 * 4 + 25 * 9 * 4 * 4 + 25 * 9 * 4 * 8 + 4 * 9 * 8 * 8 + 8 * 2
    assert speed.flops == 2 * one * (3 * speed.steps * 20 + 6 * len(pictures.test))


def test_validation_images_are_trained_on_too(pictures):
    whole = with_validation(pictures)
    assert len(whole.train) == len(pictures.train) + len(pictures.validation)
    np.testing.assert_array_equal(whole.train.images[-1], pictures.validation.images[-1])
    np.testing.assert_array_equal(whole.train.labels[: len(pictures.train)], pictures.train.labels)
    assert whole.test is pictures.test


def test_what_does_not_fit_is_said_beforehand(config, pictures, monkeypatch):
    monkeypatch.setattr(speed_run, "free_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"train\.batch_size is 20: expected one that needs no more than .* GiB"):
        SpeedRun(config, pictures)


def test_images_have_to_be_in_memory(config, pictures):
    class Stored:
        stored, name = True, "pictures"

    with pytest.raises(ValueError, match="data is 'pictures': expected images in memory"):
        SpeedRun(config, Stored())


def test_without_whitening_the_first_layer_is_trained(config, pictures):
    run = SpeedRun(replace(config, model=replace(config.model, whiten=False)), pictures)
    assert run.run(0).losses[-1] < 1


def test_the_rate_of_a_product_is_of_its_operations(monkeypatch):
    looks = iter(np.arange(100) * 0.5)
    monkeypatch.setattr(speed_run.time, "perf_counter", lambda: next(looks))
    assert matrix_product_rate("float32", side=16) == 2 * 16**3 / 0.5
