"""The composition root: configs become trained networks, repeatably, and the test set is looked at once.

Trainers are compiled once for the whole file; the data are 53 images of 6×6, symmetric left to right.
"""

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from convnet import data, models, ops, run
from convnet.architectures import CNN, MLP
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.record import metrics_hash, parameter_hash, read_manifest, read_metrics
from convnet.result import DamagedResult, counted_hits, load_result, save_result
from convnet.run import RunResult, Trainer
from convnet.settings import from_dict, to_dict
from convnet.task import make_loss
from convnet.train import EpochRecord, NonFiniteLoss, OtherRun, programs
from convnet.train.programs import compiler_options
from tests.compiling import quick_compilation

EPOCHS = 4
BASE = RunConfig(
    model=MLP(widths=(6,)),
    optim=OptimConfig(name="nesterov", learning_rate=0.1, schedule="constant"),
    train=TrainConfig(epochs=EPOCHS, batch_size=4),
    seed=2,  # best on validation after its second epoch
    data=DataConfig("tiny"),
)
CNN = from_dict(RunConfig, {"model": {"name": "cnn", "widths": [2], "head": "global_avg"}}, base=BASE)


def tiny_dataset() -> data.Dataset:
    """Three classes by brightness of a row, under much noise. Validation and test do not divide by a batch of 4."""
    rng = np.random.default_rng(7)

    def split(n):
        labels = np.arange(n) % 3
        bright = np.arange(6)[:, None] == 2 * labels[:, None, None]
        half = rng.integers(1, 100, (n, 6, 3)) + 40 * bright  # no pixel is 0, which is what a shift fills in
        return data.Split(np.concatenate([half, half[:, :, ::-1]], axis=2)[..., None].astype(np.uint8), labels)

    return data.Dataset("tiny", split(22), split(17), split(14), ("a", "b", "c"))


@cache
def trainer(**changes) -> Trainer:
    """The trainer of BASE, or of BASE with the settings that `changes` names as section__setting."""
    compilation = quick_compilation() if changes else nullcontext()
    config = CNN if changes.pop("cnn", False) else BASE
    for name, value in changes.items():
        section, _, setting = name.partition("__")
        value = replace(getattr(config, section), **{setting: value}) if setting else value
        config = replace(config, **{section: value})
    with compilation:
        return Trainer(config, tiny_dataset())


@cache
def base_result() -> RunResult:
    return trainer().run()


@pytest.fixture(autouse=True, scope="module")
def small_evaluation_batches():
    """So that evaluation has more than one batch, and a remainder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "EVALUATION_BATCH", 4)
        yield


def assert_alike(one: RunResult, other: RunResult, rtol: float):
    for a, b in zip(jax.tree.leaves(one.variables), jax.tree.leaves(other.variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())
    losses = [[record.train_loss for record in result.records] for result in (one, other)]
    np.testing.assert_allclose(*losses, rtol=rtol)


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
            calls.append((name, len(labels), state if name == "examine" else None))
            return program(state, values, images, labels)

        return note

    programs = watched.programs()
    noted = {name: noting(name, getattr(programs, name)) for name in ("epoch", "validate", "examine")}
    monkeypatch.setattr(watched, "programs", lambda: programs._replace(**noted))
    result = watched.run()
    assert [call[:2] for call in calls] == [("epoch", 22), ("validate", 17)] * EPOCHS + [("examine", 14)]
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


def fingerprint(result: RunResult) -> tuple:
    """Everything but the times, floats exactly."""
    records = [replace(record, seconds=0.0) for record in result.records]
    return parameter_hash(result.variables), result.test_logits.tobytes(), records, result.best_epoch


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
import runpy, sys
from convnet.record import parameter_hash
tests = runpy.run_path(sys.argv[1])
print("hash", parameter_hash(tests["trainer"](cnn=True).run().variables))
"""


def test_a_new_process_gives_the_same_bits():
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, __file__],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
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
    lowered = programs.lower(trainer.task, trainer.dataset, *trainer.inputs([config]), mapped=False)
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


