"""A stored run comes out again; and when it does not, every difference is named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from convnet.experiments import compare, reproduce

from convnet import data
from convnet.architectures import Linear
from convnet.config import OptimConfig, RunConfig, TrainConfig
from convnet.record import read_manifest
from convnet.run import Trainer
from convnet.train import NonFiniteLoss

CONFIG = RunConfig(model=Linear(), train=TrainConfig(epochs=2), seed=3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    Trainer(CONFIG, data.load("digits")).run(directory=path)
    return path


@pytest.fixture
def run(stored, tmp_path):
    """A copy to be changed."""
    return Path(shutil.copytree(stored, tmp_path / "run"))


def edit(path, change):
    manifest = read_manifest(path)
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_the_same_bits_are_ok(run, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert reproduce.main([str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"OK: 2 epochs bit for bit; parameters {read_manifest(run)['parameter_hash']}"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_figure_of_one_epoch_in_its_last_bit(run, capsys):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    true = lines[1]["train_loss"]
    lines[1]["train_loss"] = float(np.nextafter(true, 9))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert reproduce.main([str(run)]) == 1
    output = capsys.readouterr().out
    assert output.startswith(f"DIFFERENT: 1 figures of {run}\n")
    assert f"  epoch 2, train_loss: {lines[1]['train_loss']!r} stored, {true!r} now\n" in output
    assert "nothing that was recorded of its data, program and environment has changed" in output


def test_another_config_behind_the_same_results_is_noticed(run, capsys):
    """As if the code computed something else: every figure differs, in the metrics and in the end."""
    edit(run, lambda manifest: manifest["config"].update(seed=4))
    assert reproduce.main([str(run)]) == 1
    output = capsys.readouterr().out
    for name in ("epoch 1, train_loss", "epoch 1, parameter_hash", "epoch 2, validation_loss", "\n  parameter_hash: "):
        assert name in output


def test_what_changed_in_the_environment_is_said(run, capsys):
    def change(manifest):
        manifest["packages"]["jax"] = "0.1"
        manifest["data"]["digest"] = "0ld"
        manifest["programs"]["epoch"] = "0ther"
        manifest.update(flags={"XLA_FLAGS": "--old=1"}, device="abacus", parameter_hash="0")
        manifest["git"] = {"commit": "abc", "dirty": False}
        manifest["resumed"] = [{"changed": {"python": ["2.7", "3.0"]}}]

    now = read_manifest(run)
    edit(run, change)
    assert reproduce.main([str(run)]) == 1
    output = capsys.readouterr().out
    for line in (
        f"parameter_hash: '0' stored, '{now['parameter_hash']}' now",
        "changed since the run was made:",
        f"packages.jax: '0.1' then, '{now['packages']['jax']}' now",
        "flags.XLA_FLAGS: '--old=1' then,",
        "device: 'abacus' then,",
        "data.digest: '0ld' then,",
        "programs.epoch: '0ther' then,",
        "git.commit: 'abc' then,",
        "python: '2.7' at its start, '3.0' when resumed (1)",
    ):
        assert line in output


def test_a_run_is_compiled_as_it_was(run, capsys):
    edit(run, lambda manifest: manifest["compiler"].update(deterministic=False))
    assert reproduce.main([str(run)]) == 0
    assert "changed" not in capsys.readouterr().out


OWN = {
    "the data 'mine'": lambda manifest: manifest["config"]["data"].update(name="mine"),
    "the model '__main__.Mine'": lambda manifest: (
        manifest["config"].update(model={"name": "own"}),
        manifest["computes"].update(model="__main__.Mine"),
    ),
    "the parts 'loss, prepare'": lambda manifest: manifest["computes"].update(own=["loss", "prepare"]),
    "the ops {'relu': '__main__.mine'}": lambda manifest: manifest["computes"].update(ops={"relu": "__main__.mine"}),
}


@pytest.mark.parametrize("what", OWN)
def test_what_only_its_own_program_has_is_refused(what, run, capsys):
    """It must not be trained again with the library's and be said to differ, or to agree."""
    edit(run, OWN[what])
    assert reproduce.main([str(run)]) == 2
    assert f"{what} are not the library's; run the program that has them again" in capsys.readouterr().err


def test_metrics_of_an_older_version_are_compared_as_far_as_they_go(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["parameter_hash"]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    edit(run, lambda manifest: manifest.pop("metrics_hash"))
    assert reproduce.main([str(run)]) == 0


def test_accuracies_that_an_older_version_rounded_are_compared_as_rounded(run, capsys):
    """They were means in float32, and no hits were written down."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["validation_accuracy"] = float(np.float32(line["validation_accuracy"]))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert reproduce.main([str(run)]) == 1  # a run that counted has other figures
    assert "validation_accuracy: " in capsys.readouterr().out

    def age(manifest):
        del manifest["test_hits"], manifest["test_images"], manifest["metrics_hash"]
        manifest["test_accuracy"] = float(np.float32(manifest["test_accuracy"]))

    edit(run, age)
    assert reproduce.main([str(run)]) == 0
    edit(run, lambda manifest: manifest.update(test_accuracy=manifest["test_accuracy"] + 1 / 359))
    assert reproduce.main([str(run)]) == 1


@pytest.mark.sweep
def test_a_run_that_diverged_diverges_again(tmp_path, capsys):
    config = RunConfig(model=Linear(), optim=OptimConfig(learning_rate=1e38), train=TrainConfig(epochs=2), seed=3)
    with pytest.raises(NonFiniteLoss, match=r"is not finite at step"):
        Trainer(config, data.load("digits")).run(directory=tmp_path / "run")
    assert reproduce.main([str(tmp_path / "run")]) == 0
    assert "is not finite at step" in capsys.readouterr().out
    edit(tmp_path / "run", lambda manifest: manifest.update(reason="at step 0"))
    assert reproduce.main([str(tmp_path / "run")]) == 1


@pytest.mark.usefixtures("unseen_pictures")
def test_a_cell_of_a_comparison(tmp_path):
    assert compare.main(["--models", "linear", "--seeds", "1", "--train.epochs", "2", "--out", str(tmp_path)]) == 0
    (cell,) = tmp_path.glob("*/manifest.json")
    assert reproduce.main([str(cell.parent)]) == 0


def test_what_cannot_be_reproduced_is_refused(run, tmp_path, capsys):
    assert reproduce.main([str(tmp_path / "nowhere")]) == 2
    assert "it has no manifest.json that can be read" in capsys.readouterr().err
    edit(run, lambda manifest: manifest.update(status="running"))
    assert reproduce.main([str(run)]) == 2
    assert "its status is 'running'; resume it first" in capsys.readouterr().err
    edit(run, lambda manifest: manifest.update(status="finished", config={"modle": {}}))
    assert reproduce.main([str(run)]) == 2
    assert "unknown setting 'modle'" in capsys.readouterr().err
