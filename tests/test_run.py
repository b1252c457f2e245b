"""The composition root: configs become trained networks, repeatably, and the test set is looked at once."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from convnet import data, models, ops, run
from convnet.architectures import CNN
from convnet.config import DataConfig, OptimConfig, TrainConfig
from convnet.record import parameter_hash
from convnet.run import Trainer
from convnet.settings import to_dict
from convnet.train import EpochRecord, Layout, NonFiniteLoss, programs
from convnet.train.programs import compiler_options
from tests.tiny_runs import (  # noqa: F401
    BASE,
    EPOCHS,
    assert_alike,
    base_result,
    fingerprint,
    small_evaluation_batches,
    tiny_dataset,
    trainer,
)

# --- what a result says -----------------------------------------------------------------------------------------------


def test_the_records_cover_every_epoch():
    records = base_result().records
    assert [record.epoch for record in records] == [1, 2, 3, 4]
    assert [record.step for record in records] == [5, 10, 15, 20]  # 22 examples are five batches of 4
    assert records[-1].train_loss < records[0].train_loss
    assert base_result().config == BASE


def normalized(images, dataset):
    return (images.astype(np.float32) - dataset.mean) / dataset.std


def evaluate(result, split, dataset):
    """Loss, accuracy and logits over a whole split at once, with a loss by NumPy."""
    model = models.build(**to_model_settings(result.config), num_classes=3)
    logits = np.asarray(model.apply(result.variables, normalized(split.images, dataset)), np.float64)
    rows = np.arange(len(split))
    losses = np.log(np.exp(logits).sum(1)) - logits[rows, split.labels]
    return losses.mean(), (logits.argmax(1) == split.labels).mean(), logits


def to_model_settings(config):
    settings = to_dict(config)["model"]
    return settings | {"widths": tuple(settings["widths"])}


def test_the_test_figures_are_those_of_the_returned_variables():
    """Over all 14 test images, 4 at a time."""
    result, dataset = base_result(), tiny_dataset()
    loss, accuracy, logits = evaluate(result, dataset.test, dataset)
    assert result.test_logits.shape == (14, 3)
    np.testing.assert_allclose(result.test_logits, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.test_loss, loss, rtol=1e-5)
    assert result.test_hits == (result.test_logits.argmax(1) == dataset.test.labels).sum()
    assert (result.test_images, result.test_accuracy) == (14, result.test_hits / 14)  # not the nearest in float32
    assert result.test_accuracy == pytest.approx(accuracy)


def test_the_returned_variables_are_those_of_the_best_validation_epoch():
    result, dataset = base_result(), tiny_dataset()
    best = max(result.records, key=lambda r: (r.validation_accuracy, -r.validation_loss, -r.epoch))
    assert result.best_epoch == best.epoch
    assert best.epoch < EPOCHS  # the last epoch's parameters would not do
    loss, accuracy, _ = evaluate(result, dataset.validation, dataset)
    np.testing.assert_allclose(best.validation_loss, loss, rtol=1e-5)
    assert best.validation_accuracy == round(accuracy * 17) / 17


def test_the_test_set_is_looked_at_once_with_the_best_variables(monkeypatch):
    """And validation once per epoch, never with the test set's images."""
    watched, calls = trainer(), []

    def noting(name, program):
        def note(state, values, images, labels):
            calls.append((name, len(labels), state if name == "test" else None))
            return program(state, values, images, labels)

        return note

    programs = watched.programs()
    noted = {name: noting(name, getattr(programs, name)) for name in ("epoch", "validate", "test")}
    monkeypatch.setattr(watched, "programs", lambda: programs._replace(**noted))
    result = watched.run()
    assert [call[:2] for call in calls] == [("epoch", 22), ("validate", 17)] * EPOCHS + [("test", 14)]
    assert parameter_hash(calls[-1][2]) == parameter_hash(result.variables)


def test_seconds():
    records = [EpochRecord(e, e, 0.0, 0.0, 0.0, 0.0, accuracy, seconds) for e, accuracy, seconds in
               [(1, 0.5, 4.0), (2, 0.8, 1.0), (3, 0.7, 2.0), (4, 0.9, 1.0)]]  # fmt: skip
    result = replace(base_result(), records=tuple(records))
    assert result.seconds_per_epoch == 1.5
    assert [result.seconds_to(a) for a in (0.5, 0.75, 0.8, 0.85, 0.95)] == [4.0, 5.0, 5.0, 8.0, None]
    assert result.compile_seconds > 0


def test_number_of_parameters():
    assert trainer().parameters == (36 * 6 + 6) + (6 * 3 + 3)


# --- repeatability ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits():
    assert fingerprint(trainer().run()) == fingerprint(base_result())
    assert fingerprint(trainer().run(seed=2)) == fingerprint(base_result())