@pytest.mark.parametrize(("cnn", "precision", "stored"), [(True, "float64", "float64"), (False, "bfloat16", "float32")])
def test_precision(cnn, precision, stored):
    """Of the parameters and the logits; the process stays as it was."""
    result = trainer(cnn=cnn, model__precision=precision).run()
    assert {str(x.dtype) for x in jax.tree.leaves(result.variables)} == {stored}
    assert str(result.test_logits.dtype) == stored
    assert np.isfinite([record.train_loss for record in result.records]).all()
    assert not jax.config.jax_enable_x64


def test_another_opset_may_be_given():
    """The config names hand or auto; an experiment may bring its own, for the network and for the loss."""
    own = replace(ops.HAND, relu=ops.AUTO.relu, softmax_cross_entropy=ops.AUTO.softmax_cross_entropy)
    given = Trainer(BASE, tiny_dataset(), opset=own, compiled=False)
    assert given.model.ops is own
    assert given.task.loss.func is own.softmax_cross_entropy


LOGITS, LABELS = np.float32([[2.0, 1.0, 0.5], [0.0, 0.2, 0.1]]), np.int32([0, 2])


@pytest.mark.parametrize("opset", [ops.HAND, ops.AUTO], ids=["hand", "auto"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (dict(), lambda z, y: np.log(np.exp(z).sum()) - z[y]),
        (dict(label_smoothing=0.3), lambda z, y: np.log(np.exp(z).sum()) - 0.7 * z[y] - 0.3 * z.mean()),
        (dict(loss="weston_watkins"), lambda z, y: np.maximum(0, 1 + np.delete(z, y) - z[y]).sum()),
        (dict(loss="crammer_singer"), lambda z, y: np.maximum(0, 1 + np.delete(z, y) - z[y]).max()),
    ],
    ids=["softmax", "smoothed", "weston_watkins", "crammer_singer"],
)
def test_losses(settings, expected, opset):
    loss = make_loss(RunConfig(train=TrainConfig(**settings)), opset)
    np.testing.assert_allclose(loss(LOGITS, LABELS), [expected(*row) for row in zip(LOGITS, LABELS, strict=True)],
                               rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize("opset", [ops.HAND, ops.AUTO], ids=["hand", "auto"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 0.9])
def test_a_traced_smoothing_has_the_value_and_gradient_of_a_fixed_one(smoothing, opset):
    fixed = make_loss(RunConfig(train=TrainConfig(label_smoothing=smoothing)), opset)
    traced = make_loss(RunConfig(), opset, jnp.float32(smoothing))
    np.testing.assert_allclose(traced(LOGITS, LABELS), fixed(LOGITS, LABELS), rtol=1e-5)
    slopes = [jax.grad(lambda z, loss=loss: loss(z, LABELS).sum())(LOGITS) for loss in (traced, fixed)]
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-6)


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


def test_the_counter_counts():
    before = len(COMPILED)
    jax.jit(lambda x: x + 12345.0)(np.float32(1))
    assert len(COMPILED) == before + 1


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
    ids=["batch size", "crop", "model", "initializer", "optimizer", "too many stages"],
)
def test_what_does_not_fit_is_refused_before_anything_is_compiled(changes, message):
    before = len(COMPILED)
    with pytest.raises(ValueError, match=message):
        Trainer(replace(BASE, **changes), tiny_dataset())
    assert len(COMPILED) <= before + 1  # at most the making of a key


# --- run, and results on disk -----------------------------------------------------------------------------------------


def test_run_loads_what_the_config_names(monkeypatch):
    asked, seen = [], []
    monkeypatch.setattr(run.data, "load", lambda name, limit: asked.append((name, limit)) or tiny_dataset())
    monkeypatch.setattr(run, "Trainer", lambda config, dataset: trainer())
    result = run.run(replace(BASE, data=DataConfig(name="mnist", limit=9)), on_epoch=seen.append)
    assert asked == [("mnist", 9)]
    assert list(result.records) == seen


def test_run_refuses_an_unknown_data_set():
    with pytest.raises(ValueError, match=r"digits, mnist, cifar10.*'svhn'"):
        run.run(replace(BASE, data=DataConfig(name="svhn")))


