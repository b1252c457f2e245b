"""A look at a trained network, as a command."""

import json
import re

import numpy as np
import pytest
from convnet.experiments.look import main
from PIL import Image

from convnet import data
from convnet.architectures import CNN, Linear
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.report.look import SECTIONS
from convnet.run import Trainer
from tests.compiling import quick_compilation

FIRST = ("layers", "training")
"""Sections that take no time."""


def train(model, path):
    config = RunConfig(DataConfig("digits", limit=200), model, train=TrainConfig(epochs=1, batch_size=50))
    Trainer(config, data.load("digits", limit=200)).run(directory=path)
    return path


@pytest.fixture(scope="module", autouse=True)
def quick():
    with quick_compilation():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(CNN(widths=(3,), head_width=0), tmp_path_factory.mktemp("runs") / "run")


def look(run, out, *args):
    return main([str(run), "--quick", "--no-live", "--out", str(out), *args])


@pytest.mark.slow
def test_every_section_is_on_the_page_in_order(run, tmp_path, capsys):
    assert main([str(run), "--quick", "--out", str(tmp_path / "look")]) == 0, capsys.readouterr().err
    html = (tmp_path / "look" / "report.html").read_text(encoding="utf-8")
    assert "could not be made" not in html
    titles = re.findall("<h2>(.*?)</h2>", html)
    expected = [title for name, (title, _) in SECTIONS.items() if name != "units"]
    assert [title for title in titles if title in expected] == expected
    assert "Units of conv1_relu" in titles
    assert html.count("wrong picture") + html.count("wrong table") >= len(SECTIONS)
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert (tmp_path / "look" / "live.html").stat().st_size < 3e6
    assert str(tmp_path / "look" / "report.html") in capsys.readouterr().out
    for folder, kind in (("figures", "png"), ("arrays", "npz")):
        assert list((tmp_path / "look" / folder).glob(f"*.{kind}"))


@pytest.mark.usefixtures("unseen_pictures")
def test_only_the_sections_that_are_asked_for(run, tmp_path):
    assert look(run, tmp_path / "look", "--sections", "training", "layers") == 0
    titles = re.findall("<h2>(.*?)</h2>", (tmp_path / "look" / "report.html").read_text(encoding="utf-8"))
    assert titles == [SECTIONS[name][0] for name in FIRST]
    assert not (tmp_path / "look" / "live.html").exists()


def test_beside_the_run_unless_told_otherwise(run):
    assert main([str(run), "--quick", "--no-live", "--sections", "layers"]) == 0
    assert (run / "look-quick" / "report.html").exists()


@pytest.mark.usefixtures("unseen_pictures")
def test_images_of_ones_own(run, tmp_path):
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "red one.png")
    assert look(run, tmp_path / "look", "--sections", "image", "--images", str(tmp_path / "red one.png")) == 0
    html = (tmp_path / "look" / "report.html").read_text(encoding="utf-8")
    assert "red one.png (made grey, resized from 10×20)" in html


@pytest.mark.usefixtures("unseen_pictures")
def test_units_that_are_asked_for(run, tmp_path):
    assert look(run, tmp_path / "look", "--sections", "units", "--units", "conv1_relu:2") == 0
    with np.load(tmp_path / "look" / "arrays" / "units-of-conv1-relu.npz") as arrays:
        assert arrays["units"].tolist() == [2]


@pytest.mark.usefixtures("unseen_pictures")
def test_the_same_seed_gives_the_same_numbers(run, tmp_path):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert look(run, tmp_path / name, "--sections", "inversion", "--seed", seed) == 0
    one, two, other = ((tmp_path / name / "arrays" / "inversion.npz").read_bytes() for name in "abc")
    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--sections", "wights"], "sections is 'wights': expected some of layers, training"),
        (["--units", "conv9:0"], "layer is 'conv9': expected one of conv1, conv1_relu"),
        (["--units", "conv1:3"], "units of conv1 hold 3: expected numbers from 0 to 2"),
        (["--units", "conv1:x"], "units hold 'conv1:x': expected LAYER:NUMBER"),
        (["--images", "missing.png"], "missing.png"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(run, tmp_path, capsys, args, told):
    assert look(run, tmp_path / "look", *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "look").exists()


def test_a_directory_that_is_no_run_or_holds_something_else(run, tmp_path, capsys):
    assert look(tmp_path, tmp_path / "look") == 2
    assert "no manifest.json" in capsys.readouterr().err
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("dear")
    assert look(run, tmp_path / "letters", "--sections", "layers") == 2
    assert "to-mother.txt" in capsys.readouterr().err


@pytest.mark.usefixtures("unseen_pictures")
def test_a_linear_model_has_a_page_too(tmp_path):
    run = train(Linear(), tmp_path / "linear")
    assert look(run, tmp_path / "look", "--sections", "layers", "weights", "classes", "trust") == 0
    html = (tmp_path / "look" / "report.html").read_text(encoding="utf-8")
    assert "could not be made" not in html


def test_the_directory_says_of_which_run_it_is(run, tmp_path):
    assert look(run, tmp_path / "look", "--sections", "layers") == 0
    plan = json.loads((tmp_path / "look" / "plan.json").read_text())
    assert plan == {"study": "look", "settings": {"run": str(run.resolve())}}
