"""What an ablation asks: a question, a base, factors, seeds. From the command line or from a preset file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from convnet.ablation.grid import Arm, Factor, checked, expand, factor, parse_factor
from convnet.config import RunConfig
from convnet.recipes import quick
from convnet.settings import apply, content_hash, flat, read_file, require, suggestion, to_dict

QUICK_ARMS = 3


@dataclass(frozen=True)
class Plan:
    """An ablation before it is expanded.

    answer: what a stored run of it found, in words; measured: when, where and in which time.
    sample: number of arms of a random design.
    changed: whether it is a preset with other settings than its file's.
    reference: name of the arm that the others are compared with; None: the first.
    """

    name: str
    base: RunConfig
    factors: tuple[Factor, ...]
    question: str = ""
    answer: str = ""
    measured: str = ""
    design: str = "grid"
    seeds: int = 10
    sample: int | None = None
    reference: str | None = None
    changed: bool = False

    def arms(self, max_cells: int | None = None) -> tuple[Arm, ...]:
        """The arms, the reference first.

        Raises ValueError for what `ablation.expand` refuses, and for an unknown reference.
        """
        settings = dict(seeds=self.seeds, max_cells=max_cells, sample=self.sample)
        arms = expand(self.base, self.factors, self.design, **settings)
        if self.reference is None:
            return arms
        first = [arm for arm in arms if arm.name == self.reference]
        if not first:
            raise ValueError(
                f"unknown reference {self.reference!r}: {suggestion(self.reference, [a.name for a in arms])}"
            )
        return (*first, *(arm for arm in arms if arm.name != self.reference))


@dataclass(frozen=True)
class _Preset:
    """The keys of a preset file."""

    question: str = ""
    answer: str = ""
    measured: str = ""
    design: str = "grid"
    seeds: int = 10
    sample: int | None = None
    reference: str | None = None
    base: dict[str, Any] = field(default_factory=dict)
    factors: dict[str, Any] = field(default_factory=dict)


def preset_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_preset(name: str, folder: Path) -> Plan:
    """The plan of a preset by its name in `folder`, or of a TOML file by its path.

    Raises ValueError for an unknown name (the nearest are named), a file that cannot be read, an unknown key, and for
    settings that `ablation.factor` refuses.
    """
    path = Path(name) if name.endswith((".toml", ".json")) else folder / f"{name}.toml"
    if path.parent == folder and not path.exists():
        raise ValueError(f"unknown preset {name!r}: {suggestion(name, preset_names(folder))}")
    values = read_file(path, "preset")
    known = [f.name for f in fields(_Preset)]
    for key in values:
        require(key in known, f"a key of preset {path.stem}", key, f"one of {', '.join(known)}")
    preset = _Preset(**values)
    for key, kind in (("seeds", int), ("question", str), ("design", str), ("base", dict), ("factors", dict)):
        require(isinstance(getattr(preset, key), kind), f"{path.stem}.{key}", getattr(preset, key), kind.__name__)
    for key, kind in (("sample", int), ("reference", str)):
        value = getattr(preset, key)
        require(value is None or isinstance(value, kind), f"{path.stem}.{key}", value, kind.__name__)
    for factor_name in preset.factors:
        require(bool(factor_name.strip()), f"a factor of preset {path.stem}", factor_name, "a name")
    return Plan(
        name=path.stem,
        base=apply(RunConfig(), checked(flat(preset.base))),
        factors=tuple(factor(name, levels) for name, levels in preset.factors.items()),
        **{f.name: getattr(preset, f.name) for f in fields(_Preset) if f.name not in ("base", "factors")},
    )


def make_plan(preset: Plan | None, factors: Sequence[str], base: RunConfig) -> Plan:
    """The plan of a preset, or of `--factor` texts, with what all arms share.

    Raises ValueError for both a preset and factors, and for neither.
    """
    name = preset and preset.name
    require(bool(preset) != bool(factors), "preset", name, "a preset, or at least one --factor, not both")
    if preset:
        return replace(preset, base=base, changed=base != preset.base)
    parsed = tuple(parse_factor(text) for text in factors)
    return Plan(name="+".join(f.name for f in parsed), base=base, factors=parsed)


def quickened(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The first arms with little to do: does everything run?"""
    short, seen = [], set()
    for arm in arms:
        config = quick(arm.config)
        if (key := content_hash(config)) not in seen:
            seen.add(key)
            short.append(replace(arm, config=config))
    return tuple(short[:QUICK_ARMS])


def describe(plan: Plan, arms: Sequence[Arm]) -> dict[str, Any]:
    """The plan as it is stored beside its results: what is compared with what, config by config."""
    return {
        "study": "ablate",
        "name": plan.name,
        "question": plan.question,
        "changed": plan.changed,
        "design": plan.design,
        "factors": {f.name: dict(f.levels) for f in plan.factors},
        "base": to_dict(plan.base),
        "seeds": plan.seeds,
        "arms": [
            {"name": arm.name, "levels": dict(arm.levels), "hash": content_hash(arm.config)}
            | {"config": to_dict(arm.config)}
            for arm in arms
        ],
    }
