"""Stage 15: what this audit says nothing about, by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator

import jax
import numpy as np

from convnet.gradcheck.arguments import Leaves, is_float, is_key, is_static
from convnet.gradcheck.checks.variations import (
    adds_up_to_one,
    constants_of,
    is_fixed,
    is_mask,
    is_sorted,
    reason_to_keep,
)
from convnet.gradcheck.comparison import finite
from convnet.gradcheck.subject import Subject
from convnet.gradcheck.verdict import Check


def scope(subject: Subject) -> Iterator[Check]:
    """What this audit says nothing about, by name."""
    if subject.strategy is None:
        yield Check("scope", "other shapes", "untested", note=_special_shapes(subject.leaves))
        settings = [*subject.program.settings, *_settings_of(subject.program.fn, len(subject.args))]
        if settings:
            yield Check("scope", f"other settings: {', '.join(dict.fromkeys(settings))}", "untested")
        scalars = _names_of(subject, lambda leaf: is_static(leaf) and not callable(leaf))
        if scalars:
            yield Check("scope", f"other Python scalars: {', '.join(scalars)}", "untested")
    reasons = {name: reason_to_keep(subject, name, c) for name, c in constants_of(subject)}
    fixed = {name: reason for name, reason in reasons.items() if reason}
    if fixed:
        note = "not varied: " + ", ".join(dict.fromkeys(fixed.values()))
        yield Check("scope", f"constants: {', '.join(fixed)}", "untested", note=note)
    ordered = [n for n, x in zip(subject.program.names, subject.leaves, strict=True) if is_sorted(x)]
    if ordered and subject.level.thorough:
        yield Check("scope", f"other orders: {', '.join(ordered)}", "untested", note="sorted numbers stay sorted")
    yield from _reach(subject)
    integers = [i for i, is_float in enumerate(subject.program.floats) if not is_float]
    if integers:
        names = ", ".join(f"result {i}" for i in integers)
        yield Check("scope", f"integer outputs: {names}", "untested")
    if subject.arithmetic.dtype != "float64":
        note = f"it rounds to {subject.arithmetic.dtype} on the way: smaller errors are not seen"
        yield Check("scope", "digits", "untested", note=note)
    apart = [name for name in _names_of(subject, is_float) if name not in subject.program.names]
    if apart:
        yield Check("scope", f"not differentiated: {', '.join(apart)}", "untested")
    left = [] if subject.level.thorough else ["variations", "higher orders", "rarer maps"]
    left += [] if "float16" in subject.level.precisions else ["float16"]
    left += [f"orders above {subject.level.order}"] if subject.level.thorough else []
    yield Check("scope", "second order: other values, narrow dtypes, under vmap", "untested")
    if left:
        yield Check("scope", f"left to higher levels: {', '.join(left)}", "untested")


def _reach(subject: Subject) -> Iterator[Check]:
    """How far from 0 anything was looked at, and on what."""
    varied = subject.level.thorough and not subject.estimator
    named = list(zip(subject.program.names, subject.leaves, strict=True))
    kept = [is_fixed(subject, name) or is_mask(x) or adds_up_to_one(x) for name, x in named]
    ranges = [
        _range(name, (10 if varied and not stays else 1) * finite(x))
        for (name, x), stays in zip(named, kept, strict=True)
    ]
    largest = f"other numbers: {', '.join(ranges)}" if len(ranges) < 4 else "other numbers"
    yield Check("scope", largest, "untested")
    integers = [
        _range(name, c) for name, c in constants_of(subject) if not is_key(c) and c.dtype.kind in "iu" and c.size
    ]
    if integers:
        yield Check("scope", f"other integers: {', '.join(integers)}", "untested")
    yield Check("scope", f"other devices than {jax.default_backend()}", "untested")
    held = _held(subject)
    if held:
        yield Check("scope", f"constants inside the function: {', '.join(held)}", "untested")
    given = {str(np.asarray(leaf).dtype) for leaf in jax.tree.leaves(subject.args) if is_float(leaf)}
    if len(given) > 1 and not subject.level.thorough:
        yield Check("scope", f"mixed dtypes: {', '.join(sorted(given))}", "untested", note="all were made the same")


def _range(name: str, values: np.ndarray) -> str:
    return f"{name} outside [{min(values.min(initial=0), 0):.2g}, {max(values.max(initial=0), 0):.2g}]"


NUMBERS = (int, float, np.ndarray, np.generic, jax.Array)


def _settings_of(fn: Callable, given: int) -> list[str]:
    """Parameters that were left at their defaults, or bound by `functools.partial`, and numbers of an object."""
    if isinstance(fn, functools.partial):
        inner = _settings_of(fn.func, given + len(fn.args))
        return [*list(_parameters(fn.func))[: len(fn.args)], *fn.keywords, *inner]
    owner = getattr(fn, "__self__", fn)
    ours = not inspect.isroutine(owner) and not type(owner).__module__.startswith("jax")
    attributes = [*getattr(owner, "__dict__", {}), *getattr(type(owner), "__slots__", ())]
    held = [name for name in attributes if ours and isinstance(getattr(owner, name, None), NUMBERS)]
    known = list(_parameters(fn).values())
    return held + [p.name for p in known[given:] if p.default is not inspect.Parameter.empty]


def _parameters(fn: Callable) -> dict:
    """By name; none where Python does not know."""
    try:
        return dict(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return {}


def _held(subject: Subject) -> list[str]:
    """Numbers that the function holds besides its arguments, by name where Python knows one."""
    fn = inspect.unwrap(subject.program.fn)
    code = getattr(fn, "__code__", None)
    cells = zip(getattr(code, "co_freevars", ()), getattr(fn, "__closure__", None) or (), strict=False)
    held = [name for name, cell in cells if isinstance(_content(cell), NUMBERS)]
    outside = getattr(fn, "__globals__", {})
    held += [name for name in getattr(code, "co_names", ()) if isinstance(outside.get(name), NUMBERS)]
    arrays = sum(np.size(c) > 1 for c in subject.program.traced("value", subject.leaves, subject.constants).consts)
    return held or ([f"{arrays} arrays"] if arrays else [])


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # of a name that is not bound yet
        return None


def _names_of(subject: Subject, kind: Callable) -> list[str]:
    """Arguments of a kind."""
    pairs = zip(subject.program.all_names, subject.program.static, strict=True)
    return [name for name, leaf in pairs if kind(leaf)]


def _special_shapes(leaves: Leaves) -> str:
    square = any(x.ndim >= 2 and x.shape[-1] == x.shape[-2] for x in leaves)
    alone = any(x.ndim and x.shape[0] == 1 for x in leaves)
    return "; ".join(text for text, holds in (("these are square", square), ("a batch of one", alone)) if holds)
