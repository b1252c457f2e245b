"""Replicates, vmapped or in threads, are the runs that `Trainer` makes alone; one that diverges disturbs nobody."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from convnet import data, journal, train
from convnet.ablation import Replicates
from convnet.ablation.grid import apply
from convnet.config import RunConfig
from convnet.identity import decisive
from convnet.journal import Stopped
from convnet.record import parameter_hash, read_manifest, read_metrics
from convnet.result import load_result
from convnet.run import Trainer
from convnet.settings import to_dict
from convnet.signals import StopRequest
from convnet.task import TRACEABLE
from convnet.train import NonFiniteLoss, OtherRun, programs
from tests.compiling import quick_compilation

MLP = apply(
    RunConfig(),
    {
        "data.name": "tiny",
        "model.name": "mlp",
        "model.widths": (6,),
        "model.dropout": 0.2,
        "data.shift": 1,
        "optim.learning_rate": 0.1,
        "optim.schedule": "constant",
        "train.epochs": 4,
        "train.batch_size": 4,
    },
)
CNN = apply(MLP, {"model.name": "cnn", "model.widths": (2,), "model.head": "global_avg", "data.shift": 0})
SEEDS = (0, 1, 5)


@cache
def dataset() -> data.Dataset:
    """Three classes by brightness of a row, under much noise."""
    rng = np.random.default_rng(7)

    def split(n):
        labels = np.arange(n) % 3
        bright = np.arange(6)[:, None] == 2 * labels[:, None, None]
        return data.Split((rng.integers(1, 100, (n, 6, 6)) + 40 * bright)[..., None].astype(np.uint8), labels)

    return data.Dataset("tiny", split(22), split(17), split(14), ("a", "b", "c"))


@pytest.fixture(autouse=True, scope="module")
def small_and_quick():
    """Evaluation has more than one batch, and a remainder."""
    with pytest.MonkeyPatch.context() as patch, quick_compilation():
        patch.setattr(programs, "EVALUATION_BATCH", 4)
        yield


@cache
def alone(config, seed):
    return _trainer(config).run(seed)


@cache
def _trainer(config):
    return Trainer(config, dataset())


@cache
def replicates(config=MLP, **settings):
    return Replicates(config, dataset(), **settings)


def fingerprint(result):
    """Everything but the times, floats exactly."""
    records = [replace(record, seconds=0.0) for record in result.records]
    choice = (result.best_epoch, result.test_loss, result.test_accuracy)
    return result.config, parameter_hash(result.variables), result.test_logits.tobytes(), records, choice


def seeded(config=MLP, seeds=SEEDS):
    return [replace(config, seed=seed) for seed in seeds]


# --- they are the single runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [MLP, pytest.param(CNN, marks=pytest.mark.sweep)], ids=["mlp", "cnn"])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_on_its_own_they_are_the_single_runs_bit_for_bit(workers, config):
    found = list(replicates(config, vmapped=False, workers=workers).run_all(seeded(config)))
    assert [asked.seed for asked, _ in found] == list(SEEDS)
    for asked, outcome in found:
        assert fingerprint(outcome) == fingerprint(alone(config, asked.seed))


def assert_close(outcome, expected):
    """To the rounding of a few dozen steps; the choices made from them, exactly."""
    assert (outcome.config, outcome.best_epoch) == (expected.config, expected.best_epoch)
    assert outcome.test_accuracy == expected.test_accuracy
    for one, other in zip(*(jax.tree.leaves(r.variables) for r in (outcome, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(outcome.records, expected.records, strict=True):
        for name in ("epoch", "step", "validation_accuracy"):
            assert getattr(one, name) == getattr(other, name)
        for name in ("train_loss", "train_accuracy", "grad_norm", "validation_loss"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-4)


@pytest.mark.parametrize("config", [MLP, pytest.param(CNN, marks=pytest.mark.slow)], ids=["mlp", "cnn"])
def test_vmapped_they_are_the_single_runs_to_rounding(config):
    for asked, outcome in replicates(config, vmapped=True).run_all(seeded(config)):
        assert_close(outcome, alone(config, asked.seed))


def test_chunks_are_the_whole():
    """Five in chunks of two: three programs' runs, the last filled up with one that nobody sees."""
    seen = []
    small = replicates(vmapped=True, chunk=2)
    found = list(small.run_all(seeded(seeds=(0, 1, 5, 1, 7)), lambda config, record: seen.append(config.seed)))
    assert [outcome.config.seed for _, outcome in found] == [0, 1, 5, 1, 7]
    assert sorted(seen) == sorted([0, 1, 5, 1, 7] * MLP.train.epochs)
    assert parameter_hash(found[1][1].variables) == parameter_hash(found[3][1].variables)
    assert_close(found[4][1], alone(MLP, 7))


