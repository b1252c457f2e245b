"""The questions of the field, as presets of ablations."""

from dataclasses import replace

import pytest
from convnet.experiments import ablate
from convnet.experiments.ablate import PRESETS

from convnet import data
from convnet.ablation.plan import preset_names, quickened, read_preset
from convnet.cli import parse_command
from tests.experiments.ablations import run

# --- what it tells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "code"), [([], 2), (["--list"], 0), (["--seeds", "3"], 2)])
def test_without_a_question_it_lists_those_of_the_presets(args, code, tmp_path, capsys):
    assert run(*args, out=tmp_path / "out") == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(preset_names(PRESETS))]] == preset_names(PRESETS)
    assert any("Do more convolutions per stage help" in line for line in lines)
    assert not (tmp_path / "out").exists()


# --- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names(PRESETS))
def test_a_preset_asks_a_question_and_expands(name):
    plan = read_preset(name, PRESETS)
    assert plan.question.endswith("?")
    assert plan.base.data.name == ("cifar10" if name.endswith("-cifar10") else "digits")
    arms = plan.arms(max_cells=1000)
    assert len(arms) >= 2
    short = quickened(arms)
    assert 2 <= len(short) <= 3
    assert all(arm.config.train.epochs <= 2 for arm in short)


@pytest.mark.sweep
@pytest.mark.parametrize("name", preset_names(PRESETS))
def test_a_preset_runs(name, tmp_path):
    assert run("--preset", name, "--quick", out=tmp_path / "out") == 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_the_presets_are_those_of_the_field():
    assert set(preset_names(PRESETS)) >= {
        "initializers", "batch-equal-epochs", "batch-equal-updates", "momentum", "learning-rate-batch-size", "depth",
        "width", "first-layer", "normalization", "activations", "pooling", "head", "loss", "gradients",
    }  # fmt: skip


def test_equal_updates_are_equal():
    n = len(data.load("digits").train)
    updates = {}
    for arm in read_preset("batch-equal-updates", PRESETS).arms():
        batch = n if arm.config.train.batch_size == "full" else arm.config.train.batch_size
        updates[arm.name] = arm.config.train.epochs * (n // batch)
    assert {updates[name] for name in ("mini-batch 32", "mini-batch 256", "batch")} == {660}


def test_the_reference_comes_first():
    plan = read_preset("width", PRESETS)
    assert [arm.name for arm in plan.arms()] == ["16+32", "2+4", "4+8", "8+16", "32+64"]
    with pytest.raises(ValueError, match=r"unknown reference '16': did you mean 8\+16 or 16\+32"):
        replace(plan, reference="16").arms()


def base_of(tmp_path, *args):
    (tmp_path / "settings.json").write_text('{"train": {"epochs": 7, "batch_size": 16}}', encoding="utf-8")
    given = ["--preset", "depth", "--config", str(tmp_path / "settings.json"), *args]
    return ablate.plan_of(parse_command(ablate.Ablate, given, defaults=ablate.defaults))[0].base


def test_a_file_wins_over_the_preset_and_the_command_line_over_the_file(tmp_path):
    preset = read_preset("depth", PRESETS).base
    assert base_of(tmp_path) == replace(preset, train=replace(preset.train, epochs=7, batch_size=16))
    assert base_of(tmp_path, "--train.epochs", "2").train == replace(preset.train, epochs=2, batch_size=16)
