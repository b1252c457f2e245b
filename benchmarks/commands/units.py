"""What does it cost to find the images that excite many units, beside one unit after the other?

    python -m benchmarks units                     64 units of three CNNs
    python -m benchmarks units --cases mnist --units 16
    python -m benchmarks units --quick             two units, two steps: does everything run?

Gradient ascent with jitter and blur, after compilation. "alone" is a call of `maximize_units` for each unit, "together"
one for all, whose units are mapped (`vmap`) in one program. They take turns; the table divides their medians. Writes
results/<device>/units.json and README.md under benchmarks/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import session, tables
from benchmarks.command import Output, own_document
from benchmarks.replicates import timed
from benchmarks.session import chosen
from benchmarks.units import CASES, ways
from convnet.cli import run_command
from convnet.progress import progress
from convnet.record import check_writable
from convnet.settings import require


@dataclass(frozen=True)
class BenchUnits(Output):
    """Time activation maximisation: one unit after the other, and all in one program."""

    cases: tuple[str, ...] = ()
    """digits, mnist, cifar10: networks for such images; all unless given."""
    units: int = 64
    """How many: at most 64. --quick: 2."""
    steps: int = 64
    """Steps of gradient ascent. --quick: 2."""
    rounds: int = 3
    """Samples of each way. --quick: 1."""


def bench_units(settings: BenchUnits) -> None:
    cases = chosen("cases", settings.cases, tuple(CASES))
    require(1 <= settings.units <= 64, "units", settings.units, "1 to 64")
    require(settings.steps >= 1, "steps", settings.steps, "1 or more")
    require(settings.rounds >= 1, "rounds", settings.rounds, "1 or more")
    check_writable(settings.folder)
    units, steps, rounds = (2, 2, 1) if settings.quick else (settings.units, settings.steps, settings.rounds)
    document = own_document(rounds)
    with progress(2 * len(cases) * (1 + rounds), "sample") as bar:
        for name in cases:
            case = CASES[name]

            def on_run(way: str, label: str = case.label) -> None:
                bar.set_postfix_str(f"{label}, {way}")
                bar.update()

            shared = dict(case=name, label=case.label, units=units, steps=steps)
            samples = timed(ways(case, units, steps), rounds, on_run)
            document["results"] += [dict(**shared, way=way, seconds=seconds) for way, seconds in samples.items()]
    print(f"results: {session.store(document, 'units', settings.folder, settings.device_name)}")
    print(f"tables: {tables.write_readme(settings.folder)}")
    print(tables.markdown(tables.unit_tables(document)[0][1]))


def main(args: Sequence[str]) -> int:
    return run_command(BenchUnits, bench_units, args)
