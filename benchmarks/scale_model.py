"""What the model of a step (`benchmarks.step_cost`) says beside the stored measurements, and of accelerators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.cells import Result
from benchmarks.messages import NOT_MEASURED
from benchmarks.networks import Network
from benchmarks.parallel import ALONE, RESNET18, SUM, WHOLE
from benchmarks.scale_tables import crew_of, seconds_of
from benchmarks.step_cost import (
    H100_PEAK,
    LARGE,
    SMALL,
    STATISTICS,
    Fabric,
    Load,
    Step,
    fitted,
    load_of,
    scales_to,
    step,
    sum_seconds,
)
from benchmarks.tables import Row, markdown
from convnet.architectures import shapes

IMAGES, IMAGE_CLASSES = 256, 1000
BYTES = 224 * 224 * 3
"""Of an image, uint8."""
ACCELERATORS = (1, 8, 64, 1024)
BESIDE = "ResNet-18 64-128-256-512 at 32²"
"""The stored steps of an accelerator whose rate stands for ResNet-18 at 224²."""

Documents = Mapping[str, dict[str, Any]]


def parts(documents: Documents, trained: dict[str, Any] | None) -> dict[str, str]:
    """Texts and tables by their names in the page's template. trained: steps of an accelerator, as stored."""
    parallel = documents.get("parallel", {}).get("results", [])
    return cpu_parts([r for r in parallel if r["case"] == "devices" and r["seconds"]]) | {
        "input_predictions": input_predictions(documents.get("streaming", {}).get("results", [])),
        **accelerator_parts(trained, documents.get("streaming", {}).get("results", [])),
    }


# --- this machine -----------------------------------------------------------------------------------------------------


def cpu_parts(results: list[Result]) -> dict[str, str]:
    one = [r for r in results if r["program"] == WHOLE and crew_of(r).count == 1]
    alone, sums = ([r for r in results if r["program"] == program] for program in (ALONE, SUM))
    if not (one and alone and sums):
        return dict.fromkeys(("constants", "predictions", "errors"), f"{NOT_MEASURED.capitalize()}.")
    rates = {False: rate_of_steps(one), True: rate_of_steps(alone)}
    fabrics = {
        way: fitted([(crew_of(r).count, r["bytes"], seconds_of(r)) for r in sums if kind_of(r) == way])
        for way in dict.fromkeys(map(kind_of, sums))
    }
    table = [["", "fitted to", "constant"]]
    table.append(["arithmetic, one device", "its steps", f"{rates[False] / 1e9:.0f} GFLOP/s"])
    table.append(["arithmetic, several together", "steps with nothing summed", f"{rates[True] / 1e9:.0f} GFLOP/s"])
    for way, fabric in fabrics.items():
        table.append([f"latency of a hop, {way}", "sums alone", f"{1e6 * fabric.near_hop:,.0f} µs"])
        bandwidth = f"{fabric.near_bandwidth / 1e9:.2f} GB/s" if np.isfinite(fabric.near_bandwidth) else "no bound"
        table.append([f"bandwidth, {way}", "sums alone", bandwidth])
    predicted, errors = predictions([r for r in results if r["program"] == WHOLE], rates, fabrics)
    several = list(errors.values())
    typical = 100 * float(np.expm1(np.mean(np.abs(np.log1p(several)))))
    told = f"Steps of several devices are off by {typical:.0f} % (geometric mean of {len(several)}"
    told += f"; {100 * min(several):+.0f} to {100 * max(several):+.0f} %)." if several else ")."
    return {"constants": markdown(table), "predictions": markdown(predicted), "errors": told}


def rate_of_steps(results: list[Result]) -> float:
    """FLOP/s, the geometric mean."""
    return float(np.exp(np.mean([np.log(r["flops"] / seconds_of(r)) for r in results])))


def kind_of(result: Result) -> str:
    return "devices of one process" if crew_of(result).processes == 1 else "processes"


def predictions(
    results: list[Result], rates: Mapping[bool, float], fabrics: Mapping[str, Fabric]
) -> tuple[list[Row], dict]:
    """A line per crew and batch, and the relative errors of those that were not fitted. rates: FLOP/s of one device,
    and (True) of several together."""
    head = ["", "images", "compute ms (model)", "sums ms (model)", "step ms (model)", "step ms measured", "error"]
    table, errors = [head], {}
    for r in results:
        crew = crew_of(r)
        sent = sum(sum_seconds(fabrics[kind_of(r)], crew.count, size) for size in r["sums"]) if crew.count > 1 else 0.0
        predicted = Step(crew.count, r["flops"] / rates[crew.count > 1], gradients=sent)
        error = predicted.exposed / seconds_of(r) - 1
        if crew.count > 1:
            errors[crew, r["batch"]] = error
        times = (predicted.compute, sent, predicted.exposed, seconds_of(r))
        table.append([crew.label, f"{r['batch']}", *(f"{1e3 * t:,.3g}" for t in times), f"{100 * error:+.0f} %"])
    return table, errors