@pytest.mark.parametrize(
    ("n", "largest", "widths"), [(10, 16, [10]), (10, 4, [4, 4, 4]), (17, 16, [9, 9]), (1, 1, [1]), (0, 4, [])]
)
def test_chunks_are_of_one_width(n, largest, widths):
    from convnet.ablation.replicates import chunks_of

    found = chunks_of(n, largest)
    assert [width for _, width in found] == widths
    assert [start for start, _ in found] == [i * widths[0] for i in range(len(widths))]


def test_replicates_differ_from_each_other():
    outcomes = [outcome for _, outcome in replicates(vmapped=True).run_all(seeded())]
    assert len({parameter_hash(outcome.variables) for outcome in outcomes}) == 3


def test_results_come_as_they_are_done():
    runs = replicates(vmapped=False).run_all(seeded())
    assert next(runs)[0].seed == 0
    assert next(runs)[0].seed == 1


def test_one_run_is_as_of_a_trainer():
    assert fingerprint(replicates(vmapped=False).trainer.run(5)) == fingerprint(alone(MLP, 5))


@pytest.mark.parametrize("vmapped", [False, pytest.param(True, marks=pytest.mark.sweep)], ids=["threads", "vmapped"])
def test_float64(vmapped):
    wide = apply(MLP, {"model.precision": "float64", "train.epochs": 2})
    ((_, outcome),) = Replicates(wide, dataset(), traced=("optim.learning_rate",), vmapped=vmapped).run_all([wide])
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(outcome.variables)} == {"float64"}
    for one, other in zip(*(jax.tree.leaves(r.variables) for r in (outcome, alone(wide, 0))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


# --- traced settings --------------------------------------------------------------------------------------------------

GRID = [
    apply(MLP, {"optim.learning_rate": rate, "optim.momentum": momentum, "optim.weight_decay": decay,
                "model.initializer_scale": scale, "train.label_smoothing": smoothing})
    for rate, momentum, decay, scale, smoothing in [
        (0.1, 0.9, 0.0, 1.0, 0.0), (0.03, 0.5, 0.01, 0.5, 0.2), (0.2, 0.0, 0.001, 2.0, 0.7)
    ]
]  # fmt: skip


@pytest.mark.parametrize("vmapped", [False, True], ids=["threads", "vmapped"])
def test_a_grid_of_traced_settings_is_one_program(vmapped, monkeypatch):
    """Each value has the effect that it has as a constant; and all of them are one compilation."""
    compiled, expected = [], {asked: alone(asked, 0) for asked in GRID}
    compile_ = train.compiled
    monkeypatch.setattr(train, "compiled", lambda *given: compiled.append(given) or compile_(*given))
    for asked, outcome in Replicates(MLP, dataset(), traced=TRACEABLE, vmapped=vmapped).run_all(GRID):
        assert_close(outcome, expected[asked])
    assert len(compiled) == 1
    hashes = {parameter_hash(alone(config, 0).variables) for config in GRID}
    assert len(hashes) == 3  # the settings do make a difference


def test_the_usual_scale_stands_for_none():
    trainer = replicates(traced=("model.initializer_scale",), vmapped=False)
    ((_, outcome),) = trainer.run_all([MLP])
    assert_close(outcome, alone(MLP, 0))


def test_what_is_not_traced_must_be_equal():
    with pytest.raises(ValueError, match=r"optim\.learning_rate is not as in the compiled program"):
        replicates(traced=("optim.momentum",), vmapped=False).run_all([apply(MLP, {"optim.learning_rate": 0.3})])
    with pytest.raises(ValueError, match=r"model\.widths is not as in the compiled program"):
        replicates(vmapped=False).run_all([apply(MLP, {"model.widths": (7,)})])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(traced=("train.batch_size",)), r"traced is 'train\.batch_size': expected one of optim\.learning_rate"),
        (dict(chunk=0), "chunk is 0: expected 1 or more"),
        (dict(workers=0), "workers is 0: expected 1 or more"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Replicates(MLP, dataset(), **settings)


def test_a_config_that_does_not_fit_is_refused_without_compiling():
    with pytest.raises(ValueError, match=r"train\.batch_size is 23: expected at most the 22 training examples"):
        Replicates(apply(MLP, {"train.batch_size": 23}), dataset())


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vmapped", [False, True], ids=["threads", "vmapped"])
def test_one_that_diverges_is_an_outcome_and_disturbs_nobody(vmapped):
    wild = apply(MLP, {"optim.learning_rate": 1e30})
    seen = []
    trainer = replicates(traced=("optim.learning_rate",), vmapped=vmapped)
    found = list(trainer.run_all([MLP, wild, replace(MLP, seed=1)], lambda *args: seen.append(args)))
    assert [type(outcome) for _, outcome in found][1] is NonFiniteLoss
    with pytest.raises(NonFiniteLoss) as expected:
        alone(wild, 0)
    assert str(found[1][1]) == str(expected.value)
    for i, seed in ((0, 0), (2, 1)):
        assert_close(found[i][1], alone(MLP, seed))
    assert [record.epoch for config, record in seen if config == wild] == list(range(1, expected.value.epoch))


def test_all_may_diverge():
    wild = apply(MLP, {"optim.learning_rate": 1e30})
    trainer = replicates(traced=("optim.learning_rate",), vmapped=True)
    assert all(isinstance(outcome, NonFiniteLoss) for _, outcome in trainer.run_all(seeded(wild)))
    with pytest.raises(NonFiniteLoss, match="is not finite at step"):
        Trainer(wild, dataset()).run()


# --- on disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vmapped", [False, True], ids=["threads", "vmapped"])
def test_each_leaves_the_directory_of_a_run(vmapped, tmp_path):
    wild = apply(MLP, {"optim.learning_rate": 1e30})
    trainer = replicates(traced=("optim.learning_rate",), vmapped=vmapped)
    configs = [*seeded(), wild]
    where = {config: tmp_path / str(i) for i, config in enumerate(configs)}
    outcomes = [outcome for _, outcome in trainer.run_all(configs, directory=where.get)]
    for config, outcome in zip(configs[:3], outcomes, strict=False):
        manifest, lines = read_manifest(where[config]), read_metrics(where[config])
        assert (manifest["status"], manifest["config"]) == ("finished", to_dict(config))
        assert (manifest["replicates"], manifest["traced"]) == (4 * vmapped, ["optim.learning_rate"])
        assert manifest["jax"] == decisive()["jax"]  # of the process, not of what a program is traced in
        assert manifest["parameter_hash"] == parameter_hash(outcome.variables)
        assert lines[outcome.best_epoch - 1]["parameter_hash"] == parameter_hash(outcome.variables)
        assert [line["train_loss"] for line in lines] == [record.train_loss for record in outcome.records]
        assert fingerprint(load_result(config, where[config])) == fingerprint(outcome)
    manifest = read_manifest(where[wild])
    assert (manifest["status"], manifest["reason"]) == ("diverged", str(outcomes[3]))
    assert manifest["at_step"] == outcomes[3].at


def test_threads_go_on_with_what_was_left(tmp_path):
    where = {config: tmp_path / str(config.seed) for config in seeded()}
    trainer, seen = replicates(vmapped=False), []
    runs = trainer.run_all(seeded(), directory=where.get)
    next(runs)
    runs.close()  # nobody waits for the others
    assert read_manifest(where[seeded()[0]])["status"] == "finished"
    found = list(trainer.run_all(seeded(), lambda config, record: seen.append(config.seed), directory=where.get))
    assert sorted(seen) == sorted(SEEDS * MLP.train.epochs)
    for config, outcome in found:
        assert fingerprint(outcome) == fingerprint(alone(MLP, config.seed))


def test_threads_go_on_from_their_checkpoints(tmp_path, monkeypatch):
    """Several save at once; then each resumes from its own, and none from one that other code began."""
    monkeypatch.setattr(journal, "FIRST_COST", 0.0)
    monkeypatch.setattr(journal, "SHARE", 1e9)
    where, seen, reached = {config: tmp_path / str(config.seed) for config in seeded()}, [], {}

    def stop(config, record):  # once two have saved: on a single core the others may not have begun before
        reached[config.seed] = record.epoch
        if record.epoch >= 3 and sum(epoch >= 2 for epoch in reached.values()) >= 2:
            raise RuntimeError("enough")

    trainer = replicates(vmapped=False, workers=3)
    with pytest.raises(RuntimeError, match="enough"):
        list(trainer.run_all(seeded(), stop, directory=where.get))
    saved = [path for path in where.values() if (path / "checkpoints").exists()]
    assert len(saved) >= 2
    other = saved[0] / "manifest.json"
    other.write_text(json.dumps(json.loads(other.read_text()) | {"code": "other"}))
    epochs, own = [], trainer.trainer.programs()
    monkeypatch.setattr(trainer.trainer, "programs", lambda: own._replace(
        epoch=lambda *args: epochs.append(1) or own.epoch(*args)))  # fmt: skip
    with pytest.warns(RuntimeWarning, match=r"begins anew, its bits would be others: code \('other' then"):
        found = list(trainer.run_all(seeded(), lambda config, record: seen.append(config.seed), directory=where.get))
    for config, outcome in found:
        assert fingerprint(outcome) == fingerprint(alone(MLP, config.seed))
    assert sorted(seen) == sorted(SEEDS * MLP.train.epochs)
    assert MLP.train.epochs < len(epochs) < 3 * MLP.train.epochs
    assert json.loads(other.read_text())["code"] != "other"


def test_a_directory_of_another_config_is_refused_either_way(tmp_path):
    list(replicates(vmapped=False).run_all([MLP], directory=lambda config: tmp_path))
    before = (tmp_path / "manifest.json").read_bytes()
    for vmapped in (False, True):
        with pytest.raises(OtherRun, match=r"holds another run: config\.seed \(0 then, 1 now\)"):
            list(replicates(vmapped=vmapped).run_all(seeded(seeds=[1]), directory=lambda config: tmp_path))
    assert (tmp_path / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("vmapped", [False, True], ids=["threads", "vmapped"])
def test_a_signal_ends_all_of_them_and_what_can_be_saved_is(vmapped, tmp_path):
    """Slurm sends it; vmapped ones have no checkpoints, and it says so."""
    where = {config: tmp_path / str(config.seed) for config in seeded()}

    def signalled(config, record):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL  # it would end the tests
        if record.epoch == 2 and not killed:
            killed.append(config)
            os.kill(os.getpid(), signal.SIGTERM)

    killed, trainer = [], replicates(vmapped=vmapped, workers=2)
    message = r"^stopped after epoch [123] of 4, " + ("not saved$" if vmapped else "saved$|epoch 0 of 4, not saved$")
    with pytest.raises(Stopped, match=message) as caught:
        list(trainer.run_all(seeded(), signalled, directory=where.get))
    assert caught.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    statuses = [read_manifest(path)["status"] for path in where.values() if read_manifest(path)]
    assert set(statuses) <= {"stopped", "finished"}
    found = list(trainer.run_all(seeded(), directory=where.get))
    for config, outcome in found:
        if vmapped:
            assert_close(outcome, alone(MLP, config.seed))
        else:
            assert fingerprint(outcome) == fingerprint(alone(MLP, config.seed))


def test_a_failure_stops_the_siblings_and_is_raised(monkeypatch):
    """Of many runs, those under way end at their next epoch, and those that wait never start."""
    seen, heard, ask = [], threading.Event(), StopRequest.ask
    monkeypatch.setattr(StopRequest, "ask", lambda self, *args: ask(self, *args) or heard.set())

    def failing(config, record):
        seen.append(config.seed)
        if len(seen) > 1:  # else it were a race against the thread that hears of the first failure
            heard.wait(600)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        list(replicates(vmapped=False, workers=2).run_all(seeded(seeds=range(50)), failing))
    assert len(seen) <= 3


def test_nobody_is_told_of_two_epochs_at_once():
    inside = []

    def note(config, record):
        inside.append(config.seed)
        time.sleep(0.002)
        assert inside == [config.seed]
        inside.clear()

    list(replicates(vmapped=False, workers=3).run_all(seeded(seeds=range(6)), note))
