"""A call in words, as a command line gives it: `f32[3,5] in 0..1` for an array, `package.module:function`."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import StaticFloat
from convnet.settings import require, suggestion

DTYPES = {
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "bool": "bool",
    "key": "key",
}
DIGITS = (0, 9)
"""Integers, unless a range is given."""

NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})")
NOT_PYTHON = re.compile(
    r"(?P<quoted>'[^']*'|\"[^\"]*\")"
    r"|(?P<path>[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)(?P<called>\(\))?"
    r"|\b(?P<dtype>[A-Za-z_]\w*)\[(?P<shape>[^\]]*)\](?:\s+in\s+(?P<range>[^\s,)\]}]+))?"
)
"""Arrays and imported values; strings come first, so that what stands between quotation marks is left alone."""


@dataclass(frozen=True)
class Drawn:
    """An array that is drawn: floating-point numbers uniformly from `low` to `high`, or normally where no range is
    given; integers uniformly, both ends included; booleans by a coin; keys of `jax.random`."""

    dtype: str
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None

    def draw(self, rng: np.random.Generator) -> Any:
        if self.dtype == "key":
            return jax.random.split(jax.random.key(int(rng.integers(2**31))), self.shape or 1).reshape(self.shape)
        if self.dtype == "bool":
            return rng.integers(0, 2, self.shape).astype(bool)
        if jnp.issubdtype(self.dtype, jnp.integer):
            low, high = DIGITS if self.low is None else (int(self.low), int(self.high))
            return rng.integers(low, high, self.shape, self.dtype, endpoint=True)
        if self.low is None:
            return np.asarray(rng.standard_normal(self.shape)).astype(self.dtype)
        return np.asarray(rng.uniform(self.low, self.high, self.shape)).astype(self.dtype)


@dataclass(frozen=True)
class Imported:
    """What a module holds, or what a function of it returns when it is called without arguments."""

    path: str
    called: bool

    def draw(self, rng: np.random.Generator) -> Any:
        del rng
        found = imported(self.path, "args")
        return found() if self.called else found


class Argument:
    """An argument in words: arrays, imported values and Python's literals, also in tuples, lists and dictionaries.

    Raises ValueError naming `what` for a text that is none.
    """

    def __init__(self, text: str, what: str = "args"):
        self.text, self.what, self._parts = text, what, {}
        marked = NOT_PYTHON.sub(self._mark, text)
        try:
            self.tree = self._read(ast.parse(marked.strip(), mode="eval").body)
        except (SyntaxError, TypeError, RecursionError):
            raise self._bad("an array such as f32[3,5], a value of Python such as 2.5 or 'same'") from None

    def _bad(self, expected: str) -> ValueError:
        return ValueError(f"{self.what} holds {self.text!r}: expected {expected}")

    def _mark(self, match: re.Match) -> str:
        """A name in place of what is not Python's."""
        if match["quoted"]:
            return match[0]
        name = f"_{len(self._parts)}"
        self._parts[name] = Imported(match["path"], bool(match["called"])) if match["path"] else self._array(match)
        return name

    def _array(self, match: re.Match) -> Drawn:
        word, shape, given = match["dtype"], match["shape"], match["range"]
        if word not in DTYPES:
            raise ValueError(
                f"{self.what} holds {self.text!r}: no dtype is called {word!r}; {suggestion(word, DTYPES)}"
            )
        sizes = [size.strip() for size in shape.split(",")] if shape.strip() else []
        if not all(size.isdecimal() for size in sizes):
            raise self._bad(f"sizes between brackets, as in {word}[3,5] or {word}[]")
        array = Drawn(DTYPES[word], tuple(map(int, sizes)))
        if given is None:
            return array
        ends = RANGE.fullmatch(given)
        if word in ("bool", "key") or ends is None:
            raise self._bad(f"no range for {word}" if word in ("bool", "key") else "a range as in 0..9 or 0.1..2")
        low, high = map(float, ends.groups())
        if not low <= high:
            raise self._bad("a range from a number to a larger one")
        if jnp.issubdtype(array.dtype, jnp.integer):
            most = jnp.iinfo(array.dtype)
            if not (low.is_integer() and high.is_integer() and most.min <= low and high <= most.max):
                raise self._bad(f"a range of integers from {most.min} to {most.max}")
        return Drawn(array.dtype, array.shape, low, high)

    def _read(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in self._parts:
            return self._parts[node.id]
        if isinstance(node, ast.Tuple | ast.List):
            return (tuple if isinstance(node, ast.Tuple) else list)(map(self._read, node.elts))
        if isinstance(node, ast.Dict) and None not in node.keys:
            return {ast.literal_eval(k): self._read(v) for k, v in zip(node.keys, node.values, strict=True)}
        try:
            value = ast.literal_eval(node)
        except ValueError:
            raise self._bad("an array such as f32[3,5], a value of Python such as 2.5 or 'same'") from None
        if isinstance(value, bytes | complex | set):
            raise self._bad("a real number, a string, True, False or None")
        return StaticFloat(value) if isinstance(value, float) else value

    def draw(self, rng: np.random.Generator) -> Any:
        """The argument itself. Numbers that were written out are settings; nothing is differentiated in them."""
        return jax.tree.map(lambda part: part.draw(rng) if isinstance(part, Drawn | Imported) else part, self.tree)


def setting(text: str) -> tuple[str, Any]:
    """The name and the value of `name=value`; a word that is no value of Python is a string."""
    name, equals, value = text.partition("=")
    require(bool(equals) and name.isidentifier(), "set", text, "name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        require(re.fullmatch(r"[\w.+-]+", value) is not None, "set", text, "a value of Python, or a word, after the =")
        return name, value


def imported(path: str, what: str) -> Any:
    """What `package.module:name` holds. Raises ValueError naming `what`."""
    module, colon, name = path.partition(":")
    parts = [*module.split("."), *name.split(".")]
    require(bool(colon) and all(map(str.isidentifier, parts)), what, path, "package.module:name")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever a module does when it is imported
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{what} is {path!r}: {module} cannot be imported ({reason})") from error
    for part in name.split("."):
        if not hasattr(found, part):
            known = [word for word in dir(found) if not word.startswith("_")]
            raise ValueError(f"{what} is {path!r}: there is no {part!r}; {suggestion(part, known)}")
        found = getattr(found, part)
    return found


def function(path: str, what: str) -> Callable:
    """A function by its path. Raises ValueError naming `what`."""
    found = imported(path, what)
    require(callable(found), what, path, "a function")
    return found
