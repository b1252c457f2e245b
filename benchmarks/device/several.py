"""What `devices` and `resume` come to: the lines of the summary, and the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.device.lines import Document, Line, equality, seconds_of, verdict
from benchmarks.messages import NOT_MEASURED
from benchmarks.parallel import SUM, WHOLE

Row = list[str]
Result = dict[str, Any]
EXACT = "float32"
"""The precision in which losses of one and of all devices are compared: rounding of bfloat16 would hide a fault."""
AGREE = 1e-4
"""Of a loss: float32 rounds a thousand times less, and a batch that is divided wrongly changes some percent."""


def so_many(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


# --- steps of several devices -----------------------------------------------------------------------------------------


class Measured:
    """The results of `devices` by what was asked."""

    def __init__(self, document: Document):
        self.plan, self.results = document["plan"], document["results"]
        self.label = self.results[0]["label"]
        self.counts = sorted({r["devices"] for r in self.results})

    def get(self, devices: int, **asked: Any) -> Result | None:
        asked["devices"] = devices
        return next((r for r in self.results if all(r[name] == value for name, value in asked.items())), None)

    def step(self, devices: int, *, weak: bool) -> Result | None:
        batch = devices * self.plan["share"] if weak else self.plan["total"]
        return self.get(devices, program=WHOLE, batch=batch, precision=self.plan["precision"])

    def gain(self, devices: int, *, weak: bool) -> float | None:
        """Images per second over those of one device."""
        own, one = (self.step(n, weak=weak) for n in (devices, 1))
        if not (seconds_of(own) and seconds_of(one)):
            return None
        return own["batch"] / seconds_of(own) / (one["batch"] / seconds_of(one))

    def exact(self, devices: int) -> Result | None:
        return self.get(devices, program=WHOLE, precision=EXACT)

    def losses(self, devices: int) -> list[float] | None:
        return (self.exact(devices) or {}).get("losses")

    def difference(self, devices: int) -> float | None:
        """The largest relative one of the losses of a step, from those of one device."""
        own, one = self.losses(devices), self.losses(1)
        return max(abs(a - b) / abs(b) for a, b in zip(own, one, strict=True)) if own and one else None


def devices_lines(document: Document) -> Iterator[Line]:
    found = Measured(document)
    plan, several = found.plan, [n for n in found.counts if n > 1]
    for weak, images in ((True, f"{plan['share']} images each"), (False, f"{plan['total']} images in all")):
        gains = {n: gain for n in several if (gain := found.gain(n, weak=weak))}
        if gains:
            told = ", ".join(f"{gain:.2f} on {n}" for n, gain in gains.items())
            yield Line(f"images/s ÷ one device, {images}", told)
            most = found.step(max(gains), weak=weak)
            yield Line(f"  on {max(gains)} devices", f"{most['batch'] / seconds_of(most):,.0f} images/s")
    sums = {n: seconds_of(found.get(n, program=SUM, bytes=plan["gradients"])) for n in several}
    if told := ", ".join(f"{1e6 * seconds:,.0f} µs on {n}" for n, seconds in sums.items() if seconds):
        yield Line(f"sum of its gradients alone, {plan['gradients'] / 1e6:.1f} MB", told)
    for n in several:
        if (difference := found.difference(n)) is not None:
            what, told = f"losses of {n} devices and of 1, {EXACT}", f"relative difference {difference:.1e}"
            yield Line(what, told, f"{AGREE:g} or less", verdict(difference <= AGREE))
    for r in found.results:
        if r["gap"]:
            what = f"  {so_many(r['devices'])}, {r['program']}, {r['precision']}"
            yield Line(what, f"{NOT_MEASURED}: {r['gap'][:80]}")


def devices_tables(document: Document) -> list[tuple[str, list[Row]]]:
    """Weak and strong scaling, sums alone, and losses."""
    if not document["results"]:
        return []
    found = Measured(document)
    plan, label = found.plan, f"{found.label}, {found.plan['precision']}"
    return [
        (f"{label}, {plan['share']} images on each device:", _scaling(found, weak=True)),
        (f"{label}, {plan['total']} images in all:", _scaling(found, weak=False)),
        ("A sum over devices by itself, in microseconds:", _sums(found)),
        (f"Losses of {plan['steps']} steps, {plan['total']} images in all, {EXACT}:", _losses(found)),
    ]


def _scaling(found: Measured, *, weak: bool) -> list[Row]:
    table = [["devices", "images", "ms per step", "images / s", "÷ one device", "of n times one"]]
    for n in found.counts:
        result = found.step(n, weak=weak)
        if result is not None:
            seconds, gain = seconds_of(result), found.gain(n, weak=weak)
            cells = [f"{1e3 * seconds:.3g}", f"{result['batch'] / seconds:,.0f}"] if seconds else [NOT_MEASURED, ""]
            cells += [f"{gain:.2f}", f"{gain / n:.0%}"] if gain else ["", ""]
            table.append([f"{n}", f"{result['batch']}", *cells])
    return table


def _sums(found: Measured) -> list[Row]:
    sizes = sorted({r["bytes"] for r in found.results if r["program"] == SUM})
    table = [["devices", *(f"{size:,} bytes" for size in sizes)]]
    for n in found.counts:
        times = [seconds_of(found.get(n, program=SUM, bytes=size)) for size in sizes]
        if any(times):
            table.append([f"{n}", *(f"{1e6 * seconds:,.0f}" if seconds else NOT_MEASURED for seconds in times)])
    return table


def _losses(found: Measured) -> list[Row]:
    table = [["devices", "first", "last", "largest relative difference", "ms per step"]]
    for n in found.counts:
        if own := found.losses(n):
            difference = found.difference(n)
            told = NOT_MEASURED if difference is None else f"{difference:.1e}"
            seconds = seconds_of(found.exact(n))
            cells = [f"{own[0]:.7f}", f"{own[-1]:.7f}", told]
            table.append([f"{n}", *cells, f"{1e3 * seconds:.3g}" if seconds else NOT_MEASURED])
    return table


# --- runs that go on on other devices ---------------------------------------------------------------------------------


def resume_lines(document: Document) -> Iterator[Line]:
    for r in document["results"]:
        if r["gap"]:
            yield Line(f"saved on {r['start']}, resumed on {r['end']}", f"{NOT_MEASURED}: {r['gap'][:80]}")
        elif not r["interrupted"]:
            what = f"bits of a run on {so_many(r['start'])}, twice"
            yield Line(what, equality(r["equal"]), "equal", verdict(r["equal"]))
        else:
            told = f"bits {equality(r['equal'])}, relative difference of losses {r['difference']:.1e}"
            yield Line(f"saved on {r['start']}, resumed on {r['end']}, beside all on {r['start']}", told)
            mesh = "; ".join(f"{name}: {then} then, {now} now" for name, (then, now) in r["mesh"].items())
            yield Line("  changes that its manifest tells of the mesh", mesh or "none", "some", verdict(bool(mesh)))
            refused = bool(r["refused"])
            told = "refused" if refused else "not refused"
            yield Line("  where changes are not accepted", told, "refused", verdict(refused))


def resume_tables(document: Document) -> list[tuple[str, list[Row]]]:
    """Runs by the devices they began and ended on, beside the run that stayed where they began."""
    table = [["began on", "ended on", "bits, beside all on the first", "losses, relative difference", "changed"]]
    for r in document["results"]:
        row = [f"{r['start']}", f"{r['end']}"]
        if r["gap"]:
            table.append([*row, NOT_MEASURED, "", ""])
            continue
        table.append([*row, equality(r["equal"]), f"{r['difference']:.1e}", ", ".join(r.get("changed", ()))])
    epochs = document.get("plan", {}).get("epochs")
    return [(f"Devices of a run of {epochs} epochs, before and after an interruption, or of two equal runs:", table)]
