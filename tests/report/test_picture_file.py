"""Pictures that commands make for somebody: nothing of anybody else's is written over."""

import json

import numpy as np
import pytest
from PIL import Image

from convnet.report.picture_file import check_place, write_picture


@pytest.fixture
def image(rng):
    return rng.uniform(size=(3, 5, 3))


def test_what_is_written_can_be_read_and_is_told(tmp_path, image):
    out = tmp_path / "new" / "picture.png"
    check_place(out, "dream")
    write_picture(out, image, "dream", {"layer": "conv1"})
    np.testing.assert_array_equal(np.asarray(Image.open(out)), np.round(255 * image))
    facts = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert (facts["command"], facts["picture"], facts["layer"]) == ("dream", "picture.png", "conv1")
    assert facts["environment"]["packages"]["jax"]


def test_grey_pictures_are_grey(tmp_path, image):
    write_picture(tmp_path / "grey.png", image[..., :1], "dream", {})
    found = np.asarray(Image.open(tmp_path / "grey.png"))
    np.testing.assert_array_equal(found, np.repeat(np.round(255 * image[..., :1]), 3, axis=2))


def test_only_the_command_that_wrote_it_may_write_over_it(tmp_path, image):
    out = tmp_path / "picture.png"
    write_picture(out, image, "dream", {})
    check_place(out, "dream")
    with pytest.raises(ValueError, match=r"picture.json beside it was not written by this command"):
        check_place(out, "style_transfer")
    Image.new("RGB", (2, 2)).save(out)
    with pytest.raises(ValueError, match=r"picture.png': is there already and was not written by this command"):
        check_place(out, "dream")


@pytest.mark.parametrize("content", ["no JSON", "[1]", '{"mine": 1}', '{"command": "dream"}', '{"sha256": "0"}'])
def test_a_file_beside_it_that_is_somebody_elses(tmp_path, content):
    (tmp_path / "picture.json").write_text(content)
    with pytest.raises(ValueError, match=r"picture.json beside it was not written by this command; choose another"):
        check_place(tmp_path / "picture.png", "dream")


def test_places_that_will_not_do(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"expected a file that ends in \.png"):
        check_place(tmp_path / "picture.jpg", "dream")
    with pytest.raises(ValueError, match=r"cannot be written|is no directory"):
        check_place(tmp_path / "file" / "picture.png", "dream")
    with pytest.raises(ValueError, match="is there already"):
        check_place(tmp_path / "folder.png", "dream")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
