"""An audit as a few lines of Python that can be pasted and run."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import io
import pickle
import pickletools
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.arguments import is_key

SMALL, ALL = 32, 96
"""Entries of an array, and of all together, that are written out; larger ones are saved in a file."""


def array_literal(value) -> str:
    """An array as it is, to the last bit of every number, in as few digits as say it."""
    value = np.asarray(value)
    if not value.size and value.ndim != 1:
        return f"np.zeros({value.shape}, {value.dtype.name!r})"
    numbers = value.astype(np.float64) if _is_narrow(value) else value
    if jnp.issubdtype(value.dtype, jnp.floating):
        short = np.array([float(str(number)) for number in value.ravel()]).reshape(value.shape)
        numbers = short if short.astype(value.dtype).tobytes() == value.tobytes() else numbers
    return f"np.array({numbers.tolist()!r}, {value.dtype.name!r})"


def _is_narrow(value: np.ndarray) -> bool:
    """Whether it is of a floating-point dtype that NumPy itself does not know, as bfloat16."""
    return jnp.issubdtype(value.dtype, jnp.floating) and value.dtype.kind != "f"


def folder_of(module: ModuleType) -> Path | None:
    """Where Python must look to import `module`; None where it looks by itself: in what is installed."""
    if not getattr(module, "__file__", None):
        return None
    path, parts = Path(module.__file__).resolve(), name_of(module).split(".")
    if path.stem == "__init__":
        path = path.parent
    if tuple(parts) != (*path.parts[-len(parts) : -1], path.stem):
        return None  # installed under another name
    root = path.parents[len(parts) - 1]
    known = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    return None if root in known else root


def name_of(module: ModuleType) -> str:
    """What the module is imported as; the program that is run has no such name, but that of its file."""
    if module.__name__ != "__main__":
        return module.__name__
    return module.__spec__.name if module.__spec__ else Path(getattr(module, "__file__", "__main__")).stem


def importable(value: Any) -> tuple[ModuleType, str] | None:
    """The module that holds `value`, and its name there; None for what was made inside a function, or in a session."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or (module.__name__ == "__main__" and not hasattr(module, "__file__")):
        return None
    found = module
    for part in (getattr(value, "__qualname__", None) or getattr(value, "__name__", "")).split("."):
        found = getattr(found, part, None)
    if found is value:
        return module, getattr(value, "__qualname__", None) or value.__name__
    held = (name for name, other in vars(module).items() if other is value and name.isidentifier())
    name = next(held, None)
    return (module, name) if name else None


