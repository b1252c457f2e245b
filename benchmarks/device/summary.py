"""What the results of a check come to: one line for each thing that a reader asks first, with what was aimed at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import PRECISIONS
from benchmarks.device import several
from benchmarks.device.lines import Document, Line, equality, product_rates, seconds_of, verdict
from benchmarks.messages import NOT_MEASURED

NEAR = 0.98
"""Of the faster peer's speed: as fast, but for what two measurements of one thing may differ."""


def lines_of(folder: Path, files: Sequence[str], notes: Mapping[str, str]) -> list[str]:
    """The table as text; a part without results is "not measured", with the reason in `notes`."""
    documents = {}
    for name in files:
        path = folder / f"{name}.json"
        if path.is_file() and name not in _unrun(notes):
            documents[name] = json.loads(path.read_text(encoding="utf-8"))
    found = table({name: documents.get(name, {}) for name in files}, notes)
    widths = [max(len(line[i]) for line in found) for i in range(4)]
    return ["  ".join(t.ljust(width) for t, width in zip(line, widths, strict=True)).rstrip() for line in found]


def table(documents: Mapping[str, Document], notes: Mapping[str, str] | None = None) -> list[Line]:
    """The lines of all parts, below a head. `notes`: why a part has nothing, or not all."""
    found = [Line("", "measured", "aim", "reached")]
    for name, document in documents.items():
        if name not in SUMMARIES:
            continue
        lines = list(SUMMARIES[name](document)) if document.get("results") else []
        why = (notes or {}).get(name) or document.get("gap") or ""
        found += lines or [Line(name, f"{NOT_MEASURED}{f': {why}' if why else ''}")]
        if lines and document.get("cut"):
            found.append(Line(f"{name}, no time for", f"{len(document['cut'])} more"))
    return found


def _unrun(notes: Mapping[str, str]) -> set[str]:
    """Parts that were not even begun, whose files are of another time."""
    return {name for name, note in notes.items() if note.startswith("not run")}


def audit(document: Document) -> Iterator[Line]:
    results = document["results"]
    wrong = [r["op"] for r in results if not r["passed"]]
    yield Line("gradients that pass", f"{len(results) - len(wrong)} of {len(results)} ops", "all", verdict(not wrong))
    for r in results:
        if not r["passed"]:
            stages = [stage for stage, status in r.get("stages", {}).items() if status == "failed"]
            yield Line(f"  {r['op']}", r.get("error", "")[:80] or f"failed: {', '.join(stages)}")


def ops(document: Document) -> Iterator[Line]:
    results = document["results"]
    rates = product_rates(document)
    times = {(r["case"], r["task"]["precision"], r["task"]["direction"], r["peer"]): r for r in results}
    for precision in reversed(PRECISIONS):
        if precision in rates:
            yield Line(f"matrix product, {precision}", f"{rates[precision] / 1e12:.1f} TFLOP/s")
        maps = sorted({key[::2] for key in times if key[1] == precision})
        ratios, shares = {}, []
        for case, direction in maps:
            own, *others = (
                seconds_of(times.get((case, precision, direction, peer))) for peer in ("ours", "autodiff", "torch")
            )
            others = [seconds for seconds in others if seconds]
            if own and others:
                ratios[f"{case} {direction}"] = min(others) / own
            flops = times[case, precision, direction, "ours"]["flops"]
            if own and flops and precision in rates:
                shares.append(flops / own / rates[precision])
        if ratios:
            good = sum(value >= NEAR for value in ratios.values())
            aim = f"{NEAR} of the faster peer"
            yield Line(f"ops, {precision}", f"{good} of {len(ratios)} maps", aim, verdict(good == len(ratios)))
            for name in sorted(ratios, key=ratios.get)[: min(len(ratios) - good, 6)]:
                yield Line(f"  {name}", f"{ratios[name]:.2f}")
        if shares:
            yield Line(f"  of the matrix product, {precision}", f"{min(shares):.0%} to {max(shares):.0%}")


def train(document: Document) -> Iterator[Line]:
    times = {(r["case"], r["task"]["precision"], r["task"]["mode"], r["peer"]): r for r in document["results"]}
    for case, precision in dict.fromkeys(key[:2] for key in times):
        at = lambda mode, peer, of=(case, precision): times.get((*of, mode, peer))  # noqa: E731
        own, scanned = seconds_of(at("single", "ours")), seconds_of(at("scanned", "ours"))
        if own is None:
            gap = (at("single", "ours") or {}).get("gap") or ""
            yield Line(f"{case}, {precision}", f"{NOT_MEASURED} {gap}".strip())
            continue
        yield Line(f"{case}, {precision}", f"{1e3 * own:.2f} ms a step, {_rate(at('single', 'ours'))}")
        for peer, aim in (("torch-compile", 1.0), ("torch", None), ("autodiff", None), ("ours-repeatable", None)):
            if other := seconds_of(at("single", peer)):
                told = (f"{aim} or more", verdict(other / own >= aim)) if aim else ("", "")
                yield Line(f"  {peer} ÷ ours", f"{other / own:.2f}", *told)
        if scanned:
            yield Line("  scanned ÷ dispatched", f"{scanned / own:.2f}", "1.0 or less", verdict(scanned <= own))
        memory = [(peer, (at("single", peer) or {}).get("device_bytes")) for peer in ("ours", "autodiff", "torch")]
        if told := ", ".join(f"{peer} {size / 2**20:,.0f}" for peer, size in memory if size):
            yield Line("  memory, MiB", told)


