"""`README.md` of the benchmarks, rebuilt from all results found beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import charts, race_tables, scale_tables
from benchmarks.cells import Result, against, compile_time, first_loss, memory, milliseconds, quotient, rate, samples_of
from benchmarks.device import several, summary
from benchmarks.device import tables as device_tables
from benchmarks.messages import NOT_MEASURED, kind
from benchmarks.peers import PEERS
from benchmarks.ratios import median
from benchmarks.session import REFERENCE
from convnet.record import write_atomically

DEVICES = ("cpu", "h200")
"""Those that always have a section, measured or not."""
BENCHMARKS = {
    "audit": "Gradients",
    "devices": "Steps of several accelerators",
    "resume": "Runs that go on on other devices",
    "train": "Training steps",
    "resnet224": "Training steps at 224²",
    "attribution": "Attributions",
    "replicates": "Replicates of whole runs",
    "units": "Images that excite units",
    "ops": "Ops",
    "ops-float32": "Ops in float32",
    "ops-bfloat16": "Ops in bfloat16",
    "determinism": "Equal bits",
    "mnist": "MNIST",
    "formulations": "Formulations of convolutions",
    "formulations-pairs": "Formulations of pairs of images and kernels",
    "scaling": "Scaling",
    "parallel": "Devices and processes",
    "streaming": "Images that are read",
    "memory": "Memory while data grow",
    "race": "CIFAR-10 to 94 %",
}
ON_CPUS = (
    *("ops", "ops-bfloat16", "formulations", "train", "attribution", "scaling", "replicates"),
    *("parallel", "streaming", "memory", "race"),
)
ON_ACCELERATORS = (
    *("audit", "devices", "resume", "train", "resnet224", "streaming", "determinism", "replicates", "ops", "mnist"),
    *("formulations", "race"),
)
"""Those that say "not measured" where they were not; the others are left out."""

INTRODUCTION = Path(__file__).with_name("introduction.md").read_text(encoding="utf-8")
"""What stands before the tables."""

Row = list[str]


def write_readme(out: Path) -> Path:
    """From `out`/results/*/*.json to `out`/README.md, with the charts beside the results."""
    found = sorted((out / "results").glob("*/*.json"))
    documents = {(path.parent.name, path.stem): json.loads(path.read_text(encoding="utf-8")) for path in found}
    devices = dict.fromkeys((*DEVICES, *(device for device, _ in documents)))
    parts = [INTRODUCTION]
    for device in devices:
        own = {name: documents[device, name] for name in BENCHMARKS if (device, name) in documents}
        parts.append(f"## {device}\n")
        if device != "cpu" and own:
            parts.append(f"{markdown(summary.table(own))}\n")
        for name, title in BENCHMARKS.items():
            if name in own or name in (ON_CPUS if device == "cpu" else ON_ACCELERATORS):
                parts.append(f"### {title}\n\n{_section(device, name, own.get(name), out)}\n")
    write_atomically(out / "README.md", "\n".join(parts))
    return out / "README.md"


def _section(device: str, name: str, document: dict | None, out: Path) -> str:
    if document is None:
        return NOT_MEASURED.capitalize() + "."
    write = {
        "train": train_tables,
        "resnet224": train_tables,
        "attribution": attribution_tables,
        "scaling": scaling_tables,
        "replicates": replicate_tables,
        "units": unit_tables,
        "formulations": formulation_tables,
        "formulations-pairs": formulation_tables,
        "audit": device_tables.audit_tables,
        "determinism": device_tables.determinism_tables,
        "mnist": device_tables.mnist_tables,
        "devices": several.devices_tables,
        "resume": several.resume_tables,
        "parallel": scale_tables.parallel_tables,
        "streaming": scale_tables.streaming_tables,
        "memory": scale_tables.memory_tables,
        "race": race_tables.race_tables,
    }.get(name, op_tables)
    tables = [f"{title}\n\n{markdown(table)}" for title, table in write(document) if len(table) > 1]
    pictures = charts.draw(document, out / "results" / device / "figures")
    links = [f"![{title}]({path.relative_to(out).as_posix()})" for title, path in pictures.items()]
    return "\n\n".join([circumstances(document), *links, *tables])


