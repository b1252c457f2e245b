"""Settings as values: frozen dataclasses, checked when they are made, with a JSON round trip and a content hash.

Every setting has one name, a path such as `optim.learning_rate`: on the command line, in a file, in an ablation's
factor. Where a section may be of several kinds (a model), its `name` says which, and it has the settings of that kind.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import numbers
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LARGEST = 2**32
"""No count of anything here is larger, and NumPy and XLA could not take it."""

Settings = dict[str, Any]
"""Paths such as optim.learning_rate -> values."""

LATER = {"omitted at its default": True}
"""Metadata of a field that came later than others: at its default it is no part of `to_dict`, so that configs which do
not use it are the same values, with the same hash, as before there was such a field."""
PLACE = LATER | {"place": True}
"""Metadata of a field that says where something lies, not what it is: no part of `content_hash`, either."""


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """ValueError "NAME is VALUE: expected EXPECTED" unless `condition`."""
    if not condition:
        raise ValueError(f"{name} is {value!r}: expected {expected}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a message: the names that look like `word`, or else all."""
    known = list(known)
    near = nearest(word, known)
    return f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Up to three of `known` that look like `word`."""
    known = list(known)
    return difflib.get_close_matches(word, known, n=3, cutoff=0.5) or [k for k in known if word and word in k][:3]


# --- kinds ------------------------------------------------------------------------------------------------------------


def options(hint: Any) -> tuple:
    """The types that a value may have."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def kinds(hint: Any) -> tuple[type, ...]:
    """The dataclasses that a section may be; empty for a plain value."""
    return tuple(option for option in options(hint) if dataclasses.is_dataclass(option))


def names(kind: type) -> tuple[str, ...]:
    """What a section of this kind may be called."""
    return get_args(get_type_hints(kind)["name"])


