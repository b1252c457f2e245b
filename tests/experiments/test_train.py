"""One run from the command line: interrupted, resumed, refused."""

import json
import re
from dataclasses import replace

import pytest
from convnet.experiments import train

from convnet.architectures import ResNet
from convnet.cli import parse_command
from convnet.progress import Lines
from convnet.recipes import RECIPES
from convnet.record import metrics_hash, read_manifest, read_metrics

pytestmark = pytest.mark.usefixtures("unseen_pictures")

FAST = ["--model.name", "linear", "--train.epochs", "3", "--seed", "4", "--every-epoch"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("train") / "new" / "run"
    assert train.main([*FAST, "--out", str(out)]) == 0
    return out


def test_the_directory_holds_the_run(finished):
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names == {"manifest.json", "metrics.jsonl", "checkpoints", "result.npz", "report.html", "figures"}
    manifest = read_manifest(finished)
    assert (manifest["status"], manifest["config"]["seed"]) == ("finished", 4)
    assert [line["epoch"] for line in read_metrics(finished)] == [1, 2, 3]
    assert "One run of linear on digits" in (finished / "report.html").read_text()
    assert [path.name for path in sorted((finished / "checkpoints").iterdir())] == ["00000002", "00000003"]


def test_what_is_printed_is_what_is_stored(finished, capsys):
    assert train.main([*FAST, "--out", str(finished), "--resume"]) == 0
    output, manifest = capsys.readouterr().out, read_manifest(finished)
    assert f"test accuracy   {manifest['test_accuracy']:.4%}" in output
    assert f"parameter hash  {manifest['parameter_hash']}" in output
    assert str(finished / "report.html") in output


def test_an_interrupted_run_goes_on_to_the_same_bits(finished, tmp_path, monkeypatch, capsys):
    """Interrupted as Ctrl-C does it, in the second epoch."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:

        def interrupt(bar, **figures):
            if bar.n == 1:
                raise KeyboardInterrupt

        patch.setattr(Lines, "set_postfix", interrupt)
        assert train.main([*FAST, "--out", str(out)]) == 130
    assert "--resume goes on" in capsys.readouterr().err
    assert read_manifest(out)["status"] == "failed"
    assert train.main([*FAST, "--out", str(out), "--resume"]) == 0
    assert metrics_hash(read_metrics(out)) == metrics_hash(read_metrics(finished))
    assert read_manifest(out)["parameter_hash"] == read_manifest(finished)["parameter_hash"]


REFUSED = {
    "a directory that holds a run": ([*FAST], "holds a run already; go on with it (--resume) or choose another"),
    "another config": ([*FAST[:4], "--seed", "5", "--resume"], "holds another run: config.seed (4 then, 5 now)"),
}


@pytest.mark.parametrize(("args", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_there_is_not_overwritten(args, message, finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert train.main([*args, "--out", str(finished)]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_files_of_somebody_else_are_kept(tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    for more in ([], ["--resume"]):
        assert train.main([*FAST, *more, "--out", str(tmp_path)]) == 2
        assert "holds files of something else (report.html)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_file_is_no_directory(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert train.main([*FAST, "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_the_page_speaks_of_one_run(finished):
    page = re.sub(r"base64,[^\"]+", "", (finished / "report.html").read_text(encoding="utf-8"))
    for words in ("mean over seeds", "interval", "Thin lines", "thick"):
        assert words not in page
    for text in ("<h2>Result</h2>", "best epoch", "optim.learning_rate", "seed 4"):
        assert text in page


def test_a_picture_that_cannot_be_drawn_costs_its_place(tmp_path, monkeypatch, capsys):
    def fail(*args):
        raise RuntimeError("no such colour")

    monkeypatch.setattr("convnet.report.figures.confusion_matrices", fail)
    assert train.main([*FAST, "--out", str(tmp_path / "run")]) == 1
    printed = capsys.readouterr()
    assert "Confusion matrices: could not be made (RuntimeError: no such colour)" in printed.err
    assert "parameter hash" in printed.out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "This part could not be made (RuntimeError: no such colour)" in page
    assert (tmp_path / "run" / "figures" / "learning-curves.png").exists()


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("family", ["linear", "mlp", "cnn"])
def test_a_model_is_trained_as_the_comparison_trains_it(name, family):
    given = ["--data.name", name, f"--model.name={family}", "--seed", "3"]
    assert parsed(given) == replace(RECIPES[name].runs[family], seed=3)


def parsed(args):
    return parse_command(train.Train, args, defaults=train.defaults).trained


def test_without_options_it_is_the_comparisons_cnn():
    assert parsed([]) == RECIPES["digits"].runs["cnn"]


def test_what_is_given_wins_over_the_recipe():
    config = parsed(["--data.name", "cifar10", "--data.no-flip", "--optim.warmup", "0", "--model.dropout", "0"])
    recipe = RECIPES["cifar10"].runs["cnn"]
    assert (config.data.flip, config.optim.warmup, config.model.dropout) == (False, 0, 0)
    assert (config.data.shift, config.optim.weight_decay) == (recipe.data.shift, recipe.optim.weight_decay) == (2, 5e-4)


def stored(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return ["--config", str(path)]


FILE = '[model]\nname = "mlp"\nwidths = [12, 8]\n[optim]\nlearning_rate = 0.7\nmomentum = 0.3\n'


def test_a_file_wins_over_the_recipe_and_the_command_line_over_the_file(tmp_path):
    recipe = RECIPES["digits"].runs["mlp"]
    config = parsed([*stored(tmp_path, "settings.toml", FILE), "--optim.momentum", "0.4", "--model.widths", "9"])
    assert (config.model.name, config.model.widths, config.model.dropout) == ("mlp", (9,), recipe.model.dropout)
    assert (config.optim.learning_rate, config.optim.momentum, config.train) == (0.7, 0.4, recipe.train)


def test_the_command_line_may_name_another_model_than_the_file(tmp_path):
    config = parsed([*stored(tmp_path, "settings.toml", FILE), "--model.name", "linear"])
    assert config.model.name == "linear"
    assert config.optim.learning_rate == 0.7


def test_a_model_without_a_recipe_is_trained_as_the_cnn():
    config, cnn = parsed(["--model.name", "resnet18", "--data.name", "cifar10"]), RECIPES["cifar10"].runs["cnn"]
    assert config == replace(cnn, model=ResNet("resnet18"))


BAD = {
    "a setting of another model": (
        ["--model.name", "mlp", "--model.kernel", "3"],
        "unknown setting 'model.kernel' of mlp",
    ),
    "a file that is none": (["--config", "nowhere.toml"], "config is 'nowhere.toml': cannot be read"),
    "negative seed": (["--seed", "-1"], "seed is -1: expected 0 or more"),
    "unknown data set": (["--data.name", "minst"], "data.name is 'minst': did you mean mnist?"),
    "unknown model": (["--model.name", "vit"], "model.name is 'vit': expected one of linear, mlp, cnn, lenet5, "),
    "limit above the data": (["--data.limit", "5000"], "5000"),
    "a batch that is too large": (
        ["--train.batch-size", "2000"],
        "train.batch_size is 2000: expected at most the 1079",
    ),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(args, message, refused):
    assert message in refused(train.main, *args)


def test_a_diverging_run_is_one_line(tmp_path, capsys):
    assert train.main([*FAST, "--optim.learning-rate", "1e38", "--out", str(tmp_path / "out")]) == 1
    assert "is not finite at step" in capsys.readouterr().err.strip().splitlines()[-1]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "diverged"