def circumstances(document: dict) -> str:
    """What the numbers depend on, in a line."""
    where, plan = document["environment"], document.get("plan", {})
    versions = {k: v for peer in document.get("peers", {}).values() for k, v in peer.get("versions", {}).items()}
    versions = versions or where["packages"]
    named = ", ".join(
        f"{name} {versions[name]}" for name in ("jax", "flax", "keras", "torch", "captum") if versions.get(name)
    )
    commit = f"; commit {where['git']['commit'][:10]}" if where.get("git") else ""
    commit += " with changes" if commit and where["git"]["dirty"] else ""
    threads = f", {plan['threads']} threads" if plan.get("threads") else ""
    rounds = f"; {plan['rounds']} rounds" if plan.get("rounds") else ""
    cut = f"; no time for {len(document['cut'])} more" if document.get("cut") else ""
    rates = [f"{rate:,.0f}" for rate in gemm_rates(document)]
    gemm = f"; matrix product {rates[0]} to {rates[-1]} GFLOP/s" if rates else ""
    gap = f". {NOT_MEASURED.capitalize()}: {document['gap']}" if document.get("gap") else ""
    return (
        f"`{_command(where['command'])}`: {where['device']}, {where['cpus']} CPU cores{threads}; {named}, "
        f"Python {where['python']}{rounds}, {where['started'][:10]}{commit}{gemm}{cut}{gap}."
    )


def _command(command: str) -> str:
    return command if command.startswith(("bash ", "python ")) else f"python {command}"


def gemm_rates(document: dict) -> list[float]:
    """GFLOP/s of the matrix product, one per group and allocator, rising."""
    return sorted(r["flops"] / median(samples_of(r)) / 1e9 for r in document["gemm"] if r["seconds"])


def markdown(table: Sequence[Row]) -> str:
    head, *rows = table
    rule = ["---"] * 2 + ["---:"] * (len(head) - 2)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


# --- tables -----------------------------------------------------------------------------------------------------------


class Index:
    """Results by what a cell of a table asks for."""

    def __init__(self, results: Iterable[Result], kind: Callable[[Result], str]):
        """kind: the second column: an op's direction, a step's mode."""
        self._found = {(r["case"], kind(r), r["peer"], r["allocator"]): r for r in results}
        keys = list(self._found)
        self.lines = list(dict.fromkeys((case, kind, allocator) for case, kind, _, allocator in keys))
        found = dict.fromkeys(peer for _, _, peer, _ in keys)
        self.reference = REFERENCE if REFERENCE in found else next(iter(found), REFERENCE)
        self.others = [peer for peer in PEERS if peer in found and peer != self.reference]
        self.peers = [self.reference, *self.others]

    def get(self, case: str, kind: str, peer: str, allocator: str) -> Result | None:
        return self._found.get((case, kind, peer, allocator))

    def ratios(self, second: str, *, rates: bool = True) -> list[Row]:
        """Our time, then everybody's ratio to it."""
        head = ["", second, "allocator", f"{self.reference} ms", *(["GFLOP/s"] if rates else [])]
        table = [[*head, *(f"{peer} ÷ {self.reference}" for peer in self.others)]]
        for case, way, allocator in self.lines:
            reference = self.get(case, way, self.reference, allocator)
            line = [case, way, allocator, milliseconds(reference), *([rate(reference)] if rates else [])]
            table.append([*line, *(against(self.get(case, way, peer, allocator), reference) for peer in self.others)])
        return table

    def facts(self, second: str, cell: Callable[[Result | None], str]) -> list[Row]:
        """One fact of every peer."""
        table = [["", second, "allocator", *self.peers]]
        for case, way, allocator in self.lines:
            table.append([case, way, allocator, *(cell(self.get(case, way, peer, allocator)) for peer in self.peers)])
        return table


def op_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """Ratios to ours, what scan and vmap cost, compile time and memory."""
    results = document["results"]
    once = Index((r for r in results if r["task"]["context"] == "once"), lambda r: kind(r["task"]))
    contexts = Index(results, lambda r: f"{kind(r['task'])}, {r['task']['context']}")
    cost = [["", "direction", "allocator", "peer", "once ms", "scan ÷ once, per step", "vmap ÷ once, per replicate"]]
    for case, direction, allocator in once.lines:
        for peer in once.peers:
            cells = [contexts.get(case, f"{direction}, {name}", peer, allocator) for name in ("once", "scan", "vmap")]
            if any(cell and cell["seconds"] for cell in cells[1:]):
                line = [milliseconds(cells[0]), *(quotient(cell, cells[0]) for cell in cells[1:])]
                cost.append([case, direction, allocator, peer, *line])
    return [
        ("One op, dispatched:", once.ratios("direction")),
        ("The same op inside `lax.scan` and under `vmap`:", cost),
        ("Compile time in seconds:", once.facts("direction", compile_time)),
        ("Peak memory in MiB, of all directions of a layer together:", _first_of_each_case(once, memory)),
    ]


