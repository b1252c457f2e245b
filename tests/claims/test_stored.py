"""What was found of a claim is read as it was, or not at all."""

import json
import math

import pytest

from convnet.claims import stored
from convnet.claims.stored import read, save
from convnet.record import write_atomically
from convnet.report import png
from tests.claims.handmade import CLAIM, MADE_BY, OTHER, evidence, nothing_decided, numbers


@pytest.fixture
def out(tmp_path):
    return tmp_path / "new" / "claim"


def test_what_is_read_is_what_was_saved(out):
    made = evidence()
    saved = save(out, CLAIM, made, 1.5, MADE_BY)
    found = read(out, MADE_BY)
    assert (found.claim, found.seconds, found.made_by) == (CLAIM, 1.5, MADE_BY)
    assert numbers(found.evidence.findings) == numbers(made.findings)
    assert found.evidence.text == "Look at the bar."
    (table,) = found.evidence.tables
    assert (table.title, table.text, table.caption) == ("Hands", "All of them.", "By name.")
    assert table.table == [["hand", "wet"], ["left", "yes"]]
    assert [(p.key, p.alt, p.caption, p.of_images) for p in found.evidence.pictures] == [
        ("the first bar", "a bar of height 1", "Height: 1.", False), ("images", "a photograph", "", True),
    ]  # fmt: skip
    assert [p.figure for p in found.evidence.pictures] == [png(p.figure) for p in evidence().pictures]
    assert found.where["packages"]["jax"]
    assert found.verdict == saved.verdict == "holds with conditions"
    assert saved == found


def test_a_number_without_an_interval_is_read_as_that(out):
    save(out, OTHER, nothing_decided(), 0.5, MADE_BY)
    found = read(out, MADE_BY)
    (finding,) = found.evidence.findings
    assert math.isnan(finding.measured.low)
    assert (finding.outcome, found.verdict) == ("open", "not decided")


def test_the_file_says_the_verdict_and_the_outcomes_to_other_programs(out):
    save(out, CLAIM, evidence(), 1.5, MADE_BY)
    values = json.loads((out / "claim.json").read_text())
    assert values["verdict"] == "holds with conditions"
    assert [f["outcome"] for f in values["findings"]] == ["holds", "holds", "open"]
    assert sorted(path.name for path in (out / "figures").iterdir()) == ["images.png", "the-first-bar.png"]


OTHERS = {"code": {"code": "abd"}, "quick": {"quick": True}, "seeds": {"seeds": 3}}


@pytest.mark.parametrize("what", OTHERS)
def test_what_other_code_or_another_effort_made_is_not_taken(out, what):
    save(out, CLAIM, evidence(), 1.5, MADE_BY)
    assert read(out, MADE_BY | OTHERS[what]) is None


def cut(path):
    path.write_text(path.read_text()[:-20])


DAMAGES = {
    "nothing is there": lambda out: (out / "claim.json").unlink(),
    "half a file": lambda out: cut(out / "claim.json"),
    "another file": lambda out: (out / "claim.json").write_text("[]"),
    "a figure is missing": lambda out: (out / "figures" / "images.png").unlink(),
    "a figure is another": lambda out: (out / "figures" / "images.png").write_bytes(b"\x89PNG"),
    "figures have changed places": lambda out: (out / "figures" / "images.png").write_bytes(
        (out / "figures" / "the-first-bar.png").read_bytes()
    ),
    "of an older version": lambda out: (out / "claim.json").write_text(
        (out / "claim.json").read_text().replace('"text"', '"words"')
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_whole_is_not_taken(out, damage):
    save(out, CLAIM, evidence(), 1.5, MADE_BY)
    assert read(out, MADE_BY)
    DAMAGES[damage](out)
    assert read(out, MADE_BY) is None


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("last", [1, 2, 3])
def test_an_end_between_two_writes_leaves_no_mixture(out, monkeypatch, last):
    """Two figures and claim.json are written; before the one with the number `last`, everything ends. The older answer
    of another code is there whole or not at all, the new one is not, and the next one is whole."""
    older, newer = MADE_BY, MADE_BY | {"code": "newer"}
    save(out, CLAIM, evidence(height=1), 1.5, older)
    written = []

    def write(path, content):
        written.append(path.name)
        if len(written) == last:
            raise Killed
        write_atomically(path, content)

    monkeypatch.setattr(stored, "write_atomically", write)
    monkeypatch.setattr(stored, "write_json", lambda path, value: write(path, json.dumps(value)))
    with pytest.raises(Killed):
        save(out, CLAIM, evidence(height=2), 2.5, newer)
    assert written == ["the-first-bar.png", "images.png", "claim.json"][:last]
    monkeypatch.undo()
    assert read(out, newer) is None
    found = read(out, older)
    assert (found is None) == (last > 1)  # the first figure of the older answer is written over
    if found:
        assert found.evidence.pictures[0].alt == "a bar of height 1"
    again = save(out, CLAIM, evidence(height=2), 2.5, newer)
    assert read(out, newer) == again
    assert again.evidence.pictures[0].figure == png(evidence(height=2).pictures[0].figure)


def test_every_write_is_one_that_replaces_whole_files(out, monkeypatch):
    """Nothing else opens a file of the answer to write in it."""
    names = []
    for name in ("write_atomically", "write_json"):
        real = getattr(stored, name)
        monkeypatch.setattr(stored, name, lambda path, value, real=real: names.append(path.name) or real(path, value))
    save(out, CLAIM, evidence(), 1.5, MADE_BY)
    assert names == ["the-first-bar.png", "images.png", "claim.json"]
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == sorted(names)
