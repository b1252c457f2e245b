"""What the command lines of all benchmarks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from benchmarks import session, tables
from benchmarks.cases import GemmTask
from benchmarks.session import Effort, Group
from convnet.record import check_writable

ROOT = Path(__file__).resolve().parent
QUICK_ROOT = Path("runs", "benchmarks")


@dataclass(frozen=True)
class Output:
    """Where the results of a benchmark go."""

    out: Path | None = None
    """Where README.md and results/ are. None: benchmarks/, or runs/benchmarks/ with --quick."""
    device_name: str | None = None
    """Name of the folder of results. None: cpu, or the accelerator's."""
    quick: bool = False
    """Whether shapes are tiny and rounds two: a check that everything runs."""

    @property
    def folder(self) -> Path:
        return self.out or (QUICK_ROOT if self.quick else ROOT)


@dataclass(frozen=True)
class Measurement(Output):
    """Settings of every benchmark whose peers run in processes of their own."""

    allocator: tuple[Literal["default", "tuned"], ...] = ("default", "tuned")
    """The host's memory allocator as it comes, or keeping what it once got from the system. --quick: the first."""
    rounds: int = 9
    """Samples of every peer at every task."""
    seconds: float = 0.2
    """Length of a sample; at least one call."""
    budget: float = 60.0
    """Seconds of samples after which a task is not timed again for a peer."""
    timeout: float = 300.0
    """Seconds after which a peer that does not answer is given up for a task."""
    threads: int | None = None
    """Cores for every peer. None: all."""

    @property
    def effort(self) -> Effort:
        shared = dict(budget=self.budget, timeout=self.timeout, threads=self.threads)
        if self.quick:
            return Effort(rounds=min(self.rounds, 2), seconds=min(self.seconds, 0.01), retries=0, **shared)
        return Effort(rounds=self.rounds, seconds=self.seconds, **shared)

    @property
    def allocators(self) -> tuple[str, ...]:
        distinct = tuple(dict.fromkeys(self.allocator))
        return distinct[:1] if self.quick else distinct

    @property
    def gemm_size(self) -> int:
        return 64 if self.quick else 2048


def own_document(rounds: int) -> dict[str, Any]:
    """A document without results, of a benchmark that measures in its own process."""
    return {
        "environment": session.surroundings(),
        "plan": {"rounds": rounds, "threads": None},
        "peers": {"ours": {"versions": {"jax": metadata.version("jax")}}},
        "gemm": [],
        "results": [],
    }


def run(
    settings: Measurement, name: str, groups: Sequence[Group], peers: Sequence[str], *, precision: str = "float32"
) -> None:
    """Measure `groups`, store them as `name`.json and write the page."""
    check_writable(settings.folder)
    asked = session.variants(peers, settings.allocators)

    def store(document: dict[str, Any]) -> Path:
        return session.store(document, name, settings.folder, settings.device_name)

    # Stored after every group: an interrupted run keeps what it has.
    document = session.measure(groups, asked, settings.effort, GemmTask(settings.gemm_size, precision), store)
    print(f"results: {store(document)}")
    print(f"tables: {tables.write_readme(settings.folder)}")