def paths(cls: type, prefix: str = "") -> dict[str, Any]:
    """Every path below a config of class `cls` -> the type of its values; of all kinds where a section has several."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(cls).items():
        below = [paths(kind, f"{prefix}{name}.") for kind in kinds(hint)] or [{prefix + name: hint}]
        for path, inner in (item for each in below for item in each.items()):
            found[path] = Union[found[path], inner] if path in found else inner  # noqa: UP007
    return found


# --- plain values and back --------------------------------------------------------------------------------------------


def settle(config: Any, section: str = "") -> None:
    """Give every plain value its field's own type (1 becomes 1.0, a list a tuple), so that equal configs look alike.

    Raises ValueError for a value of another type, and for a word that is not one of the choices.
    """
    for name, hint in get_type_hints(type(config)).items():
        if not kinds(hint):
            value = typed(getattr(config, name), hint, f"{section}.{name}" if section else name)
            object.__setattr__(config, name, value)


def to_dict(config: Any, *, places: bool = True) -> dict[str, Any]:
    """A config as plain JSON values. Fields of `LATER` are left out at their defaults.

    places: whether with fields of `PLACE`; without them, equal for two configs of one run.
    """
    return json.loads(json.dumps(_plain(config, places)))


def _plain(config: Any, places: bool) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(config):
        value, told = getattr(config, field.name), field.metadata.keys()
        unused, place = LATER.keys() <= told and value == field.default, PLACE.keys() <= told
        if not (unused or (place and not places)):
            found[field.name] = _plain(value, places) if dataclasses.is_dataclass(value) else value
    return found


def from_dict(cls: Any, values: Mapping[str, Any], *, base: Any = None, path: str = "") -> Any:
    """The config of class `cls`, or of that one of several which `values["name"]` names, that `values` describe.

    What they leave out is taken from `base`, or else the default; where the name is of another kind than `base`, from
    `base` what was set there (is not its default) and the new kind has, too.

    Raises ValueError for an unknown setting (naming the nearest ones) and for a value of another type.
    """
    require(isinstance(values, Mapping), path or "the config", values, "a mapping of settings")
    base = _start(kinds(cls), values, base, path)
    hints = get_type_hints(type(base))
    changes = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if key not in hints:
            owner = f" of {base.name}" if len(kinds(cls)) > 1 else ""
            raise ValueError(f"unknown setting {name!r}{owner}: {suggestion(key, hints)}")
        if kinds(hints[key]):
            changes[key] = from_dict(hints[key], value, base=getattr(base, key), path=name)
        else:
            changes[key] = typed(value, hints[key], name)
    return dataclasses.replace(base, **changes)


def _start(sections: tuple[type, ...], values: Mapping[str, Any], base: Any, path: str) -> Any:
    """What `values` change."""
    if len(sections) == 1:
        return sections[0]() if base is None else base
    name = values.get("name", None if base is None else base.name)
    by_name = {known: kind for kind in sections for known in names(kind)}
    if not isinstance(name, str) or name not in by_name:
        raise ValueError(f"{path}.name is {name!r}: {suggestion(str(name), by_name)}")
    if base is None or type(base) is by_name[name]:
        return by_name[name](name=name) if base is None else base
    usual, new = type(base)(name=base.name), get_type_hints(by_name[name])
    given = {
        f.name: value for f in dataclasses.fields(base) if (value := getattr(base, f.name)) != getattr(usual, f.name)
    }
    return by_name[name](**{key: given[key] for key in given if key in new and key not in values} | {"name": name})


def typed(value: Any, hint: Any, name: str) -> Any:
    """`value` as the type `hint` (JSON has lists for tuples, and ints may stand for floats)."""
    for option in options(hint):
        if get_origin(option) is Literal:
            if value in get_args(option) and isinstance(value, str):
                return value
        elif get_origin(option) is tuple:
            if isinstance(value, list | tuple):
                return tuple(typed(item, get_args(option)[0], name) for item in value)
        elif option is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
            require(math.isfinite(value), name, value, "a finite number")
            return float(value)
        elif option is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
            require(abs(value) <= LARGEST, name, value, f"a number up to {LARGEST}")
            return int(value)
        elif option in (str, bool, types.NoneType) and type(value) is option:
            return value
    listed = " or ".join(
        ", ".join(map(repr, get_args(o))) if get_origin(o) is Literal else getattr(o, "__name__", str(o))
        for o in options(hint)
    )
    raise ValueError(f"{name} is {value!r}: expected {listed}")


# --- paths ------------------------------------------------------------------------------------------------------------


def apply(config: Any, settings: Mapping[str, Any]) -> Any:
    """`config` with `settings` (paths -> values), all changed at once. Raises ValueError for what it refuses."""
    nested: dict[str, Any] = {}
    for path, value in flat(settings).items():
        section, _, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return from_dict(type(config), nested, base=config)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Settings:
    """Nested settings by path: {"model": {"kernel": 3}} as {"model.kernel": 3}."""
    require(isinstance(settings, Mapping), prefix.rstrip(".") or "settings", settings, "a table of settings")
    found = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def parse(text: str, hint: Any) -> Any:
    """`text` as a value of the type `hint`; + joins the items of a tuple, none is None. `text` itself where it does not
    look like one: `typed` refuses it, naming the setting."""
    for option in options(hint):
        value = _parsed(text, option)
        if value is not _NOT:
            return value
    return text


_NOT = object()


def _parsed(text: str, option: Any) -> Any:
    if option is types.NoneType:
        return None if text.lower() == "none" else _NOT
    if option is bool:
        return {"true": True, "false": False}.get(text.lower(), _NOT)
    if get_origin(option) is tuple:
        items = [_parsed(item, get_args(option)[0]) for item in text.split("+")]
        return _NOT if _NOT in items else tuple(items)
    if get_origin(option) is Literal:
        return text if text in get_args(option) else _NOT
    try:
        return option(text)
    except ValueError:
        return _NOT


def read_file(path: Path, name: str = "config") -> dict[str, Any]:
    """The settings in a TOML file, or a JSON file.

    Raises ValueError, naming it as `name`, where there is none that can be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} is {str(path)!r}: cannot be read ({error})") from None
    require(isinstance(values, dict), name, str(path), "a file of settings")
    return values


# --- what differs -----------------------------------------------------------------------------------------------------


def content_hash(config: Any) -> str:
    """Twelve hexadecimal digits that depend on every value of the config but those of `PLACE` (or on every value of
    plain ones, such as its `to_dict`) and on nothing else."""
    values = config if isinstance(config, dict) else to_dict(config, places=False)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def differences(theirs: Any, ours: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two nested mappings differ: dotted name -> (theirs, ours); what one of them lacks is None there."""
    if not (isinstance(theirs, dict) and isinstance(ours, dict)):
        return {} if theirs == ours else {path: (theirs, ours)}
    found = {}
    for key in dict.fromkeys([*theirs, *ours]):
        found |= differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
    return found


def describe_differences(theirs: Any, ours: Any, there: str, here: str) -> str:
    """The same as text: "train.epochs (40 there, 20 here), seed (3 there, 0 here)"."""
    found = differences(theirs, ours).items()
    return ", ".join(f"{name} ({a!r} {there}, {b!r} {here})" for name, (a, b) in found)
