"""The tables of `race`: seconds and accuracy of whole trainings, and what they were told."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.messages import NOT_MEASURED
from convnet.report.speed_page import told

Tables = list[tuple[str, list[list[str]]]]
LABELS = {"ours": "convnet, gradients by hand", "torch": "PyTorch, the same recipe"}
ACCURACIES = {"accuracy": "as it is", "accuracy_mirror": "and mirrored", "accuracy_views": "six views"}


def race_tables(document: dict[str, Any]) -> Tables:
    results = document["results"]
    return [
        ("Seconds from the images on the device to test accuracy:", time_table(results)),
        ("Accuracy of the test images in %, mean and 95 % interval, by views of each:", accuracy_table(results)),
    ]


def time_table(results: list[dict[str, Any]]) -> list[list[str]]:
    """A line per racer; the quotient is of the medians over the seeds that both have run."""
    head = ["", "precision", "runs", "seconds, median", "least", "most", "of it training", "÷ ours"]
    table = [[*head, "before the clock"]]
    ours = next((result for result in results if result["case"] == "ours"), None)
    for result in results:
        label, seconds = LABELS[result["case"]], [run["seconds"] for run in result["runs"]]
        if not seconds:
            table.append([label, "", "0", f"{NOT_MEASURED}: {result['gap']}", *[""] * 5])
            continue
        training = [run["phases"].get("prepare", 0) + run["phases"]["train"] for run in result["runs"]]
        times = [np.median(seconds), min(seconds), max(seconds), np.median(training)]
        beside, before = against(result, ours), f"{result['warm_up_seconds']:.3g}"
        table.append([label, precision(result), f"{len(seconds)}", *(f"{t:.4g}" for t in times), beside, before])
    return table


def against(result: dict[str, Any], ours: dict[str, Any] | None) -> str:
    theirs, own = ({run["seed"]: run["seconds"] for run in (one or {"runs": ()})["runs"]} for one in (result, ours))
    if not (seeds := theirs.keys() & own.keys()):
        return ""
    return f"{np.median([theirs[seed] for seed in seeds]) / np.median([own[seed] for seed in seeds]):.2f}"


def precision(result: dict[str, Any]) -> str:
    settings = result["settings"]
    return settings.get("precision") or settings["model"]["precision"]


def accuracy_table(results: list[dict[str, Any]]) -> list[list[str]]:
    table = [["", "runs", *(f"{name}, {what}" for name in ACCURACIES.values() for what in ("mean", "95 %"))]]
    for result in results:
        if result["runs"]:
            values = [[100 * run[name] for run in result["runs"] if run[name] is not None] for name in ACCURACIES]
            cells = [cell for of in values for cell in (told(of, ".2f") if of else [NOT_MEASURED, ""])]
            table.append([LABELS[result["case"]], f"{len(result['runs'])}", *cells])
    return table
