"""The comparison: what it writes, what it refuses, and what it does with a run that diverges."""

import csv
import json

import numpy as np
import pytest
from convnet.experiments import compare
from convnet.experiments.compare import Compare, Data, plan_of
from convnet.experiments.recipes import RECIPES

from convnet.config import RunConfig, content_hash, from_dict
from convnet.run import Trainer, load_result

FAST = ["--models", "linear", "mlp", "--seeds", "2", "--epochs", "2"]


def rows_of(out):
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "new" / "out"
    assert compare.main([*FAST, "--out", str(out)]) == 0
    return out


def test_one_row_per_family_and_seed(finished):
    rows = rows_of(finished)
    assert [(row["family"], row["seed"], row["status"]) for row in rows] == [
        (family, seed, "finished") for family in ("linear", "mlp") for seed in ("0", "1")
    ]
    assert all(0.5 < float(row["test_accuracy"]) <= 1 for row in rows)


def test_every_run_can_be_rebuilt_from_its_manifest(finished):
    for row in rows_of(finished):
        run = finished / row["run"]
        manifest = json.loads((run / "manifest.json").read_text())
        config = from_dict(RunConfig, manifest["config"])
        assert content_hash(config) == row["run"]
        assert manifest["status"] == "finished"
        assert len((run / "metrics.jsonl").read_text().splitlines()) == config.train.epochs
        result = load_result(config, run)
        assert result.test_accuracy == float(row["test_accuracy"]) == manifest["test_accuracy"]
        assert result.test_logits.shape == (359, 10)


def test_summary_is_the_mean_of_the_rows(finished):
    families = json.loads((finished / "summary.json").read_text())["families"]
    for family in families:
        accuracies = [float(row["test_accuracy"]) for row in rows_of(finished) if row["family"] == family["family"]]
        assert family["test_accuracy"] == pytest.approx(np.mean(accuracies))
        low, high = family["interval95"]
        assert low <= family["test_accuracy"] <= high


def test_report_shows_the_same_accuracy_as_the_table(finished):
    html = (finished / "report.html").read_text()
    for family in json.loads((finished / "summary.json").read_text())["families"]:
        assert f"{family['test_accuracy']:.2%}" in html
    for heading in ("Learning curves", "Confusion matrices", "Templates of the linear model", "Most confident errors"):
        assert f"<h2>{heading}</h2>" in html


def test_resume_takes_over_what_is_finished_and_repeats_what_is_not(finished, monkeypatch):
    before = rows_of(finished)
    (finished / before[3]["run"] / "manifest.json").write_text("torn")
    trained = []
    fit = Trainer._fit
    monkeypatch.setattr(Trainer, "_fit", lambda self, *args: trained.append(args[0]) or fit(self, *args))
    assert compare.main([*FAST, "--resume", "--out", str(finished)]) == 0
    assert [(config.model.name, config.seed) for config in trained] == [("mlp", 1)]
    for old, new in zip(before, rows_of(finished), strict=True):
        assert (old["run"], old["test_accuracy"], old["test_loss"]) == (
            new["run"],
            new["test_accuracy"],
            new["test_loss"],
        )


def test_config_file_changes_one_family(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[mlp.optim]\nname = 'adam'\nlearning_rate = 0.001\n")
    runs = plan_of(Compare(config=path)).recipe.runs
    assert (runs["mlp"].optim.name, runs["mlp"].optim.learning_rate) == ("adam", 0.001)
    assert runs["mlp"].model == RECIPES["digits"].runs["mlp"].model
    assert runs["linear"] == RECIPES["digits"].runs["linear"]


def test_a_diverged_run_is_a_result(tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"mlp": {"optim": {"learning_rate": 1e30}}}))
    assert compare.main([*FAST, "--config", str(path), "--out", str(tmp_path / "out")]) == 0
    statuses = {(row["family"], row["status"], bool(row["test_accuracy"])) for row in rows_of(tmp_path / "out")}
    assert statuses == {("linear", "finished", True), ("mlp", "diverged", False)}
    output = capsys.readouterr()
    assert "none (2 of 2 diverged)" in output.out
    assert "mlp, seed 1: diverged: the loss or its gradient is not finite at step" in output.err


BAD = {
    "unknown data set": (["--data.name", "minst"], "data.name is 'minst': expected one of digits, mnist, cifar10"),
    "unknown family": (["--models", "linear", "rnn"], "family is 'rnn': expected one of linear, mlp, cnn"),
    "no seeds": (["--seeds", "0"], "seeds is 0: expected 1 or more"),
    "negative seeds": (["--seeds", "-3"], "seeds is -3: expected 1 or more"),
    "no epochs": (["--epochs", "0"], "epochs is 0: expected 1 or more"),
    "impossible target": (["--target", "1.5"], r"target is 1.5: expected an accuracy in (0, 1]"),
    "limit below the classes": (["--data.limit", "3"], "3"),
    "limit above the data": (["--data.limit", "5000"], "5000"),
    "no config file": (["--config", "nowhere.json"], "config is 'nowhere.json': cannot be read"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_leaves_nothing(args, message, tmp_path, capsys):
    assert compare.main([*args, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


BAD_FILES = {
    "unknown key": ({"cnn": {"modle": {}}}, "unknown key 'modle' in cnn: expected one of data, model"),
    "nested unknown key": ({"cnn": {"optim": {"lr": 1}}}, "unknown key 'lr' in cnn.optim"),
    "unknown family": ({"rnn": {}}, "family is 'rnn'"),
    "wrong type": ({"cnn": {"train": {"epochs": "many"}}}, "cnn.train.epochs is 'many': expected int"),
    "unknown optimiser": ({"cnn": {"optim": {"name": "sdg"}}}, "optim.name is 'sdg': expected one of sgd"),
    "unknown model": ({"cnn": {"model": {"name": "vit"}}}, "model.name is 'vit': expected one of linear, mlp, cnn"),
    "unknown initialiser": ({"cnn": {"model": {"initializer": "xavier"}}}, "initializer is 'xavier': expected one of"),
    "batch too large": (
        {"cnn": {"train": {"batch_size": 9999}}},
        "train.batch_size is 9999: expected at most the 1079",
    ),
    "crop too large": ({"cnn": {"data": {"crop": 9}}}, "data.crop is 9: expected at most the images' 8 pixels"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_config_file_is_one_line_and_leaves_nothing(content, message, tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(content))
    assert compare.main(["--models", "cnn", "--config", str(path), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert compare.main(["--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_quick_is_small():
    recipe = plan_of(Compare(data=Data("mnist"), quick=True)).recipe
    assert {(run.data.limit, run.train.epochs) for run in recipe.runs.values()} == {(2000, 2)}