def input_predictions(results: list[Result]) -> str:
    """Epochs of images that are read: compute is the epoch in memory, input is reading alone."""
    resident = {r["case"]: seconds_of(r) for r in results if r["way"] == "resident" and r["seconds"]}
    head = ["", "images", "compute s", "input s", "max s (model)", "sum s (model)", "epoch s measured"]
    table = [head]
    for r in results:
        if r["way"] != "resident" and r["seconds"]:
            compute, read = resident[r["case"]], float(np.median(r["read"]))
            times = compute, read, max(compute, read), compute + read, seconds_of(r)
            table.append([r["case"], r["way"], *(f"{t:.3g}" for t in times)])
    return markdown(table) if len(table) > 1 else f"{NOT_MEASURED.capitalize()}."


# --- accelerators -----------------------------------------------------------------------------------------------------


def resnet18() -> tuple[shapes.Placed, ...]:
    network: Network = RESNET18
    return tuple(shapes.walk(network.architecture.layers(network.image_shape, IMAGE_CLASSES), network.image_shape))


def accelerator_parts(trained: dict[str, Any] | None, streaming: list[Result]) -> dict[str, str]:
    load, (rate, source) = load_of(resnet18(), IMAGES), rate_of(trained)
    needed = IMAGES * rate / load.flops
    return {
        "parameters": f"{load.gradient_bytes // 4:,}",
        "gradient_bytes": f"{load.gradient_bytes / 1e6:.0f}",
        "normalisations": f"{len(load.statistics)}",
        "statistics": f"{STATISTICS * len(load.statistics)}",
        "rate_source": source,
        "accelerators": markdown(accelerator_table(load, rate)),
        "limits": limits(load, rate),
        "needed": f"{needed:,.0f}",
        "input_said": input_said(needed, streaming),
    }


def rate_of(trained: dict[str, Any] | None) -> tuple[float, str]:
    """FLOP/s of an accelerator, and where the number comes from."""
    peak = f"{H100_PEAK / 1e12:,.0f} TFLOP/s, the peak of NVIDIA's H100 data sheet (bfloat16, dense)"
    for r in (trained or {}).get("results", []):
        task = r["task"]
        if (r["case"], r["peer"], task["mode"], task["precision"]) == (BESIDE, "ours", "scanned", "bfloat16"):
            rate = r["flops"] / float(np.median(r["seconds"]))
            where = trained["environment"]
            told = (
                f"{rate / 1e12:.0f} TFLOP/s, measured on one {where['device']} ({where['started'][:10]}) in whole steps"
            )
            return rate, f"{told} of {BESIDE}, batch {task['batch']}: {100 * rate / H100_PEAK:.0f} % of {peak}."
    return H100_PEAK, f"{peak}: nothing computes a whole step at it."


def accelerator_table(load: Load, rate: float) -> list[Row]:
    """One line for each number of accelerators."""
    head = ["accelerators (model)", "compute ms", "gradients ms, ring", "gradients ms, ring or tree", "statistics ms"]
    table = [[*head, "step ms, nothing hidden", "step ms, hidden", "images / s", "of n times one", "of it, apart"]]
    for n in ACCELERATORS:
        found, ring = step(load, n, rate, LARGE, SMALL), step(load, n, rate, LARGE[:1], SMALL[:1])
        times = (found.compute, ring.gradients, found.gradients, found.statistics, found.exposed, found.hidden)
        shares = (found.compute / found.hidden, found.compute / found.apart.hidden)
        row = [f"{1e3 * t:.3g}" for t in times] + [f"{n * IMAGES / found.hidden:,.0f}"]
        table.append([f"{n:,}", *row, *(f"{100 * share:.0f} %" for share in shares)])
    return table


def limits(load: Load, rate: float) -> str:
    """The most accelerators (powers of two) that each keep so much of their speed alone."""
    cases = {
        "as the library does it, ring or tree": dict(apart=False, hidden=True),
        "the same, nothing but a ring": dict(apart=False, hidden=True, ring=True),
        "the same, nothing hidden": dict(apart=False, hidden=False),
        "apart, ring or tree": dict(apart=True, hidden=True),
        "apart, nothing but a ring": dict(apart=True, hidden=True, ring=True),
    }
    shares = (0.9, 0.8, 0.5)
    table = [["", "", *(f"{100 * share:.0f} % or more up to" for share in shares)]]
    for name, settings in cases.items():
        most = (scales_to(load, rate, share, **settings) for share in shares)
        table.append([name, "model", *(f"{n:,}" if n < 2**16 else "65,536 or more" for n in most)])
    return markdown(table)


def input_said(needed: float, streaming: list[Result]) -> str:
    found = [r for r in streaming if r["way"] == "from the records" and r["read"] and r["case"] == "cifar10"]
    if not found:
        return f"How many a processor decodes at 224² is {NOT_MEASURED}."
    rate = found[0]["images"] / float(np.median(found[0]["read"]))
    times, bandwidth = needed / rate, needed * BYTES / 1e9
    return (
        f"This machine's two processors decode {rate:,.0f} of CIFAR-10's small ones: {times:,.0f} such machines for an "
        f"accelerator, and more at 224². So images have to lie decoded ({bandwidth:.1f} GB/s for each), or be decoded "
        f"elsewhere."
    )
