"""`docs/scale.md`: what the stored results say of many devices and of images that are read, and what the model adds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import scale_model, scale_tables
from benchmarks.cells import samples_of
from benchmarks.messages import NOT_MEASURED
from benchmarks.ratios import Sample, ratio
from benchmarks.tables import circumstances, markdown

TEMPLATE = Path(__file__).with_name("scale.md").read_text(encoding="utf-8")
SPLIT_GOAL, READ_GOAL = 1.15, 1.10
"""What was asked for: at most so many times as long."""
TABLES = {
    "parallel": scale_tables.parallel_tables,
    "streaming": scale_tables.streaming_tables,
    "memory": scale_tables.memory_tables,
}

Documents = Mapping[str, dict[str, Any]]


def page(results: Path) -> str:
    """Of results/: cpu/parallel.json and so on, and h200/train.json. What is not there is "not measured"."""
    documents = {name: json.loads(path.read_text(encoding="utf-8"))
                 for name in TABLES if (path := results / "cpu" / f"{name}.json").is_file()}  # fmt: skip
    accelerator = results / "h200" / "train.json"
    trained = json.loads(accelerator.read_text(encoding="utf-8")) if accelerator.is_file() else None
    parts = {name: tables_of(name, documents) for name in TABLES}
    parts["memory_table"] = parts.pop("memory")
    told = {f"{name}_circumstances": said(documents.get(name)) for name in TABLES}
    return TEMPLATE.format(**parts, **told, **answers(documents), **scale_model.parts(documents, trained))


def tables_of(name: str, documents: Documents) -> str:
    if name not in documents:
        return f"{NOT_MEASURED.capitalize()}."
    found = TABLES[name](documents[name])
    return "\n\n".join(f"{title}\n\n{markdown(table)}" for title, table in found if len(table) > 1)


def said(document: dict[str, Any] | None) -> str:
    return f"{NOT_MEASURED}." if document is None else circumstances(document)


# --- answers ----------------------------------------------------------------------------------------------------------


def answers(documents: Documents) -> dict[str, str]:
    """A sentence for each question of the table at the top."""
    streaming = documents.get("streaming", {}).get("results", [])
    return {
        "split": split(documents.get("parallel", {}).get("results", [])),
        "cached": read(streaming, "from the cache"),
        "records": read(streaming, "from the records"),
        "memory": memory(documents.get("memory", {}).get("results", [])),
    }


def split(results: list[dict[str, Any]]) -> str:
    pair = [samples_of(r) for r in results if r["case"] == "split"]
    if len(pair) < 2 or not all(pair):
        return NOT_MEASURED
    return judged(pair[1], pair[0], SPLIT_GOAL)


def read(results: list[dict[str, Any]], way: str) -> str:
    resident = {r["case"]: r for r in results if r["way"] == "resident"}
    found = []
    for r in results:
        if r["way"] == way and r["seconds"]:
            told = judged(samples_of(r), samples_of(resident[r["case"]]), READ_GOAL)
            found.append(f"{r['case']}: {told}")
    return "; ".join(found) or NOT_MEASURED


def judged(samples: Sequence[Sample], reference: Sequence[Sample], goal: float) -> str:
    """A ratio with its quartiles, whether it meets the goal, and a star where all samples of either were disturbed."""
    found = ratio(samples, reference)
    star = "*" if any(all(sample.disturbed for sample in own) for own in (samples, reference)) else ""
    told = f"{found.value:.2f}{star} ({found.low:.2f}–{found.high:.2f}) times as long"
    return f"{told}: {'meets' if found.value <= goal else 'misses'} the goal, {goal:.2f} at most"


def memory(results: list[dict[str, Any]]) -> str:
    grown = {}
    for way in ("streamed", "resident"):
        own = [r["peak_bytes"] / 2**20 for r in results if r["case"] == way and not r["gap"]]
        if len(own) < 2:
            return NOT_MEASURED
        grown[way] = f"{own[0]:,.0f} MiB to {own[-1]:,.0f} MiB ({own[-1] / own[0]:.2f} times)"
    return f"{grown['streamed']}; in memory: {grown['resident']}"
