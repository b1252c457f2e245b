"""A run in a directory: stopped, resumed to the same bits, refused where it is another."""

import subprocess
import sys
from pathlib import Path

import pytest

from convnet.record import metrics_hash, parameter_hash, read_manifest, read_metrics
from convnet.result import load_result
from convnet.settings import to_dict
from convnet.train import EpochRecord, NonFiniteLoss, OtherRun
from tests.tiny_runs import (  # noqa: F401
    BASE,
    EPOCHS,
    Interrupted,
    base_result,
    fingerprint,
    small_evaluation_batches,
    stop_in,
    trainer,
)


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


def test_another_precision_is_another_run_and_refused(tmp_path):
    trainer().run(directory=tmp_path)
    with pytest.raises(OtherRun, match=r"another run: config\.model\.precision \('float32' then, 'tf32' now\)"):
        trainer(model__precision="tf32").run(directory=tmp_path, resume=True)


SIGNALLED = """
import os, signal, sys
from pathlib import Path
from convnet.train import programs
from tests.tiny_runs import trainer
programs.EVALUATION_BATCH = 4
number = signal.Signals[sys.argv[2]]
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

def note(record):
    if record.epoch == 2:
        os.kill(os.getpid(), number)

try:
    trainer().run(directory=Path(sys.argv[1]), on_epoch=note)
except Exception as error:
    print(type(error).__name__, error)
print(signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_lets_the_epoch_be_saved_and_the_run_go_on_from_there(name, tmp_path):
    """Slurm sends SIGTERM first; a checkpoint is not due for a long time."""
    command = [sys.executable, "-c", SIGNALLED, str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
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
