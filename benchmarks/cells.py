"""What stands in a cell of a benchmark's table: milliseconds, rates, ratios, memory; or that it was not measured."""

from __future__ import annotations

from typing import Any

from benchmarks.messages import NOT_MEASURED
from benchmarks.ratios import Sample, median, ratio

Result = dict[str, Any]


def samples_of(result: Result) -> list[Sample]:
    return [Sample(s, d) for s, d in zip(result["seconds"], result["disturbed"], strict=True)]


def milliseconds(result: Result | None) -> str:
    if result is None or not result["seconds"]:
        return NOT_MEASURED
    samples = samples_of(result)
    star = "*" if all(sample.disturbed for sample in samples) else ""
    return f"{1e3 * median(samples):.3g}{star}"


def rate(result: Result | None) -> str:
    """GFLOP/s."""
    if result is None or not result["seconds"] or not result["flops"]:
        return ""
    return f"{result['flops'] / median(samples_of(result)) / 1e9:.0f}"


def against(result: Result | None, reference: Result | None) -> str:
    """Ratio of medians with quartiles."""
    if not (result and reference and result["seconds"] and reference["seconds"]):
        return NOT_MEASURED
    found = ratio(samples_of(result), samples_of(reference))
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"


def memory(result: Result | None) -> str:
    """MiB above the idle process, or of an accelerator's memory."""
    if result is None or not result["seconds"]:
        return NOT_MEASURED
    if "device_bytes" in result:
        return f"{result['device_bytes'] / 2**20:,.0f}"
    if "peak_bytes" not in result:
        return NOT_MEASURED
    return f"{(result['peak_bytes'] - result['idle_bytes']) / 2**20:,.0f}"


def compile_time(result: Result | None) -> str:
    return NOT_MEASURED if result is None or not result["seconds"] else f"{result['compile_seconds']:.2f}"


def first_loss(result: Result | None) -> str:
    loss = result and result.get("loss")
    return NOT_MEASURED if loss is None else f"{loss:.5f}"


def quotient(result: Result | None, once: Result | None) -> str:
    """Of medians that were taken in neighbouring minutes, not in the same rounds: hence without quartiles."""
    if not (result and once and result["seconds"] and once["seconds"]):
        return NOT_MEASURED
    return f"{median(samples_of(result)) / median(samples_of(once)):.2f}"
