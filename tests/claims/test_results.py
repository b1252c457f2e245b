"""The findings of all claims in one file, and back."""

import json

import pytest

from convnet.claims.page import write_document
from convnet.claims.results import read_results, write_results
from tests.claims.handmade import answers, numbers

FILES = ["water", "fire"]


@pytest.fixture
def stored(tmp_path):
    """The file, and the folder of the document's pictures."""
    write_document(tmp_path / "claims.md", answers(), FILES)
    write_results(tmp_path / "claims.json", answers(), FILES)
    return tmp_path / "claims.json", tmp_path / "claims"


def test_what_is_read_makes_the_same_document(stored, tmp_path):
    path, pictures = stored
    found, files = read_results(path, pictures)
    assert files == FILES
    write_document(tmp_path / "again.md", found, files)
    again, first = ((tmp_path / name).read_text(encoding="utf-8") for name in ("again.md", "claims.md"))
    assert again.replace("(again/", "(claims/") == first
    for one, other in zip(found, answers(), strict=True):
        assert numbers(one.evidence.findings) == numbers(other.evidence.findings)
        assert (one.claim, one.verdict, one.seconds, one.made_by) == (
            other.claim, other.verdict, other.seconds, other.made_by,
        )  # fmt: skip


def test_other_programs_find_every_number_by_name(stored):
    values = json.loads(stored[0].read_text(encoding="utf-8"))
    water, fire = values["claims"]
    assert (water["file"], water["claim"]["number"], water["verdict"]) == ("water", 3, "holds with conditions")
    (wet, *_) = water["findings"]
    assert (wet["measured"]["value"], wet["measured"]["n"], wet["least"], wet["outcome"]) == (0.975, 40, 0.5, "holds")
    assert water["tables"] == [
        {"title": "Hands", "text": "All of them.", "table": [["hand", "wet"], ["left", "yes"]], "caption": "By name."}
    ]
    assert fire["where"]["device"] == "abacus"
    assert len(fire["pictures"]) == 1


def test_a_picture_of_something_else_is_refused(stored):
    path, pictures = stored
    (pictures / "11-fire-hot-or-not.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"11-fire-hot-or-not\.png is not the picture that was measured"):
        read_results(path, pictures)


@pytest.mark.parametrize("text", ["", "[]", '{"claims": [{}]}', '{"claims": [{"file": "f"}]}'])
def test_what_is_no_such_file_is_refused(stored, text):
    path, pictures = stored
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"claims\.json cannot be read .*: expected results of claims"):
        read_results(path, pictures)


def test_a_missing_picture_is_named(stored):
    path, pictures = stored
    (pictures / "03-water-is-wet.png").unlink()
    with pytest.raises(ValueError, match=r"03-water-is-wet\.png"):
        read_results(path, pictures)