def _rate(result: Mapping[str, Any]) -> str:
    return f"{result['flops'] / seconds_of(result) / 1e12:.1f} TFLOP/s"


def resnet224(document: Document) -> Iterator[Line]:
    """As `train`, with images per second, and the arithmetic beside a matrix product's."""
    yield from train(document)
    rates = product_rates(document)
    for r in document["results"]:
        task, seconds = r["task"], seconds_of(r)
        if seconds:
            how = "dispatched" if task["mode"] == "single" else task["mode"]
            told = f"{task['batch'] / seconds:,.0f} images/s"
            if rate := rates.get(task["precision"]):
                told += f", {r['flops'] / seconds / rate:.0%} of the matrix product"
            yield Line(f"  {r['peer']}, {how}", told)


def streaming(document: Document) -> Iterator[Line]:
    """Epochs of images that are read beside those of images in memory."""
    resident = {r["case"]: r for r in document["results"] if r["way"] == "resident"}
    for r in document["results"]:
        base = resident.get(r["case"], {})
        if r["way"] == "resident" or not (seconds_of(r) and seconds_of(base)):
            continue
        told = f"{seconds_of(r) / seconds_of(base):.2f}, {r['images'] / seconds_of(r):,.0f} images/s"
        yield Line(f"{r['images']:,} images {r['way']} ÷ in memory", told)
        if r.get("digest"):
            equal = r["digest"] == base.get("digest")
            yield Line("  bits of the parameters", equality(equal), "equal", verdict(equal))


def replicates(document: Document) -> Iterator[Line]:
    found = {(r["case"], r["way"]): r for r in document["results"]}
    for case in dict.fromkeys(key[0] for key in found):
        one, many, row = (seconds_of(found.get((case, way))) for way in ("one", "vmapped", "single"))
        first = found[case, "one"]
        if one and many:
            aim = ("4 or less", verdict(many / one <= 4)) if case == "digits" else ()
            count = first["replicates"]
            yield Line(f"{count} × {first['label']} in one program ÷ one run", f"{many / one:.2f}", *aim)
            if row:
                yield Line(f"  {count} one after the other ÷ in one program", f"{row / many:.1f}")


def determinism(document: Document) -> Iterator[Line]:
    for kind in dict.fromkeys(r["kind"] for r in document["results"]):
        runs = [r for r in document["results"] if r["kind"] == kind and r.get("digests")]
        if not runs:
            yield Line(f"bits, {kind}", NOT_MEASURED)
            continue
        within = all(len(set(r["digests"])) == 1 for r in runs)
        across = len({digest for r in runs for digest in r["digests"]}) == 1
        seconds = [s for r in runs if r["alone"] for s in r["seconds"][1:]]
        told = f"{equality(within)} in one process"
        told += f", {equality(across)} in {len(runs)}" if len(runs) > 1 else ""
        aim = ("equal", verdict(within and across)) if kind == "deterministic" else ()
        told += f"; {1e3 * np.median(seconds):.1f} ms a run" if seconds else ""
        yield Line(f"bits, {kind}", told, *aim)
    told = {name: fact for r in document["results"] for name, fact in r.get("interruption", {}).items()}
    if "resumed" in told and "whole" in told:
        equal = told["resumed"] == told["whole"]
        what = f"{equality(equal)}, in another process"
        yield Line("  interrupted after an epoch and resumed", what, "equal", verdict(equal))
    elif "failed" in told:
        yield Line("  interrupted after an epoch and resumed", told["failed"][:80], "equal", "no")


def mnist(document: Document) -> Iterator[Line]:
    reached = [r["seconds"] for r in document["results"] if r["seconds"] is not None]
    accuracies = ", ".join(f"{r['test_accuracy']:.2%}" for r in document["results"])
    told = f"{np.median(reached):.2f} s (median of {len(reached)})" if reached else "not reached"
    compiled = document["results"][0]["compile_seconds"]
    yield Line("MNIST, 99 % on validation after", f"{told}, and {compiled:.0f} s to compile; test {accuracies}")


def formulations(document: Document) -> Iterator[Line]:
    """Where another form than the table's is faster by more than a tenth."""
    groups: dict[tuple, list[dict]] = {}
    for r in document["results"]:
        groups.setdefault((r["label"], r["direction"], r["precision"], r["pairs"]), []).append(r)
    slow = []
    for (label, direction, precision, pairs), forms in groups.items():
        timed = {(f["formulation"], f["way"]): seconds_of(f) for f in forms if seconds_of(f)}
        own = next((seconds_of(f) for f in forms if f["chosen"]), None)
        if own and timed and own > 1.1 * min(timed.values()):
            best = min(timed, key=timed.get)
            what = f"  {label} {direction}, {precision}" + (f", {pairs} pairs" if pairs else "")
            slow.append(Line(what, f"{' '.join(best).strip()}: {timed[best] / own:.2f} of the time"))
    yield Line("formulations: the table's is the fastest", f"{len(groups) - len(slow)} of {len(groups)} maps")
    yield from slow[:12]


SUMMARIES: dict[str, Callable[[Document], Iterator[Line]]] = {
    "audit": audit,
    "devices": several.devices_lines,
    "resume": several.resume_lines,
    "train": train,
    "resnet224": resnet224,
    "streaming": streaming,
    "determinism": determinism,
    "replicates": replicates,
    "ops": ops,
    "mnist": mnist,
    "formulations": formulations,
}