def test_another_seed_gives_another_run():
    seeds = [0, 1, 2, 2**31, 2**32 - 1]
    results = [trainer().run(seed=seed) for seed in seeds]
    assert [result.config.seed for result in results] == seeds
    assert len({parameter_hash(result.variables) for result in results}) == len(seeds)


def test_a_seed_of_more_than_32_bits_is_refused():
    """JAX would keep its low 32 bits, without a word, and one replicate would count as two."""
    with pytest.raises(ValueError, match=r"^seed is 4294967296: expected"):
        trainer().run(seed=2**32)


PROCESS = """
import sys
from convnet.record import parameter_hash
from tests.tiny_runs import trainer
print("hash", parameter_hash(trainer(cnn=True).run().variables))
"""


def test_a_new_process_gives_the_same_bits():
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout.split()[-1] == parameter_hash(trainer(cnn=True).run().variables)


def test_one_use_of_randomness_does_not_disturb_the_others():
    """The images are symmetric and the crop is the whole image; and no draw is ever below 10⁻⁹. So augmentation and
    dropout make their draws and change nothing, and what is left is the run without them: its start and its order."""
    drawing = trainer(data__flip=True, data__crop=6, model__dropout=1e-9)
    assert_alike(drawing.run(), base_result(), 1e-5)


# --- what settings do -------------------------------------------------------------------------------------------------


def test_hand_and_auto_are_one_run():
    auto = trainer(gradient="auto")
    assert auto.model.ops is ops.AUTO
    assert trainer().model.ops is ops.HAND
    assert_alike(auto.run(), base_result(), 1e-4)


