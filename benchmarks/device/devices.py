"""Training steps that several accelerators make together beside those of one, and the sum over them by itself.

All is asked of a process of its own: a compiler that aborts, or a sum that never ends, costs one question.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import lcm
from typing import Any

import jax
import numpy as np

from benchmarks.cases import PRECISIONS
from benchmarks.device.document import Document
from benchmarks.device.several import EXACT, so_many
from benchmarks.interleave import Gap
from benchmarks.messages import encode
from benchmarks.networks import QUICK_NETWORKS, Network, step_flops
from benchmarks.parallel import SMALL_VGG, SUM, WHOLE, Question
from benchmarks.parallel_worker import SUMS, program_of
from benchmarks.peers.program import Program
from benchmarks.step_cost import load_of
from benchmarks.timing import Timing, interleaved


@dataclass(frozen=True)
class Plan:
    """What is measured. share: images per device while their number grows with it (weak scaling); total: images per
    step while it does not (strong scaling), or the next number that all counts of devices divide. steps: of a program.
    sums: bytes of the sums alone, besides those of the gradients."""

    network: Network
    share: int
    total: int
    steps: int
    sums: tuple[int, ...]
    timing: Timing
    precision: str = "bfloat16"


PLAN = Plan(SMALL_VGG, 512, 512, 8, (4, 2**26), Timing(rounds=5, seconds=0.2))
TINY = Plan(QUICK_NETWORKS["tiny_cnn"], 4, 4, 2, (4,), Timing(rounds=1, seconds=1e-3), "tf32")
"""Not in bfloat16: XLA's compiler for CPUs aborts on a sum of that over devices."""


@dataclass(frozen=True)
class Case:
    """A question to so many devices."""

    devices: int
    question: Question
    precision: str

    @property
    def label(self) -> str:
        size = f"{self.question.bytes:,} bytes" if self.question.program == SUM else f"{self.question.batch} images"
        return f"{so_many(self.devices)}, {self.question.program}, {size}, {self.precision}"


def counts_of(there: int, *, tiny: bool) -> tuple[int, ...]:
    """One and all of them first, which tells most; then the powers of two between, falling."""
    between = () if tiny else (2**i for i in reversed(range(1, there.bit_length())) if 2**i < there)
    return 1, there, *between


def cases(plan: Plan, counts: tuple[int, ...], total: int) -> Iterator[Case]:
    """The most telling first. One that two questions share comes twice."""
    one, most, *_ = counts
    gradients = load_of(plan.network.placed, 1).gradient_bytes
    for n in (one, most):
        yield Case(n, Question(WHOLE, total), EXACT)
    for group in ((one, most), counts[2:]):
        for n in group:
            yield Case(n, Question(WHOLE, n * plan.share), plan.precision)
            if n > 1:
                yield Case(n, Question(SUM, bytes=gradients), EXACT)
        for n in group:
            yield Case(n, Question(WHOLE, total), plan.precision)
    for n in counts[1:]:
        for size in plan.sums:
            yield Case(n, Question(SUM, bytes=size), EXACT)


def measure(document: Document) -> None:
    there = jax.device_count()
    if there == 1:
        raise Gap("one device")
    plan = TINY if document.tiny else PLAN
    counts = counts_of(there, tiny=document.tiny)
    total = -(-plan.total // lcm(*counts)) * lcm(*counts)
    gradients = load_of(plan.network.placed, 1).gradient_bytes
    document.facts["plan"] = dict(rounds=plan.timing.rounds, threads=None, share=plan.share, total=total)
    document.facts["plan"] |= dict(steps=plan.steps, gradients=gradients, precision=plan.precision)
    waiting = list(dict.fromkeys(cases(plan, counts, total)))
    while waiting and document.left:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            ask(document, plan, waiting, pool)
    for case in waiting:
        document.cut(case.label)


def ask(document: Document, plan: Plan, waiting: list[Case], pool: ProcessPoolExecutor) -> None:
    """The cases that wait, until there are none, time is up, or the process dies; what is done waits no more."""
    while waiting and document.left:
        case = waiting[0]
        print(case.label, flush=True)
        flops = step_flops(plan.network, case.question.batch) if case.question.program == WHOLE else 0
        found = dict(label=plan.network.label, devices=case.devices, **asdict(case.question), precision=case.precision)
        found |= dict(seconds=[], flops=flops, losses=None, gap=None)
        try:
            found |= pool.submit(measured, case, plan).result(timeout=document.left)
        except OutOfTime:
            for process in multiprocessing.active_children():
                process.kill()
            return
        except BrokenProcessPool:
            found["gap"] = "the process that computed it died"
        except Exception as error:  # what some devices cannot do costs the others nothing
            found["gap"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        document.add([found])
        del waiting[0]
        if found["gap"]:  # a new process, for what this one may have left
            return


def measured(case: Case, plan: Plan) -> dict[str, Any]:
    """Losses of the first steps, and seconds per step or sum."""
    settings = dict(processes=1, devices=case.devices, steps=plan.steps)
    settings |= dict(network=encode(plan.network), precision=PRECISIONS[case.precision])
    with jax.default_matmul_precision("float32") if case.precision == EXACT else nullcontext():
        call, found = program_of(case.question, settings)
    beside = call()
    if case.question.program == WHOLE:
        found["losses"] = np.asarray(beside["loss"], float).tolist()
    units = SUMS if case.question.program == SUM else plan.steps
    samples, gaps = interleaved({case: Program(repeated(call), units=units)}, plan.timing)
    return found | dict(seconds=samples[case], gap=gaps.get(case))


def repeated(call: Callable[[], Any]) -> Callable[[int], None]:
    def run(calls: int) -> None:
        for _ in range(calls):
            call()

    return run
