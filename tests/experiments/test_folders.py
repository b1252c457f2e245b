"""A folder of images through the commands: trained on, moved, resumed, reproduced, compared in an ablation."""

import json
import shutil

import numpy as np
import pytest
from convnet.experiments import ablate, compare, reproduce, train
from PIL import Image

from convnet.cli import parse_command
from convnet.config import DataConfig
from convnet.data import from_config
from convnet.recipes import usual_run
from convnet.record import parameter_hash, read_manifest
from convnet.run import Trainer
from convnet.trained import load

SHORT = ["--model.name", "linear", "--train.epochs", "2", "--data.size", "6"]


@pytest.fixture
def pets(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVNET_CACHE_DIR", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(150):
        label = number % 3
        path = tmp_path / "pets" / "abc"[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((rng.integers(0, 120, (8, 9, 3)) + 60 * label).astype(np.uint8)).save(path)
    return tmp_path / "pets"


def parsed(*args):
    return parse_command(train.Train, args, defaults=train.defaults).trained


def test_what_is_trained_follows_the_folder(pets, tmp_path):
    config = parsed("--data.folder", str(pets), "--data.size", "6", "--model.name", "mlp", "--data.skip-unreadable")
    usual = usual_run("pets", "mlp")
    assert config.data == DataConfig(folder=str(pets), size=6, skip_unreadable=True)
    assert (config.model, config.optim, config.train) == (usual.model, usual.optim, usual.train)
    (tmp_path / "settings.json").write_text(json.dumps({"data": {"folder": str(pets), "size": 7}}))
    assert parsed("--config", str(tmp_path / "settings.json")).data == DataConfig(folder=str(pets), size=7)
    other = parsed("--config", str(tmp_path / "settings.json"), f"--data.folder={tmp_path / 'dogs'}")
    assert (other.data.name, other.data.size) == ("dogs", 7)
    assert parsed("--quick", "--data.folder", str(pets)).data.limit == 2000


def test_refused_in_a_line(pets, tmp_path, capsys):
    for args, message in (
        (["--data.folder", str(pets), "--data.name", "mnist"], "error: data.name is 'mnist': expected none beside"),
        (["--data.folder", str(pets / "none")], "none': expected a directory\n"),
        (["--data.size", "4"], "error: data.size is 4: expected nothing where data.folder is not given\n"),
    ):
        assert train.main([*args, "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "settings.json").write_text(json.dumps({"data": {"folder": str(pets)}}))
    assert compare.main(["--config", str(tmp_path / "settings.json")]) == 2
    assert "expected none, for models are compared on data that have recipes" in capsys.readouterr().err


def test_a_run_on_a_folder_goes_where_the_folder_goes(pets, tmp_path, capsys):
    out, moved = tmp_path / "run", tmp_path / "new" / "pets"
    command = [*SHORT, "--out", str(out), "--every-epoch"]
    assert train.main(["--data.folder", str(pets), *command]) == 0
    before = read_manifest(out)
    assert before["folder"] == str(pets)
    assert before["config"]["data"] == {
        "name": "pets", "limit": None, "shift": 0, "flip": False, "crop": None, "size": 6}  # fmt: skip
    assert reproduce.main([str(out)]) == 0
    assert "OK: 2 epochs bit for bit" in capsys.readouterr().out
    moved.parent.mkdir()
    shutil.move(pets, moved)
    (out / "result.npz").unlink()
    manifest = before | {"status": "stopped"}
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert train.main(["--data.folder", str(moved), *command, "--resume"]) == 0
    after = read_manifest(out)
    assert (after["folder"], after["parameter_hash"]) == (str(moved), before["parameter_hash"])
    assert load(out).config.data.folder == str(moved)
    next(moved.rglob("*.png")).unlink()
    assert train.main(["--data.folder", str(moved), *command, "--resume"]) == 2
    assert "holds another run: data.digest" in capsys.readouterr().err


def test_images_that_stay_in_their_files_train_to_the_same_bits(pets):
    config = parsed("--data.folder", str(pets), *SHORT)
    kept, whole = (Trainer(config, from_config(config.data, stored=stored)).run() for stored in (True, False))
    assert parameter_hash(kept.variables) == parameter_hash(whole.variables)


def test_an_ablation_on_a_folder_is_taken_up_again(pets, tmp_path, capsys):
    command = [*SHORT, "--factor", "optim.learning_rate=0.1,0.01", "--seeds", "2", "--out", str(tmp_path / "out")]
    command += ["--workers", "1"]
    assert ablate.main(["--data.folder", str(pets), *command]) == 0
    assert "4 of 4 cells to do" in capsys.readouterr().err
    moved = shutil.move(pets, tmp_path / "new" / "pets")
    assert ablate.main(["--data.folder", str(moved), *command]) == 0
    assert "0 of 4 cells to do" in capsys.readouterr().err


def test_folders_of_one_name_are_no_two_arms(pets, tmp_path, capsys):
    other = shutil.copytree(pets, tmp_path / "new" / "pets")
    assert ablate.main([*SHORT, "--factor", f"data.folder={pets},{other}", "--out", str(tmp_path / "out")]) == 2
    assert "are the same config" in capsys.readouterr().err