def test_a_saved_result_is_loaded_bit_for_bit(tmp_path):
    save_result(base_result(), tmp_path)
    loaded = load_result(BASE, tmp_path)
    assert fingerprint(loaded) == fingerprint(base_result())
    for name in ("config", "records", "test_loss", "test_hits", "test_accuracy", "compile_seconds", "best_epoch"):
        one, other = getattr(loaded, name), getattr(base_result(), name)
        assert one == other
        assert type(one) is type(other)
    assert [type(v) for v in vars(loaded.records[0]).values()] == [type(v) for v in
                                                                   vars(base_result().records[0]).values()]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["result.npz"]


def test_hits_of_a_result_that_holds_a_mean_alone_are_counted(tmp_path):
    """As older versions wrote it: in float32."""
    save_result(base_result(), tmp_path)
    with np.load(tmp_path / "result.npz") as file:
        arrays = {name: array for name, array in file.items() if name != "test_hits"}
    arrays["facts"][2] = np.float32(arrays["facts"][2])
    np.savez(tmp_path / "result.npz", **arrays)
    assert load_result(BASE, tmp_path).test_hits == base_result().test_hits


@pytest.mark.parametrize("images", [1, 2, 3, 359, 10_000, 49_999])
def test_hits_are_counted_from_any_mean_in_float32(images):
    hits = np.unique(np.linspace(0, images, 200).astype(int))
    means = hits.astype(np.float32) / np.float32(images)
    assert [counted_hits(float(mean), images) for mean in means] == hits.tolist()


@pytest.mark.parametrize(("accuracy", "images"), [(0.95, 359), (-0.1, 10), (1.5, 10), (float("nan"), 10), (0.5, 0)])
def test_what_is_no_mean_of_hits_is_refused(accuracy, images):
    with pytest.raises(ValueError, match=rf"test_accuracy is {accuracy}: expected a whole number of hits in {images} "):
        counted_hits(accuracy, images)


# --- a run directory --------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    """Stands for whatever may stop a run."""


def stop_in(epoch):
    def on_epoch(record):
        if record.epoch == epoch:
            raise Interrupted

    return on_epoch


def test_a_run_directory_changes_nothing_and_holds_everything(tmp_path):
    result = trainer().run(directory=tmp_path)
    assert fingerprint(result) == fingerprint(base_result())
    assert fingerprint(load_result(BASE, tmp_path)) == fingerprint(result)
    manifest, lines = read_manifest(tmp_path), read_metrics(tmp_path)
    assert (manifest["status"], manifest["config"]) == ("finished", to_dict(BASE))
    assert manifest["parameter_hash"] == parameter_hash(result.variables)
    assert [manifest[name] for name in ("test_hits", "test_images")] == [result.test_hits, 14]
    assert manifest["test_accuracy"] == result.test_accuracy == result.test_hits / 14
    assert lines[result.best_epoch - 1]["parameter_hash"] == parameter_hash(result.variables)
    assert [EpochRecord(**{k: v for k, v in line.items() if k != "parameter_hash"}) for line in lines] == list(
        result.records
    )


CHANGES = {"mlp": {}, "cnn in float64 with batch norm": dict(cnn=True, model__precision="float64", model__norm="batch")}


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_run_interrupted_and_resumed_is_the_uninterrupted_one(epoch, changes, tmp_path):
    """Its dropout and augmentation would differ if a step were lost or done twice."""
    with pytest.raises(Interrupted):
        trainer(**changes).run(directory=tmp_path, every_epoch=True, on_epoch=stop_in(epoch))
    seen = []
    result = trainer(**changes).run(directory=tmp_path, resume=True, every_epoch=True, on_epoch=seen.append)
    assert fingerprint(result) == fingerprint(trainer(**changes).run())
    assert list(result.records) == seen  # those taken over, too
    assert metrics_hash(read_metrics(tmp_path)) == read_manifest(tmp_path)["metrics_hash"]


