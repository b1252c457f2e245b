"""Runs with all that a speed recipe has: whitening, Muon, rates by name, alternating flips, reflection, and views."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import convnet
from convnet import initializers, models
from convnet.ablation import Replicates
from convnet.analysis import View
from convnet.architectures import Airbench
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import Split, StoredImages, from_arrays
from convnet.run import Trainer
from convnet.task import TRACEABLE
from tests.compiling import quick_compilation
from tests.data.test_stored import Source
from tests.tiny_runs import Interrupted, assert_alike, fingerprint, stop_in

CONFIG = RunConfig(
    data=DataConfig("noise", shift=1, flip=True, alternate=True, border="reflect", views="mirror_shift"),
    model=Airbench(widths=(3, 4)),
    optim=OptimConfig(
        **dict(name="muon", learning_rate=0.1, momentum=0.6, rest_momentum=0.85, rescale=True, newton_schulz_steps=3),
        **dict(weight_decay=0.01, schedule="linear", rates=("whiten/bias=0.05@0.4", "logits/*=0.02", "conv1/*=0")),
    ),
    train=TrainConfig(epochs=3, batch_size=20, label_smoothing=0.2),
    seed=4,
)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 3
    images = rng.integers(0, 100, (150, 5, 7, 3)) + 50 * labels[:, None, None, None]
    return from_arrays("noise", images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def trainer(dataset):
    with quick_compilation():
        return Trainer(CONFIG, dataset)


@pytest.fixture(scope="module")
def finished(trainer, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "whole"
    return place, trainer.run(directory=place)


def test_it_learns_and_its_figures_are_those_of_its_network(finished, dataset):
    place, result = finished
    assert result.records[-1].train_loss < result.records[0].train_loss
    network = convnet.load(place)
    np.testing.assert_allclose(network.logits(dataset.test.images), result.test_logits, rtol=1e-5, atol=1e-6)
    assert result.test_hits == (result.test_logits.argmax(1) == dataset.test.labels).sum()


def test_a_network_is_loaded_with_its_views_and_seen_from_inside_with_one(finished, dataset):
    """Each image as it is, mirrored, and moved both ways: by hand, of what the model says of one view."""
    network = convnet.load(finished[0])
    images = (dataset.test.images / 255).astype(np.float32)
    view, found = View.of(network), np.zeros((len(images), 3))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    for weight, x in ((1 / 2, images), (1 / 4, padded[:, :5, :7]), (1 / 4, padded[:, 2:, 2:])):
        for one in (x, x[:, :, ::-1]):
            found += weight / 2 * np.asarray(view.logits(one))
    np.testing.assert_allclose(network.logits(images), found, rtol=1e-4, atol=1e-5)
    assert np.abs(network.logits(images) - np.asarray(view.logits(images))).max() > 1e-4


def test_what_is_frozen_is_as_at_the_start(finished, trainer, dataset):
    """The whitening kernel, by its rule, and conv1, whose rate is 0, as it was drawn; all else has moved."""
    variables = models.flatten(finished[1].variables)
    kernel = initializers.whitening(dataset.patch_moment(2), (2, 2, 3))
    np.testing.assert_allclose(variables["batch_stats/whiten/kernel"], kernel, rtol=1e-4, atol=1e-5)
    start = models.flatten(trainer.programs().init(jax.random.key(CONFIG.seed), {}).variables)
    still = {name for name in start if np.array_equal(variables[name], start[name])}
    assert still == {"batch_stats/whiten/kernel", "params/conv1/kernel"}


def test_the_manifest_tells_what_was_trained_and_what_whitens(finished, dataset):
    facts = json.loads((finished[0] / "manifest.json").read_text())
    trained = 24 + 9 * (24 * 3 + 3 * 3 + 3 * 4 + 4 * 4) + 2 * (3 + 4) + 4 * 3
    assert facts["parameters"] == trained
    assert facts["images"]["patch_moment"] == dataset.patch_moment(2).ravel().tolist()


def test_stopped_it_goes_on_to_the_same_bits(finished, trainer, tmp_path):
    with pytest.raises(Interrupted):
        trainer.run(on_epoch=stop_in(2), directory=tmp_path, every_epoch=True)
    assert convnet.load(tmp_path).epoch == 1
    assert fingerprint(trainer.run(directory=tmp_path, resume=True)) == fingerprint(finished[1])


def test_streamed_images_give_the_same_bits(finished, dataset):
    pytest.importorskip("grain", reason="grain is not installed")
    elsewhere = dataset.mapped(
        lambda split: Split(StoredImages(Source(split.images), split.images.shape[1:]), split.labels)
    )
    with quick_compilation():
        found = Trainer(CONFIG, elsewhere).run()
    assert fingerprint(found) == fingerprint(finished[1])


def test_many_train_side_by_side_as_each_alone(dataset):
    """With every number that a program can take as an input."""
    config = replace(CONFIG, train=replace(CONFIG.train, epochs=1))
    other = replace(
        config,
        seed=1,
        model=replace(CONFIG.model, initializer_scale=0.5),
        optim=replace(CONFIG.optim, learning_rate=0.2, momentum=0.5, weight_decay=0.1),
        train=TrainConfig(epochs=1, batch_size=20, label_smoothing=0.0),
    )
    with quick_compilation():
        together = Replicates(config, dataset, vmapped=True, chunk=2, traced=TRACEABLE)
        (_, one), (_, found) = together.run_all([config, other])
        assert_alike(found, Trainer(other, dataset).run(), 1e-3)
    assert one.records[0].train_loss != found.records[0].train_loss
