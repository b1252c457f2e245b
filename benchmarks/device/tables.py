"""Tables of what only the check of a device measures."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.messages import NOT_MEASURED

Document = dict[str, Any]
Row = list[str]
EVIDENCE = ("elementwise", "differences", "precisions", "second order", "context")
"""Stages of an audit that have a column; `audit.json` has all of them."""


def audit_tables(document: Document) -> list[tuple[str, list[Row]]]:
    """Op × stage: the largest error as a part of its bound."""
    table = [["op", "verdict", *EVIDENCE]]
    for r in sorted(document["results"], key=lambda r: r["op"]):
        worst = {stage: _worst(r.get("checks", ()), stage) for stage in EVIDENCE}
        cells = [NOT_MEASURED if value is None else f"{value:.2g}" for value in worst.values()]
        table.append([r["op"], "passed" if r["passed"] else "failed", *cells])
    return [("Level quick: the largest error of a stage, as a part of what rounding may do to it:", table)]


def _worst(checks: list[dict[str, Any]], stage: str) -> float | None:
    own = (c for c in checks if c["stage"] == stage and c["bound"] and c["error"] is not None)
    return max((float(c["error"]) / c["bound"] for c in own), default=None)


def determinism_tables(document: Document) -> list[tuple[str, list[Row]]]:
    """Processes of each kind: the bits that their runs end with, and what a run takes."""
    table = [["compiled", "process", "digests of the parameters of equal runs", "ms a run"]]
    for r in document["results"]:
        where = "alone" if r["alone"] else "beside others"
        if not r.get("digests"):
            table.append([r["kind"], where, r.get("gap") or NOT_MEASURED, ""])
            continue
        seconds = f"{1e3 * np.median(r['seconds'][1:]):.1f}" if r["alone"] else ""
        table.append([r["kind"], where, ", ".join(dict.fromkeys(r["digests"])), seconds])
    return [("Several runs of one config in each process:", table)]


def mnist_tables(document: Document) -> list[tuple[str, list[Row]]]:
    """Seeds: seconds of training until validation reaches 99 %, and the test accuracy in the end."""
    table = [["seed", "s to 99 % on validation", "s of training in all", "test accuracy"]]
    for r in document["results"]:
        reached = "not reached" if r["seconds"] is None else f"{r['seconds']:.2f}"
        table.append([str(r["seed"]), reached, f"{r['epoch_ends'][-1]:.2f}", f"{r['test_accuracy']:.2%}"])
    return [("After compilation:", table)]
