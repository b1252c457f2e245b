"""Which public functions there are: found by looking, so that what a new release adds is missed by none."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from convnet.board.case import Case

MODULES = (
    "jax.nn", "jax.nn.initializers", "jax.scipy.special", "jax.scipy.stats", "jax.numpy", "jax.numpy.linalg",
    "jax.scipy.linalg", "jax.lax", "jax.lax.linalg", "jax.image", "jax.ops", "optax.losses", "optax.projections",
)  # fmt: skip
"""All of their public functions, and those of the distributions, which are modules of `jax.scipy.stats`."""
PARTS = {"flax.linen": re.compile(r"\w+Norm|\w*[aA]ttention\w*")}
"""Of these modules, what has such a name, classes too."""


@dataclass(frozen=True)
class Inventory:
    """Public names. covered: those that a case is of, or an alias of it; left_out: with the reason; missing: neither;
    gone: cases of functions that this release does not have."""

    covered: tuple[str, ...]
    left_out: Mapping[str, str]
    missing: tuple[str, ...]
    gone: tuple[str, ...]


def inventory(cases: Iterable[Case], left_out: Mapping[str, str]) -> Inventory:
    """What is here beside what there are cases of."""
    here = dict(public())
    named = list(dict.fromkeys(case.function for case in cases))
    own = {_identity(found) for name in named if (found := resolved(name)) is not None}
    skipped = {_identity(found): why for name, why in left_out.items() if (found := resolved(name)) is not None}
    covered = [name for name, found in here.items() if name in named or _identity(found) in own]
    out = {
        name: left_out.get(name) or skipped[_identity(found)]
        for name, found in here.items()
        if name not in covered and (name in left_out or _identity(found) in skipped)
    }
    missing = [name for name in here if name not in covered and name not in out]
    return Inventory(tuple(covered), out, tuple(missing), tuple(n for n in named if resolved(n) is None))


def public() -> Iterator[tuple[str, Any]]:
    """(full name, function) of every public function of the modules that are installed."""
    for name in MODULES:
        module = _module(name)
        if module is None:
            continue
        yield from _functions(name, module)
        if name == "jax.scipy.stats":
            for part in pkgutil.iter_modules(module.__path__):
                yield from _functions(f"{name}.{part.name}", _module(f"{name}.{part.name}"))
    for name, pattern in PARTS.items():
        if (module := _module(name)) is not None:
            for part in sorted(filter(pattern.fullmatch, dir(module))):
                if callable(found := getattr(module, part)):
                    yield f"{name}.{part}", found


def resolved(name: str) -> Callable | None:
    """The function of that full name; None where this release has none."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        if (module := _module(".".join(parts[:cut]))) is not None:
            found: Any = module
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found
    return None


def _functions(name: str, module: Any) -> Iterator[tuple[str, Any]]:
    for part in sorted(dir(module)):
        try:
            found = getattr(module, part)
        except Exception:  # a name that a release has given up says so when it is asked for
            continue
        if not part.startswith("_") and callable(found) and not isinstance(found, type):
            yield f"{name}.{part}", found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _identity(found: Any) -> int:
    return id(getattr(found, "__wrapped__", found))
