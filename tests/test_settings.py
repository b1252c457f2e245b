"""Settings as values: one name each, sections of several kinds, texts, files, differences."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from convnet.settings import (
    apply,
    describe_differences,
    differences,
    flat,
    from_dict,
    parse,
    paths,
    read_file,
    require,
    settle,
    suggestion,
    to_dict,
)


@dataclass(frozen=True)
class Circle:
    name: Literal["circle", "disc"] = "circle"
    radius: float = 1.0
    colours: tuple[int, ...] | None = None

    def __post_init__(self):
        settle(self, "shape")
        require(self.radius > 0, "shape.radius", self.radius, "a positive length")


@dataclass(frozen=True)
class Box:
    name: Literal["box"] = "box"
    side: int = 2
    colours: tuple[int, ...] | None = (7,)


@dataclass(frozen=True)
class Drawing:
    shape: Circle | Box = field(default_factory=Circle)
    title: str | None = None


# --- sections of several kinds ----------------------------------------------------------------------------------------


def test_the_name_says_which_kind_it_is():
    assert from_dict(Drawing, {"shape": {"name": "box", "side": 5}}) == Drawing(Box(side=5))
    assert from_dict(Drawing, {"shape": {"name": "disc"}}) == Drawing(Circle(name="disc"))
    assert from_dict(Drawing, {"shape": {"radius": 3}}) == Drawing(Circle(radius=3.0))


@pytest.mark.parametrize("drawing", [Drawing(Box(side=3, colours=(1, 2))), Drawing(Circle("disc", 2.5), "a")])
def test_every_kind_comes_back_from_json(drawing):
    assert from_dict(Drawing, json.loads(json.dumps(to_dict(drawing)))) == drawing


def test_what_was_set_stays_where_the_new_kind_has_it_too():
    """What is a default stays behind: the new kind has defaults of its own."""
    assert apply(Drawing(Circle(radius=4.0, colours=(1,))), {"shape.name": "box"}) == Drawing(Box(colours=(1,)))
    assert apply(Drawing(Circle(radius=4.0)), {"shape.name": "box"}) == Drawing(Box())
    assert apply(Drawing(Circle(radius=4.0)), {"shape.name": "disc"}) == Drawing(Circle("disc", 4.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shape": {"name": "bax"}}, r"^shape\.name is 'bax': did you mean box\?$"),
        ({"shape": {"name": "zzz"}}, r"^shape\.name is 'zzz': expected one of circle, disc, box$"),
        ({"shape": {"name": 3}}, r"^shape\.name is 3: expected one of circle, disc, box$"),
        ({"shape": {"side": 3}}, r"^unknown setting 'shape\.side' of circle: expected one of name, radius, colours$"),
        ({"shape": {"name": "box", "sides": 3}}, r"^unknown setting 'shape\.sides' of box: did you mean side\?$"),
        ({"shape": {"radius": 0}}, r"^shape\.radius is 0\.0: expected a positive length$"),
        ({"titel": "x"}, r"^unknown setting 'titel': did you mean title\?$"),
    ],
    ids=["nearly", "not at all", "no text", "another kind's", "misspelt", "range", "top"],
)
def test_what_a_kind_has_not_is_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Drawing, values)


def test_paths_are_those_of_all_kinds():
    found = paths(Drawing)
    assert set(found) == {"shape.name", "shape.radius", "shape.colours", "shape.side", "title"}
    for name in ("circle", "disc", "box"):
        assert parse(name, found["shape.name"]) == name


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("3", float, 3.0),
        ("1e-3", float, 0.001),
        ("none", int | None, None),
        ("None", tuple[int, ...] | None, None),
        ("16+32", tuple[int, ...] | None, (16, 32)),
        ("16", tuple[int, ...], (16,)),
        ("0.5+0.75", tuple[float, ...], (0.5, 0.75)),
        ("true", bool, True),
        ("False", bool, False),
        ("full", int | Literal["full"], "full"),
        ("64", int | Literal["full"], 64),
        ("b", Literal["a", "b"], "b"),
        ("none", str, "none"),
    ],
)
def test_a_text_is_a_value_of_its_setting(text, hint, value):
    found = parse(text, hint)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "hint"),
    [("x", int), ("1.5", int), ("c", Literal["a", "b"]), ("1+x", tuple[int, ...]), ("yes", bool), ("", float | None)],
)
def test_a_text_that_is_no_value_stays_one(text, hint):
    """So that whoever checks types can name the setting."""
    assert parse(text, hint) == text


def test_settings_by_path():
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
    with pytest.raises(ValueError, match=r"^settings is 3: expected a table of settings$"):
        flat(3)


# --- files ------------------------------------------------------------------------------------------------------------


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "a.toml").write_text('title = "é"\n[shape]\nname = "box"\nside = 3\n', encoding="utf-8")
    (tmp_path / "a.json").write_text('{"title": "é", "shape": {"name": "box", "side": 3}}', encoding="utf-8")
    found = [from_dict(Drawing, read_file(tmp_path / f"a.{kind}")) for kind in ("toml", "json")]
    assert found == [Drawing(Box(side=3), "é")] * 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", "[shape", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[1]", "expected a file of settings"),
        ("a.toml", b"\xff", "cannot be read"),
        ("nowhere.toml", None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_settings_is_one_line(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"^preset is '[^\n]*{name}': {said}[^\n]*$"):
        read_file(tmp_path / name, "preset")


# --- words ------------------------------------------------------------------------------------------------------------


def test_require():
    require(True, "x", 1, "anything")
    with pytest.raises(ValueError, match=r"^x is 'a': expected a number$"):
        require(False, "x", "a", "a number")


def test_differences_are_named_with_both_values():
    theirs = {"seed": 1, "train": {"epochs": 4, "loss": "softmax"}, "old": {"a": 1}}
    ours = {"seed": 1, "train": {"epochs": 5, "loss": "softmax"}, "new": [2]}
    assert differences(theirs, ours) == {"train.epochs": (4, 5), "old": ({"a": 1}, None), "new": (None, [2])}
    assert differences(ours, ours) == {}
    assert describe_differences({"a": {"b": 1}}, {"a": {"b": "x"}}, "then", "now") == "a.b (1 then, 'x' now)"


def test_suggestions_are_what_looks_alike_or_all():
    assert suggestion("learning_rat", ["learning_rate", "momentum"]) == "did you mean learning_rate?"
    assert suggestion("rate", ["learning_rate", "momentum"]) == "did you mean learning_rate?"
    assert suggestion("zzz", ["a", "b"]) == "expected one of a, b"
