"""Arms that would be one run twice, refused before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from convnet import initializers, optim
from convnet.architectures import Own
from convnet.architectures.layers import Dropout
from convnet.config import OptimConfig, RunConfig
from convnet.settings import content_hash, differences, to_dict

IMAGES = ((8, 8, 1), (28, 28, 1), (32, 32, 3), (224, 224, 3))
"""Shapes on which two tables of layers are compared; some settings depend on the image."""


def refuse_twins(arms: Sequence[tuple[str, RunConfig]]) -> None:
    """ValueError for two `arms` (name, config) of one name or one config, and for two that differ in nothing that is
    computed, as the widths of a head that a network does not have: "no difference" between them would say nothing.

    Other settings may turn out to have no effect: then runs come out the same bit for bit (`summarize_arms`).
    """
    seen: dict[str, tuple[str, RunConfig]] = {}
    for name, config in arms:
        if name in (earlier for earlier, _ in seen.values()):
            raise ValueError(f"two arms are called {name!r}: rename a level")
        key = content_hash(_essence(config))
        if key in seen:
            twin, other = seen[key]
            path = next(iter(differences(*(to_dict(one, places=False) for one in (other, config)))), None)
            raise ValueError(f"arms {twin!r} and {name!r} are the same {_why(config, path)}")
        seen[key] = name, config


def _why(config: RunConfig, path: str | None) -> str:
    if path is None:
        return "config"
    if path.startswith("model."):
        return f"network: {path} changes nothing in it"
    reason = optim.unused_settings(config.optim)[path.removeprefix("optim.")]
    return f"run: {path} has no effect where optim.{reason} is {getattr(config.optim, reason)!r}"


def _essence(config: RunConfig) -> dict[str, Any]:
    """What a run of `config` computes, as plain values: equal for two configs only if they are one run."""
    chain = {name: getattr(OptimConfig(), name) for name in optim.unused_settings(config.optim)}
    values = to_dict(replace(config, optim=replace(config.optim, **chain)), places=False)
    return values | {"model": _network(config.model)}


def _network(model: Any) -> dict[str, Any]:
    if isinstance(model, Own):
        return to_dict(model)
    tables = [[repr(x) for x in model.layers(image, 10) if x != Dropout(0.0)] for image in IMAGES]
    usual = initializers.INITIALIZERS.get(model.initializer, (None, None))[1]
    scale = usual if model.initializer_scale is None or model.initializer == "zeros" else model.initializer_scale
    return {"tables": tables, "start": [model.initializer, scale], "precision": model.precision}
