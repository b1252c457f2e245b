"""The trial of back-propagation by hand, as a command: what it writes, what it times, and its exit code."""

import json

import numpy as np
import pytest
from convnet.experiments import backprop_by_hand as by_hand

from convnet import architectures, trial
from convnet.report.backprop_page import PRECISIONS, WAYS, Outcome, Run


@pytest.mark.usefixtures("unseen_pictures")
@pytest.mark.parametrize(
    ("difference", "code", "line"),
    [
        (2e-15, 0, "all agree: float64 to 2.0e-15"),
        (0.5, 1, "WRONG in float64: mlp dense1/kernel"),
        (np.nan, 1, "WRONG in float64: mlp dense1/kernel"),
        (np.inf, 1, "WRONG in float64: mlp dense1/kernel"),
    ],
)
def test_the_exit_code_tells_and_the_parameter_is_named(difference, code, line, tmp_path, capsys, monkeypatch):
    values = {way: np.ones((2, 3)) for way in WAYS}
    run = Run({"dense1/kernel": difference, "dense1/bias": 1e-16}, values, values)
    outcome = Outcome("mlp", {"dense1/kernel": (2, 3), "dense1/bias": (3,)}, {p: [run] for p in PRECISIONS})
    monkeypatch.setattr(trial, "try_model", lambda *args: outcome)
    assert by_hand.main(["--models", "mlp", "--epochs", "1", "--seeds", "1", "--out", str(tmp_path)]) == code
    assert line in capsys.readouterr().out.splitlines()


def test_seconds_are_those_of_the_epochs_of_each_way(monkeypatch):
    """Per step; not those of the other way, nor of the progress that is told between them."""
    now = [1000.0]
    monkeypatch.setattr(trial.time, "perf_counter", lambda: now[0])

    def passing(seconds, loss):
        def epoch(params, images, labels, batches):
            now[0] += seconds
            return params + 1, np.full(len(batches), loss)

        return epoch

    class Bar:
        def update(self):
            now[0] += 500.0

    epochs = {"by hand": passing(8.0, 0.5), "jax.grad": passing(2.0, 0.25)}
    end, losses, seconds = trial.race(epochs, 0, None, None, np.zeros((3, 4, 32), int), Bar())
    assert end == 3
    assert {way: values.tolist() for way, values in seconds.items()} == {"by hand": [2.0] * 3, "jax.grad": [0.5] * 3}
    assert {way: values.tolist() for way, values in losses.items()} == {
        "by hand": [[0.5] * 4] * 3, "jax.grad": [[0.25] * 4] * 3,
    }  # fmt: skip


TINY = {"cnn": architectures.CNN(widths=(4,), head_width=0, activation="tanh", pool="avg")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("backprop") / "new" / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "MODELS", TINY)
        assert by_hand.main(["--models", "cnn", "--seeds", "2", "--epochs", "3", "--out", str(out)]) == 0
    return out


def test_both_train_alike(finished):
    (line,) = json.loads((finished / "summary.json").read_text())["models"]
    assert (line["model"], line["seeds"]) == ("cnn", 2)
    assert max(line["gradients"]["float64"].values()) <= 1e-12
    assert max(line["gradients"]["float32"].values()) <= 1e-4
    assert line["losses"]["float64"] <= 1e-12
    assert 0 < line["losses"]["float32"] <= 1e-4
    assert all(seconds > 0 for seconds in line["seconds_per_step"].values())
    assert line["loss"]["last epoch"] < 0.7 * line["loss"]["first epoch"]


def test_the_report_holds_the_tables_and_the_curves(finished):
    page = (finished / "report.html").read_text()
    for text in ("<h2>Results</h2>", "<h2>Gradients</h2>", "<h2>Training curves</h2>", "conv1/kernel", "3 × 3 × 1 × 4"):
        assert text in page
    assert (finished / "figures" / "training-curves.png").stat().st_size > 10_000


BAD = {
    "unknown model": (["--models", "rnn"], "model is 'rnn': expected one of linear, mlp, cnn"),
    "the same twice": (["--models", "mlp", "mlp"], "models is ('mlp', 'mlp'): expected distinct models"),
    "no seeds": (["--seeds", "0"], "seeds is 0: expected 1 or more"),
    "no epochs": (["--epochs", "0"], "epochs is 0: expected 1 or more"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(args, message, refused):
    assert refused(by_hand.main, *args).startswith(f"error: {message}")


def test_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert by_hand.main(["--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err
