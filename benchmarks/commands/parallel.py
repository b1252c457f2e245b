"""What do several devices gain, and what of a training step is their sum?

    python -m benchmarks parallel                    some ten minutes on two cores
    python -m benchmarks parallel --cases split      two processes of a thread each beside one of two threads
    python -m benchmarks parallel --quick            tiny networks: does everything run?

Steps of the small VGG on random images, as runs make them: a scan of the compiled step, whose batch is divided among
1 to 8 devices that XLA makes of one process, and among 1, 2 and 4 processes that `python -m convnet.launch` starts, on
this machine, by gloo on the loopback interface. Beside each, the same step with nothing summed up over the devices, and
sums alone. Every crew has all the processors there are, so that its devices cannot scale, and show what dividing the
work costs. All take turns. Writes results/cpu/parallel.json and README.md under benchmarks/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import scale_tables, session, tables
from benchmarks.command import Output, own_document
from benchmarks.crews import Cell, Team, measured
from benchmarks.interleave import Gap
from benchmarks.networks import Network, step_flops
from benchmarks.parallel import PLAN, QUICK, SPLIT, WHOLE, Crew, Plan, Question
from benchmarks.session import chosen
from convnet.cli import run_command
from convnet.progress import progress
from convnet.record import check_writable
from convnet.settings import require

CASES = ("devices", "split", "resnet18")


@dataclass(frozen=True)
class BenchParallel(Output):
    """Time training steps that devices and processes make together."""

    cases: tuple[str, ...] = ()
    """devices (1 to 8, and 1 to 4 processes), split (two cores as two processes or as one), resnet18 (what its step
    sums up, counted); all unless given."""
    rounds: int = 5
    """Samples of each. Of split: twice as many. --quick: 1."""
    seconds: float = 0.2
    """Length of a sample; at least one call of two steps."""
    timeout: float = 300.0
    """Seconds after which devices that do not answer are given up."""


def bench_parallel(settings: BenchParallel) -> None:
    cases = chosen("cases", settings.cases, CASES)
    for name in ("rounds", "seconds", "timeout"):
        require(getattr(settings, name) > 0, name, getattr(settings, name), "more than 0")
    check_writable(settings.folder)
    plan, rounds = (QUICK, 1) if settings.quick else (PLAN, settings.rounds)
    document = own_document(rounds)
    document["plan"] |= dict(share=plan.share, total=plan.total, split=plan.split, steps=plan.steps)
    for case in cases:
        if case == "resnet18":
            document["results"].append(counted(plan, settings.timeout))
        else:
            document["results"] += timed(case, plan, rounds, settings)
        path = session.store(document, "parallel", settings.folder, settings.device_name or "cpu")
    print(f"results: {path}")
    print(f"tables: {tables.write_readme(settings.folder)}")
    for title, table in scale_tables.parallel_tables(document):
        print(f"\n{title}\n\n{tables.markdown(table)}")


def timed(case: str, plan: Plan, rounds: int, settings: BenchParallel) -> list[dict[str, Any]]:
    if case == "split":
        rounds, asked = 2 * rounds, {crew: [Question(WHOLE, plan.split)] for crew in SPLIT}
    else:
        asked = {crew: list(plan.questions(crew)) for crew in plan.crews()}
    seconds = 0.01 if settings.quick else settings.seconds
    shared = dict(steps=plan.steps, rounds=rounds, seconds=seconds, timeout=settings.timeout)
    with progress(sum(map(len, asked.values())) * (1 + rounds), "sample") as bar:

        def on_cell(cell: Cell) -> None:
            bar.set_postfix_str(f"{cell.crew.label}, {cell.question.program}")
            bar.update()

        cells = measured(asked, plan.network, **shared, on_cell=on_cell)
    return [result_of(case, cell, plan.network) for cell in cells]


def counted(plan: Plan, timeout: float) -> dict[str, Any]:
    """What a step of a network with batch normalisation sums up: it is compiled for two devices, and not run."""
    cell = Cell(Crew(1, 2, 2), Question(WHOLE, 2))
    with Team(cell.crew, plan.counted, plan.steps, timeout=timeout) as team:
        try:
            cell.facts = team.prepare(cell.question, run=False)
        except Gap as gap:
            cell.gap = str(gap)
    return result_of("resnet18", cell, plan.counted)


def result_of(case: str, cell: Cell, network: Network) -> dict[str, Any]:
    return {
        "case": case,
        "label": network.label,
        "crew": asdict(cell.crew),
        **asdict(cell.question),
        "seconds": [sample.seconds for sample in cell.samples],
        "disturbed": [sample.disturbed for sample in cell.samples],
        "flops": step_flops(network, cell.question.batch),
        "gap": cell.gap,
        **cell.facts,
    }


def main(args: Sequence[str]) -> int:
    return run_command(BenchParallel, bench_parallel, args)
