"""Photographs of one's own, dreamt by a trained network, from the command line."""

import hashlib
import json

import numpy as np
import pytest
from convnet.experiments.dream import main
from PIL import Image

import convnet
from convnet import data
from convnet.analysis.deep_dream import deep_dream
from convnet.architectures import CNN
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.data.files import read_photograph
from convnet.run import Trainer

CONFIG = RunConfig(DataConfig("digits", limit=200), CNN(widths=(4,)), train=TrainConfig(epochs=1, batch_size=50))
FEW = ("--octaves", "2", "--iterations", "3", "--layer", "conv1_relu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    Trainer(CONFIG, data.load("digits", limit=200)).run(directory=path)
    return path


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "a photo.png"
    Image.fromarray(rng.integers(50, 200, (18, 24, 3), np.uint8)).save(path)
    return path


def pixels(path):
    return np.asarray(Image.open(path))


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_picture_is_the_networks_dream_and_its_making_is_told(run, photo, tmp_path, capsys):
    out = tmp_path / "new" / "dream.png"
    assert main([str(photo), "--run", str(run), "--out", str(out), "--size", "20", *FEW]) == 0
    printed = capsys.readouterr().out
    photograph, done = read_photograph(photo, channels=1, longest=20)
    expected = deep_dream(
        convnet.load(run), photograph[None], "conv1_relu", octaves=2, iterations=3, step=0.006, smooth=0.5
    )
    assert pixels(out).shape == (15, 20, 3)
    for channel in range(3):
        np.testing.assert_array_equal(pixels(out)[..., channel], np.round(255 * expected.images[0, ..., 0]))
    assert done == ["made grey", "resized from 18×24"]
    assert "a photo.png, 15×20, made grey, resized from 18×24" in printed
    assert "conv1_relu" in printed
    assert printed.splitlines()[-1].endswith(str(out))
    facts = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert facts["settings"]["octaves"] == 2
    np.testing.assert_allclose(facts["objectives"], expected.objectives[0], rtol=1e-6)


def test_no_iterations_give_the_photograph(run, photo, tmp_path):
    out = tmp_path / "dream.png"
    assert main([str(photo), "--run", str(run), "--out", str(out), "--iterations", "0", "--octaves", "2"]) == 0
    photograph, _ = read_photograph(photo, channels=1, longest=512)
    np.testing.assert_array_equal(pixels(out), np.repeat(photograph, 3, axis=2))


def test_without_a_place_it_goes_under_the_photographs_name(run, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in ("0", "0", "1"):
        assert main([str(photo), "--run", str(run), "--seed", seed, *FEW]) == 0
    written = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if line.startswith("picture")]
    assert written[0] == written[1] != written[2]
    assert written[0].startswith("runs/dream/a photo-")
    assert len(files(tmp_path / "runs")) == 4


def test_its_own_picture_is_written_over_and_nobody_elses(run, photo, tmp_path, capsys):
    out = tmp_path / "dream.png"
    args = [str(photo), "--run", str(run), "--out", str(out), *FEW]
    assert main(args) == 0
    assert main([*args, "--seed", "1"]) == 0
    Image.new("L", (3, 3)).save(out)  # somebody draws on it
    before = out.read_bytes()
    assert main(args) == 2
    assert "is there already and was not written by this command; choose another --out" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert main([str(photo), "--run", str(run), "--out", str(photo), *FEW]) == 2
    assert pixels(photo).shape == (18, 24, 3)


def test_what_stands_beside_is_left_alone(run, photo, tmp_path, capsys):
    beside = tmp_path / "dream.json"
    for content in ('{"mine": 1}', '{"command": "other", "sha256": ""}', "no JSON", "[1]"):
        beside.write_text(content)
        assert main([str(photo), "--run", str(run), "--out", str(tmp_path / "dream.png"), *FEW]) == 2
        assert "dream.json beside it was not written by this command" in capsys.readouterr().err
        assert beside.read_text() == content
    assert files(tmp_path) == ["a photo.png", "dream.json"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["none.png"], "image is 'none.png': No such file or directory"),
        (["text.png"], "image is 'text.png': it is no image that can be read"),
        (["a photo.png", "--layer", "conv9"], "layer is 'conv9': expected one of conv1, conv1_relu, pool1"),
        (["a photo.png", "--octaves", "0"], "octaves is 0: expected 1 or more"),
        (["a photo.png", "--octaves", "20"], "octaves is 20: the smallest would be 0×0"),
        (["a photo.png", "--iterations", "-1"], "iterations is -1: expected 0 or more"),
        (["a photo.png", "--step", "0"], "step is 0.0: expected a positive number"),
        (["a photo.png", "--smooth", "-1"], "smooth is -1.0"),
        (["a photo.png", "--size", "0"], "size is 0: expected 1 or more pixels"),
        (["a photo.png", "--out", "dream.jpg"], "out is 'dream.jpg': expected a file that ends in .png"),
        (["a photo.png", "--out", "text.png/dream.png"], "cannot be written"),
        (["a photo.png", "--out", "folder.png"], "out is 'folder.png': is there already"),
        (["a photo.png", "--run", "nowhere"], "run is 'nowhere': it has no manifest.json that can be read"),
    ],
)
def test_what_cannot_be_dreamt_is_refused_and_leaves_nothing(run, photo, args, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    before = files(tmp_path)
    assert main([*(args if "--run" in args else [*args, "--run", str(run)])]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error
    assert files(tmp_path) == before


def test_without_a_network_it_says_how_to_get_one(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(photo)]) == 2
    assert "nothing is there; make look-cifar trains it, or name another (--run)" in capsys.readouterr().err


def test_a_photograph_keeps_its_proportions_and_is_not_enlarged(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (300, 2)).save(path)
    assert read_photograph(path, channels=3, longest=500)[0].shape == (2, 300, 3)
    assert read_photograph(path, channels=3, longest=150)[0].shape == (1, 150, 3)
    image, done = read_photograph(path, channels=1, longest=30)
    assert image.shape == (1, 30, 1)
    assert done == ["made grey", "resized from 2×300"]
    with pytest.raises(ValueError, match="longest is 0: expected 1 or more"):
        read_photograph(path, channels=3, longest=0)