@pytest.mark.parametrize(("asked", "used"), [("full", 22), (22, 22), (1, 1), (4, 4)])
def test_batch_sizes(asked, used):
    """One step per epoch for a full batch; the learning rate's schedule counts steps accordingly."""
    config = replace(BASE, train=TrainConfig(epochs=3, batch_size=asked))
    trainer = Trainer(config, tiny_dataset(), compiled=False)
    assert programs.steps_of(trainer.task, trainer.dataset) == 3 * (22 // used)
    lowered = programs.lower(trainer.task, trainer.dataset, *trainer.inputs([config]), Layout())
    _, infos = lowered.epoch.out_info
    assert infos["loss"].shape == (22 // used,)


def test_augmentation_is_for_training_and_evaluation_takes_the_centre():
    """Trained on shifted windows of 4×4; the network it returns is evaluated on the plain centres."""
    varied, dataset = trainer(data__crop=4, data__shift=1), tiny_dataset()
    assert varied.parameters == (16 * 6 + 6) + (6 * 3 + 3)
    result = varied.run()
    centre = data.Split(dataset.test.images[:, 1:5, 1:5], dataset.test.labels)
    np.testing.assert_allclose(result.test_logits, evaluate(result, centre, dataset)[2], rtol=1e-4, atol=1e-5)


def test_augmentation_reaches_the_images():
    images, dataset = tiny_dataset().train.images, tiny_dataset()
    plain = np.asarray(trainer().task.prepare(jax.random.key(0), images))
    np.testing.assert_allclose(plain, normalized(images, dataset), rtol=1e-5, atol=1e-6)

    shifted = np.asarray(trainer(data__crop=4, data__shift=1).task.prepare(jax.random.key(0), images))
    assert shifted.shape == (22, 4, 4, 1)
    blank = normalized(np.zeros(1), dataset)  # what a shift fills in; no pixel of the data is 0
    assert np.isclose(shifted, blank).any()

    lopsided = np.concatenate([images[:, :, :3], 0 * images[:, :, :3]], axis=2)  # blank on the right
    flipping = trainer(data__flip=True, data__crop=6, model__dropout=1e-9)
    flipped = np.asarray(flipping.task.prepare(jax.random.key(0), lopsided))
    mirrored = np.isclose(flipped[:, :, 0], blank).all(axis=(1, 2))
    assert 0 < mirrored.sum() < len(images)


@pytest.mark.parametrize(
    ("cnn", "precision", "stored"),
    [(True, "float64", "float64"), (False, "bfloat16", "float32"), (False, "tf32", "float32")],
)
def test_precision(cnn, precision, stored):
    """Of the parameters and the logits; the process stays as it was."""
    result = trainer(cnn=cnn, model__precision=precision).run()
    assert {str(x.dtype) for x in jax.tree.leaves(result.variables)} == {stored}
    assert str(result.test_logits.dtype) == stored
    assert np.isfinite([record.train_loss for record in result.records]).all()
    assert not jax.config.jax_enable_x64


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="others round factors to 10 bits")
def test_on_cpus_tf32_is_float32_to_the_last_bit_and_a_program_of_its_own():
    """Its words go to the compiler, so a GPU would know."""
    rounded, full = (trainer(cnn=True, model__precision=precision) for precision in ("tf32", "float32"))
    assert fingerprint(rounded.run()) == fingerprint(full.run())
    assert rounded.compiler["products"] == "tensorfloat32"
    assert all(rounded.digests()[name] != full.digests()[name] for name in ("epoch", "validate", "test"))


def test_another_opset_may_be_given():
    """The config names hand or auto; an experiment may bring its own, for the network and for the loss."""
    own = replace(ops.HAND, relu=ops.AUTO.relu, softmax_cross_entropy=ops.AUTO.softmax_cross_entropy)
    given = Trainer(BASE, tiny_dataset(), opset=own, compiled=False)
    assert given.model.ops is own
    assert given.task.loss.func is own.softmax_cross_entropy


# --- compilation ------------------------------------------------------------------------------------------------------

COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


def test_a_trainer_compiles_its_four_programs_once_and_seeds_nothing():
    """Initialisation, epoch, validation, test: however many epochs and seeds are run."""
    base_result()  # what JAX compiles once per process, for keys and copies, is compiled now
    before = len(COMPILED)
    fresh = Trainer(BASE, tiny_dataset())
    built = len(COMPILED) - before
    assert 4 <= built <= 4 + 2  # a conversion of data may be among them
    before = len(COMPILED)
    same = fresh.run()
    fresh.run(seed=6)
    assert len(COMPILED) == before
    assert fingerprint(same) == fingerprint(base_result())  # and another Trainer of one config gives the same bits


def test_an_epoch_consumes_the_state_it_is_given_and_nothing_else():
    """So that there is room for one state and not for two."""
    programs, (training, _, _) = trainer().programs(), trainer().placed()
    key, values = trainer().inputs([BASE])
    state = programs.init(key, values)
    programs.epoch(state, values, *training)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(array.is_deleted() for array in training)


def test_the_counter_counts():
    before = len(COMPILED)
    jax.jit(lambda x: x + 12345.0)(np.float32(1))
    assert len(COMPILED) == before + 1


def test_on_gpus_programs_are_compiled_for_equal_bits_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert compiler_options() == {}
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert compiler_options() == {"xla_gpu_deterministic_ops": True}
    for flag in ("--xla_gpu_deterministic_ops=false", "--xla_gpu_exclude_nondeterministic_ops=true"):
        monkeypatch.setenv("XLA_FLAGS", flag)
        assert compiler_options() == {}


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_trainer_compiles_for_equal_bits_if_it_is_to(deterministic, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    told = []
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda self, options: told.append(options))
    made = Trainer(BASE, tiny_dataset(), deterministic=deterministic)
    expected = {"xla_gpu_deterministic_ops": True} if deterministic else {}
    assert told == 4 * [expected]
    assert made.compiler == {"products": "float32", "deterministic": deterministic, "options": expected}
    assert made.common(BASE)["compiler"] == made.compiler


# --- what stops a run -------------------------------------------------------------------------------------------------


def test_divergence_stops_the_run_and_names_the_steps():
    seen = []
    with pytest.raises(NonFiniteLoss) as caught:
        trainer(optim__learning_rate=1e30).run(on_epoch=seen.append)
    error = caught.value
    assert error.last - error.first == 4
    assert error.first <= error.at <= error.last
    assert [record.epoch for record in seen] == list(range(1, error.epoch))
    assert error.first == 5 * (error.epoch - 1) + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(train=TrainConfig(batch_size=23)), r"train\.batch_size is 23: expected at most the 22 training examples"),
        (dict(data=DataConfig(crop=7)), r"data\.crop is 7: expected at most the images' 6 pixels"),
        (dict(model=CNN(initializer="xavier")), r"initializer is 'xavier': expected one of zeros, "),
        (dict(optim=OptimConfig(name="lion")), r"optim\.name is 'lion': expected one of sgd, "),
        (dict(model=CNN(widths=(2, 2, 2))), r"the output is empty"),
    ],
    ids=["batch size", "crop", "initializer", "optimizer", "too many stages"],
)
def test_what_does_not_fit_is_refused_before_anything_is_compiled(changes, message):
    before = len(COMPILED)
    with pytest.raises(ValueError, match=message):
        Trainer(replace(BASE, **changes), tiny_dataset())
    assert len(COMPILED) <= before + 1  # at most the making of a key


def test_run_loads_what_the_config_names(monkeypatch):
    asked, seen = [], []
    monkeypatch.setattr(run.data, "from_config", lambda config: asked.append(config) or tiny_dataset())
    monkeypatch.setattr(run, "Trainer", lambda config, dataset: trainer())
    result = run.run(replace(BASE, data=DataConfig(name="mnist", limit=9)), on_epoch=seen.append)
    assert asked == [DataConfig(name="mnist", limit=9)]
    assert list(result.records) == seen


def test_run_refuses_an_unknown_data_set():
    with pytest.raises(ValueError, match=r"data\.name is .svhn.: expected one of digits, mnist, cifar10"):
        run.run(replace(BASE, data=DataConfig(name="svhn")))