def train_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """Ratios to ours, every peer's time, compile time, memory, and the loss that shows they compute the same."""
    index = Index(document["results"], lambda r: kind(r["task"]))
    return [
        ("One training step of one replicate:", index.ratios("mode")),
        ("Milliseconds:", index.facts("mode", milliseconds)),
        ("Compile time in seconds:", index.facts("mode", compile_time)),
        ("Peak memory in MiB:", index.facts("mode", memory)),
        (
            "Loss of the first step (all peers start alike; a scanned epoch has an order of its own):",
            index.facts("mode", first_loss),
        ),
    ]


def attribution_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """Ratios to ours, every peer's time, compile time, memory, and the mean that shows they compute the same."""
    units = {"integrated-gradients": "{} steps", "occlusion": "windows of {0}×{0}, stride {1}"}

    def method(result: Result) -> str:
        task = result["task"]
        details = units[task["method"]].format(*task["settings"])
        return f"{task['method'].replace('-', ' ')}, {task['images']} images, {details}"

    index = Index(document["results"], method)
    return [
        ("One batch of images:", index.ratios("method")),
        ("Milliseconds:", index.facts("method", milliseconds)),
        ("Compile time in seconds:", index.facts("method", compile_time)),
        ("Peak memory in MiB:", index.facts("method", memory)),
        ("Mean absolute attribution (of one network, and one batch):", index.facts("method", first_loss)),
    ]


def scaling_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """Every point of every curve."""
    index = Index(document["results"], lambda r: str(r["size"]))
    return [("One training step (per replicate):", index.ratios("size", rates=False))]


def replicate_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """Every way of training many seeds beside one run after the other."""
    table = [["", "way", "replicates", "s per run", "÷ single, per replicate"]]
    seconds = {(r["case"], r["way"]): float(np.median(r["seconds"])) for r in document["results"]}
    for r in document["results"]:
        each, single = seconds[r["case"], r["way"]], seconds[r["case"], "single"]
        line = [f"{r['replicates']}", f"{each / r['replicates']:.3g}", f"{each / single:.2f}"]
        table.append([f"{r['label']}, {r['epochs']} epochs", r["way"], *line])
    return [("Seconds per run, where so many are to be trained:", table)]


def unit_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """All units in one program beside one after the other."""
    table = [["", "way", "units", "s per unit", "÷ alone"]]
    seconds = {(r["case"], r["way"]): float(np.median(r["seconds"])) for r in document["results"]}
    for r in document["results"]:
        each, alone = seconds[r["case"], r["way"]], seconds[r["case"], "alone"]
        line = [f"{r['units']}", f"{each / r['units']:.3g}", f"{each / alone:.2f}"]
        table.append([f"{r['label']}, {r['steps']} steps", r["way"], *line])
    return [("Seconds per unit, where the images of so many are to be found:", table)]


def formulation_tables(document: dict) -> list[tuple[str, list[Row]]]:
    """Every formulation of every layer; the one that the table of `convnet.ops.formulations` chooses is bold."""
    head = ["", "direction", "formulation", "ms", "GFLOP/s", "error ÷ direct"]
    found: dict[str, list[Row]] = {}
    for r in document["results"]:
        name = " ".join(filter(None, (r["formulation"], r.get("way"))))
        name = f"**{name}**" if r["chosen"] else name
        seconds = float(np.median(r["seconds"])) if r["seconds"] else None
        line = [f"{1e3 * seconds:.3g}", f"{r['flops'] / seconds / 1e9:.0f}"] if seconds else [NOT_MEASURED, ""]
        error = f"{r['error_over_direct']:.2f}" if "error_over_direct" in r else NOT_MEASURED
        found.setdefault(_circumstances_of(r), [head]).append([r["label"], r["direction"], name, *line, error])
    return [
        (f"Milliseconds{where}, and the rounding error over that of XLA's convolution:", table)
        for where, table in found.items()
    ]


def _circumstances_of(result: Result) -> str:
    """What is not as usual: " in bfloat16, each of 64 pairs under vmap"."""
    precision, pairs = result.get("precision", "float32"), result.get("pairs", 0)
    return ("" if precision == "float32" else f" in {precision}") + (
        f", each of {pairs} pairs under vmap" if pairs else ""
    )


def _first_of_each_case(index: Index, cell: Callable[[Result | None], str]) -> list[Row]:
    table = [["", "allocator", *index.peers]]
    kinds = {(case, allocator): kind for case, kind, allocator in reversed(index.lines)}
    for case, allocator in dict.fromkeys((case, allocator) for case, _, allocator in index.lines):
        found = (index.get(case, kinds[case, allocator], peer, allocator) for peer in index.peers)
        table.append([case, allocator, *map(cell, found)])
    return table