class Script:
    """Python for values: as an expression each, with what must be imported, loaded or filled in before."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.paths: list[Path] = []
        self.imports: dict[str, str] = {}
        self.lines: dict[str, str] = {}
        self.held: dict[str, np.ndarray] = {}
        self.pickled: list[bytes] = []
        self._written = 0

    def expression(self, value: Any, name: str) -> str:
        """`value` in Python; `name`: what to call it where it needs a line of its own."""
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return self._key(value) if is_key(value) else self._array(value)
        if isinstance(value, enum.Enum) and (place := importable(type(value))):
            return f"{self.imported(*place)}.{value.name}"
        for plain in (type(None), type(...), bool, int, float, str, bytes):
            if isinstance(value, plain):
                return plain.__repr__(value)
        inner = functools.partial(self.expression, name=name)
        if type(value) is dict:
            return "{" + ", ".join(f"{inner(key)}: {inner(part)}" for key, part in value.items()) + "}"
        if type(value) in (tuple, list):
            listed = ", ".join(map(inner, value))
            return f"[{listed}]" if type(value) is list else f"({listed},)" if len(value) == 1 else f"({listed})"
        if (place := importable(value)) is not None:
            return self.imported(*place)
        if isinstance(value, functools.partial):
            words = [*map(inner, (value.func, *value.args)), *(f"{k}={inner(v)}" for k, v in value.keywords.items())]
            return f"{self.imported(functools, 'partial')}({', '.join(words)})"
        if getattr(vars(type(value)).get("__dataclass_params__"), "init", False) and importable(type(value)):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
            made = ", ".join(f"{key}={inner(part)}" for key, part in fields.items())
            return f"{self.imported(*importable(type(value)))}({made})"
        return self._pickle(value, name)

    def imported(self, module: ModuleType, name: str) -> str:
        """The name to call it by: its own, or another where that is taken."""
        top, *rest = name.split(".")
        line, alias, count = f"from {name_of(module)} import {top}", top, 1
        while self.imports.get(alias, line) != line or alias in ("np", "jax", "held", "pickle", "pickled", "sys"):
            count += 1
            alias = f"{top}_{count}"
            line = f"from {name_of(module)} import {top} as {alias}"
        self.imports[alias] = line
        self._look_in(folder_of(module))
        return ".".join([alias, *rest])

    def _array(self, value) -> str:
        value = np.asarray(value)
        if value.size <= SMALL and self._written + value.size <= ALL:
            self._written += value.size
            return array_literal(value)
        name, narrow = f"a{len(self.held)}", _is_narrow(value)  # NumPy's files do not know these, either
        self.held[name] = value.astype(np.float32) if narrow else value
        return f"held[{name!r}]" + (f".astype({value.dtype.name!r})" if narrow else "")

    def _key(self, value) -> str:
        self.imports["jax"] = "import jax"
        data = array_literal(jax.random.key_data(value))
        return f"jax.random.wrap_key_data(jax.numpy.asarray({data}), impl={str(jax.random.key_impl(value))!r})"

    def _pickle(self, value, name: str) -> str:
        told = _what(value)
        try:
            stored = _pickled(value)
            pickle.loads(stored)
        except Exception:  # of whatever kind the value's own class likes
            return self._named(name, f" = ...  # {told}: Python cannot write it down, so put it here")
        self.pickled.append(stored)
        for module in _modules(stored):
            self._look_in(folder_of(module))
        return self._named(name, f" = pickled[{len(self.pickled) - 1}]  # {told}")

    def _named(self, name: str, line: str) -> str:
        """A line of its own; of what it defines, the name."""
        while self.lines.get(name, line) != line:
            name += "_"
        self.lines[name] = line
        return name

    def _look_in(self, folder: Path | None) -> None:
        if folder is not None and folder not in self.paths:
            self.paths.append(folder)

    def before(self, used: str) -> list[str]:
        """The lines that `used`, Python of expressions, needs before it. Writes what they load."""
        lines = ["import sys", *(f"sys.path.insert(0, {str(path)!r})" for path in self.paths)] if self.paths else []
        lines += ["import pickle"] if self.pickled else []
        lines += ["import numpy as np"] if "np." in used or self.held else []
        lines += ["from numpy import inf, nan"] if re.search(r"\b(inf|nan)\b", used) else []
        lines += sorted(self.imports.values())
        if self.held:
            np.savez(self.folder / "arguments.npz", **self.held)
            lines.append(f"held = np.load({str(self.folder / 'arguments.npz')!r})")
        if self.pickled:
            file = self.folder / "arguments.pickle"
            file.write_bytes(pickle.dumps(self.pickled))
            lines.append(f"pickled = list(map(pickle.loads, pickle.load(open({str(file)!r}, 'rb'))))")
        return [*lines, *map("".join, self.lines.items())]


def _what(value) -> str:
    code = getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)
    where = f", of {code.co_filename}, line {code.co_firstlineno}" if code else ""
    return (getattr(value, "__name__", None) or f"a {type(value).__name__}") + where


def _pickled(value) -> bytes:
    """With functions that were made inside others, which cloudpickle takes, and rules of JAX, which it does not."""
    from cloudpickle import Pickler

    class WithRules(Pickler):
        def reducer_override(self, obj):
            if isinstance(obj, jax.custom_vjp | jax.custom_jvp):
                place = importable(obj)
                if place is not None and place[0].__name__ != "__main__":
                    return functools.reduce, (getattr, place[1].split("."), place[0])
                if "fun" in vars(obj):  # JAX 0.10 has no way of its own
                    return type(obj), (obj.fun,), vars(obj)
            return super().reducer_override(obj)

    with io.BytesIO() as file:
        WithRules(file).dump(value)
        return file.getvalue()


def _modules(stored: bytes) -> list[ModuleType]:
    """What a pickle knows by name only."""
    words = dict.fromkeys(word for _, word, _ in pickletools.genops(stored) if isinstance(word, str))
    return [sys.modules[word] for word in words if word in sys.modules]


def reproduction(fn: Callable, args: Sequence, options: Mapping[str, Any], folder: Path, *, test: str = "") -> str:
    """Python that audits `fn` at `args` again and prints the report.

    options: those of `audit` that were given. folder: an empty directory, in which the same Python is put as again.py,
    with the arguments that are too large to be written out. test: how pytest runs the test that this was seen in.

    What can neither be imported nor pickled stands as a line to be filled in.
    """
    script = Script(folder)
    call = script.imported(sys.modules["convnet.gradcheck"], "audit")
    words = [script.expression(fn, "fn")]
    listed = ", ".join(script.expression(value, f"arg{i}") for i, value in enumerate(args))
    words.append(f"({listed},)" if len(args) == 1 else f"({listed})")
    words += [f"{name}={script.expression(value, name)}" for name, value in options.items()]
    called = f"print({call}(\n" + "".join(f"    {word},\n" for word in words) + "))\n"
    text = "\n".join([*([f"# or: python -m pytest {test}"] if test else []), *script.before(called), called])
    (folder / "again.py").write_text(text, encoding="utf-8")
    return text