def test_resuming_goes_on_where_it_stopped(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        trainer().run(directory=tmp_path, every_epoch=True, on_epoch=stop_in(4))
    epochs, programs = [], trainer().programs()
    watched = programs._replace(epoch=lambda *args: epochs.append(1) or programs.epoch(*args))
    monkeypatch.setattr(trainer(), "programs", lambda: watched)
    trainer().run(directory=tmp_path, resume=True)
    assert len(epochs) == 1
    trainer().run(directory=tmp_path)
    assert len(epochs) == 1 + EPOCHS  # without `resume` it starts anew


def test_a_finished_run_is_read_not_repeated(tmp_path, monkeypatch):
    first = trainer().run(directory=tmp_path)
    monkeypatch.setattr(trainer(), "programs", None)
    seen = []
    again = trainer().run(directory=tmp_path, resume=True, on_epoch=seen.append)
    assert fingerprint(again) == fingerprint(first)
    assert list(first.records) == seen


def test_another_seed_is_another_run_and_refused(tmp_path):
    trainer().run(directory=tmp_path)
    with pytest.raises(OtherRun, match=r"holds another run: config\.seed \(2 then, 3 now\)"):
        trainer().run(seed=3, directory=tmp_path, resume=True)


# --- what the same run is ---------------------------------------------------------------------------------------------


def other_data():
    """One pixel of one test image is another."""
    dataset = tiny_dataset()
    images = dataset.test.images.copy()
    images[3, 2, 1, 0] ^= 1
    return replace(dataset, test=data.Split(images, dataset.test.labels))


@jax.custom_jvp
def leaky(x):
    return jnp.maximum(x, SLOPE * x)


SLOPE = 0.1
leaky.defjvp(lambda x, dx: (leaky(*x), jnp.where(x[0] > 0, 1, SLOPE) * dx[0]))


class TwoLooks(models.Model):
    """A user's own model, which is edited: another start, another width, or another scale inside its body."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return self.logits(BODY * x.reshape(len(x), -1))


BODY = 1.0


def start(directory, **kinds):
    """A run of two epochs that is stopped after the first."""
    with pytest.raises(Interrupted):
        short(**kinds).run(directory=directory, every_epoch=True, on_epoch=stop_in(2))


def short(dataset=None, model=BASE.model, **settings):
    config = replace(BASE, model=model, train=replace(BASE.train, epochs=2))
    with quick_compilation():
        return Trainer(config, dataset or tiny_dataset(), **settings)


def test_other_data_under_the_same_config_is_another_run(tmp_path):
    """Of a finished run the old result would be handed out, of an unfinished one half would be of each."""
    start(tmp_path / "begun")
    short().run(directory=tmp_path / "finished")
    for path in (tmp_path / "begun", tmp_path / "finished"):
        with pytest.raises(OtherRun, match=r"holds another run: data\.digest \('.*' then, '.*' now\)$"):
            short(other_data()).run(directory=path, resume=True)
    assert short().run(directory=tmp_path / "begun", resume=True).best_epoch


def test_other_ops_are_another_run(tmp_path):
    own = replace(ops.HAND, relu=leaky)
    start(tmp_path)
    with pytest.raises(OtherRun, match=r"computes\.ops \('hand' then, \{'relu': '.*leaky'\} now\)$"):
        short(opset=own).run(directory=tmp_path, resume=True)


def test_an_op_or_a_model_that_was_edited_has_other_bits(tmp_path, monkeypatch):
    """Under the same name: no config and no source of the library tells."""
    monkeypatch.setitem(models.MODELS, "two_looks", TwoLooks)
    kinds = {
        "op": dict(opset=replace(ops.HAND, relu=leaky)),
        "model": dict(model=ModelConfig("two_looks")),
    }
    start(tmp_path / "op", **kinds["op"])
    short(**kinds["model"]).run(directory=tmp_path / "model")
    monkeypatch.setitem(globals(), "SLOPE", 0.2)
    monkeypatch.setitem(globals(), "BODY", 2.0)
    edited = {name: short(**kind) for name, kind in kinds.items()}
    for name, trainer in edited.items():
        with pytest.raises(OtherRun, match=r"other bits now: programs\.epoch \('.*' then, '.*' now\), programs\."):
            trainer.run(directory=tmp_path / name, resume=True)
    with pytest.warns(UserWarning, match="resumed after a change, so bits may differ: programs"):
        edited["op"].run(directory=tmp_path / "op", resume=True, accept_changes=True)


def test_another_seed_or_trainer_has_the_same_programs():
    """Else no run could be resumed in another process."""
    assert short().digests() == short().digests()
    assert trainer().identity(BASE)["programs"] == trainer().identity(replace(BASE, seed=9))["programs"]


def test_the_manifest_speaks_of_the_users_own_data(tmp_path):
    """A config that names none has the default, digits; what is trained on is what is recorded."""
    own = replace(tiny_dataset(), name="bright or dark")
    result = short(own).run(directory=tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["data"] == {
        "name": "bright or dark",
        "digest": own.digest,
        "shape": [6, 6, 1],
        "sizes": {"train": 22, "validation": 17, "test": 14},
        "classes": 3,
    }
    assert manifest["config"]["data"]["name"] == result.config.data.name == "bright or dark"
    assert manifest["computes"] == {"model": "convnet.models.mlp.MLP", "ops": "hand"}
    assert fingerprint(short(own).run(directory=tmp_path, resume=True)) == fingerprint(result)


def test_a_damaged_result_is_computed_again_from_the_last_checkpoint(tmp_path):
    first = trainer().run(directory=tmp_path, every_epoch=True)
    whole = (tmp_path / "result.npz").read_bytes()
    for damaged in (whole[:-100], whole[: len(whole) // 2] + b"!" + whole[len(whole) // 2 + 1 :], b"", None):
        (tmp_path / "result.npz").unlink()
        if damaged is not None:
            (tmp_path / "result.npz").write_bytes(damaged)
        with pytest.raises(DamagedResult, match=r"^\S*result\.npz (cannot be read|holds other parameters)[^\n]*$"):
            load_result(BASE, tmp_path)
        with pytest.warns(RuntimeWarning, match="computed again from the last checkpoint"):
            again = trainer().run(directory=tmp_path, resume=True)
        assert fingerprint(again) == fingerprint(first)
        assert fingerprint(load_result(BASE, tmp_path)) == fingerprint(first)


def test_parameters_in_bfloat16_come_back(tmp_path):
    variables = {"params": {"dense": {"kernel": jnp.arange(6, dtype="bfloat16").reshape(2, 3) / 3}}}
    save_result(replace(base_result(), variables=variables), tmp_path)
    (kernel,) = jax.tree.leaves(load_result(BASE, tmp_path).variables)
    assert (kernel.dtype, kernel.tobytes()) == (
        "bfloat16",
        np.asarray(variables["params"]["dense"]["kernel"]).tobytes(),
    )


SIGNALLED = """
import os, runpy, signal, sys
from pathlib import Path
tests = runpy.run_path(sys.argv[1])
tests["programs"].EVALUATION_BATCH = 4
number = signal.Signals[sys.argv[3]]
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

def note(record):
    if record.epoch == 2:
        os.kill(os.getpid(), number)

try:
    tests["trainer"]().run(directory=Path(sys.argv[2]), on_epoch=note)
except Exception as error:
    print(type(error).__name__, error)
print(signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_lets_the_epoch_be_saved_and_the_run_go_on_from_there(name, tmp_path):
    """Slurm sends SIGTERM first; a checkpoint is not due for a long time."""
    command = [sys.executable, "-c", SIGNALLED, __file__, str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["Stopped stopped after epoch 2 of 4, saved", "True"]
    assert "stopping after this epoch, which is saved first" in done.stderr
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000002"]
    seen = []
    result = trainer().run(directory=tmp_path, resume=True, on_epoch=lambda record: seen.append(record.epoch))
    assert seen == [1, 2, 3, 4]
    assert fingerprint(result) == fingerprint(base_result())


def test_a_diverged_run_says_so_in_its_directory(tmp_path):
    with pytest.raises(NonFiniteLoss):
        trainer(optim__learning_rate=1e30).run(directory=tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["status"] == "diverged"
    assert "is not finite at step" in manifest["reason"]


def test_a_result_that_finds_no_room_can_be_resumed(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("convnet.result.save_result", full)
        with pytest.raises(OSError, match="No space left"):
            trainer().run(directory=tmp_path, every_epoch=True)
    assert read_manifest(tmp_path)["status"] == "failed"
    assert fingerprint(trainer().run(directory=tmp_path, resume=True)) == fingerprint(base_result())


def test_on_gpus_programs_are_compiled_for_equal_bits_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert compiler_options() == {}
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert compiler_options() == {"xla_gpu_deterministic_ops": True}
    for flag in ("--xla_gpu_deterministic_ops=false", "--xla_gpu_exclude_nondeterministic_ops=true"):
        monkeypatch.setenv("XLA_FLAGS", flag)
        assert compiler_options() == {}
