"""Tables of what many devices, processes and files cost: `parallel`, `streaming`, `memory`."""

from __future__ import annotations

import numpy as np

from benchmarks.cells import Result, against, milliseconds, samples_of
from benchmarks.messages import NOT_MEASURED
from benchmarks.parallel import ALONE, SUM, WHOLE, Crew
from benchmarks.ratios import median, ratio

Row = list[str]
Tables = list[tuple[str, list[Row]]]


def crew_of(result: Result) -> Crew:
    return Crew(**result["crew"])


def find(results: list[Result], crew: Crew, program: str, batch: int) -> Result | None:
    wanted = crew, program, batch
    return next((r for r in results if (crew_of(r), r["program"], r["batch"]) == wanted and r["seconds"]), None)


def seconds_of(result: Result) -> float:
    """Median."""
    return median(samples_of(result))


# --- devices and processes --------------------------------------------------------------------------------------------


def parallel_tables(document: dict) -> Tables:
    """Weak and strong scaling, two processes beside one, sums alone, and what is summed up."""
    plan = document["plan"]
    results = [r for r in document["results"] if r["case"] == "devices"]
    split = [r for r in document["results"] if r["case"] == "split"]
    label = next((r["label"] for r in results + split), "")
    return [
        (f"{label}, {plan['share']} images on each device:", scaling(results, plan["share"], weak=True)),
        (f"{label}, {plan['total']} images in all:", scaling(results, plan["total"], weak=False)),
        (f"{label}, {plan['split']} images, on two processors:", split_table(split)),
        ("A sum over devices by itself, in microseconds:", sum_table(results)),
        ("What a step sums up over devices, as compiled for CPUs:", summed(document["results"])),
    ]


def scaling(results: list[Result], images: int, *, weak: bool) -> list[Row]:
    """A line per crew: its step beside that of one device, and beside the same step with nothing summed up."""
    crews = list(dict.fromkeys(map(crew_of, results)))
    head = ["", "images", "threads of each", "ms per step", "images / s ÷ one device", "nothing summed ms"]
    table = [[*head, "whole ÷ nothing summed"]]
    one = next((c for c in crews if c.count == 1), None)
    base = find(results, one, WHOLE, images) if one else None
    for crew in crews:
        batch = images * crew.count if weak else images
        whole, alone = (find(results, crew, program, batch) for program in (WHOLE, ALONE))
        gain = NOT_MEASURED
        if whole and base:
            gain = f"{seconds_of(base) / seconds_of(whole) * batch / images:.2f}"
        rest = [milliseconds(alone), against(whole, alone)] if crew.count > 1 else ["", ""]
        table.append([crew.label, f"{batch}", f"{crew.threads}", milliseconds(whole), gain, *rest])
    return table


def split_table(results: list[Result]) -> list[Row]:
    table = [["", "threads of each", "ms per step", "÷ one process"]]
    for result in results:
        crew = crew_of(result)
        table.append([crew.label, f"{crew.threads}", milliseconds(result), against(result, results[0])])
    return table


def sum_table(results: list[Result]) -> list[Row]:
    sums = [r for r in results if r["program"] == SUM and r["seconds"]]
    sizes = sorted({r["bytes"] for r in sums})
    found = {(crew_of(r), r["bytes"]): f"{1e6 * seconds_of(r):,.0f}" for r in sums}
    crews = dict.fromkeys(crew for crew, _ in found)
    head = ["", "threads of each", *(f"{size:,} bytes" for size in sizes)]
    rows = ([c.label, f"{c.threads}", *(found.get((c, s), NOT_MEASURED) for s in sizes)] for c in crews)
    return [head, *rows]


def summed(results: list[Result]) -> list[Row]:
    """By network, of two devices: how many arrays a step sums up, and how large they are."""
    table = [["", "arrays", "bytes in all", "of at most 16 KiB", "largest"]]
    seen = set()
    for r in results:
        sums = r.get("sums")
        if r["program"] == WHOLE and sums and crew_of(r).count == 2 and r["label"] not in seen:
            seen.add(r["label"])
            small = sum(size <= 2**14 for size in sums)
            table.append([r["label"], f"{len(sums)}", f"{sum(sums):,}", f"{small}", f"{max(sums):,}"])
    return table


# --- images that are read ---------------------------------------------------------------------------------------------


def streaming_tables(document: dict) -> Tables:
    """Epochs of images that are read beside those of images in memory."""
    table = [["", "images", "s per epoch", "÷ resident", "reading alone s", "images read / s", "windows"]]
    resident = {r["case"]: r for r in document["results"] if r["way"] == "resident"}
    for r in document["results"]:
        if not r["seconds"]:
            table.append([r["case"], r["way"], NOT_MEASURED, "", "", "", ""])
            continue
        samples, base = samples_of(r), samples_of(resident[r["case"]])
        found, read = ratio(samples, base), float(np.median(r["read"])) if r["read"] else None
        star = "*" if all(sample.disturbed for sample in samples) else ""
        alone = [f"{read:.3g}", f"{r['images'] / read:,.0f}", f"{r['windows']}"] if read else ["", "", ""]
        beside = "" if r["way"] == "resident" else f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})"
        table.append([r["case"], r["way"], f"{median(samples):.3g}{star}", beside, *alone])
    images = " and ".join(dict.fromkeys(f"{r['images']:,}" for r in document["results"] if r["seconds"]))
    networks = " and ".join(dict.fromkeys(r.get("label", "CNN of the comparison") for r in document["results"]))
    return [(f"An epoch of {images or 'no'} images, {networks}; a window is read at a time:", table)]


def memory_tables(document: dict) -> Tables:
    """Peak memory while the data grow."""
    table = [["", "images", "data MiB", "peak MiB", "above the idle process MiB", "÷ smallest"]]
    smallest: dict[str, float] = {}
    for r in document["results"]:
        size = [r["case"], f"{r['images']:,}", f"{r['data_bytes'] / 2**20:,.0f}"]
        if r["gap"]:
            table.append([*size, NOT_MEASURED, "", ""])
            continue
        above = r["peak_bytes"] - r["idle_bytes"]
        first = smallest.setdefault(r["case"], r["peak_bytes"])
        row = [f"{r['peak_bytes'] / 2**20:,.0f}", f"{above / 2**20:,.0f}", f"{r['peak_bytes'] / first:.2f}"]
        table.append([*size, *row])
    return [("Most memory that a whole run took:", table)]
