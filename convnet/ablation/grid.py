"""Factors and their levels -> arms: named RunConfigs that differ in those factors only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import numpy as np

from convnet import data, initializers, optim
from convnet.ablation.twins import refuse_twins
from convnet.architectures import MODELS
from convnet.config import RunConfig
from convnet.settings import Settings, apply, flat, nearest, options, parse, paths, require, suggestion, typed

DESIGNS = ("grid", "one-at-a-time", "random")
NAMES = {
    "data.name": data.DATASETS,
    "model.name": MODELS,
    "model.initializer": initializers.INITIALIZERS,
    "optim.name": optim.OPTIMIZERS,
}
"""Paths whose values are names of a table."""

FIELDS: dict[str, Any] = {path: hint for path, hint in paths(RunConfig).items() if path != "seed"}
"""Every path that may be a factor -> its type. The seed is none: it numbers the replicates."""


@dataclass(frozen=True)
class Factor:
    """What is varied: label of a level -> the settings it stands for (one path, or several that change together)."""

    name: str
    levels: Mapping[str, Settings]

    @property
    def paths(self) -> set[str]:
        return {path for settings in self.levels.values() for path in settings}


@dataclass(frozen=True)
class Arm:
    """One config of an ablation; levels: factor -> label, empty for the base of a one-at-a-time design."""

    name: str
    levels: Mapping[str, str]
    config: RunConfig


# --- reading ----------------------------------------------------------------------------------------------------------


def parse_factor(text: str) -> Factor:
    """`model.kernel=3,5` as a factor; in a level that is a tuple, + joins the items: `model.widths=16,16+32`.

    Raises ValueError for text of another form, an unknown path, and a level that is none of its type.
    """
    path, equals, levels = text.partition("=")
    require(bool(equals and levels), "factor", text, "PATH=LEVEL,LEVEL,…")
    return factor(path, [parse_level(path, level) for level in levels.split(",")])


def parse_level(path: str, text: str) -> Any:
    """`text` as a value of the setting `path`."""
    check_path(path)
    return parse(text, FIELDS[path])


def factor(name: str, levels: Sequence[Any] | Mapping[str, Mapping]) -> Factor:
    """A factor from plain values: a list of levels of the path `name`, or a mapping from labels to settings.

    Raises ValueError for an unknown path, a bad level, no levels, or one level twice.
    """
    if isinstance(levels, Mapping):
        named = {label: flat(settings) for label, settings in levels.items()}
    else:
        require(isinstance(levels, list | tuple), f"factor {name}", levels, "a list of levels, or a table of settings")
        labels = [label(level) for level in levels]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"factor {name} has the level {twice[0]} twice")
        named = {label: {name: level} for label, level in zip(labels, levels, strict=True)}
    require(bool(named), f"factor {name}", levels, "one level or more")
    for settings in named.values():
        checked(settings)
    return Factor(name, named)


def label(value: Any) -> str:
    """A level as the command line spells it."""
    if isinstance(value, list | tuple):
        return "+".join(map(label, value))
    return str(value).lower() if value is None or isinstance(value, bool) else f"{value}"


# --- checking ---------------------------------------------------------------------------------------------------------


def check_path(path: str) -> None:
    if path == "seed":
        raise ValueError("seed is no factor: it numbers the replicates of every arm")
    if path not in FIELDS:
        raise ValueError(f"unknown setting {path!r}: {suggestion(path, FIELDS)}")


def checked(settings: Settings) -> Settings:
    """`settings`. Raises ValueError for an unknown path or name (the nearest are named) and a value of another type."""
    for path, value in settings.items():
        check_path(path)
        words = [word for option in options(FIELDS[path]) if get_origin(option) is Literal for word in get_args(option)]
        words = list(dict.fromkeys(NAMES.get(path, words)))  # several models may know a word
        if isinstance(value, str) and value not in words and (path in NAMES or nearest(value, words)):
            raise ValueError(f"{path} is {value!r}: {suggestion(value, words)}")
        typed(value, FIELDS[path], path)
    return settings


# --- designs ----------------------------------------------------------------------------------------------------------


def expand(
    base: RunConfig,
    factors: Sequence[Factor],
    design: str = "grid",
    *,
    seeds: int = 1,
    max_cells: int | None = None,
    sample: int | None = None,
    sample_seed: int = 0,
) -> tuple[Arm, ...]:
    """The arms of a design; the first is the one that the others are compared with.

    grid: every combination of levels, the first being that of the first levels.
    one-at-a-time: `base` itself, then each level of each factor alone (levels that `base` has already are `base`).
    random: the first combination, and others drawn without replacement by `sample_seed`, `sample` in all.

    Raises ValueError for factors that share a path or a name, two arms of one config, two that are the same network, a
    setting that an arm's model has not, and more than `max_cells` arms × seeds (before any is made).
    """
    require(seeds >= 1, "seeds", seeds, "1 or more")
    _check_design(factors, design, sample)
    combinations = math.prod(len(f.levels) for f in factors)
    size = {
        "grid": combinations,
        "one-at-a-time": 1 + sum(len(f.levels) for f in factors),
        "random": min(sample or 0, combinations),
    }[design]
    if max_cells is not None and size * seeds > max_cells:
        raise ValueError(
            f"{size} arms × {seeds} seeds are {size * seeds} cells: expected at most max_cells = {max_cells}"
        )
    if design == "one-at-a-time":
        arms = _one_at_a_time(base, factors)
    else:
        chosen = range(combinations) if design == "grid" else _drawn(combinations, size, sample_seed)
        arms = [_arm(base, factors, _labels(factors, index)) for index in chosen]
    refuse_twins([(arm.name, arm.config) for arm in arms])
    return tuple(arms)


def _check_design(factors: Sequence[Factor], design: str, sample: int | None) -> None:
    require(design in DESIGNS, "design", design, f"one of {', '.join(DESIGNS)}")
    require(bool(factors), "factors", factors, "one factor or more")
    require(design != "random" or sample is not None, "sample", sample, "the number of arms of a random design")
    require(sample is None or sample >= 1, "sample", sample, "1 arm or more")
    for one, other in itertools.combinations(factors, 2):
        if shared := sorted(one.paths & other.paths):
            raise ValueError(f"factors {one.name} and {other.name} both set {shared[0]}")
        require(one.name != other.name, "factor", one.name, "to be given once")


def _drawn(combinations: int, size: int, seed: int) -> list[int]:
    """0, and size − 1 others in rising order; the range is never written out, so it may be huge."""
    rng, chosen = np.random.default_rng(seed), {0}
    while len(chosen) < size:
        chosen.add(int(rng.integers(combinations)))
    return sorted(chosen)


def _labels(factors: Sequence[Factor], index: int) -> dict[str, str]:
    """Combination number `index`, the last factor turning fastest."""
    labels = {}
    for f in reversed(factors):
        index, level = divmod(index, len(f.levels))
        labels[f.name] = list(f.levels)[level]
    return {f.name: labels[f.name] for f in factors}


def _one_at_a_time(base: RunConfig, factors: Sequence[Factor]) -> list[Arm]:
    arms = [Arm("base", {}, base)]
    for f in factors:
        alone = [_arm(base, factors, {f.name: label}) for label in f.levels]
        arms += [arm for arm in alone if arm.config != base]
    return arms


def _arm(base: RunConfig, factors: Sequence[Factor], labels: Mapping[str, str]) -> Arm:
    settings = {path: v for f in factors if f.name in labels for path, v in f.levels[labels[f.name]].items()}
    short = [name.removesuffix(".name").rpartition(".")[2] for name in labels]
    shown = [s if short.count(s) == 1 else name for s, name in zip(short, labels, strict=True)]
    if len(factors) == 1:
        return Arm(*labels.values(), labels, apply(base, settings))
    pairs = zip(shown, labels.values(), strict=True)
    return Arm(", ".join(f"{name} {label}" for name, label in pairs), labels, apply(base, settings))
