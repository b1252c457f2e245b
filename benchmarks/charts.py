"""From a document of results to the figures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.messages import kind
from benchmarks.ratios import Ratio, Sample, median, ratio, slope
from benchmarks.session import REFERENCE
from convnet.record import write_atomically
from convnet.report import figures, png

Result = dict[str, Any]
AXES = {
    "batch": "images per batch",
    "channels": "channels",
    "side": "side of the images, pixels",
    "depth": "convolutions",
    "replicates": "replicates under vmap",
}


def draw(document: dict, folder: Path) -> dict[str, Path]:
    """Write the figures of `document` into `folder`: title -> path. Nothing where there is nothing to compare."""
    folder.mkdir(parents=True, exist_ok=True)
    name = document["benchmark"]
    if name not in ("ops", "train", "resnet224", "attribution", "scaling"):  # a table says it all
        return {}
    drawn = scaling_curves(document) if name == "scaling" else ratio_bars(document)
    paths = {}
    for title, figure in drawn.items():
        paths[title] = folder / f"{name}-{title.split(':')[0].replace(' ', '-')}.png"
        write_atomically(paths[title], png(figure))
    return paths


def ratio_bars(document: dict) -> dict[str, Any]:
    """One figure per setting of the allocator: line -> peer -> ratio to ours."""
    found: dict[str, dict[str, dict[str, Ratio]]] = {}
    for result in document["results"]:
        task = result["task"]
        if task.get("context", "once") != "once" or result["peer"] == REFERENCE or not result["seconds"]:
            continue
        reference = _reference(document, result)
        if reference:
            line = f"{result['case']} {kind(task)}"
            lines = found.setdefault(result["allocator"], {}).setdefault(line, {})
            lines[result["peer"]] = ratio(_samples(result), _samples(reference))
    return {
        f"{allocator} allocator: time over that of {REFERENCE}": figures.ratio_bars(
            {line: {p: (r.value, r.low, r.high) for p, r in peers.items()} for line, peers in lines.items()},
            f"time ÷ {REFERENCE}, {allocator} allocator",
        )
        for allocator, lines in found.items()
    }


def scaling_curves(document: dict) -> dict[str, Any]:
    """One figure per quantity: peer -> (sizes, milliseconds), with the fitted exponent."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for result in document["results"]:
        if not result["seconds"]:
            continue
        allocator = "" if result["allocator"] == "default" else f", {result['allocator']} allocator"
        sizes, times = found.setdefault(result["case"], {}).setdefault(result["peer"] + allocator, ([], []))
        sizes.append(result["size"])
        times.append(1e3 * _whole(result))
    drawn = {}
    for quantity, curves in found.items():
        named = {
            f"{peer} ∝ {quantity}^{slope(sizes, times):.2f}" if len(sizes) > 1 else peer: (sizes, times)
            for peer, (sizes, times) in curves.items()
        }
        drawn[f"{quantity}: milliseconds per step"] = figures.scaling(named, AXES[quantity], "ms per step")
    return drawn


def _whole(result: Result) -> float:
    """Seconds of a call: of all replicates together, where there are several."""
    return median(_samples(result)) * (result["size"] if result["case"] == "replicates" else 1)


def _reference(document: dict, result: Result) -> Result | None:
    wanted = (REFERENCE, result["allocator"], result["task"])
    matching = (r for r in document["results"] if (r["peer"], r["allocator"], r["task"]) == wanted and r["seconds"])
    return next(matching, None)


def _samples(result: Result) -> list[Sample]:
    return [Sample(s, d) for s, d in zip(result["seconds"], result["disturbed"], strict=True)]
