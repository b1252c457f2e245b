"""The comparison: what it writes, what it refuses, and what it does with a run that diverges."""

import csv
import json
import re

import numpy as np
import pytest
import tyro
from convnet.experiments import compare
from convnet.experiments.compare import Compare, Data, plan_of

from convnet.config import RunConfig
from convnet.recipes import RECIPES
from convnet.result import load_result
from convnet.settings import content_hash, from_dict

pytestmark = pytest.mark.usefixtures("unseen_pictures")

FAST = ["--models", "linear", "mlp", "--seeds", "2", "--train.epochs", "2"]


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
    for heading in (
        "Learning curves",
        "Confusion matrices",
        "Templates of the linear model",
        "Most confident errors",
        "Settings",
        "Settings in common",
    ):
        assert f"<h2>{heading}</h2>" in html


def test_resume_takes_over_what_is_finished_and_repeats_what_is_not(finished):
    before = rows_of(finished)
    runs = {(row["family"], row["seed"]): finished / row["run"] for row in before}
    (runs["mlp", "1"] / "manifest.json").write_text("torn")
    written = {name: (path / "metrics.jsonl").stat().st_mtime_ns for name, path in runs.items()}
    assert compare.main([*FAST, "--resume", "--out", str(finished)]) == 0
    now = {name: (path / "metrics.jsonl").stat().st_mtime_ns for name, path in runs.items()}
    assert {name for name in runs if now[name] != written[name]} == {("mlp", "1")}
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


