"""The machinery of settings, on a config of the test's own: round trips, kinds, paths, files, hashes."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from convnet import settings
from convnet.settings import apply, content_hash, describe_differences, differences, flat, from_dict, parse, to_dict


@dataclass(frozen=True)
class Ellipse:
    name: Literal["circle", "ellipse"] = "circle"
    radius: float = 1.0
    colour: Literal["black", "red", "blue"] = "black"
    seen: bool = True

    def __post_init__(self):
        settings.settle(self, "shape")


@dataclass(frozen=True)
class Polygon:
    name: Literal["polygon"] = "polygon"
    sides: tuple[int, ...] | None = None
    colour: Literal["black", "red"] = "black"
    seen: bool = True

    def __post_init__(self):
        settings.settle(self, "shape")
        settings.require(self.sides != (), "shape.sides", self.sides, "a side or more")


@dataclass(frozen=True)
class Pen:
    width: int | Literal["thin"] = "thin"
    dashes: tuple[float, ...] = (1.0, 2.0)
    sharp: bool = True


@dataclass(frozen=True)
class Drawing:
    shape: Ellipse | Polygon = field(default_factory=Ellipse)
    pen: Pen = field(default_factory=Pen)
    title: str = ""
    margin: float | None = None


@dataclass(frozen=True)
class Paper:
    """That had a colour only, once."""

    colour: str = "white"
    drawer: str | None = field(default=None, metadata=settings.PLACE)
    ruled: bool = field(default=False, metadata=settings.LATER)


@dataclass(frozen=True)
class Sketch:
    paper: Paper = field(default_factory=Paper)
    lines: int = field(default=3, metadata=settings.LATER)


UNUSUAL = Drawing(Polygon(sides=(3, 4), colour="red", seen=False), Pen(3, (), False), "a", 0.5)


# --- plain values and back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [Drawing(), UNUSUAL], ids=["default", "unusual"])
def test_a_config_survives_json(config):
    again = from_dict(Drawing, json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert hash(again) == hash(config)  # a list for a tuple could not be hashed
    assert type(again.shape) is type(config.shape)


def test_what_is_left_out_comes_from_the_base_or_is_the_default():
    assert from_dict(Drawing, {}) == Drawing()
    changed = from_dict(Drawing, {"shape": {"sides": [5]}}, base=UNUSUAL)
    assert changed == dataclasses.replace(UNUSUAL, shape=dataclasses.replace(UNUSUAL.shape, sides=(5,)))


def test_values_take_the_type_of_their_field():
    found = from_dict(Drawing, {"margin": 1, "pen": {"dashes": [1, 2.5]}})
    assert (found.margin, found.pen.dashes) == (1.0, (1.0, 2.5))
    assert [type(x) for x in (found.margin, *found.pen.dashes)] == [float] * 3
    assert type(Ellipse(radius=2).radius) is float


UNKNOWN = {
    "at the top": ({"titel": "a"}, r"^unknown setting 'titel': did you mean title\?$"),
    "in a section": ({"pen": {"widht": 1}}, r"^unknown setting 'pen\.widht': did you mean width\?$"),
    "nothing near": ({"pen": {"ink": 1}}, r"^unknown setting 'pen\.ink': expected one of width, dashes, sharp$"),
    "of another kind": (
        {"shape": {"name": "polygon", "radius": 1}},
        r"^unknown setting 'shape\.radius' of polygon: expected one of name, sides, colour, seen$",
    ),
    "of the kind that is the default": ({"shape": {"sides": [3]}}, r"^unknown setting 'shape\.sides' of circle: "),
    "a kind": ({"shape": {"name": "polygn"}}, r"^shape\.name is 'polygn': did you mean polygon\?$"),
    "a kind like none": ({"shape": {"name": "xy"}}, r"name is 'xy': expected one of circle, ellipse, polygon$"),
    "a kind that is no word": ({"shape": {"name": ["circle"]}}, r"^shape\.name is \['circle'\]: "),
}


@pytest.mark.parametrize(("values", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_setting_is_refused_with_the_nearest_names(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Drawing, values)


WRONG = {
    "title": (3, "str"),
    "margin": ("wide", "float or NoneType"),
    "pen.width": ("thick", "int or 'thin'"),
    "pen.sharp": (1, "bool"),
    "pen.dashes": (0.5, "tuple"),
    "shape.seen": (None, "bool"),
    "shape.colour": ("green", "'black', 'red', 'blue'"),
    "shape.radius": (True, "float"),
    "pen": (3, "a mapping of settings"),
    "shape": (None, "a mapping of settings"),
}


@pytest.mark.parametrize(("path", "value", "expected"), [(path, *rest) for path, rest in WRONG.items()])
def test_a_value_of_another_type_is_refused_by_name(path, value, expected):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  compared below, without escaping every value
        apply(Drawing(), {path: value})
    assert str(caught.value).startswith(f"{path} is {value!r}: expected {expected}")


@pytest.mark.parametrize("values", [None, [], 3, "{}"], ids=repr)
def test_settings_that_are_no_mapping_are_refused(values):
    with pytest.raises(ValueError, match=r"^the config is .*: expected a mapping of settings$"):
        from_dict(Drawing, values)


def test_numbers_that_are_none_or_too_large_are_refused():
    with pytest.raises(ValueError, match=r"^shape\.radius is nan: expected a finite number$"):
        Ellipse(radius=float("nan"))
    with pytest.raises(ValueError, match=r"^shape\.sides is 4294967297: expected a number up to 4294967296$"):
        Polygon(sides=(3, 2**32 + 1))


# --- kinds ------------------------------------------------------------------------------------------------------------


def test_the_name_says_which_kind_a_section_is():
    assert from_dict(Drawing, {"shape": {"name": "polygon"}}).shape == Polygon()
    assert from_dict(Drawing, {"shape": {"name": "ellipse", "radius": 2}}).shape == Ellipse("ellipse", 2.0)
    assert from_dict(Ellipse | Polygon, {"name": "polygon", "sides": [3]}) == Polygon(sides=(3,))


def test_of_another_kind_what_was_set_and_is_there_stays():
    round_, red = Ellipse(radius=3.0, seen=False), Ellipse(radius=3.0, colour="red")
    assert apply(Drawing(round_), {"shape.name": "polygon"}).shape == Polygon(seen=False)
    assert apply(Drawing(red), {"shape.name": "polygon", "shape.sides": (3,)}).shape == Polygon(
        sides=(3,), colour="red"
    )
    assert apply(Drawing(red), {"shape.name": "ellipse"}).shape == dataclasses.replace(red, name="ellipse")
    assert apply(UNUSUAL, {"title": "b"}).shape is UNUSUAL.shape


def test_what_stays_must_suit_the_other_kind_unless_it_is_changed_with_it():
    blue = Drawing(Ellipse(colour="blue"))
    with pytest.raises(ValueError, match=r"^shape\.colour is 'blue': expected 'black', 'red'$"):
        apply(blue, {"shape.name": "polygon"})
    assert apply(blue, {"shape.name": "polygon", "shape.colour": "red"}).shape == Polygon(colour="red")


def test_paths_are_those_of_all_kinds_with_all_their_types():
    found = settings.paths(Drawing)
    assert set(found) == {
        *("shape.name", "shape.radius", "shape.colour", "shape.seen", "shape.sides"),
        *("pen.width", "pen.dashes", "pen.sharp", "title", "margin"),
    }
    assert settings.typed("polygon", found["shape.name"], "shape.name") == "polygon"
    assert settings.typed("blue", found["shape.colour"], "shape.colour") == "blue"


# --- paths and text ---------------------------------------------------------------------------------------------------


def test_apply_changes_all_at_once_and_leaves_the_config_alone():
    config = Drawing()
    changed = apply(config, {"pen.width": 3, "shape.radius": 2, "margin": None, "title": "x"})
    assert changed == Drawing(Ellipse(radius=2.0), Pen(3), "x")
    assert config == Drawing()


def test_apply_takes_sections_too():
    pen = {"width": 3}
    assert apply(Drawing(), {"pen": pen, "pen.sharp": False}).pen == Pen(3, sharp=False)
    assert apply(Drawing(), {"pen.sharp": False, "pen": pen}).pen == Pen(3, sharp=False)
    assert pen == {"width": 3}


@pytest.mark.parametrize("path", ["pen.ink", "ink", "ink.pen", "pen.width.more"])
def test_apply_refuses_an_unknown_path(path):
    with pytest.raises(ValueError, match=r"^unknown setting '(pen\.ink|ink|pen\.width)': "):
        apply(Drawing(), {path: 1})


def test_nested_settings_by_path():
    assert flat({"a": {"b": 1, "c.d": [2]}, "e": {}, "f": None}) == {"a.b": 1, "a.c.d": [2], "f": None}
    with pytest.raises(ValueError, match=r"^settings is 3: expected a table of settings$"):
        flat(3)


PARSED = [
    ("none", float | None, None),
    ("None", tuple[int, ...] | None, None),
    ("none", Literal["none", "batch"], "none"),
    ("16+32", tuple[int, ...] | None, (16, 32)),
    ("16", tuple[int, ...], (16,)),
    ("0.5+1", tuple[float, ...], (0.5, 1.0)),
    ("true", bool, True),
    ("False", bool, False),
    ("8", int | Literal["full"], 8),
    ("full", int | Literal["full"], "full"),
    ("1e-3", float, 0.001),
    ("3", str, "3"),
]


@pytest.mark.parametrize(("text", "hint", "value"), PARSED)
def test_text_is_read_as_a_value_of_the_type(text, hint, value):
    found = parse(text, hint)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "hint"), [("yes", bool), ("3.5", int), ("16+x", tuple[int, ...]), ("", float), ("hard", Literal["soft"])]
)
def test_text_that_is_no_such_value_stays_and_is_refused_by_name(text, hint):
    assert parse(text, hint) == text
    with pytest.raises(ValueError, match=rf"^pen\.x is '{text}': expected ".replace("+", r"\+")):
        settings.typed(parse(text, hint), hint, "pen.x")


# --- files ------------------------------------------------------------------------------------------------------------


def test_toml_and_json_files_hold_the_same(tmp_path):
    toml, other = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('title = "é"\n[shape]\nname = "polygon"\nsides = [3, 4]\n', encoding="utf-8")
    other.write_text(json.dumps({"title": "é", "shape": {"name": "polygon", "sides": [3, 4]}}), encoding="utf-8")
    assert settings.read_file(toml) == settings.read_file(other)
    assert from_dict(Drawing, settings.read_file(toml)) == Drawing(Polygon(sides=(3, 4)), title="é")


BAD_FILES = {
    "no TOML": ("a.toml", b"title = ", "cannot be read"),
    "no JSON": ("a.json", b"{'title': 1}", "cannot be read"),
    "no text": ("a.toml", b"\xff\xfe", "cannot be read"),
    "no settings": ("a.json", b"[1]", "expected a file of settings"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^base is '.*{name}': {message}"):
        settings.read_file(tmp_path / name, "base")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^config is '.*none\.toml': cannot be read \(.*No such file"):
        settings.read_file(tmp_path / "none.toml")


# --- what differs -----------------------------------------------------------------------------------------------------


def test_the_hash_follows_every_value_and_nothing_else():
    hashes = {content_hash(apply(Drawing(), {path: value})) for path, value in [
        ("title", "x"), ("margin", 0), ("pen.width", 1), ("pen.dashes", ()), ("shape.radius", 2),
        ("shape.name", "ellipse"), ("shape.name", "polygon"), ("title", ""),
    ]}  # fmt: skip
    assert len(hashes) == 8  # the last is the default's
    values = to_dict(UNUSUAL)
    backwards = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(values.items())}
    assert content_hash(from_dict(Drawing, backwards)) == content_hash(backwards) == content_hash(UNUSUAL)
    assert content_hash({"a": 1, "b": [2.5, None]}) == "fbb68c4db7e0"  # on every platform and Python


def test_a_field_that_came_later_changes_no_config_that_does_not_use_it():
    assert to_dict(Sketch()) == {"paper": {"colour": "white"}}
    assert content_hash(Sketch()) == content_hash({"paper": {"colour": "white"}})
    assert from_dict(Sketch, {"paper": {"colour": "blue"}}) == Sketch(Paper("blue"))


@pytest.mark.parametrize("sketch", [Sketch(Paper(ruled=True)), Sketch(lines=4), Sketch(Paper("blue", "top", True), 0)])
def test_where_it_is_used_it_is_a_field_like_any_other(sketch):
    assert from_dict(Sketch, json.loads(json.dumps(to_dict(sketch)))) == sketch
    assert content_hash(sketch) != content_hash(Sketch())


def test_a_place_is_kept_and_decides_nothing():
    here, there = (Sketch(Paper(drawer=drawer)) for drawer in ("top", "bottom"))
    assert to_dict(here)["paper"] == {"colour": "white", "drawer": "top"}
    assert to_dict(here, places=False) == to_dict(there, places=False) == to_dict(Sketch())
    assert content_hash(here) == content_hash(there) == content_hash(Sketch())


def test_differences_are_named_with_both_values():
    theirs = {"seed": 1, "train": {"epochs": 4, "loss": "softmax"}, "old": {"a": 1}}
    ours = {"seed": 1, "train": {"epochs": 5, "loss": "softmax"}, "new": [2]}
    assert differences(theirs, ours) == {"train.epochs": (4, 5), "old": ({"a": 1}, None), "new": (None, [2])}
    assert differences(ours, ours) == {}
    assert describe_differences({"a": {"b": 1}}, {"a": {"b": "x"}}, "then", "now") == "a.b (1 then, 'x' now)"


def test_require():
    settings.require(True, "x", 1, "anything")
    with pytest.raises(ValueError, match=r"^x is 'a': expected a number$"):
        settings.require(False, "x", "a", "a number")
