"""Photographs of one's own in the style of others, from the command line."""

import hashlib
import json

import numpy as np
import pytest
from convnet.experiments.style_transfer import main
from PIL import Image

import convnet
from convnet import data
from convnet.analysis.style_transfer import style_transfer
from convnet.architectures import CNN
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.data.files import read_photograph
from convnet.run import Trainer

CONFIG = RunConfig(DataConfig("digits", limit=200), CNN(widths=(4,)), train=TrainConfig(epochs=1, batch_size=50))
FEW = ("--steps", "3")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    Trainer(CONFIG, data.load("digits", limit=200)).run(directory=path)
    return path


@pytest.fixture
def photos(tmp_path, rng):
    """A photograph, and a style of another size."""
    paths = tmp_path / "a photo.png", tmp_path / "style.png"
    for path, size in zip(paths, ((18, 24, 3), (13, 11, 3)), strict=True):
        Image.fromarray(rng.integers(50, 200, size, np.uint8)).save(path)
    return [str(path) for path in paths]


def pixels(path):
    return np.asarray(Image.open(path))


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_picture_is_the_methods_and_its_making_is_told(run, photos, tmp_path, capsys):
    out = tmp_path / "new" / "picture.png"
    chosen = ["--content-layer", "conv1", "--style-layers", "conv1_relu", "pool1", "--style-weight", "30"]
    sizes = ["--size", "20", "--style-size", "9"]
    assert main([*photos, "--run", str(run), "--out", str(out), *sizes, *chosen, *FEW]) == 0
    printed = capsys.readouterr().out
    content, style = (
        read_photograph(path, channels=1, longest=size)[0] for path, size in zip(photos, (20, 9), strict=True)
    )
    layers = {"content_layer": "conv1", "style_layers": ("conv1_relu", "pool1")}
    expected = style_transfer(convnet.load(run), content, style, style_weight=30.0, steps=3, **layers)
    assert pixels(out).shape == (15, 20, 3)
    for channel in range(3):
        np.testing.assert_array_equal(pixels(out)[..., channel], np.round(255 * expected.image[..., 0]))
    assert "a photo.png, 15×20, made grey, resized from 18×24" in printed
    assert "style.png, 9×8, made grey, resized from 13×11" in printed
    assert "content conv1; style conv1_relu, pool1" in printed
    assert printed.splitlines()[-1].endswith(str(out))
    facts = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert facts["settings"]["style_weight"] == 30
    np.testing.assert_allclose(facts["objectives"], expected.objectives, rtol=1e-6)


def test_no_steps_give_the_photograph(run, photos, tmp_path):
    out = tmp_path / "picture.png"
    assert main([*photos, "--run", str(run), "--out", str(out), "--steps", "0"]) == 0
    photograph, _ = read_photograph(photos[0], channels=1, longest=384)
    np.testing.assert_array_equal(pixels(out), np.repeat(photograph, 3, axis=2))


def test_without_a_place_it_goes_under_the_names_of_both(run, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for weight in ("10", "10", "20"):
        assert main([*photos, "--run", str(run), "--style-weight", weight, *FEW]) == 0
    written = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if line.startswith("picture")]
    assert written[0] == written[1] != written[2]
    assert written[0].startswith("runs/style_transfer/a photo-style-")
    assert len(files(tmp_path / "runs")) == 4


def test_its_own_picture_is_written_over_and_nobody_elses(run, photos, tmp_path, capsys):
    out = tmp_path / "picture.png"
    args = [*photos, "--run", str(run), "--out", str(out), *FEW]
    assert main(args) == 0
    assert main([*args, "--style-weight", "3"]) == 0
    before = pixels(photos[1])
    assert main([*photos, "--run", str(run), "--out", photos[1], *FEW]) == 2
    assert "is there already and was not written by this command; choose another --out" in capsys.readouterr().err
    np.testing.assert_array_equal(pixels(photos[1]), before)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["none.png", "style.png"], "content: image is 'none.png': No such file or directory"),
        (["a photo.png", "text.png"], "style: image is 'text.png': it is no image that can be read"),
        (["a photo.png", "style.png", "--content-layer", "conv9"], "content_layer is 'conv9': expected maps of one of"),
        (["a photo.png", "style.png", "--style-layers", "logits"], "style_layers is 'logits': expected maps of conv1"),
        (["a photo.png", "style.png", "--style-weight", "-1"], "style_weight is -1.0: expected 0 or more"),
        (["a photo.png", "style.png", "--variation-weight", "-1"], "variation_weight is -1.0: expected 0 or more"),
        (["a photo.png", "style.png", "--steps", "-1"], "steps is -1: expected 0 or more"),
        (["a photo.png", "style.png", "--size", "0"], "size is 0: expected 1 or more pixels"),
        (["a photo.png", "style.png", "--style-size", "0"], "style_size is 0: expected 1 or more pixels"),
        (["a photo.png", "style.png", "--style-size", "1"], "style: layer pool1 does not fit an input of 1×1×4"),
        (["a photo.png", "style.png", "--seed", "-1"], "seed is -1: expected 0 or more"),
        (["a photo.png", "style.png", "--out", "picture.jpg"], "expected a file that ends in .png"),
        (["a photo.png", "style.png", "--run", "nowhere"], "run is 'nowhere': it has no manifest.json"),
    ],
)
def test_what_cannot_be_painted_is_refused_and_leaves_nothing(run, photos, args, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("not an image")
    before = files(tmp_path)
    assert main([*(args if "--run" in args else [*args, "--run", str(run)])]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error
    assert files(tmp_path) == before


def test_without_a_network_it_says_how_to_get_one(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(photos) == 2
    assert "nothing is there; make look-cifar trains it, or name another (--run)" in capsys.readouterr().err
