"""Predictions of images from files."""

import numpy as np
import pytest
from convnet.experiments.predict import main
from PIL import Image

from convnet import data
from convnet.architectures import Linear
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.data.files import read_image
from convnet.run import Trainer

CONFIG = RunConfig(DataConfig("digits", limit=200), Linear(), train=TrainConfig(epochs=1, batch_size=50))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    Trainer(CONFIG, data.load("digits", limit=200)).run(directory=path)
    return path


def test_the_likeliest_classes_of_each_image(run, tmp_path, capsys):
    test = data.load("digits").test
    for i in range(2):
        Image.fromarray(test.images[i, ..., 0]).save(tmp_path / f"{i}.png")
    Image.new("RGBA", (20, 10), (255, 0, 0, 128)).save(tmp_path / "red.png")
    assert main([str(run), *(str(tmp_path / name) for name in ("0.png", "1.png", "red.png"))]) == 0
    output, _ = capsys.readouterr()
    import convnet

    network = convnet.load(run)
    probabilities = network.probabilities(test.images[:2])
    lines = {line.split()[0]: line for line in output.splitlines() if ".png" in line}
    for i in range(2):
        best = int(probabilities[i].argmax())
        assert f"{network.class_names[best]} {probabilities[i, best]:.1%}" in lines[f"{i}.png"]
        assert "resized" not in lines[f"{i}.png"]
    assert "laid over white, made grey, resized from 10×20" in lines["red.png"]
    assert output.startswith("linear on digits, epoch 1: 8×8 in grey\n")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 3)])
def test_images_of_every_kind_are_brought_to_the_shape(mode, shape, tmp_path):
    suffix = "tiff" if mode in ("CMYK", "I;16") else "png"
    path = tmp_path / f"an image.{suffix}"
    Image.new(mode, (9, 11)).save(path)
    image, done = read_image(path, shape)
    assert (image.shape, image.dtype) == (shape, np.uint8)
    assert done[-1] == "resized from 11×9"


def test_transparent_pixels_are_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "x.png")
    image, done = read_image(tmp_path / "x.png", (8, 8, 3))
    assert (image == 255).all()
    assert done == ["laid over white"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "No such file or directory"),
        ("text.png", "it is no image that can be read"),
        ("cut.png", "it cannot be read"),
    ],
)
def test_what_is_no_image_is_refused(name, said, run, tmp_path, capsys):
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    assert main([str(run), str(tmp_path / name)]) == 2
    _, errors = capsys.readouterr()
    assert errors.startswith("error: images holds")
    assert said in errors


def test_bad_settings_are_refused(run, tmp_path, capsys):
    assert main([str(tmp_path), "x.png"]) == 2
    assert main([str(run), "x.png", "--top", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "it has no manifest.json that can be read" in errors[0]
    assert errors[1] == "error: top is 0: expected 1 or more"


def test_wider_pixels_are_scaled_not_clipped_and_that_is_said(tmp_path):
    values = np.arange(0, 64 * 1000, 1000).reshape(8, 8)
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "wide.png")
    image, done = read_image(tmp_path / "wide.png", (8, 8, 1))
    np.testing.assert_allclose(image[..., 0], values / 257, atol=0.51)
    assert done == ["made 8 bits"]
    Image.fromarray((values / 64000).astype(np.float32)).save(tmp_path / "float.tiff")
    image, done = read_image(tmp_path / "float.tiff", (8, 8, 3))
    assert (image.min(), image.max()) == (0, 255)
    assert done == ["made 8 bits", "grey as three colours"]


def test_photographs_are_turned_upright(tmp_path):
    pixels = np.zeros((8, 12), np.uint8)
    pixels[:, 6:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90° to the right
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    image, done = read_image(tmp_path / "photo.png", (12, 8, 1))
    assert done == ["turned upright"]
    assert image[:6].max() == 0
    assert image[6:].min() == 255


def test_grey_with_transparency_is_grey(tmp_path):
    Image.new("LA", (8, 8), (7, 255)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", (8, 8, 1))[1] == ["laid over white"]
    assert read_image(tmp_path / "x.png", (8, 8, 3))[1] == ["laid over white", "grey as three colours"]


def test_too_large_an_image_is_refused(tmp_path, monkeypatch):
    Image.new("L", (50, 50)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="it cannot be read"):
        read_image(tmp_path / "x.png", (8, 8, 1))
