"""Tasks as JSON and back: what parent and worker say to one another, and what the results keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from benchmarks import attributions, cases, networks
from convnet.architectures import MODELS

TYPES = {
    kind.__name__: kind
    for kind in (
        *(cases.ConvLayer, cases.PoolLayer, cases.OpTask, cases.GemmTask),
        *(networks.Network, networks.StepTask, attributions.AttributionTask, *MODELS.values()),
    )
}

NOT_MEASURED = "not measured"

Task = cases.OpTask | cases.GemmTask | networks.StepTask | attributions.AttributionTask


def encode(value: Any) -> Any:
    """A dataclass becomes an object with its `type`, a tuple a list."""
    if is_dataclass(value):
        return {"type": type(value).__name__} | {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    return [encode(item) for item in value] if isinstance(value, tuple) else value


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, dict):
        rest = {name: decode(item) for name, item in value.items() if name != "type"}
        return TYPES[value["type"]](**rest)
    return tuple(decode(item) for item in value) if isinstance(value, list) else value


def kind(task: Mapping[str, Any]) -> str:
    """What an encoded task is called beside its case: a direction, mode or method, and the precision unless it is
    float32."""
    name = next(task[kind] for kind in ("direction", "mode", "method") if kind in task)
    precision = task.get("precision", "float32")
    return name if precision == "float32" else f"{name}, {precision}"
