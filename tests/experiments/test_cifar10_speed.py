"""The speed run as a command: what is trained, what is kept, what is refused; on small images made here."""

import json

import jax
import numpy as np
import pytest
from convnet.experiments import cifar10_speed
from convnet.experiments.cifar10_speed import CifarSpeed, choose_device, images_of

from convnet import data
from convnet.recipes import SPEED


@pytest.fixture
def pictures(monkeypatch):
    """In the place of CIFAR-10."""
    rng = np.random.default_rng(0)
    made = data.from_arrays("cifar10", rng.integers(0, 256, (1500, 16, 16, 3)).astype(np.uint8), np.arange(1500) % 10)
    monkeypatch.setattr(data, "load", lambda name, limit=None: made)
    monkeypatch.setattr(cifar10_speed, "matrix_product_rate", lambda dtype: {"float32": 2e9, "bfloat16": 4e9}[dtype])
    return made


def test_a_tiny_one_from_end_to_end(pictures, tmp_path, capsys):
    out = tmp_path / "out"
    assert cifar10_speed.main(["--quick", "--runs", "2", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "and moved, six views" in said
    assert (out / "report.html").exists()
    stored = json.loads((out / "cifar10_speed.json").read_text(encoding="utf-8"))
    assert [run["seed"] for run in stored["runs"]] == [0, 1]
    assert len(stored["runs"][0]["losses"]) == stored["steps"]
    assert stored["matrix_product"] == {"float32": 2e9, "bfloat16": 4e9}

    # The same command again takes over what is there, and makes what is missing.
    before = (out / "runs.jsonl").read_text(encoding="utf-8")
    assert cifar10_speed.main(["--quick", "--runs", "3", "--out", str(out)]) == 0
    after = (out / "runs.jsonl").read_text(encoding="utf-8")
    assert after.startswith(before)
    assert [json.loads(line)["seed"] for line in after.splitlines()] == [0, 1, 2]

    capsys.readouterr()
    assert cifar10_speed.main(["--quick", "--widths", "4", "--out", str(out)]) == 2
    assert "holds results of other settings: config" in capsys.readouterr().err


def test_no_run_begins_that_would_end_too_late(pictures, tmp_path, monkeypatch):
    """Runs of 10 s, and 25 s in all."""
    clock = iter(range(0, 1000, 10))

    class Clock:
        monotonic = staticmethod(lambda: next(clock))

    made = []

    class Fake:
        def run(self, seed):
            made.append(seed)

    monkeypatch.setattr(cifar10_speed, "time", Clock)
    monkeypatch.setattr(
        cifar10_speed.SpeedRecord,
        "of",
        classmethod(lambda cls, result: cls(made[-1], 9.0, 1.0, {"one": 0.5}, (1.0,))),
    )
    runs = cifar10_speed.trained(CifarSpeed(runs=9, budget=45.0), tmp_path, Fake())
    # The clock is read before and after each run: they begin at 10 and 30; a third would begin at 50.
    assert [run.seed for run in runs] == made == [0, 1]


def test_what_is_counted(pictures):
    tested, held_out = images_of(CifarSpeed()), images_of(CifarSpeed(validation=True))
    assert len(tested.train) == len(pictures.train) + len(pictures.validation)
    assert tested.test is pictures.test
    assert len(held_out.train) == len(pictures.train)
    assert held_out.test is pictures.validation


def test_recipes(tmp_path):
    assert CifarSpeed().recipe() == SPEED["0.94"]
    assert CifarSpeed(target="0.9").recipe() == SPEED["0.9"] != SPEED["0.94"]
    assert CifarSpeed(widths=(8, 16, 32), epochs=3).recipe().model.widths == (8, 16, 32)
    assert CifarSpeed(widths=(8, 16, 32), epochs=3).recipe().train.epochs == 3
    file = tmp_path / "mine.json"
    file.write_text('{"optim": {"learning_rate": 0.125}}', encoding="utf-8")
    assert CifarSpeed(config=file).recipe().optim.learning_rate == 0.125
    assert CifarSpeed(config=file).recipe().optim.rates == SPEED["0.94"].optim.rates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": {"name": "mnist"}}', r"^data\.name is 'mnist': expected 'cifar10'"),
        ('{"data": {"limit": 100}}', r"^data\.limit is 100: expected none"),
        ('{"seed": 3}', r"^seed is 3: expected none in the config file"),
    ],
)
def test_settings_without_an_effect_are_refused(text, message, tmp_path):
    (tmp_path / "mine.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        CifarSpeed(config=tmp_path / "mine.json").recipe()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--runs", "0"], "runs is 0: expected 1 or more"),
        (["--budget", "0"], "budget is 0.0: expected a positive number of seconds"),
        (["--widths", "0"], "model.widths is"),
        (["--epochs", "0"], "train.epochs is 0: expected 1 or more"),
    ],
)
def test_refused(args, message, pictures, tmp_path, capsys):
    assert cifar10_speed.main([*args, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there(monkeypatch):
    def none_found():
        raise RuntimeError("no backend")

    asked = []
    monkeypatch.setattr(jax.config, "update", lambda name, value: asked.append((name, value)))
    monkeypatch.setattr(jax, "devices", none_found)
    with pytest.raises(ValueError, match=r"^device is 'gpu': JAX finds none here$"):
        choose_device("gpu")
    assert asked == [("jax_platforms", "cuda"), ("jax_platforms", None)]
