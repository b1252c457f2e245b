"""Arms that would be one run twice, refused before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convnet import models, optim
from convnet.config import ModelConfig, OptimConfig, RunConfig, content_hash, differences, to_dict


def refuse_twins(arms: Sequence[tuple[str, RunConfig]]) -> None:
    """ValueError for two `arms` (name, config) of one name or one config, and for two that differ only in what neither
    has a use for, as MLPs do in their kernel: "no difference" between them would say nothing."""
    seen: dict[str, tuple[str, RunConfig]] = {}
    for name, config in arms:
        if name in (earlier for earlier, _ in seen.values()):
            raise ValueError(f"two arms are called {name!r}: rename a level")
        key = content_hash(_used(config))
        if key in seen:
            twin, other = seen[key]
            differing, unused = differences(to_dict(other), to_dict(config)), without_effect(config)
            path = next(iter(differing), None)
            same = "config" if path is None else f"run: {path} has no effect where {unused[path]}"
            raise ValueError(f"arms {twin!r} and {name!r} are the same {same}")
        seen[key] = name, config


def without_effect(config: RunConfig) -> dict[str, str]:
    """Settings that a run of `config` is known to have no use for, each with the reason: {"model.kernel": "model.name
    is 'mlp'"}. Others may turn out to have none: then runs come out the same bit for bit (`summarize_arms`)."""
    model = config.model.name
    why = {f"model.{name}": f"model.name is {model!r}" for name in models.unused_settings(model)}
    for name, reason in optim.unused_settings(config.optim).items():
        why[f"optim.{name}"] = f"optim.{reason} is {getattr(config.optim, reason)!r}"
    return why


def _used(config: RunConfig) -> RunConfig:
    """`config` with the usual values of what it has no use for: equal for two configs only if they are one run."""
    model = {name: getattr(ModelConfig(), name) for name in models.unused_settings(config.model.name)}
    chain = {name: getattr(OptimConfig(), name) for name in optim.unused_settings(config.optim)}
    return replace(config, model=replace(config.model, **model), optim=replace(config.optim, **chain))