def configured(tmp_path, content, *args):
    """The runs of a comparison with the config file `content` and more arguments."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return plan_of(tyro.cli(Compare, args=["--config", str(path), *args]))


FILE = {
    "cnn": {
        "gradient": "auto",
        "data": {"limit": 500, "shift": 2},
        "train": {"epochs": 7},
        "optim": {"learning_rate": 0.5},
    }
}


def test_the_config_file_wins_over_defaults(tmp_path):
    run = configured(tmp_path, FILE).recipe.runs["cnn"]
    assert (run.gradient, run.data.limit, run.data.shift, run.train.epochs) == ("auto", 500, 2, 7)
    assert run.optim.learning_rate == 0.5


def test_what_is_given_wins_over_the_config_file(tmp_path):
    given = ["--gradient", "hand", "--data.limit", "600", "--train.epochs", "3"]
    run = configured(tmp_path, FILE, *given).recipe.runs["cnn"]
    assert (run.gradient, run.data.limit, run.data.shift, run.train.epochs) == ("hand", 600, 2, 3)


def test_the_config_file_may_name_the_data_set(tmp_path):
    content = {"cnn": {"data": {"name": "mnist"}}}
    found = configured(tmp_path, content)
    assert found.data == "mnist"
    assert found.recipe.runs["mlp"] == RECIPES["mnist"].runs["mlp"]
    assert configured(tmp_path, content, "--data.name", "cifar10").data == "cifar10"
    with pytest.raises(ValueError, match=r"data\.name is mnist and digits in the config file: expected one data set"):
        configured(tmp_path, content | {"mlp": {"data": {"name": "digits"}}})


def test_families_may_be_trained_on_different_numbers_of_images(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"mlp": {"data": {"limit": 100}}}), encoding="utf-8")
    out = tmp_path / "out"
    assert compare.main([*FAST, "--seeds", "1", "--config", str(path), "--out", str(out)]) == 0
    limits = {f["family"]: f["config"]["data"]["limit"] for f in summary_of(out)["families"]}
    assert limits == {"linear": None, "mlp": 100}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "training: 1,079 (linear), 100 (mlp)" in page
    assert "mean over seeds" not in page


def summary_of(out):
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


# --- whose directory it is --------------------------------------------------------------------------------------------


def test_results_of_other_settings_are_kept(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    for args, message in (
        (["--models", "linear", "--seeds", "2", "--train.epochs", "2"], "runs.mlp (some there, none here)"),
        ([*FAST, "--seeds", "1"], "seeds (2 there, 1 here)"),
        ([*FAST, "--train.epochs", "3"], "runs.linear.train.epochs (2 there, 3 here)"),
    ):
        assert compare.main([*args, "--out", str(finished)]) == 2
        assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_files_of_somebody_else_are_kept(tmp_path, capsys):
    (tmp_path / "results.csv").write_text("mine")
    assert compare.main([*FAST, "--out", str(tmp_path)]) == 2
    assert "holds files of something else (results.csv)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def default_directory(*args):
    settings = tyro.cli(Compare, args=args)
    return str(compare.directory_of(settings, plan_of(settings)))


def test_other_settings_have_another_default_directory():
    assert default_directory() == default_directory("--train.epochs", "40", "--resume") == "runs/compare/digits"
    assert default_directory("--data.name", "mnist") == "runs/compare/mnist"
    assert default_directory("--quick") == default_directory("--quick", "--seeds", "9") == "runs/compare/digits-quick"
    others = [
        default_directory(*args)
        for args in (["--models", "linear"], ["--seeds", "6"], ["--gradient", "auto"], ["--target", "0.9"])
    ]
    assert len(set(others)) == 4
    assert all(re.fullmatch("runs/compare/digits-[0-9a-f]{12}", other) for other in others)


# --- divergence, bad input --------------------------------------------------------------------------------------------


def test_a_diverged_run_is_a_result(tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"mlp": {"optim": {"learning_rate": 1e30}}}))
    assert compare.main([*FAST, "--config", str(path), "--out", str(tmp_path / "out")]) == 0
    statuses = {(row["family"], row["status"], bool(row["test_accuracy"])) for row in rows_of(tmp_path / "out")}
    assert statuses == {("linear", "finished", True), ("mlp", "diverged", False)}
    output = capsys.readouterr()
    assert "none (2 of 2 diverged)" in output.out
    assert "mlp: every run diverged: there is no accuracy" in output.out.splitlines()
    assert "mlp, seed 1: diverged: the loss or its gradient is not finite at step" in output.err


BAD = {
    "unknown data set": (["--data.name", "minst"], "data.name is 'minst': expected one of digits, mnist, cifar10"),
    "unknown family": (["--models", "linear", "rnn"], "there is no model or setting 'rnn': did you mean cnn"),
    "no seeds": (["--seeds", "0"], "seeds is 0: expected 1 or more"),
    "negative seeds": (["--seeds", "-3"], "seeds is -3: expected 1 or more"),
    "no epochs": (["--train.epochs", "0"], "train.epochs is 0: expected 1 or more"),
    "no families": (["--models"], "models is (): expected distinct families"),
    "the same twice": (["--models", "mlp", "mlp"], "models is ('mlp', 'mlp'): expected distinct families"),
    "no examples": (["--data.limit", "0"], "data.limit is 0: expected a positive number of examples"),
    "impossible target": (["--target", "1.5"], r"target is 1.5: expected an accuracy in (0, 1]"),
    "limit below the classes": (["--data.limit", "3"], "3"),
    "limit above the data": (["--data.limit", "5000"], "5000"),
    "no config file": (["--config", "nowhere.json"], "config is 'nowhere.json': cannot be read"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_leaves_nothing(args, message, refused):
    assert message in refused(compare.main, *args)


def test_the_ends_of_what_is_allowed_are_allowed():
    plan = plan_of(Compare(seeds=1, target=1.0, models=("linear",)))
    assert (plan.seeds, plan.recipe.target) == (1, 1.0)
    with pytest.raises(ValueError, match=r"^target is 0\.0: expected an accuracy in \(0, 1\]"):
        plan_of(Compare(target=0.0))


BAD_FILES = {
    "unknown key": ({"cnn": {"modle": {}}}, "unknown setting 'cnn.modle': did you mean model"),
    "nested unknown key": (
        {"cnn": {"optim": {"lr": 1}}},
        "unknown setting 'cnn.optim.lr': expected one of name",
    ),
    "unknown family": ({"rnn": {}}, "there is no model or setting 'rnn': did you mean cnn"),
    "setting of another model": (
        {"mlp": {"model": {"kernel": 3}}},
        "unknown setting 'mlp.model.kernel' of mlp",
    ),
    "unknown key of a family that is not compared": (
        {"mlp": {"optm": {}}},
        "unknown setting 'mlp.optm': did you mean opt",
    ),
    "seed": ({"cnn": {"seed": 3}}, "cnn.seed is 3: expected none in the config file, for --seeds says which there are"),
    "no settings": ({"cnn": 3}, "cnn is 3: expected a mapping of settings"),
    "no number": (
        {"cnn": {"optim": {"weight_decay": float("nan")}}},
        "optim.weight_decay is nan: expected a finite number",
    ),
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
def test_bad_config_file_is_one_line_and_leaves_nothing(content, message, tmp_path, refused):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(content))
    assert message in refused(compare.main, "--models", "cnn", "--config", str(path))


def test_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert compare.main(["--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_quick_is_small():
    recipe = plan_of(Compare(data=Data("mnist"), quick=True)).recipe
    assert {(run.data.limit, run.train.epochs) for run in recipe.runs.values()} == {(2000, 2)}
