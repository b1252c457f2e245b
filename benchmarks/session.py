"""A whole benchmark: groups of tasks, each with fresh workers, measured one after the other into one JSON document."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.cases import GemmTask
from benchmarks.interleave import Entry, interleave
from benchmarks.messages import Task, encode
from benchmarks.workers import Variant, Worker
from convnet.identity import environment
from convnet.progress import progress
from convnet.record import write_json
from convnet.settings import require
from convnet.threads import processors

REFERENCE = "ours"


@dataclass(frozen=True)
class Effort:
    """How to measure. seconds, budget, timeout: see `Worker` and `interleave`."""

    rounds: int = 9
    seconds: float = 0.2
    budget: float = 60.0
    timeout: float = 300.0
    retries: int = 3
    threads: int | None = None

    def __post_init__(self):
        require(self.rounds >= 1, "rounds", self.rounds, "1 or more")
        for name in ("seconds", "budget", "timeout"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number of seconds")
        cores = processors()
        require(self.threads is None or 1 <= self.threads <= cores, "threads", self.threads, f"1 to {cores}")


@dataclass(frozen=True)
class Group:
    """Tasks that share their workers, and so one figure of memory.

    case: what the tables call it; sizes: of each task, what a curve puts on its axis.
    """

    case: str
    tasks: tuple[Task, ...]
    sizes: tuple[int, ...] = ()


def chosen(name: str, wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """`wanted` without repetitions; all that is known where nothing is. ValueError for what is not known."""
    for value in wanted:
        require(value in known, name, value, f"one of {', '.join(known)}")
    return tuple(dict.fromkeys(wanted or known))


def surroundings() -> dict[str, Any]:
    """The environment, with the command as it is to be typed: `benchmarks.__main__` puts all its words in one."""
    return environment() | {"command": " ".join([*sys.argv[:1], *map(shlex.quote, sys.argv[1:])])}


def variants(peers: Sequence[str], allocators: Sequence[str]) -> list[Variant]:
    """Peers next to each other within each setting of the allocator."""
    return [Variant(peer, allocator) for allocator in allocators for peer in peers]


def measure(
    groups: Sequence[Group],
    asked: Sequence[Variant],
    effort: Effort,
    gemm: GemmTask,
    on_group: Callable[[dict[str, Any]], None] = lambda document: None,
) -> dict[str, Any]:
    """The document: environment, plan, gemm (one entry per group and allocator), results (one per task and variant).

    The settings of the allocator follow one another: with all their workers side by side, memory would run out. Whoever
    comes first among `asked` also multiplies the matrices. on_group: called with the document so far.
    """
    # The parent looks at the device, too, and must not take its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    document = {"environment": surroundings(), "plan": asdict(effort), "gemm": [], "results": []}
    said: set[str] = set()
    teams = [[v for v in asked if v.allocator == name] for name in dict.fromkeys(v.allocator for v in asked)]
    total = sum((len(group.tasks) * len(team) + 1) * (effort.rounds + 1) for group in groups for team in teams)
    with progress(total, "sample") as bar:

        def on_cell(cell: Entry) -> None:
            bar.set_postfix_str(f"{cell.peer}: {cell.task.label}"[:60])
            bar.update()
            line = f"{cell.peer}: {cell.gap}"
            if cell.gap and line not in said:
                said.add(line)
                bar.write(f"not measured: {line} ({cell.task.label})", file=sys.stderr)

        for group in groups:
            for team in teams:
                _measure_group(group, team, effort, gemm, document, on_cell)
            on_group(document)
    return document


def _measure_group(group: Group, asked, effort: Effort, gemm: GemmTask, document: dict, on_cell) -> None:
    rules = dict(rounds=effort.rounds, budget=effort.budget, retries=effort.retries, on_cell=on_cell)
    with ExitStack() as stack:
        workers = {
            variant.label: stack.enter_context(
                Worker(variant, seconds=effort.seconds, timeout=effort.timeout, threads=effort.threads)
            )
            for variant in asked
        }
        cells = interleave(group.tasks, workers, **rules)
        memory = {name: worker.memory() for name, worker in workers.items()}
        # After the tasks, because its operands would count as their memory.
        first = asked[0].label
        (product,) = interleave([gemm], {first: workers[first]}, **rules)
        document["gemm"].append(result_of(group.case, product, asked[0], {}))
        for variant in asked:
            hello = workers[variant.label].hello
            document.setdefault("peers", {}).setdefault(variant.label, {}).update(hello)
            own = [cell for cell in cells if cell.peer == variant.label]
            for i, cell in enumerate(own):
                size = {"size": group.sizes[i]} if group.sizes else {}
                document["results"].append(result_of(group.case, cell, variant, size | memory[variant.label]))


def result_of(case: str, cell: Entry, variant: Variant, facts: dict[str, int]) -> dict[str, Any]:
    return {
        "case": case,
        "label": cell.task.label,
        "task": encode(cell.task),
        "peer": variant.peer,
        "allocator": variant.allocator,
        "seconds": [sample.seconds for sample in cell.samples],
        "disturbed": [sample.disturbed for sample in cell.samples],
        "flops": cell.task.flops,
        "gap": cell.gap,
        **cell.facts,
        **facts,
    }


def path_of(document: dict[str, Any], name: str, out: Path, device_name: str | None) -> Path:
    """`out`/results/<device>/`name`.json."""
    where = document["environment"]
    return out / "results" / (device_name or machine.directory_name(where["backend"], where["device"])) / f"{name}.json"


def store(document: dict[str, Any], name: str, out: Path, device_name: str | None) -> Path:
    """Write the document where `path_of` says."""
    path = path_of(document, name, out, device_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"benchmark": name, **document})
    return path
