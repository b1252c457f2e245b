"""Programs of one process, timed in turns: A B A B."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from benchmarks.peers.program import Program

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """rounds: samples of each program. seconds: length of a sample; at least one call. limit: seconds of a call beyond
    which a program is sampled only once."""

    rounds: int = 5
    seconds: float = 0.15
    limit: float = 2.0


def interleaved(
    programs: Mapping[Key, Program],
    timing: Timing,
    *,
    on_program: Callable[[Key], None] = lambda key: None,
) -> tuple[dict[Key, list[float]], dict[Key, str]]:
    """Seconds per unit of each program, by round, and why there are none. The first call, which compiles, is not timed.

    on_program: called before a program is prepared.
    """
    samples: dict[Key, list[float]] = {key: [] for key in programs}
    gaps: dict[Key, str] = {}
    calls: dict[Key, int] = {}
    for key, program in programs.items():
        on_program(key)
        try:
            program.run(1)
            calls[key] = max(1, math.ceil(timing.seconds / _timed(program, 1)))
        except Exception as error:  # a formulation that one device cannot run costs the others nothing
            gaps[key] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    for _ in range(timing.rounds):
        for key in calls:
            if not (samples[key] and samples[key][0] * programs[key].units > timing.limit):
                samples[key].append(_timed(programs[key], calls[key]) / (calls[key] * programs[key].units))
    return samples, gaps


def _timed(program: Program, calls: int) -> float:
    start = perf_counter()
    program.run(calls)
    return perf_counter() - start
